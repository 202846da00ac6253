//! What is already so is `Success` and touches nothing: same bytes, same inode, nobody told, sessions live.

use crate::subject::{Subject, calm_pulse, on, policies, running, settings, snapshot, stopped};
use crate::support::TLS_YES;
use crate::support::plugin::Plugin;
use crate::support::sandbox::addresses;
use crate::support::smtp::Session;
use serde_json::{Value, json};

policies! {
    starting_what_runs_touches_nothing,
    updating_to_what_is_so_touches_nothing,
    an_update_that_names_nothing_touches_nothing,
    reads_touch_nothing,
    another_plugin_that_starts_and_ends_touches_nothing,
    stopping_what_is_stopped_touches_nothing,
    an_update_of_a_stopped_service_writes_our_settings_only,
}

fn starting_what_runs_touches_nothing<S: Subject>() {
    running_and_untouched::<S>(|plugin, _| plugin.succeed("start", Value::Null));
}

fn updating_to_what_is_so_touches_nothing<S: Subject>() {
    running_and_untouched::<S>(|plugin, port| plugin.succeed("update", settings(port, TLS_YES)));
}

fn an_update_that_names_nothing_touches_nothing<S: Subject>() {
    running_and_untouched::<S>(|plugin, _| plugin.succeed("update", json!({})));
}

fn reads_touch_nothing<S: Subject>() {
    running_and_untouched::<S>(|plugin, _| {
        for method in ["isRunning", "listServiceInfo", "listPortNumbers", "queryUpdate"] {
            plugin.payload(method, Value::Null);
        }
    });
}

fn another_plugin_that_starts_and_ends_touches_nothing<S: Subject>() {
    on::<S>(|machine| {
        let (_plugin, port) = running(machine, TLS_YES);
        unchanged(machine, port, || {
            let mut other = crate::subject::plugin_of(machine);
            assert_eq!(other.payload("isRunning", Value::Null), true);
            other.end();
        });
    });
}

fn stopping_what_is_stopped_touches_nothing<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        unchanged(machine, port, || plugin.succeed("stop", Value::Null));
    });
}

fn an_update_of_a_stopped_service_writes_our_settings_only<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let files = || machine.administrators_files().iter().map(|file| snapshot(file)).collect::<Vec<_>>();
        let before = (files(), calm_pulse(machine, port));
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        assert!(before == (files(), calm_pulse(machine, port)), "a file was written, or the MTA was told");
    });
}

#[track_caller]
fn running_and_untouched<S: Subject>(act: impl FnOnce(&mut Plugin, u16) + Send) {
    on::<S>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let mut session = Session::open(addresses(port)[0]);
        unchanged(machine, port, || act(&mut plugin, port));
        assert!(session.is_alive(), "an open session was cut");
    });
}

#[track_caller]
fn unchanged<S: Subject>(machine: &S, port: u16, act: impl FnOnce()) {
    let mut files = machine.administrators_files();
    files.push(machine.state().join("settings.json"));
    let look = || (files.iter().map(|file| snapshot(file)).collect::<Vec<_>>(), calm_pulse(machine, port));
    let before = look();
    act();
    let after = look();
    assert_eq!(before.1, after.1, "the MTA was told, or a daemon replaced");
    assert!(before.0 == after.0, "a file is not the same");
}
