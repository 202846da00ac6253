//! What the administrator has left for later in Postfix's configuration: our act does not make it live, and our marks are
//! not trusted blindly.

use super::Postfix;
use super::health::squat;
use crate::subject::{Subject, on, plugin_of, running, snapshot, start, stopped};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_YES, failure};
use serde_json::{Value, json};
use std::fs;

/// Postfix ends when it is told to load an entry that it cannot bind, and port 25 with it.
#[test]
fn an_entry_that_cannot_be_bound_is_422_before_postfix_is_told_anything() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh(&squat(3535));
        machine.append(&machine.master_cf(), "3535 inet n - y - - smtpd\n");
        let (before, master) = (snapshot(&machine.master_cf()), machine.master());
        for (method, params) in [
            ("restart", Value::Null),
            ("update", json!({"alternate_smtp_port": machine.port()})),
            ("stop", Value::Null),
        ] {
            let answer = plugin.call(method, params);
            let told = failure(&answer, 422);
            assert!(told.contains("3535 inet") && told.contains("perl"), "{method}: {told}");
        }
        assert!(before == snapshot(&machine.master_cf()) && master == machine.master());
        assert!(is_open(25) && is_open(port));
        machine.sh("pkill -9 -x perl");
        plugin.succeed("stop", Value::Null);
    });
}

#[test]
fn an_interface_that_does_not_resolve_is_422_before_postfix_is_told_anything() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh("postconf -e 'inet_interfaces = loopback-only, mail2.lab.invalid'");
        machine.append(&machine.master_cf(), "3536 inet n - y - - smtpd\n");
        let master = machine.master();
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 422);
        assert!(told.contains("inet_interfaces") && told.contains("mail2.lab.invalid"), "{told}");
        assert!(master == machine.master() && is_open(25) && is_closed(port));
    });
}

#[test]
fn an_entry_that_names_a_port_that_nobody_knows_is_422_before_postfix_is_told_anything() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.append(&machine.master_cf(), "smtptwo inet n - y - - smtpd\n");
        let master = machine.master();
        assert!(failure(&plugin.call("start", Value::Null), 422).contains("smtptwo"));
        assert!(master == machine.master() && is_open(25) && is_closed(port));
    });
}

#[test]
fn an_entry_that_is_left_for_later_and_can_be_bound_is_none_of_our_business() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.append(&machine.master_cf(), "3535 inet n - y - - smtpd\n");
        plugin.succeed("start", Value::Null);
        assert!(is_open(port) && is_open(25));
    });
}

/// postconf moves the comments of a file that it rewrites: our marks then enclose somebody else's entry.
#[test]
fn marks_that_a_tool_has_moved_cost_nobody_an_entry() {
    on::<Postfix>(|machine| {
        machine.add_services("10025 inet n - y - - smtpd\n");
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.append(&machine.master_cf(), "10026 inet n - y - - smtpd\n");
        machine.sh("postconf -F '*/inet/chroot=n'");
        machine.reload();
        assert!(is_open(10025) && is_open(10026));
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port), "the port is still open");
        assert!(is_open(10025) && is_open(10026), "somebody else's entry went");
        let left = fs::read_to_string(machine.master_cf()).unwrap();
        assert!(!left.contains("mail-smtp2") && !left.contains("postfix/smtp2"), "{left}");
        plugin.succeed("start", Value::Null);
        assert!(is_open(port));
    });
}

#[test]
fn an_entry_of_ours_that_has_lost_its_marks_is_taken_out() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("sed -i '/mail-smtp2/d' /etc/postfix/master.cf");
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        assert!(is_closed(port));
        plugin.succeed("stop", Value::Null);
        let (left, stock) =
            (fs::read(machine.master_cf()).unwrap(), machine.path("/etc/lab/pristine/master.cf"));
        assert!(left == fs::read(stock).unwrap());
    });
}

#[test]
fn a_port_that_postfix_holds_for_an_entry_that_was_taken_out_is_a_conflict() {
    on::<Postfix>(|machine| {
        machine.add_services("3537 inet n - y - - smtpd\n");
        machine.sh("sed -i '/^3537 /d' /etc/postfix/master.cf");
        let mut plugin = plugin_of(machine);
        let answer = plugin.call("update", json!({"alternate_smtp_port": 3537, "auth_mode": TLS_YES}));
        assert!(failure(&answer, 409).contains("3537"), "{answer}");
        assert!(is_open(3537));
    });
}

#[test]
fn a_port_by_a_name_that_postfix_alone_knows_is_a_conflict() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -e 'known_tcp_ports = smtp=25, branch=3538'");
        machine.add_services("branch inet n - y - - smtpd\n");
        let mut plugin = plugin_of(machine);
        let answer = plugin.call("update", json!({"alternate_smtp_port": 3538, "auth_mode": TLS_YES}));
        assert!(failure(&answer, 409).contains("branch"), "{answer}");
    });
}

/// Another instance of Postfix is a stranger, though its program and its user are the same.
#[test]
fn another_instance_of_postfix_is_a_stranger() {
    on::<Postfix>(|machine| {
        machine.sh(
            "cp -a /etc/postfix /etc/postfix2; mkdir -p /var/spool/postfix2 /var/lib/postfix2
             cp -a /var/spool/postfix/. /var/spool/postfix2; rm -f /var/spool/postfix2/pid/*
             postconf -c /etc/postfix2 -e queue_directory=/var/spool/postfix2 data_directory=/var/lib/postfix2 \
               multi_instance_name=postfix-two multi_instance_enable=yes
             chown postfix /var/lib/postfix2
             sed -i 's/^smtp  *inet/3539 inet/' /etc/postfix2/master.cf
             postconf -e 'alternate_config_directories = /etc/postfix2'
             postfix -c /etc/postfix2 start; for n in $(seq 200); do exec 5<>/dev/tcp/127.0.0.1/3539 && exit 0; sleep 0.05; done 2>/dev/null; exit 1",
        );
        let mut plugin = plugin_of(machine);
        let answer = plugin.call("update", json!({"alternate_smtp_port": 3539, "auth_mode": TLS_YES}));
        let told = failure(&answer, 409);
        assert!(told.contains("master") && !told.contains("left behind"), "{told}");
        let port = machine.port();
        start(&mut plugin, port, TLS_YES);
        assert!(is_open(port));
        // Where the first one keeps its queue does not matter.
        plugin.succeed("stop", Value::Null);
        machine.sh(
            "postfix stop; mv /var/spool/postfix /var/spool/elsewhere
             postconf -e queue_directory=/var/spool/elsewhere; sed -i 's,/var/spool/postfix/,/var/spool/elsewhere/,' /etc/dovecot/dovecot.conf
             dovecot-start /var/spool/elsewhere/private/auth; postfix start",
        );
        plugin.succeed("start", Value::Null);
        assert!(is_open(port) && is_open(25) && is_open(3539));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        let answer = plugin.call("update", json!({"alternate_smtp_port": 3539}));
        failure(&answer, 409);
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port) && is_open(3539) && is_open(25));
    });
}
