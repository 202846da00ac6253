//! A control command that hangs: whichever call of whichever command it is, the change ends as 504 within its deadline
//! and that of its rollback, the old state holds, and nothing of the command is left.
//!
//! Nothing is assumed about which commands a change uses: each call is counted first, then each in turn hangs.

use crate::subject::{Subject, hasty, on, on_configured, plugin_of, policies, report, running, settings};
use crate::support::plugin::Plugin;
use crate::support::process::{name, state};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, status, success, within};
use serde_json::{Value, json};
use std::fs;

policies! {
    a_control_command_that_hangs_in_start_is_504_and_rolled_back,
    a_control_command_that_hangs_in_stop_is_504_and_rolled_back,
    a_control_command_that_hangs_in_update_is_504_and_rolled_back,
    a_control_command_that_hangs_in_restart_is_504_and_rolled_back,
    a_control_command_that_hangs_in_a_change_holds_up_no_read,
}

/// Seconds of a change that hangs; few, because every hang lasts that long.
const HASTY: u32 = 3;

/// Neither polite signals nor the end of its input end it, and it has a child that outlives it.
const HANG: &str = "trap '' TERM INT HUP PIPE; /bin/sleep 98765 & /bin/sleep 98765; wait";

fn a_control_command_that_hangs_in_start_is_504_and_rolled_back<S: Subject>() {
    every_call_hangs_once::<S>("start", |_| Value::Null, |plugin, _| plugin.succeed("stop", Value::Null));
}

fn a_control_command_that_hangs_in_stop_is_504_and_rolled_back<S: Subject>() {
    every_call_hangs_once::<S>("stop", |_| Value::Null, |plugin, _| plugin.succeed("start", Value::Null));
}

fn a_control_command_that_hangs_in_update_is_504_and_rolled_back<S: Subject>() {
    every_call_hangs_once::<S>(
        "update",
        |machine| settings(machine.port(), TLS_OPTIONAL),
        |plugin, machine| {
            plugin.succeed("update", settings(machine.port(), TLS_YES));
            plugin.succeed("start", Value::Null);
        },
    );
}

fn a_control_command_that_hangs_in_restart_is_504_and_rolled_back<S: Subject>() {
    every_call_hangs_once::<S>("restart", |_| Value::Null, |plugin, _| plugin.succeed("start", Value::Null));
}

fn a_control_command_that_hangs_in_a_change_holds_up_no_read<S: Subject>() {
    on_configured::<S>("[deadlines]\nchange = 600\n", |machine| {
        let (mut plugin, _) = running(machine, TLS_YES);
        let hook = machine.hook(1, HANG);
        let change = plugin.post("restart", Value::Null);
        eventually(PATIENCE, "a command hangs", || !machine.node().pids_of("sleep").is_empty());
        for method in ["isRunning", "listServiceInfo", "queryUpdate", "listPortNumbers"] {
            plugin.payload(method, Value::Null);
        }
        assert!(plugin.is_silent(), "the reads were answered after the change");
        // What hangs ends, and the change with it.
        machine.node().sh("pkill -9 -x sleep");
        plugin.receive_reply(change);
        drop(hook);
    });
}

/// What a client and an administrator see: the settings, the files, which ports are open.
fn look<S: Subject>(machine: &S, plugin: &mut Plugin) -> (Value, Value, Vec<Vec<u8>>, bool) {
    let settings = plugin.payload("queryUpdate", Value::Null);
    let port = u16::try_from(settings["alternate_smtp_port"].as_u64().unwrap()).unwrap();
    let runs = plugin.payload("isRunning", Value::Null);
    assert_eq!(runs, machine.listens(port));
    assert!(is_open(25), "port 25 is gone");
    (
        settings,
        runs,
        machine.administrators_files().iter().map(|file| fs::read(file).unwrap()).collect(),
        if machine.listens(port) { is_open(port) } else { !is_closed(port) },
    )
}

#[track_caller]
fn every_call_hangs_once<S: Subject>(
    method: &str,
    params: impl Fn(&S) -> Value + Sync,
    set_back: impl Fn(&mut Plugin, &S) + Sync,
) {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        let mut hasty = hasty(machine, HASTY);
        plugin.succeed("update", settings(machine.port(), TLS_YES));
        plugin.succeed("start", Value::Null);
        if method == "start" {
            plugin.succeed("stop", Value::Null);
        }
        let counting = machine.hook(0, "");
        plugin.succeed(method, params(machine));
        let calls = counting.calls();
        let log = fs::read_to_string(machine.node().path("/run/lab/log")).unwrap();
        drop(counting);
        set_back(&mut plugin, machine);
        let mut wrong = Vec::new();
        for nth in 1..=calls {
            let before = look(machine, &mut plugin);
            let hook = machine.hook(nth, HANG);
            // The command hangs for longer than any test waits: an answer comes by the deadline, or not at all.
            let answer = hasty.call(method, params(machine));
            let called = hook.calls();
            drop(hook);
            let gone = within(PATIENCE, || {
                machine
                    .node()
                    .pids_of("sleep")
                    .iter()
                    .all(|pid| state(*pid) == Some('Z') || name(*pid) != "sleep")
            });
            let after = look(machine, &mut plugin);
            if called < nth && answer == success() {
                set_back(&mut plugin, machine);
                continue;
            }
            if status(&answer) != 504 || before != after || !gone {
                wrong.push(format!(
                    "call {nth} of {calls}: {answer}; as before: {}, nothing left: {gone}",
                    before == after
                ));
            }
            machine.node().try_sh("pkill -9 sleep");
            if answer == success() {
                set_back(&mut plugin, machine);
            }
        }
        report(&format!(
            "{}: each of {calls} control commands of {method} hung once, {} times not as promised",
            S::NAME,
            wrong.len()
        ));
        assert!(wrong.is_empty(), "{}\nthe calls:\n{log}", wrong.join("\n"));
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
    });
}
