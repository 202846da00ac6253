//! The two lanes of section 2: reads that overtake changes, changes in order, the queue's limit, batches.
//!
//! A change is kept waiting by holding the lock of all changes (section 8), so nothing here depends on timing.

use super::support::plugin::{Plugin, notification, request};
use super::support::sandbox::Sandbox;
use super::support::{TLS_OPTIONAL, TLS_YES, fault, status, success};
use nix::fcntl::Flock;
use serde_json::{Value, json};
use std::fs::File;

/// How many changes may wait behind the one that runs.
const WAITING: usize = 64;

/// Sends an update that begins and then waits for the lock; the settings it will make, and the lock.
#[track_caller]
fn begin_a_change(sandbox: &Sandbox, plugin: &mut Plugin) -> (Flock<File>, Value) {
    let (lock, port) = sandbox.begin_a_change(plugin, plugin.pid());
    (lock, json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}))
}

#[test]
fn reads_are_answered_while_a_change_is_running() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, _) = begin_a_change(&sandbox, &mut plugin);
    for method in [
        "isRunning",
        "isRunningOnNode",
        "listPortNumbers",
        "listServiceInfo",
        "queryUpdate",
        "listServiceName",
    ] {
        plugin.payload(method, Value::Null);
    }
    assert!(plugin.is_silent(), "the change was answered before it had the lock");
    drop(lock);
    assert_eq!(plugin.receive_reply("begun")["result"], success());
}

#[test]
fn refused_input_of_a_change_is_told_whatever_waits_before_it() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, _) = begin_a_change(&sandbox, &mut plugin);
    plugin.send_request("refused", "update", json!({"alternate_smtp_port": 0}));
    drop(lock);
    assert_eq!(status(&plugin.receive_reply("refused")["result"]), 11);
}

#[test]
fn changes_run_one_after_the_other_in_the_order_of_arrival() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, first) = begin_a_change(&sandbox, &mut plugin);
    let ports: Vec<u16> = (0..5).map(|_| sandbox.port()).collect();
    for (id, port) in ports.iter().enumerate() {
        plugin.send_request(id, "update", json!({"alternate_smtp_port": port}));
    }
    drop(lock);
    let ids: Vec<Value> = (0..=ports.len()).map(|_| plugin.receive()["id"].take()).collect();
    assert_eq!(ids, [json!("begun"), json!(0), json!(1), json!(2), json!(3), json!(4)], "after {first}");
    assert_eq!(plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"], ports[4]);
}

#[test]
fn changes_beyond_those_that_may_wait_are_told_that_the_plugin_is_busy() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (_lock, settings) = begin_a_change(&sandbox, &mut plugin);
    for id in 0..WAITING + 10 {
        plugin.send_request(id, "update", settings.clone());
    }
    for _ in 0..10 {
        let reply = plugin.receive();
        assert_eq!(fault(&reply), -32009, "{reply}");
    }
    plugin.assert_answers();
    assert!(plugin.is_silent(), "more changes were refused than too many");
}

#[test]
fn changes_that_may_wait_are_all_answered_in_order() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, settings) = begin_a_change(&sandbox, &mut plugin);
    for id in 0..WAITING {
        plugin.send_request(id, "update", settings.clone());
    }
    drop(lock);
    assert_eq!(plugin.receive()["id"], "begun");
    for id in 0..WAITING {
        let reply = plugin.receive();
        assert_eq!((&reply["id"], &reply["result"]), (&json!(id), &success()));
    }
}

#[test]
fn the_queue_has_room_again_once_it_is_worked_off() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, settings) = begin_a_change(&sandbox, &mut plugin);
    for id in 0..WAITING + 1 {
        plugin.send_request(id, "update", settings.clone());
    }
    assert_eq!(fault(&plugin.receive()), -32009);
    drop(lock);
    assert_eq!(plugin.receive_reply(WAITING - 1)["result"], success());
    plugin.succeed("stop", Value::Null);
}

#[test]
fn a_busy_plugin_still_answers_reads() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (_lock, settings) = begin_a_change(&sandbox, &mut plugin);
    for id in 0..WAITING + 1 {
        plugin.send_request(id, "update", settings.clone());
    }
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
}

#[test]
fn a_batch_is_answered_with_an_array() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(
        json!([request(1, "listServiceName", Value::Null), request("b", "isRunning", Value::Null)])
            .to_string(),
    );
    let reply = plugin.receive();
    let mut ids: Vec<_> =
        reply.as_array().expect("an array").iter().map(|one| one["id"].to_string()).collect();
    ids.sort();
    assert_eq!(ids, ["\"b\"", "1"]);
}

#[test]
fn a_batch_of_one_is_answered_with_an_array() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(json!([request(1, "listServiceName", Value::Null)]).to_string());
    assert_eq!(plugin.receive().as_array().map(Vec::len), Some(1));
}

#[test]
fn an_empty_batch_is_one_invalid_request() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for empty in ["[]", " [ ] "] {
        plugin.send(empty);
        let reply = plugin.receive();
        assert_eq!((fault(&reply), &reply["id"]), (-32600, &Value::Null));
    }
}

#[test]
fn a_batch_of_notifications_is_silent() {
    let sandbox = Sandbox::new();
    let plugin = sandbox.plugin();
    plugin.send(json!([notification("isRunning", json!({})), notification("stop", json!({}))]).to_string());
    plugin.send(json!([notification("listServiceName", json!({}))]).to_string());
    plugin.send_request("after", "listServiceName", Value::Null);
    assert_eq!(plugin.end().replies.len(), 1);
}

#[test]
fn a_batch_answers_only_what_is_not_a_notification() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(
        json!([
            notification("isRunning", json!({})),
            request(1, "isRunning", Value::Null),
            notification("noSuchAction", json!({}))
        ])
        .to_string(),
    );
    let reply = plugin.receive();
    assert_eq!(reply.as_array().map(Vec::len), Some(1), "{reply}");
}

#[test]
fn every_invalid_member_of_a_batch_gets_its_own_fault() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(
        r#"[1, {}, [], {"jsonrpc":"2.0","id":4,"method":4}, {"jsonrpc":"2.0","id":5,"method":"isRunning"}]"#,
    );
    let reply = plugin.receive();
    let replies = reply.as_array().expect("an array");
    let faults = replies.iter().filter(|one| one["error"]["code"] == -32600).count();
    assert_eq!((replies.len(), faults), (5, 4), "{reply}");
    assert!(replies.iter().any(|one| one["id"] == 4 && one["error"]["code"] == -32600), "{reply}");
}

#[test]
fn a_doubled_member_inside_a_batch_spoils_no_neighbour() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let doubled = r#"{"jsonrpc":"2.0","id":2,"method":"stop","params":{"a":{"b":1,"b":1}}}"#;
    plugin.send(format!("[{},{doubled}]", request(1, "listServiceName", Value::Null)));
    let reply = plugin.receive();
    let find =
        |id| reply.as_array().expect("an array").iter().find(|one| one["id"] == id).expect("the id is there");
    assert_eq!(find(1)["result"]["payload"], "smtp2");
    assert_eq!(fault(find(2)), -32600);
}

#[test]
fn a_batch_that_is_not_json_is_one_parse_error() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(r#"[{"jsonrpc":"2.0","id":1,"method":"isRunning"},{"jsonrpc":"2.0","id""#);
    let reply = plugin.receive();
    assert_eq!((fault(&reply), &reply["id"]), (-32700, &Value::Null));
}

#[test]
fn a_batch_that_holds_a_change_runs_whole_and_in_order() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.port();
    plugin.send(
        json!([
            request(1, "queryUpdate", Value::Null),
            request(2, "update", json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL})),
            request(3, "listPortNumbersArray", Value::Null),
            request(4, "start", Value::Null),
            request(5, "isRunning", Value::Null),
            request(6, "stop", Value::Null),
            request(7, "isRunning", Value::Null),
        ])
        .to_string(),
    );
    let reply = plugin.receive();
    let payloads: Vec<_> =
        reply.as_array().unwrap().iter().map(|one| one["result"]["payload"].clone()).collect();
    let unconfigured = json!({"alternate_smtp_port": 587, "auth_mode": "0"});
    assert_eq!(
        payloads,
        [
            unconfigured,
            json!("Success"),
            json!([port]),
            json!("Success"),
            json!(true),
            json!("Success"),
            json!(false)
        ]
    );
}

#[test]
fn a_batch_that_holds_a_change_waits_for_the_change_before_it() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, settings) = begin_a_change(&sandbox, &mut plugin);
    plugin.send(json!([request(1, "queryUpdate", Value::Null), request(2, "stop", Value::Null)]).to_string());
    plugin.assert_answers();
    assert!(plugin.is_silent(), "the batch overtook the change");
    drop(lock);
    assert_eq!(plugin.receive()["id"], "begun");
    assert_eq!(plugin.receive()[0]["result"]["payload"], settings);
}

#[test]
fn a_batch_of_reads_is_answered_while_a_change_is_running() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (_lock, _) = begin_a_change(&sandbox, &mut plugin);
    plugin.send(
        json!([request(1, "isRunning", Value::Null), request(2, "queryUpdate", Value::Null)]).to_string(),
    );
    assert_eq!(plugin.receive().as_array().map(Vec::len), Some(2));
}

#[test]
fn a_change_inside_a_batch_comes_after_the_batch_before_it() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let [one, other] = [sandbox.port(), sandbox.port()];
    for (id, port) in [(1, one), (2, other)] {
        let update = request(id, "update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
        plugin.send(json!([update]).to_string());
    }
    assert_eq!(plugin.receive()[0]["id"], 1);
    assert_eq!(plugin.receive()[0]["id"], 2);
    assert_eq!(plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"], other);
}

#[test]
fn a_batch_of_ten_thousand_is_answered() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(batch_of(10_000));
    assert_eq!(plugin.receive().as_array().map(Vec::len), Some(10_000));
}

#[test]
fn a_longer_batch_is_one_invalid_request() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(batch_of(10_001));
    let reply = plugin.receive();
    assert_eq!((fault(&reply), &reply["id"]), (-32600, &Value::Null));
    plugin.assert_answers();
}

fn batch_of(length: usize) -> String {
    let one = request(1, "listServiceName", Value::Null).to_string();
    format!("[{}]", vec![one; length].join(","))
}

#[test]
fn a_batch_of_more_changes_than_may_wait_is_busy_as_a_whole() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let batch: Vec<Value> = (0..65).map(|id| request(id, "stop", Value::Null)).collect();
    plugin.send(Value::from(batch).to_string());
    let replies = plugin.receive();
    assert!(replies.as_array().unwrap().iter().all(|reply| fault(reply) == -32009), "{replies}");
}
