//! What leaves this machine is in nobody's way: a node that hangs holds up no read, no change and no end.

use super::simulated::Simulated;
use super::support::parent::{ALIVE, under};
use super::support::process::alive;
use super::support::{PATIENCE, eventually, failure, fault, success};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// How many may be on their way at once.
const LIMIT: usize = 80;

fn on_node(number: usize) -> Value {
    json!({"node_id": format!("node{number}")})
}

#[test]
fn a_node_that_hangs_holds_up_neither_reads_nor_changes_nor_other_nodes() {
    let cluster = Simulated::of(["hangs", "fine"]);
    let mut plugin = cluster.plugin();
    plugin.post("isRunningOnNode", on_node(2));
    eventually(PATIENCE, "the node has been asked", || !cluster.asked(2).is_empty());
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
    assert_eq!(plugin.payload("isRunningOnNode", on_node(1)), false);
    assert_eq!(plugin.payload("isRunningOnNode", on_node(3)), true);
    cluster.configure_here(&mut plugin);
    assert!(plugin.is_silent(), "the node has answered");
}

#[test]
fn a_change_that_a_node_does_not_answer_holds_up_no_read_there() {
    let cluster = Simulated::of(["slow"]);
    let mut plugin = cluster.plugin();
    let change = plugin.post("startOnNode", on_node(2));
    eventually(PATIENCE, "the node has been asked", || !cluster.asked(2).is_empty());
    // On the same channel, at the same time.
    plugin.post("isRunningOnNode", on_node(2));
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
    assert_eq!(plugin.receive_reply(change)["result"], success());
    assert_eq!(cluster.starts(2), 1);
}

#[test]
fn more_than_may_be_on_their_way_are_told_that_the_plugin_is_busy() {
    let cluster = Simulated::of(["hangs"]);
    let mut plugin = cluster.plugin();
    for id in 0..LIMIT + 3 {
        plugin.send_request(id, "isRunningOnNode", on_node(2));
    }
    for _ in 0..3 {
        let reply = plugin.receive();
        assert_eq!(fault(&reply), -32009, "{reply}");
    }
    plugin.assert_answers();
    assert!(plugin.is_silent());
}

#[test]
fn at_a_signal_whoever_waits_for_a_node_is_told_and_the_plugin_ends() {
    let cluster = Simulated::of(["hangs"]);
    let mut plugin = cluster.plugin();
    for id in 0..40 {
        plugin.send_request(id, "isRunningOnNode", on_node(2));
    }
    eventually(PATIENCE, "the node has been asked", || !cluster.asked(2).is_empty());
    plugin.assert_answers();
    plugin.signal(Signal::SIGTERM);
    let mut told: Vec<u64> = (0..40)
        .map(|_| plugin.receive())
        .map(|reply| {
            assert_eq!(fault(&reply), -32099, "{reply}");
            reply["id"].as_u64().unwrap()
        })
        .collect();
    told.sort();
    assert_eq!(told, (0..40).collect::<Vec<_>>());
    assert_eq!(plugin.wait().code(), Some(0));
    cluster.assert_nothing_left();
}

#[test]
fn at_the_end_of_input_what_was_asked_of_nodes_is_answered() {
    let cluster = Simulated::of(["fine", "refused"]);
    let plugin = cluster.plugin();
    for id in 0..50 {
        plugin.send_request(id, "isRunningOnNode", on_node(2 + id % 2));
    }
    plugin.send_request("nodes", "queryNodes", Value::Null);
    let ending = plugin.end();
    assert_eq!((ending.replies.len(), ending.status.code()), (51, Some(0)));
    cluster.assert_nothing_left();
}

#[test]
fn a_cascade_that_has_begun_runs_to_its_end_after_a_signal() {
    let cluster = Simulated::of(["slow", "slow", "fine"]);
    let mut plugin = cluster.plugin();
    plugin.send_request("begun", "stop", json!({"cascade_to_nodes": 1}));
    eventually(PATIENCE, "a node has been asked", || !cluster.asked(2).is_empty());
    plugin.signal(Signal::SIGTERM);
    assert_eq!(plugin.receive_reply("begun")["result"], success());
    assert_eq!(plugin.wait().code(), Some(0));
    for number in 2..5 {
        assert_eq!(cluster.asked(number).len(), 1);
    }
    cluster.assert_nothing_left();
}

#[test]
fn a_cascade_that_has_begun_runs_to_its_end_when_the_host_dies() {
    // More nodes than are visited at once, so that some have not begun when it happens.
    let cluster = Simulated::of(std::iter::repeat_n("slow", 20));
    let (shell, pid) = under(cluster.here(), cluster.launch(), ALIVE);
    shell.send_request("begun", "stop", json!({"cascade_to_nodes": 1}));
    eventually(PATIENCE, "a node has been asked", || !cluster.asked(2).is_empty());
    shell.kill();
    eventually(PATIENCE, "the plugin is gone", || !alive(pid));
    assert!((2..22).all(|number| cluster.asked(number).len() == 1), "every node was asked");
    cluster.assert_nothing_left();
}

#[test]
fn a_cascade_that_has_begun_runs_to_its_end_at_the_end_of_input() {
    let cluster = Simulated::of(["slow", "refused", "fine"]);
    let plugin = cluster.plugin();
    plugin.send_request("begun", "stop", json!({"cascade_to_nodes": 1}));
    let ending = plugin.end();
    let answer = ending.values()[0]["result"].clone();
    assert!(failure(&answer, 502).starts_with("done here; 1 of 3 nodes failed\nnode3: 502 "), "{answer}");
    cluster.assert_nothing_left();
}

#[test]
fn a_batch_about_nodes_is_one_answer() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    let ask =
        |id: u8, method: &str| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": on_node(2)});
    let read = json!({"jsonrpc": "2.0", "id": 2, "method": "isRunning"});
    plugin.send(json!([ask(1, "isRunningOnNode"), read, ask(3, "isRunningOnNode")]).to_string());
    let replies = plugin.receive();
    let payloads: Vec<_> = (0..3).map(|at| replies[at]["result"]["payload"].clone()).collect();
    assert_eq!(payloads, [json!(true), json!(false), json!(true)], "{replies}");
}

#[test]
fn a_plugin_that_waits_for_a_node_ends_with_its_host() {
    let cluster = Simulated::of(["hangs"]);
    let mut plugin = cluster.plugin();
    plugin.post("isRunningOnNode", on_node(2));
    eventually(PATIENCE, "the node has been asked", || !cluster.asked(2).is_empty());
    let pid = plugin.pid();
    plugin.close_stdout();
    eventually(PATIENCE, "the plugin is gone", || !alive(pid));
    cluster.assert_nothing_left();
}
