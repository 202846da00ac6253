//! Each kind of failure once, with real sshd's on machines of their own.
//!
//! What is broken is broken for real: links, servers, keys, disks, plugins. That every kind is told in every position is
//! the matter of `matrix`; here ssh's own words are what is understood.

use super::lab::Lab;
use super::relay::Relay;
use super::support::plugin::Plugin;
use super::support::process::{alive, signal};
use super::support::{PATIENCE, TLS_YES, eventually, failure, success, text};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

/// The port of the service on every machine of a lab.
const PORT: u16 = 2587;

fn on_node(number: usize) -> Value {
    json!({"node_id": format!("node{number}")})
}

fn settings() -> Value {
    json!({"alternate_smtp_port": PORT, "auth_mode": TLS_YES, "cascade_to_nodes": 1})
}

#[test]
fn a_cluster_is_set_up_started_and_seen_over_ssh() {
    let Some(lab) = Lab::of(3) else { return };
    let mut plugin = lab.plugin();
    plugin.succeed("update", settings());
    plugin.succeed("start", json!({"cascade_to_nodes": 1}));
    for number in 2..5 {
        assert!(!lab.node(number).listening(PORT).is_empty(), "node{number} does not listen");
        assert_eq!(plugin.payload("isRunningOnNode", on_node(number)), true);
    }
    plugin.succeed("stopOnNode", on_node(3));
    assert!(lab.node(3).listening(PORT).is_empty(), "node3 listens");
    let nodes = plugin.payload("queryNodes", Value::Null);
    let differs: Vec<_> = nodes.as_array().unwrap().iter().map(|node| node["differs"].clone()).collect();
    assert_eq!(differs, [json!([]), json!([]), json!(["is_running"]), json!([])], "{nodes}");
    plugin.end();
    assert_eq!(lab.sshs(), "");
    eventually(PATIENCE, "the plugin there has ended too", || lab.plugins(2).is_empty());
    assert!(!lab.node(2).listening(PORT).is_empty(), "what was started stays");
}

#[test]
fn a_node_whose_link_is_cut_is_told_to_be_silent() {
    let Some(lab) = Lab::of(2) else { return };
    let mut plugin = lab.plugin();
    plugin.payload("queryNodes", Value::Null);
    (2..4).for_each(|number| lab.cut(number));
    let change = plugin.post("stopOnNode", on_node(3));
    let read = plugin.call("isRunningOnNode", on_node(2));
    assert!(failure(&read, 502).contains("the machine is off"), "{read}");
    let change = plugin.receive_reply(change);
    let told = failure(&change["result"], 502);
    assert!(told.contains("it went silent") && told.contains("is not sent again"), "{told}");
}

#[test]
fn a_node_whose_sshd_is_gone_is_told_to_have_none() {
    let Some(lab) = Lab::of(2) else { return };
    let mut plugin = lab.plugin();
    plugin.payload("queryNodes", Value::Null);
    lab.kill_sshd(2);
    let answer = plugin.call("stop", json!({"cascade_to_nodes": 1}));
    let lines: Vec<&str> = failure(&answer, 502).lines().collect();
    assert_eq!((lines[0], lines.len()), ("done here; 1 of 2 nodes failed", 2), "{answer}");
    let read = plugin.call("isRunningOnNode", on_node(2));
    assert!(text(&read).contains("no ssh server answers there"), "{read}");
}

#[test]
fn a_changed_host_key_is_never_accepted() {
    let Some(lab) = Lab::of(2) else { return };
    lab.change_host_key(2);
    let mut plugin = lab.plugin();
    let answer = plugin.call("stop", json!({"cascade_to_nodes": 1}));
    let line = failure(&answer, 502).lines().nth(1).unwrap();
    assert!(line.starts_with("node2: 502 its host key is not the one that known_hosts has"), "{line}");
    assert!(line.ends_with("nothing was changed there"), "{line}");
    assert_eq!(lab.plugins(2), Vec::<u32>::new());
}

#[test]
fn strangers_refusals_and_names_that_nobody_knows_are_told_apart() {
    let Some(lab) = Lab::of(3) else { return };
    lab.node(3).sh("rm /root/.ssh/authorized_keys");
    lab.configure("", &[(4, "root@elsewhere")]);
    let known = fs::read_to_string(lab.manager.path("/root/.ssh/known_hosts")).unwrap();
    let known: String =
        known.lines().filter(|line| !line.starts_with("node2 ")).flat_map(|l| [l, "\n"]).collect();
    fs::write(lab.manager.path("/root/.ssh/known_hosts"), known).unwrap();
    let answer = lab.plugin().call("stop", json!({"cascade_to_nodes": 1}));
    let lines: Vec<&str> = failure(&answer, 502).lines().collect();
    let wanted =
        ["its host key is not known here", "it does not accept our key", "its name cannot be resolved"];
    for (number, (line, words)) in (2..).zip(lines[1..].iter().zip(wanted)) {
        assert!(line.starts_with(&format!("node{number}: 502 {words}")), "{line}");
    }
    assert_eq!(lines[0], "done here; 3 of 3 nodes failed");
}

#[test]
fn a_full_disk_is_told_by_the_node_itself() {
    let Some(lab) = Lab::of(2) else { return };
    lab.node(2)
        .sh("mkdir -m 700 /var/lib/mail-smtp2; mount -t tmpfs -o size=16k,mode=700 tmpfs /var/lib/mail-smtp2
        head -c 100000 /dev/zero >/var/lib/mail-smtp2/full 2>/dev/null || :");
    let mut plugin = lab.plugin();
    let answer = plugin.call("update", settings());
    let lines: Vec<&str> = failure(&answer, 502).lines().collect();
    assert_eq!((lines[0], lines.len()), ("done here; 1 of 2 nodes failed", 2), "{answer}");
    assert!(lines[1].contains("No space left on device") && !lines[1].starts_with("node2: 502"), "{answer}");
}

#[test]
fn a_slow_line_makes_a_cascade_slow_and_a_dead_one_is_given_up() {
    let Some(lab) = Lab::of(2) else { return };
    lab.configure("[deadlines]\nnode = 12\n", &[(2, "ssh://root@10.99.0.1:2222")]);
    lab.know("[10.99.0.1]:2222", 2);
    let relay = Relay::between(&lab.manager, "10.99.0.2", Duration::from_millis(40));
    let mut plugin = lab.plugin();
    plugin.succeed("update", settings());
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), false);
    relay.stall();
    let answer = plugin.call("stop", json!({"cascade_to_nodes": 1}));
    let lines: Vec<&str> = failure(&answer, 502).lines().collect();
    assert_eq!((lines[0], lines.len()), ("done here; 1 of 2 nodes failed", 2), "{answer}");
    assert!(lines[1].starts_with("node2: 502 no answer came within 12s"), "{answer}");
    assert!(lines[1].contains("is not sent again"), "{answer}");
}

#[test]
fn a_node_without_the_plugin_is_told_so() {
    let Some(lab) = Lab::of(1) else { return };
    lab.node(2).sh("umount /usr/local/bin/mail-smtp2; rm /usr/local/bin/mail-smtp2");
    let answer = lab.plugin().call("isRunningOnNode", on_node(2));
    assert!(failure(&answer, 502).starts_with("node2: no mail-smtp2 is on the PATH there"), "{answer}");
}

#[test]
fn a_shell_that_greets_is_told_apart_from_the_plugin() {
    let Some(lab) = Lab::of(1) else { return };
    fs::write(lab.node(2).path("/root/.bashrc"), "echo Welcome to the machine\n").unwrap();
    let answer = lab.plugin().call("stopOnNode", on_node(2));
    let told = failure(&answer, 502);
    assert!(told.contains("prints text before the plugin speaks") && told.contains("Welcome"), "{told}");
}

/// Words of ssh's, as a banner or the stderr of a node may hold them.
const WORDS: &str = "Host key verification failed, or Permission denied (you): sessions are timed out\n";

#[test]
fn a_banner_is_no_reason_before_the_login_or_after_it() {
    let Some(lab) = Lab::of(2) else { return };
    (2..4).for_each(|number| fs::write(lab.node(number).path("/etc/ssh/banner"), WORDS).unwrap());
    lab.node(3).sh("rm /root/.ssh/authorized_keys");
    let mut plugin = lab.plugin();
    let denied = plugin.call("isRunningOnNode", on_node(3));
    let told = failure(&denied, 502);
    assert!(told.contains("does not accept our key") && told.contains("says: root@node3:"), "{told}");
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), false);
    lab.node(2).sh("mkdir -p -m 700 /var/lib/mail-smtp2");
    let (mut holder, change, _) = waiting_there(&lab, &mut plugin);
    lab.kill_sshd(2);
    let reply = plugin.receive_reply(change);
    let told = failure(&reply["result"], 502);
    assert!(told.starts_with("node2: the connection was closed by the node"), "{told}");
    holder.kill().unwrap();
    holder.wait().unwrap();
}

#[test]
fn what_a_node_says_on_stderr_is_not_the_reason_of_ssh() {
    let Some(lab) = Lab::of(1) else { return };
    lab.replace(2, &format!("#!/bin/sh\necho '{}' >&2\nkill -9 $$\n", WORDS.trim_end()));
    let answer = lab.plugin().call("isRunningOnNode", on_node(2));
    assert!(failure(&answer, 502).starts_with("node2: the plugin there was killed"), "{answer}");
}

#[test]
fn text_on_stdout_and_then_an_end_is_a_login_that_ended() {
    let Some(lab) = Lab::of(1) else { return };
    lab.replace(2, "#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n");
    let answer = lab.plugin().call("isRunningOnNode", on_node(2));
    let told = failure(&answer, 502);
    assert!(told.starts_with("node2: the login there ended") && told.contains("not available."), "{told}");
}

#[test]
fn a_command_that_is_not_found_is_told_in_the_words_of_the_shell() {
    let Some(lab) = Lab::of(1) else { return };
    fs::write(lab.node(2).path("/root/.bashrc"), "trap 'echo goodbye >&2' EXIT\n").unwrap();
    lab.node(2).sh("sed -i 's:mail-smtp2 --mta:/opt/mail-smtp2 --mta:' /root/.ssh/authorized_keys");
    let answer = lab.plugin().call("isRunningOnNode", on_node(2));
    let told = failure(&answer, 502);
    assert!(!told.contains("PATH") && told.contains("/opt/mail-smtp2: No such file"), "{told}");
}

#[test]
fn a_node_that_hangs_after_accepting_is_given_up() {
    let Some(lab) = Lab::of(1) else { return };
    lab.configure("[deadlines]\nnode = 12\n", &[]);
    let mut plugin = lab.plugin();
    plugin.payload("isRunningOnNode", on_node(2));
    let hung = lab.plugins(2)[0];
    signal(hung, Signal::SIGSTOP);
    let answer = plugin.call("stopOnNode", on_node(2));
    let told = failure(&answer, 502);
    assert!(
        told.starts_with("node2: no answer came within 12s") && told.contains("not sent again"),
        "{told}"
    );
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), false, "a fresh channel");
    signal(hung, Signal::SIGCONT);
    eventually(PATIENCE, "the one that hung ends when it can", || !alive(hung));
}

/// A start on the second node that waits for the lock there: who holds that, the request's id, and the plugin of the node.
fn waiting_there(lab: &Lab, plugin: &mut Plugin) -> (Child, String, u32) {
    let lock = "/var/lib/mail-smtp2/lock";
    let holder =
        lab.node(2).command("flock").args([lock, "sleep", "1000"]).stdin(Stdio::null()).spawn().unwrap();
    eventually(PATIENCE, "the lock is held", || !lab.node(2).try_sh(&format!("flock -n {lock} true")).0);
    let change = plugin.post("startOnNode", on_node(2));
    let there = lab.plugins(2)[0];
    eventually(PATIENCE, "the change waits for the lock", || holds_open(there, lock));
    (holder, change, there)
}

/// Whether the process of a node has the file open. What this machine sees of its path begins elsewhere.
fn holds_open(pid: u32, path: &str) -> bool {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.any(|target| target.to_string_lossy().ends_with(path))
}

#[test]
fn a_plugin_that_dies_in_the_middle_of_a_change_leaves_its_outcome_unknown() {
    let Some(lab) = Lab::of(1) else { return };
    let mut plugin = lab.plugin();
    plugin.succeed("update", settings());
    let (mut holder, change, there) = waiting_there(&lab, &mut plugin);
    signal(there, Signal::SIGKILL);
    let reply = plugin.receive_reply(change);
    assert!(failure(&reply["result"], 502).contains("is not sent again"), "{reply}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    lab.node(2).sh("kill $(busybox pidof sleep)");
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), false, "nothing made it up");
    assert_eq!(plugin.call("startOnNode", on_node(2)), success());
}

#[test]
fn a_plugin_of_another_major_version_is_not_asked_and_one_of_the_same_is() {
    let Some(lab) = Lab::of(2) else { return };
    for (number, version) in [(2, "2.0.0"), (3, "1.99.0")] {
        let own = env!("CARGO_PKG_VERSION");
        let filter = format!("s/\"version\":\"{own}\"/\"version\":\"{version}\"/");
        lab.replace(number, &format!("#!/bin/sh\nmail-smtp2.real \"$@\" | sed -u '{filter}'\n"));
    }
    let mut plugin = lab.plugin();
    let answer = plugin.call("update", settings());
    let lines: Vec<&str> = failure(&answer, 502).lines().collect();
    assert_eq!((lines[0], lines.len()), ("done here; 1 of 2 nodes failed", 2), "{answer}");
    assert!(lines[1].starts_with("node2: 502 mail-smtp2 2.0.0 runs there and "), "{answer}");
    let nodes = plugin.payload("queryNodes", Value::Null);
    assert_eq!(nodes[1]["version"], "2.0.0", "also of one that is not asked: {nodes}");
    assert_eq!((&nodes[2]["version"], &nodes[2]["differs"]), (&json!("1.99.0"), &json!([])), "{nodes}");
}

#[test]
fn a_plugin_that_is_killed_leaves_neither_ssh_nor_plugins_on_the_nodes() {
    let Some(lab) = Lab::of(2) else { return };
    let mut plugin = lab.plugin();
    plugin.payload("queryNodes", Value::Null);
    assert_eq!(lab.sshs().split_whitespace().count(), 2);
    signal(Lab::process(&plugin), Signal::SIGKILL);
    eventually(PATIENCE, "the ssh's end by themselves", || lab.sshs().is_empty());
    eventually(PATIENCE, "so do the plugins there", || (2..4).all(|number| lab.plugins(number).is_empty()));
}

#[test]
fn the_users_own_configuration_applies_where_nothing_is_pinned() {
    let Some(lab) = Lab::of(2) else { return };
    // Node 2 by a name of the user's own, and by way of node 3, which lets the manager through for it.
    let key = fs::read_to_string(lab.manager.path("/root/.ssh/id_ed25519.pub")).unwrap();
    let jump = lab.node(3).path("/root/.ssh/authorized_keys");
    let through = format!("restrict,port-forwarding,command=\"mail-smtp2 --mta sandbox\" {key}");
    fs::write(jump, through).unwrap();
    let config = "Host short\nHostName 10.99.0.2\nHostKeyAlias node2\nUser root\nProxyJump root@node3\n";
    fs::write(lab.manager.path("/root/.ssh/config"), config).unwrap();
    lab.configure("", &[(2, "short")]);
    let mut plugin = lab.plugin();
    assert_eq!(plugin.payload("isRunningOnNode", on_node(2)), false);
    assert_eq!(lab.sshs().split_whitespace().count(), 2, "ssh, and the one that it jumps with");
    let there = lab.node(2).sh("busybox netstat -tn");
    assert!(there.contains("10.99.0.3") && !there.contains("10.99.0.1:"), "{there}");
    signal(Lab::process(&plugin), Signal::SIGKILL);
    eventually(PATIENCE, "both end by themselves", || lab.sshs().is_empty());
}

#[test]
fn what_is_pinned_cannot_be_bent_by_the_users_configuration() {
    let Some(lab) = Lab::of(2) else { return };
    let config = "Host *\nStrictHostKeyChecking no\nBatchMode no\nRequestTTY force\nRemoteCommand id\n\
        PermitLocalCommand yes\nLocalCommand touch /root/bent\nLogLevel QUIET\nForwardAgent yes\n\
        StdinNull yes\nForkAfterAuthentication yes\nSessionType none\n\
        LocalForward 4444 localhost:22\nControlMaster auto\nControlPersist yes\nControlPath /root/.ssh/shared-%n\n";
    fs::write(lab.manager.path("/root/.ssh/config"), config).unwrap();
    lab.change_host_key(2);
    let mut plugin = lab.plugin();
    let nodes = plugin.payload("queryNodes", Value::Null);
    assert!(nodes[1]["message"].as_str().unwrap().contains("its host key is not the one"), "{nodes}");
    assert_eq!(nodes[2]["is_reachable"], 1, "{nodes}");
    assert!(lab.manager.listening(4444).is_empty() && !lab.manager.path("/root/bent").exists());
    plugin.end();
    assert_eq!(lab.sshs(), "", "no shared connection is left behind");
}

#[test]
fn the_managers_key_starts_the_plugin_and_nothing_else() {
    let Some(lab) = Lab::of(1) else { return };
    let (_, printed) = lab.manager.try_sh("ssh -o BatchMode=yes root@node2 id </dev/null");
    assert_eq!(printed, "");
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"listServiceName"}"#;
    let (_, printed) = lab.manager.try_sh(&format!("ssh -o BatchMode=yes root@node2 id <<<'{request}'"));
    assert!(printed.contains("\"smtp2\""), "{printed}");
}
