//! Exim on a machine that systemd runs: our daemon is a unit of its own, there again after a reboot if it was running, and
//! untouched by what becomes of the panel or of the primary's unit.

use super::{Exim, OURS};
use crate::machine::Workshop;
use crate::machine::systemd::Machine;
use crate::subject::MailServer;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, eventually, within};
use crate::systemd::{on_a_machine_of, start};
use serde_json::{Value, json};

/// Our unit, and the file that it stands in.
const UNIT: &str = "mail-smtp2-exim.service";
const UNIT_FILE: &str = "/etc/systemd/system/mail-smtp2-exim.service";
/// By it systemd starts the unit at boot.
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/mail-smtp2-exim.service";

#[track_caller]
fn on_a_machine(work: impl FnOnce(&Machine) + Send) {
    on_a_machine_of(Workshop::of(Exim::recipe(), Exim::NAME), work);
}

#[test]
fn a_listener_that_ran_is_there_again_after_a_reboot() {
    on_a_machine(|machine| {
        start(machine, 2525);
        assert!(is_open(2525));
        machine.reboot();
        assert!(machine.now(|| within(PATIENCE, || is_open(2525))));
        assert_eq!(machine.call("isRunning", Value::Null)["payload"], true);
        assert_eq!(machine.sh(&format!("systemctl is-enabled {UNIT}")).trim(), "enabled");
    });
}

#[test]
fn a_listener_that_was_stopped_is_not_there_after_a_reboot() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.succeed("stop", Value::Null);
        machine.reboot();
        assert!(machine.now(|| is_open(25) && is_closed(2525)));
        assert_eq!(machine.call("isRunning", Value::Null)["payload"], false);
        machine.succeed("start", Value::Null);
        assert!(machine.now(|| is_open(2525)));
    });
}

#[test]
fn stop_takes_out_the_unit_and_whatever_systemd_knows_of_it() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.succeed("stop", Value::Null);
        assert!(is_closed(2525));
        for path in [UNIT_FILE, WANTED, OURS[0], OURS[1]] {
            assert!(std::fs::symlink_metadata(machine.path(path)).is_err(), "{path} is left");
        }
        // It forgets a unit without a file when the last process of it is reaped.
        let state = || machine.sh(&format!("systemctl show -p LoadState --value {UNIT}"));
        eventually(PATIENCE, "systemd does not know it", || state().trim() == "not-found");
    });
}

#[test]
fn a_restart_of_the_panel_ends_neither_the_listener_nor_the_primary() {
    on_a_machine(|machine| {
        start(machine, 2525);
        let before = machine.process_of(UNIT, "exim4");
        assert!(before.is_some(), "our daemon is not in its unit");
        assert!(machine.process_of("panel.service", "exim4").is_none(), "it is in the panel's unit");
        machine.sh("systemctl restart panel.service");
        assert!(is_open(2525) && is_open(25));
        assert_eq!(machine.process_of(UNIT, "exim4"), before);
        assert_eq!(machine.call("isRunning", Value::Null)["payload"], true);
    });
}

#[test]
fn a_restart_of_the_primarys_unit_leaves_the_listener_and_a_change_of_ours_the_primary() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.sh("systemctl restart exim4.service");
        assert!(within(PATIENCE, || is_open(25)) && is_open(2525));
        let primary = machine.process_of("exim4.service", "exim4");
        machine.succeed("update", json!({"alternate_smtp_port": 2526}));
        machine.succeed("restart", Value::Null);
        assert!(is_open(2526) && is_closed(2525) && is_open(25));
        assert_eq!(machine.process_of("exim4.service", "exim4"), primary);
        assert!(machine.process_of("panel.service", "exim4").is_none());
    });
}

#[test]
fn remove_leaves_nothing_that_systemd_knows() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.sh("mail-smtp2 remove");
        assert!(is_closed(2525) && is_open(25));
        assert!(
            std::fs::symlink_metadata(machine.path(WANTED)).is_err() && !machine.path(UNIT_FILE).exists()
        );
        assert!(!machine.path("/var/lib/mail-smtp2").exists());
    });
}
