//! Where an action goes: this machine never over ssh, a node as its base action, an envelope passed through; and what
//! `queryNodes` makes of it all.

use super::simulated::Simulated;
use super::support::{TLS_YES, failure, success, text};
use serde_json::{Value, json};

/// The plugin's version, here and behind the stand-in.
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn on_node(number: usize) -> Value {
    json!({"node_id": format!("node{number}")})
}

#[test]
fn an_action_on_a_node_is_the_base_action_there() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), true);
    for action in ["startOnNode", "stopOnNode", "restartOnNode"] {
        assert_eq!(plugin.call(action, on_node(2)), success(), "{action}");
    }
    let asked: Vec<Value> = cluster.asked(2).iter().map(|request| request["method"].clone()).collect();
    assert_eq!(asked, ["isRunning", "start", "stop", "restart"]);
    assert_eq!(cluster.starts(2), 1, "one channel for all of them");
}

#[test]
fn this_machine_is_never_reached_over_ssh() {
    let cluster = Simulated::of(["fine"]);
    let mut plugin = cluster.plugin();
    cluster.configure_here(&mut plugin);
    for action in ["startOnNode", "restartOnNode", "stopOnNode"] {
        plugin.succeed(action, on_node(1));
    }
    assert_eq!(plugin.payload("isRunningOnNode", on_node(1)), false);
    assert_eq!(cluster.starts(2), 0);
}

#[test]
fn an_entry_that_is_this_machine_is_skipped() {
    let cluster = Simulated::of(["fine"]);
    let config = std::fs::read_to_string(cluster.here().config()).unwrap();
    let with_own = format!("{config}[[cluster.node]]\nid = \"node1\"\nssh = \"refused.1\"\n");
    std::fs::write(cluster.here().config(), with_own).unwrap();
    cluster.plugin().succeed("stop", json!({"cascade_to_nodes": 1}));
    assert_eq!((cluster.starts(1), cluster.starts(2)), (0, 1));
}

#[test]
fn a_nodes_failure_is_passed_through_under_its_name() {
    let cluster = Simulated::of(["full", "fields", "tomorrow", "hostile"]);
    let mut plugin = cluster.plugin();
    let answer = plugin.call("stopOnNode", on_node(2));
    let wanted = "node2: cannot write /x: No space left on device; nothing was changed";
    assert_eq!(failure(&answer, 500), wanted);
    let answer = plugin.call("stopOnNode", on_node(3));
    let wanted = "node3: the input was refused\nalternate_smtp_port: is a port of the primary";
    assert_eq!(failure(&answer, 11), wanted);
    let answer = plugin.call("stopOnNode", on_node(4));
    assert_eq!(failure(&answer, 502), "node4: 599 something that nobody knows yet");
    let answer = plugin.call("stopOnNode", on_node(5));
    assert_eq!(failure(&answer, 409), "node5: \u{FFFD}[31mred\u{FFFD}");
}

#[test]
fn what_a_node_tells_programs_is_passed_through_as_far_as_it_is_fit_to_be_shown() {
    let cluster = Simulated::of(["full", "fields", "tomorrow", "hostile"]);
    let mut plugin = cluster.plugin();
    let mut error = |number| plugin.call("stopOnNode", on_node(number))["error"].take();
    // A node of 1.0.0 says none.
    assert_eq!(error(2), Value::Null);
    let message = "is a port of the primary";
    let field = json!({"name": "alternate_smtp_port", "keyword": "primary_port", "message": message});
    assert_eq!(error(3), json!({"reason": "input_refused", "retry": false, "fields": [field]}));
    assert_eq!(error(4), json!({"reason": "moon_phase", "retry": true}));
    // With nodes that are none, it is none.
    assert_eq!(error(5), Value::Null);
}

#[test]
fn a_node_writes_down_who_has_asked_it() {
    let cluster = Simulated::of(["plugin"]);
    cluster.plugin().succeed("stopOnNode", on_node(2));
    let path = cluster.here().base().join("home/nodes/2/history.jsonl");
    let line: Value = serde_json::from_str(std::fs::read_to_string(path).unwrap().trim_end()).unwrap();
    assert_eq!((&line["action"], &line["from"]), (&json!("stop"), &json!("node1")), "{line}");
}

#[test]
fn a_node_that_is_not_reached_has_a_reason_and_words() {
    let cluster = Simulated::of(["refused"]);
    let answer = cluster.plugin().call("isRunningOnNode", on_node(2));
    assert_eq!(
        (&answer["error"]["reason"], &answer["error"]["retry"]),
        (&json!("node_unreachable"), &json!(true))
    );
    assert!(answer["error"]["said"].as_str().unwrap().contains("refused"), "{answer}");
}

#[test]
fn a_success_that_is_none_of_ours_is_no_success() {
    let cluster = Simulated::of(["odd"]);
    let answer = cluster.plugin().call("stopOnNode", on_node(2));
    assert!(failure(&answer, 502).contains("no reply of mail-smtp2"), "{answer}");
}

#[test]
fn an_unknown_node_is_refused_with_all_that_are_known() {
    let cluster = Simulated::of(["fine", "fine"]);
    let answer = cluster.plugin().call("stopOnNode", on_node(9));
    assert!(text(&answer).ends_with("node_id: node9 is no node of this cluster; known: node1, node2, node3"));
    failure(&answer, 11);
}

#[test]
fn the_nodes_are_shown_with_what_differs_from_this_machine() {
    let cluster = Simulated::of(["fine", "refused", "plugin", "newer"]);
    let mut plugin = cluster.plugin();
    plugin.succeed("update", json!({"alternate_smtp_port": 9587, "auth_mode": TLS_YES}));
    let nodes = plugin.payload("queryNodes", Value::Null);
    let own = json!({"id": "node1", "is_reachable": 1, "version": VERSION, "is_running": 0,
        "alternate_smtp_port": 9587, "auth_mode": TLS_YES, "differs": []});
    assert_eq!(nodes[0], own);
    let running = json!({"id": "node2", "is_reachable": 1, "version": VERSION, "is_running": 1,
        "alternate_smtp_port": 9587, "auth_mode": TLS_YES, "differs": ["is_running"]});
    assert_eq!(nodes[1], running);
    assert_eq!((&nodes[2]["id"], &nodes[2]["is_reachable"]), (&json!("node3"), &json!(0)));
    assert!(nodes[2]["message"].as_str().unwrap().starts_with("502 no ssh server answers there"), "{nodes}");
    let unconfigured = json!({"id": "node4", "is_reachable": 1, "version": VERSION, "is_running": 0,
        "alternate_smtp_port": 587, "auth_mode": "0", "differs": ["alternate_smtp_port", "auth_mode"]});
    assert_eq!(nodes[3], unconfigured);
    assert!(nodes[4]["message"].as_str().unwrap().contains("2.0.0 runs there"), "{nodes}");
    assert_eq!(nodes.as_array().unwrap().len(), 5);
}

#[test]
fn the_answer_about_the_nodes_fits_its_schema() {
    let cluster = Simulated::of(["fine", "refused", "plugin", "hostile", "newer"]);
    let nodes = cluster.plugin().payload("queryNodes", Value::Null);
    let row = mail_smtp2::action::find("queryNodes").unwrap();
    let document = mail_smtp2::schema::documents::payload(row, &mail_smtp2::schema::dialect::DRAFT_2020_12);
    let faults: Vec<String> = jsonschema::validator_for(&document)
        .unwrap()
        .iter_errors(&nodes)
        .map(|error| error.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:?} in {nodes}");
}

#[test]
fn a_node_that_answers_403_was_reached() {
    let cluster = Simulated::of(["hostile"]);
    let nodes = cluster.plugin().payload("queryNodes", Value::Null);
    assert_eq!((&nodes[1]["is_reachable"], &nodes[1]["version"]), (&json!(1), &json!(VERSION)), "{nodes}");
    assert!(nodes[1]["message"].as_str().unwrap().starts_with("409 "), "{nodes}");
}
