//! Daemons that die, are replaced or cannot listen, sessions that outlive theirs: the plugin tells the truth, ends what is
//! its own, and never touches the primary.

use super::{Exim, OURS};
use crate::subject::{Subject, on, on_configured, plugin_of, running, settings, stopped};
use crate::support::process::as_pid;
use crate::support::sandbox::addresses;
use crate::support::smtp::{Session, is_closed, is_open};
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure, status};
use serde_json::{Value, json};
use std::fs;

#[test]
fn a_daemon_that_dies_is_not_running_until_it_is_started() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.kill(Exim::ours);
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert!(is_closed(port) && is_open(25));
        plugin.succeed("start", Value::Null);
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
    });
}

#[test]
fn a_daemon_whose_program_was_replaced_is_still_ours_and_restart_loads_the_new_one() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("cp -p /usr/sbin/exim4 /usr/sbin/exim4.new; mv /usr/sbin/exim4.new /usr/sbin/exim4");
        // Without those of sessions that are just ending.
        let programs = || {
            let program = |pid| fs::read_link(format!("/proc/{pid}/exe")).ok();
            machine.ours().into_iter().filter_map(program).collect::<Vec<_>>()
        };
        assert!(programs().iter().all(|program| program.to_string_lossy().ends_with(" (deleted)")));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        plugin.succeed("restart", Value::Null);
        assert!(programs().iter().all(|program| program.ends_with("usr/sbin/exim4")));
        assert!(is_open(port) && is_open(25));
        plugin.succeed("stop", Value::Null);
        assert!(machine.ours().is_empty());
    });
}

#[test]
fn sessions_are_ended_before_their_configuration_goes() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let mut sessions: Vec<_> =
            addresses(port).into_iter().flat_map(|at| [Session::open(at), Session::open(at)]).collect();
        let mut primary = Session::open(addresses(25)[0]);
        plugin.succeed("stop", Value::Null);
        assert!(machine.ours().is_empty(), "something of ours still runs");
        for session in &mut sessions {
            assert!(!session.is_alive());
        }
        assert!(primary.is_alive());
    });
}

#[test]
fn a_session_that_does_not_heed_a_request_to_end_is_made_to() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let _session = Session::open(addresses(port)[0]);
        for pid in machine.ours() {
            // Those of sessions that are just ending may be gone.
            let _ = nix::sys::signal::kill(as_pid(pid), nix::sys::signal::Signal::SIGSTOP);
        }
        plugin.succeed("stop", Value::Null);
        assert!(machine.ours().is_empty() && is_closed(port));
    });
}

#[test]
fn a_daemon_that_cannot_bind_is_no_success_though_exim_says_so() {
    on_configured::<Exim>("[deadlines]\nchange = 15\n", |machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        // The last call of Exim's program is the one that starts the daemon, and by then the port has been looked at.
        let counting = machine.hook(0, "");
        plugin.succeed("start", Value::Null);
        let calls = counting.calls();
        drop(counting);
        plugin.succeed("stop", Value::Null);
        let squat = format!(
            "perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); \
             bind(S, pack_sockaddr_in({port}, INADDR_ANY)) or exit 1; listen(S, 5); \
             fork and exit 0; close STDOUT; close STDERR; sleep 600'"
        );
        let hook = machine.hook(calls, &squat);
        let answer = plugin.call("start", Value::Null);
        drop(hook);
        assert!([409, 520].contains(&status(&answer)), "{answer}");
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert!(machine.ours().is_empty() && is_open(25));
        assert!(OURS.iter().all(|path| !machine.path(path).exists()), "something of ours is left");
        machine.sh("pkill -9 perl; while pgrep -x perl; do sleep 0.01; done");
        plugin.succeed("start", Value::Null);
    });
}

#[test]
fn the_primary_may_be_restarted_and_stopped_while_ours_runs() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.restart_primary("-bd -q30m");
        assert!(is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        machine.kill(Exim::primary);
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        failure(&plugin.call("restart", Value::Null), 503);
        assert!(is_open(port), "a refused restart ended the listener");
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

#[test]
fn a_second_daemon_of_the_administrators_is_not_ours() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(&format!("exim4 -bd -oX {port}"));
        eventually(PATIENCE, "the administrator's daemon listens", || is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert!(failure(&plugin.call("start", Value::Null), 409).contains("exim4"));
        plugin.succeed("stop", Value::Null);
        assert!(is_open(port) && is_open(25), "the administrator's daemon was ended");
    });
}

#[test]
fn a_broken_configuration_does_not_keep_what_runs_from_being_stopped() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.break_configuration();
        failure(&plugin.call("restart", Value::Null), 422);
        assert!(is_open(port));
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port) && machine.ours().is_empty());
    });
}

#[test]
fn settings_that_were_lost_are_read_from_our_configuration() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_OPTIONAL);
        plugin.end();
        fs::remove_file(machine.state().join("settings.json")).unwrap();
        let mut next = plugin_of(machine);
        assert_eq!(next.payload("queryUpdate", Value::Null), settings(port, TLS_OPTIONAL));
        assert_eq!(next.payload("isRunning", Value::Null), true);
        next.succeed("stop", Value::Null);
        assert!(is_closed(port) && OURS.iter().all(|path| !machine.path(path).exists()));
    });
}

#[test]
fn what_was_edited_in_our_configuration_is_rewritten_and_kept() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let path = machine.path(OURS[0]);
        let text = fs::read_to_string(&path).unwrap();
        let edited = text.replace("auth_advertise_hosts = ", "smtp_banner = edited\nauth_advertise_hosts = ");
        fs::write(&path, &edited).unwrap();
        plugin.succeed("restart", Value::Null);
        assert!(fs::read_to_string(&path).unwrap() == text && is_open(port));
        let kept = fs::read_dir(machine.state().join("edited")).unwrap();
        let mut kept = kept.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
        assert!(kept.any(|text| text.contains("smtp_banner = edited")));
    });
}

#[test]
fn when_exim_is_gone_what_is_left_of_ours_is_ended_and_taken_out() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("rm /usr/sbin/exim4");
        failure(&plugin.call("restart", Value::Null), 503);
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port) && machine.ours().is_empty());
        assert!(OURS.iter().all(|path| !machine.path(path).exists()));
    });
}

#[test]
fn a_configuration_that_was_written_while_a_change_is_made_is_not_lost() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let hook = machine.hook(3, "echo /etc/exim4/late.conf >>/etc/exim4/trusted_configs");
        plugin.succeed("start", Value::Null);
        drop(hook);
        let list = fs::read_to_string(machine.path("/etc/exim4/trusted_configs")).unwrap();
        assert!(list.contains("/etc/exim4/late.conf") && list.contains(OURS[0]), "{list}");
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        plugin.succeed("stop", Value::Null);
        let list = fs::read_to_string(machine.path("/etc/exim4/trusted_configs")).unwrap();
        assert!(list.ends_with("/etc/exim4/late.conf\n") && is_closed(port), "{list}");
    });
}
