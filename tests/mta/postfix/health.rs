//! A Postfix that dies, is restarted or leaves orphans: the plugin tells the truth, and Postfix never dies of the plugin.

use super::Postfix;
use crate::subject::{Squatter, Subject, hasty, on, on_configured, plugin_of, running, stopped};
use crate::support::sandbox::addresses;
use crate::support::smtp::{Session, is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, eventually, failure, status};
use serde_json::{Value, json};
use std::fs;
use std::net::TcpStream;

#[test]
fn an_orphan_that_keeps_the_port_of_a_dead_master_is_not_running() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let _session = Session::open(addresses(port)[0]);
        machine.kill_master();
        assert!(TcpStream::connect(addresses(port)[0]).is_ok(), "the orphan keeps the port open");
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert_eq!(plugin.payload("listServiceInfo", Value::Null)["is_running"], 0);
    });
}

#[test]
fn to_a_user_who_is_not_root_is_shown_what_everybody_can_see_of_the_listener() {
    on::<Postfix>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let check = machine.launch_under(&nobody).arg("check").run();
        assert_eq!(check.code, Some(3), "{}{}", check.stdout, check.stderr);
        for part in [
            "run the plugin as root",
            &format!("somebody listens on port {port} here"),
            "it answers as the mode promises",
            "certificate_days=",
        ] {
            assert!(check.stdout.contains(part), "no {part} in {}", check.stdout);
        }
        let status = machine.launch_under(&nobody).args(&["status", "--probe"]).run();
        assert!(status.code == Some(0) && status.stdout.contains("certificate  "), "{}", status.stdout);
    });
}

#[test]
fn with_a_dead_master_a_start_is_refused_though_an_orphan_answers() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let _session = Session::open(addresses(port)[0]);
        machine.kill_master();
        let before = fs::read(machine.master_cf()).unwrap();
        for method in ["start", "restart"] {
            // Both are so: Postfix is down, and a process that is no master's holds the port.
            let answer = plugin.call(method, Value::Null);
            assert!([409, 503].contains(&status(&answer)), "{method}: {answer}");
        }
        assert!(fs::read(machine.master_cf()).unwrap() == before && machine.master().is_none());
    });
}

#[test]
fn a_stop_is_no_success_while_an_orphan_accepts_connections() {
    on::<Postfix>(|machine| {
        let (_plugin, port) = running(machine, TLS_YES);
        let _session = Session::open(addresses(port)[0]);
        machine.kill_master();
        let answer = hasty(machine, 3).call("stop", Value::Null);
        assert_eq!(status(&answer) == 0, is_closed(port), "{answer}");
    });
}

#[test]
fn a_listener_that_ran_is_there_after_a_restart_of_postfix() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("postfix-stop; postfix start");
        assert!(is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
    });
}

#[test]
fn a_listener_that_was_stopped_stays_so_after_a_restart_of_postfix() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        machine.sh("postfix-stop; postfix start");
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn a_reload_by_the_administrator_leaves_the_listener() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.reload();
        assert!(is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
    });
}

#[test]
fn a_master_that_dies_in_a_change_is_brought_back() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let counting = machine.hook(0, "");
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        plugin.succeed("update", json!({"alternate_smtp_port": port}));
        let calls = counting.calls() / 2;
        drop(counting);
        for nth in 1..=calls {
            let hook = machine.hook(nth, "pkill -9 -x master");
            let new = machine.port();
            let answer = plugin.call("update", json!({"alternate_smtp_port": new}));
            drop(hook);
            if status(&answer) == 503 && machine.master().is_none() {
                // It was found dead before anything was written: somebody else's death is left alone.
                machine.sh("postfix start");
            }
            let now = plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"].clone();
            let open = if now == new { new } else { port };
            assert!(machine.master().is_some(), "call {nth}: {answer}: Postfix is down");
            // An orphan of a master that was killed takes a moment to end, and connections with it.
            for port in [25, open] {
                let what = format!("call {nth}: {answer}: {port} is open");
                eventually(PATIENCE, &what, || is_open(port));
            }
            plugin.succeed("update", json!({"alternate_smtp_port": port}));
        }
    });
}

#[test]
fn a_program_that_takes_the_port_in_the_middle_does_not_kill_postfix() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let counting = machine.hook(0, "");
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        plugin.succeed("update", json!({"alternate_smtp_port": port}));
        let calls = counting.calls() / 2;
        drop(counting);
        for nth in 1..=calls {
            let new = machine.port();
            let hook = machine.hook(nth, &squat(new));
            let answer = plugin.call("update", json!({"alternate_smtp_port": new}));
            let hooked = hook.calls() >= nth;
            drop(hook);
            assert!(machine.master().is_some() && is_open(25), "call {nth}: {answer}: Postfix is down");
            if hooked {
                assert!([409, 520].contains(&status(&answer)), "call {nth}: {answer}");
                assert!(is_open(port), "call {nth}: {answer}: the old port is not open");
                assert_eq!(plugin.payload("isRunning", Value::Null), true);
            }
            machine.try_sh("pkill -9 perl");
            plugin.succeed("update", json!({"alternate_smtp_port": port}));
        }
    });
}

#[test]
fn a_program_on_the_port_while_postfix_was_down_is_named_by_start() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh("postfix-stop");
        let squatter = Squatter::on(machine, addresses(port)[0]);
        machine.sh("postfix start");
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 409).contains(squatter.program), "{answer}");
        assert!(is_open(25));
    });
}

#[test]
fn a_stale_pid_file_of_postfix_fools_nobody() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("postfix-stop; printf '%10d\\n' 1 >/var/spool/postfix/pid/master.pid");
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        failure(&plugin.call("start", Value::Null), 503);
        machine.sh("postfix start");
        assert!(is_open(port));
    });
}

#[test]
fn mail_in_the_queue_outlives_every_change() {
    on::<Postfix>(|machine| {
        let mut plugin = plugin_of(machine);
        machine.sh("postconf -e defer_transports=local; postfix reload");
        for number in 0..5 {
            machine.sh(&format!("printf 'Subject: x\\n\\nqueued {number}\\n' | sendmail bob@lab.test"));
        }
        crate::subject::start(&mut plugin, machine.port(), TLS_YES);
        for _ in 0..3 {
            plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        }
        plugin.succeed("stop", Value::Null);
        machine.sh("postconf -X defer_transports");
        machine.reload();
        machine.sh("postqueue -f");
        for number in 0..5 {
            let text = format!("queued {number}");
            eventually(PATIENCE, "the mail arrives", || machine.received(&text));
        }
    });
}

#[test]
fn settings_that_were_lost_are_read_from_our_block() {
    on::<Postfix>(|machine| {
        let (plugin, port) = running(machine, crate::support::TLS_OPTIONAL);
        plugin.end();
        fs::remove_file(machine.state().join("settings.json")).unwrap();
        let mut next = plugin_of(machine);
        let found = next.payload("queryUpdate", Value::Null);
        assert_eq!(found, crate::subject::settings(port, crate::support::TLS_OPTIONAL));
        assert_eq!(next.payload("isRunning", Value::Null), true);
        next.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

/// A shell script after which another program listens on the port, on every IPv4 address.
pub(super) fn squat(port: u16) -> String {
    format!(
        "perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); \
         bind(S, pack_sockaddr_in({port}, INADDR_ANY)) or exit 1; listen(S, 5); \
         fork and exit 0; close STDOUT; close STDERR; sleep 600'"
    )
}

#[test]
fn a_listener_that_does_not_greet_can_be_stopped() {
    on_configured::<Postfix>("[deadlines]\nchange = 12\n", |machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        // Postfix waits a minute before it tries a program again that did not start: whoever connects hears nothing.
        machine.sh("chmod 0 /usr/lib/postfix/sbin/smtpd; pkill -x smtpd");
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
    });
}

#[test]
fn a_control_command_that_fails_is_never_taken_for_a_service_that_is_down() {
    for nth in 1..=5 {
        on::<Postfix>(|machine| {
            let (mut plugin, port) = running(machine, TLS_YES);
            let mut hasty = hasty(machine, 5);
            let hook = machine.hook(nth, "echo 'fatal: injected' >&2; exit 1");
            let answer = hasty.call("update", json!({"alternate_smtp_port": machine.port()}));
            drop(hook);
            assert_ne!(status(&answer), 521, "call {nth}: {answer}");
            assert!(status(&answer) == 0 || is_open(port), "call {nth}: {answer}");
            plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        });
    }
}
