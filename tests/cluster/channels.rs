//! The life of a channel: opened once, reused, opened again when it broke, closed when nobody needs it; and no process
//! and no descriptor is left of any.

use super::simulated::{Simulated, descriptors};
use super::support::process::{alive, signal};
use super::support::{PATIENCE, eventually, failure, success};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How many channels stay open after a cascade.
const KEPT: usize = 16;

fn on_node(number: usize) -> Value {
    json!({"node_id": format!("node{number}")})
}

#[test]
fn a_read_on_a_channel_that_breaks_is_asked_once_more() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
    // Stopped, so that the request is taken before the channel breaks.
    signal(cluster.pid(2), Signal::SIGSTOP);
    let id = plugin.post("isRunningOnNode", on_node(2));
    eventually(PATIENCE, "the request has left the plugin", || cluster.has_something_to_read(2));
    signal(cluster.pid(2), Signal::SIGKILL);
    assert_eq!(plugin.receive_reply(id)["result"]["payload"], true);
    assert_eq!(cluster.starts(2), 2);
}

#[test]
fn a_change_that_was_sent_is_not_sent_again() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
    signal(cluster.pid(2), Signal::SIGSTOP);
    let id = plugin.post("startOnNode", on_node(2));
    eventually(PATIENCE, "the request has left the plugin", || cluster.has_something_to_read(2));
    signal(cluster.pid(2), Signal::SIGKILL);
    let reply = plugin.receive_reply(id);
    assert!(failure(&reply["result"], 502).contains("is not sent again"), "{reply}");
    assert_eq!(cluster.starts(2), 1);
    assert_eq!(plugin.call("startOnNode", on_node(2)), success(), "the next one goes over a new channel");
}

#[test]
fn an_older_ssh_is_called_in_its_own_way_from_the_second_start_on() {
    for kind in ["old", "aged"] {
        let cluster = Simulated::of([kind]);
        let mut plugin = cluster.plugin();
        assert_eq!(plugin.call("startOnNode", on_node(2)), success());
        assert_eq!((cluster.starts(2), cluster.asked(2).len()), (2, 1), "{kind}");
        signal(cluster.pid(2), Signal::SIGKILL);
        assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
        assert_eq!(cluster.starts(2), 3, "{kind}");
    }
}

#[test]
fn a_read_that_fails_on_a_fresh_channel_is_not_asked_again() {
    let cluster = Simulated::of(["dies"]);
    failure(&cluster.plugin().call("isRunningOnNode", on_node(2)), 502);
    assert_eq!((cluster.starts(2), cluster.asked(2).len()), (1, 1));
}

#[test]
fn a_channel_that_broke_while_nobody_used_it_is_opened_again_even_for_a_change() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    plugin.payload("isRunningOnNode", on_node(2));
    let first = cluster.pid(2);
    signal(first, Signal::SIGKILL);
    // Its end is noticed by itself; to a request that comes before, the pipe is closed, and nothing of it was sent.
    eventually(PATIENCE, "it is reaped", || std::fs::metadata(format!("/proc/{first}")).is_err());
    assert_eq!(plugin.call("stopOnNode", on_node(2)), success());
    assert_eq!(cluster.starts(2), 2);
}

#[test]
fn a_node_that_was_repaired_is_reached_again() {
    let cluster = Simulated::of(["refused", "rubbish", "newer", "missing"]);
    let mut plugin = cluster.plugin();
    for number in 2..6 {
        cluster.then(number, "fine");
        failure(&plugin.call("isRunningOnNode", on_node(number)), 502);
        assert_eq!(plugin.payload("isRunningOnNode", on_node(number)), true);
    }
}

#[test]
fn after_a_deadline_the_next_request_has_a_fresh_channel() {
    let cluster = Simulated::patient(5.0, ["hangs"]);
    cluster.then(2, "fine");
    let mut plugin = cluster.plugin();
    failure(&plugin.call("isRunningOnNode", on_node(2)), 502);
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
    eventually(PATIENCE, "the one that hung is gone", || cluster.processes().len() == 1);
}

#[test]
fn after_a_cascade_few_channels_stay_and_before_the_next_one_too() {
    let cluster = Simulated::of(std::iter::repeat_n("fine", 60));
    let mut plugin = cluster.plugin();
    for _ in 0..2 {
        plugin.succeed("stop", json!({"cascade_to_nodes": 1}));
        let open = cluster.processes().len();
        assert!((1..=KEPT).contains(&open), "{open} channels");
    }
    for number in 2..62 {
        assert_eq!(cluster.asked(number).len(), 2, "node{number}");
    }
}

#[test]
fn a_small_clusters_channels_stay_open() {
    let cluster = Simulated::of(std::iter::repeat_n("fine", KEPT));
    let mut plugin = cluster.plugin();
    for _ in 0..3 {
        plugin.succeed("stop", json!({"cascade_to_nodes": 1}));
    }
    assert!((2..2 + KEPT).all(|number| cluster.starts(number) == 1));
}

#[test]
fn a_channel_that_nobody_uses_for_a_minute_is_closed() {
    let cluster = Simulated::of(["fine", "fine"]);
    let mut plugin = cluster.plugin();
    plugin.payload("isRunningOnNode", on_node(2));
    let (before, pid) = (descriptors(plugin.pid()), cluster.pid(2));
    // One that is used outlives it, however long this takes.
    eventually(PATIENCE, "it is closed", || {
        plugin.payload("isRunningOnNode", on_node(3));
        !alive(pid)
    });
    assert_eq!(cluster.starts(3), 1, "the channel that was used was closed, too");
    eventually(PATIENCE, "its descriptors are closed", || descriptors(plugin.pid()) <= before);
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
}

#[test]
fn no_descriptor_is_left_of_nodes_that_failed() {
    let kinds = ["refused", "rubbish", "newer", "missing", "dies", "floods", "garbles", "leaves"];
    let cluster = Simulated::of(kinds);
    let mut plugin = cluster.plugin();
    plugin.succeed("stop", Value::Null);
    let before = descriptors(plugin.pid());
    for _ in 0..6 {
        failure(&plugin.call("stop", json!({"cascade_to_nodes": 1})), 502);
    }
    eventually(PATIENCE, "all descriptors are closed again", || descriptors(plugin.pid()) == before);
    cluster.assert_nothing_left();
}

#[test]
fn a_plugin_that_is_killed_leaves_no_ssh_behind() {
    let cluster = Simulated::of(["fine", "plugin", "minor"]);
    let mut plugin = cluster.plugin();
    plugin.payload("queryNodes", Value::Null);
    assert!(cluster.processes().len() >= 3);
    plugin.kill();
    cluster.assert_nothing_left();
}

#[test]
fn a_call_leaves_no_ssh_behind() {
    let cluster = Simulated::of(["fine", "hangs", "deaf"]);
    let config = std::fs::read_to_string(cluster.here().config()).unwrap().replace("node = 50", "node = 1");
    std::fs::write(cluster.here().config(), config).unwrap();
    let run = cluster.launch().args(&["call", "stop", r#"{"cascade_to_nodes":1}"#]).run();
    assert_eq!(run.code, Some(1), "{} {}", run.stdout, run.stderr);
    assert_eq!(cluster.processes(), Vec::<u32>::new(), "right after the end");
}

#[test]
fn real_plugins_behind_the_channels_do_what_they_are_told() {
    let cluster = Simulated::of(["plugin", "plugin"]);
    let mut plugin = cluster.plugin();
    let port = cluster.here().port();
    plugin.succeed(
        "update",
        json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_yes", "cascade_to_nodes": 1}),
    );
    let nodes = plugin.payload("queryNodes", Value::Null);
    for at in 0..3 {
        assert_eq!((&nodes[at]["alternate_smtp_port"], &nodes[at]["differs"]), (&json!(port), &json!([])));
    }
}
