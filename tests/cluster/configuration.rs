//! `[cluster]` of the configuration: what is wrong with it is told with file, line, key and value, and ends the plugin.

use super::support::sandbox::Sandbox;

#[track_caller]
fn refused(toml: &str, line: usize, words: &[&str]) {
    let sandbox = Sandbox::with_config(toml);
    let run = sandbox.launch().args(&["call", "isRunning"]).run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
    let place = format!("{}, line {line}: ", sandbox.config().display());
    for word in [&*place].iter().chain(words) {
        assert!(run.stderr.contains(word), "no {word:?} in {}", run.stderr);
    }
}

fn node(id: &str, ssh: &str) -> String {
    // JSON's strings are TOML's basic strings.
    let [id, ssh] = [id, ssh].map(|text| serde_json::Value::from(text).to_string());
    format!("[[cluster.node]]\nid = {id}\nssh = {ssh}\n")
}

#[test]
fn a_destination_that_ssh_would_take_for_an_option_is_refused() {
    refused(&node("node2", "-oProxyCommand=id"), 3, &["cluster.node[0].ssh", "-oProxyCommand=id"]);
}

#[test]
fn a_destination_with_blanks_or_control_characters_is_refused() {
    for ssh in ["node 2", " node2", "node2\t", "node2\n", "node\u{a0}2", "node\u{1b}2", ""] {
        refused(&node("node2", ssh), 3, &["cluster.node[0].ssh"]);
    }
}

#[test]
fn an_id_that_cannot_stand_in_a_sentence_is_refused() {
    for id in ["", "node 2", "node\n2", "node\u{202e}2"] {
        refused(&node(id, "node2"), 2, &["cluster.node[0].id"]);
    }
}

#[test]
fn an_id_that_two_nodes_have_is_refused() {
    let toml = [node("node2", "a"), node("node3", "b"), node("node2", "c")].concat();
    refused(&toml, 8, &["cluster.node[2].id", "node2"]);
}

#[test]
fn an_ssh_that_would_have_to_be_looked_for_is_refused() {
    refused("[cluster]\nssh_program = \"ssh\"\n", 2, &["cluster.ssh_program", "\"ssh\""]);
}

#[test]
fn a_node_without_a_destination_is_refused() {
    refused("[[cluster.node]]\nid = \"node2\"\n", 1, &["cluster.node[0]", "ssh"]);
}

#[test]
fn destinations_of_every_kind_that_ssh_knows_are_taken() {
    let all = ["node2", "root@node3", "ssh://root@node4:2222", "root@2001:db8::1", "fe80::1%eth0"];
    let toml: String = all.iter().map(|ssh| node(ssh, ssh)).collect();
    let run = Sandbox::with_config(&toml).launch().args(&["call", "isRunning"]).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}
