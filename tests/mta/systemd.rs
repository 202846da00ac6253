//! Postfix on a machine that systemd runs: started and told through its unit, there again after a reboot if it was
//! running, and untouched by what becomes of the panel.

use crate::machine::Workshop;
use crate::machine::systemd::Machine;
use crate::postfix::Postfix;
use crate::subject::MailServer;
use crate::subject::settings;
use crate::support::sandbox::Frozen;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, eventually, failure, status, within};
use serde_json::{Value, json};
use std::fs;
use std::thread;

/// The unit of Debian's Postfix.
const UNIT: &str = "postfix@-.service";

/// Does the work on a machine with Postfix, in its network.
#[track_caller]
fn on_a_machine(work: impl FnOnce(&Machine) + Send) {
    on_a_machine_of(Workshop::of(Postfix::recipe(), Postfix::NAME), work);
}

/// Does the work on a machine of this workshop, in its network.
#[track_caller]
pub(crate) fn on_a_machine_of(workshop: Option<&Workshop>, work: impl FnOnce(&Machine) + Send) {
    let Some(workshop) = workshop else { return };
    let machine = Machine::boot(workshop);
    let tried = thread::scope(|scope| {
        let inside = || {
            machine.join_network();
            work(&machine);
        };
        scope.spawn(inside).join()
    });
    if let Err(panic) = tried {
        eprintln!("--- the machine\n{}", machine.evidence());
        std::panic::resume_unwind(panic);
    }
}

/// A service that the panel started.
#[track_caller]
pub(crate) fn start(machine: &Machine, port: u16) {
    machine.succeed("update", settings(port, TLS_YES));
    machine.succeed("start", Value::Null);
}

#[test]
fn a_listener_that_ran_is_there_again_after_a_reboot() {
    on_a_machine(|machine| {
        start(machine, 2525);
        assert!(is_open(2525));
        machine.reboot();
        assert!(machine.now(|| within(PATIENCE, || is_open(2525))));
        assert_eq!(machine.call("isRunning", Value::Null)["payload"], true);
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
fn a_restart_of_the_panel_ends_no_listener_and_no_mta() {
    on_a_machine(|machine| {
        start(machine, 2525);
        let before = machine.process_of(UNIT, "master");
        machine.sh("systemctl restart panel.service");
        assert!(is_open(2525) && is_open(25));
        assert_eq!(machine.process_of(UNIT, "master"), before);
        assert_eq!(machine.call("isRunning", Value::Null)["payload"], true);
    });
}

#[test]
fn after_a_rollback_that_had_to_start_postfix_a_restart_of_the_panel_ends_neither() {
    on_a_machine(|machine| {
        start(machine, 2525);
        for port in 2600..2700 {
            let plugin = machine.plugin();
            let before = fs::read(machine.path("/etc/postfix/master.cf")).unwrap();
            let id = machine.post("update", json!({"alternate_smtp_port": port}));
            let wrote = || fs::read(machine.path("/etc/postfix/master.cf")).unwrap() != before;
            assert!(within(PATIENCE, wrote), "the change writes nothing");
            let frozen = Frozen::freeze(plugin);
            if is_open(port) {
                // Too late: it may be proven already.
                drop(frozen);
                machine.answer(&id);
                continue;
            }
            machine.sh("systemctl kill --signal=KILL --kill-who=all postfix@-.service
                 while systemctl -q is-active postfix@-.service; do sleep 0.02; done");
            drop(frozen);
            let answer = machine.answer(&id);
            assert!(status(&answer) != 0 || is_open(port), "{answer}");
            assert!(is_open(25), "{answer}: Postfix was not brought back");
            let open = if status(&answer) == 0 { port } else { port_of(machine) };
            assert!(is_open(open), "{answer}: {open} is not open");
            assert!(machine.process_of(UNIT, "master").is_some(), "{answer}: the master is not in its unit");
            machine.sh("systemctl restart panel.service");
            assert!(is_open(25) && is_open(open), "{answer}: the restart of the panel ended something");
            return;
        }
        panic!("no change could be caught after its write");
    });
}

#[test]
fn postfix_is_told_through_its_unit() {
    on_a_machine(|machine| {
        let reloads = || {
            machine
                .sh(&format!("journalctl -u {UNIT} --no-pager | grep -c Reloaded || :"))
                .trim()
                .parse::<u32>()
                .unwrap()
        };
        let before = reloads();
        start(machine, 2525);
        eventually(PATIENCE, "the unit was reloaded", || reloads() > before);
        assert_eq!(machine.call("queryStatus", Value::Null)["payload"]["mta"]["unit"], UNIT);
        assert!(machine.process_of(UNIT, "master").is_some());
    });
}

#[test]
fn each_change_is_a_line_of_the_journal_which_outlives_remove() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.sh("/usr/local/bin/mail-smtp2 remove");
        let journal =
            || machine.sh("journalctl --no-pager -o cat -t mail-smtp2 SYSLOG_FACILITY=2 _UID=0 || :");
        eventually(PATIENCE, "remove is a line of it", || journal().contains("remove: 0 "));
        let journal = journal();
        for begin in ["update: 0 Success; request ", "start: 0 Success; request "] {
            let line = journal.lines().find(|line| line.starts_with(begin));
            let line = line.unwrap_or_else(|| panic!("no {begin} in {journal}"));
            assert!(line.contains("; node ") && line.contains("; host bash (pid "), "{line}");
        }
        assert!(!machine.path("/var/lib/mail-smtp2").exists(), "the history is gone");
    });
}

#[test]
fn no_process_of_the_mta_is_ever_in_the_panels_unit() {
    on_a_machine(|machine| {
        start(machine, 2525);
        machine.succeed("restart", Value::Null);
        machine.succeed("update", json!({"alternate_smtp_port": 2526}));
        let inside = machine.sh("systemctl status --no-pager -n 0 panel.service");
        for program in ["master", "smtpd", "qmgr", "pickup", "tlsmgr"] {
            assert!(machine.process_of("panel.service", program).is_none(), "{program}:\n{inside}");
        }
    });
}

#[test]
fn with_postfix_stopped_by_its_unit_start_is_503_and_it_stays_so() {
    on_a_machine(|machine| {
        machine.succeed("update", settings(2525, TLS_YES));
        machine.sh("systemctl stop postfix.service postfix@-.service");
        failure(&machine.call("start", Value::Null), 503);
        assert!(is_closed(25), "Postfix was started");
    });
}

#[test]
fn a_change_in_which_the_panel_is_restarted_is_finished_or_undone() {
    on_a_machine(|machine| {
        start(machine, 2525);
        let mut old = 2525;
        for port in 2530..2540 {
            machine.post("update", json!({"alternate_smtp_port": port}));
            machine.sh("systemctl restart panel.service");
            assert_eq!(machine.call("isRunning", Value::Null)["payload"], true);
            let now = port_of(machine);
            assert!([old, port].contains(&now), "{now} is neither {old} nor {port}");
            assert!(
                is_open(now)
                    && is_open(25)
                    && [old, port].iter().all(|port| *port == now || is_closed(*port))
            );
            old = now;
        }
    });
}

#[track_caller]
fn port_of(machine: &Machine) -> u16 {
    let port = machine.call("queryUpdate", Value::Null)["payload"]["alternate_smtp_port"].as_u64();
    port.unwrap().try_into().unwrap()
}
