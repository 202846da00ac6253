//! Without systemd nothing but the plugin brings our daemon back after a reboot: its next start does, if it was wanted.
//!
//! A node cannot be booted again; what tells a boot from another is the kernel's boot id, and that can be another one.

use super::Exim;
use crate::subject::{Subject, on, plugin_of, running};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, eventually};
use serde_json::Value;
use std::fs;

#[test]
fn a_listener_that_ran_before_a_reboot_is_brought_back_by_the_next_plugin_start() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        reboot(machine);
        assert!(is_closed(port));
        let mut next = plugin_of(machine);
        assert_eq!(next.payload("isRunning", Value::Null), true);
        assert!(is_open(port));
        let history = fs::read_to_string(machine.state().join("history.jsonl")).unwrap();
        assert!(history.contains("brought back after a reboot"), "{history}");
    });
}

#[test]
fn the_line_for_an_init_script_brings_it_back_and_ends() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        reboot(machine);
        machine.sh("mail-smtp2 </dev/null");
        assert!(is_open(port) && !machine.ours().is_empty());
    });
}

#[test]
fn a_listener_that_was_stopped_before_a_reboot_stays_so() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        plugin.end();
        reboot(machine);
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), false);
        assert!(is_closed(port) && machine.ours().is_empty());
    });
}

#[test]
fn a_listener_that_died_without_a_reboot_stays_dead() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        machine.kill(Exim::ours);
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), false);
        assert!(is_closed(port));
    });
}

#[test]
fn a_listener_that_cannot_be_brought_back_is_tried_again_by_the_next_start() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        reboot(machine);
        machine.kill(Exim::primary);
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), false);
        machine.restart_primary("-bd -q30m");
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), true);
        assert!(is_open(port));
    });
}

/// All of Exim has ended, the kernel says that it was booted anew, and the primary is there again.
#[track_caller]
fn reboot(machine: &Exim) {
    machine.kill(Exim::ours);
    machine.sh(
        "cat /proc/sys/kernel/random/uuid >/run/boot-id; mount --bind /run/boot-id /proc/sys/kernel/random/boot_id",
    );
    machine.restart_primary("-bd -q30m");
    eventually(PATIENCE, "the primary is there", || is_open(25));
}
