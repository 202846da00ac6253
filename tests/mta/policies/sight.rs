//! What cannot be seen is neither "running" nor "stopped", and never a reason to go on (schema/README.md, "What the words mean").
//!
//! The plugin is started half blind, beside a service that runs or is stopped: whatever it cannot know is 403 and says what
//! is missing, and nothing is touched. What it may say is the truth.

use crate::subject::{Subject, calm_pulse, on, policies, running, settings, snapshot};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure, status};
use serde_json::{Value, json};

policies! {
    without_the_right_to_look_into_processes_nothing_is_said_or_touched,
    in_another_network_nothing_is_said_or_touched,
    with_other_mounts_nothing_is_said_or_touched,
    among_other_processes_nothing_is_said_or_touched,
    where_processes_are_numbered_otherwise_nothing_is_said_or_touched,
    where_the_mail_servers_state_is_hidden_nothing_is_said_or_touched,
    somebody_who_is_not_root_is_told_nothing_that_is_not_so,
}

/// Root without CAP_SYS_PTRACE, as a container or a hardened unit has it.
fn without_the_right_to_look_into_processes_nothing_is_said_or_touched<S: Subject>() {
    half_blind::<S>(&["setpriv", "--bounding-set=-sys_ptrace"], "CAP_SYS_PTRACE");
}

fn in_another_network_nothing_is_said_or_touched<S: Subject>() {
    half_blind::<S>(&["unshare", "--net"], "network namespace");
}

fn with_other_mounts_nothing_is_said_or_touched<S: Subject>() {
    half_blind::<S>(&["unshare", "--mount"], "mount namespace");
}

fn among_other_processes_nothing_is_said_or_touched<S: Subject>() {
    half_blind::<S>(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"], "namespace");
}

/// In a pid namespace of its own, with the `/proc` of the one outside.
fn where_processes_are_numbered_otherwise_nothing_is_said_or_touched<S: Subject>() {
    half_blind::<S>(&["unshare", "--pid", "--fork", "--kill-child"], "namespace");
}

/// What a mail server's processes are known by, such as a pid file or a service directory, is another one for us.
fn where_the_mail_servers_state_is_hidden_nothing_is_said_or_touched<S: Subject>() {
    let hidden = "for place in /var/spool /run /service /etc/service; do \
        [ ! -d $place ] || mount -t tmpfs -o mode=755 none $place; done; exec \"$@\"";
    half_blind::<S>(&["unshare", "--mount", "sh", "-c", hidden, "_"], "mount namespace");
}

fn somebody_who_is_not_root_is_told_nothing_that_is_not_so<S: Subject>() {
    on::<S>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        let state = S::node(machine);
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let check = machine.launch_under(&nobody).arg("check").run();
        assert_eq!(check.code, Some(3), "{}{}", check.stdout, check.stderr);
        assert!(check.stdout.contains("run the plugin as root"), "{}", check.stdout);
        let mut plugin = machine.launch_under(&nobody).spawn();
        let now = plugin.payload("queryStatus", Value::Null);
        assert_eq!((&now["reason"], &now["is_running"]), (&json!("not_seen"), &Value::Null), "{now}");
        let mta = &now["mta"];
        assert_eq!((&mta["is_changeable"], &mta["reason"]), (&json!(0), &json!("file_denied")), "{now}");
        plugin.end();
        state.sh("chmod 755 /var/lib/mail-smtp2; chmod 644 /var/lib/mail-smtp2/settings.json");
        let mut plugin = machine.launch_under(&nobody).spawn();
        assert_eq!(plugin.payload("listPortNumbers", Value::Null), port.to_string());
        for method in ["isRunning", "listServiceInfo", "stop", "start"] {
            failure(&plugin.call(method, Value::Null), 403);
        }
        assert!(is_open(port), "it was touched");
    });
}

#[track_caller]
fn half_blind<S: Subject>(under: &[&str], missing: &str) {
    on::<S>(|machine| {
        let (mut seeing, port) = running(machine, TLS_YES);
        let files = || {
            let mut files = machine.administrators_files();
            files.push(machine.state().join("settings.json"));
            files.iter().map(|file| snapshot(file)).collect::<Vec<_>>()
        };
        let before = (files(), calm_pulse(machine, port));
        let mut blind = machine.launch_under(under).spawn();
        let new = machine.port();
        for (method, params) in [
            ("isRunning", Value::Null),
            ("listServiceInfo", Value::Null),
            ("start", Value::Null),
            ("restart", Value::Null),
            ("update", json!({"alternate_smtp_port": new})),
            ("update", json!({"auth_mode": TLS_OPTIONAL})),
            ("stop", Value::Null),
        ] {
            let answer = blind.call(method, params.clone());
            let told = failure(&answer, 403);
            assert!(told.contains(missing), "{method} {params}: no {missing} in {told}");
        }
        blind.end();
        let remove = machine.launch_under(under).arg("remove").run();
        assert_eq!(remove.code, Some(1), "remove: {}{}", remove.stdout, remove.stderr);
        assert!(remove.stderr.contains(missing), "{}", remove.stderr);
        assert!(before == (files(), calm_pulse(machine, port)), "something was touched");
        assert!(is_open(port) && is_open(25) && is_closed(new));
        seeing.succeed("stop", Value::Null);

        // Stopped, it may say so, or that it cannot see; what would change something is not done.
        let mut blind = machine.launch_under(under).spawn();
        let answer = blind.call("isRunning", Value::Null);
        assert!(status(&answer) == 403 || answer["payload"] == false, "{answer}");
        for (method, params) in [("start", Value::Null), ("restart", Value::Null)] {
            failure(&blind.call(method, params), 403);
        }
        assert!(is_closed(port) && is_open(25));
        seeing.succeed("start", Value::Null);
        seeing.succeed("update", settings(new, TLS_YES));
        assert!(is_open(new) && is_closed(port));
    });
}
