//! What a start that fails says: the everyday mistakes in a `run` script and around it, each by its own words.

use super::{GONE, Qmail, SMTP2, Supervisor};
use crate::subject::{on, on_configured, start, stopped};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure};
use serde_json::{Value, json};
use std::fs;

under_both!(
    a_script_that_ends_at_once_is_520_that_says_so,
    a_script_that_cannot_be_executed_is_501_that_says_how,
    the_last_line_of_its_log_is_quoted,
    what_its_log_said_before_is_not_quoted,
    a_mode_that_does_not_hold_is_told_with_variable_value_and_file,
    one_that_listens_on_loopback_alone_is_told_so,
    one_that_listens_on_more_than_the_primary_is_told_so,
    a_directory_that_nobody_links_is_told_so,
    a_directory_of_s6_is_501,
    a_listener_that_asks_dns_before_it_greets_is_told_so,
    a_listener_that_hangs_up_is_told_once,
    a_listener_that_does_not_fit_is_not_asked_again_and_again,
);

/// Edits the second service's script.
#[track_caller]
fn edit<S: Supervisor>(machine: &Qmail<S>, expression: &str) {
    machine.sh(&format!("cd {SMTP2}; sed -i '{expression}' run"));
}

/// What a start is refused with; nothing runs afterwards, and it is not tried any more.
#[track_caller]
fn refused<S: Supervisor>(machine: &Qmail<S>, status: i64) -> String {
    let (mut plugin, port) = stopped(machine, TLS_YES);
    let answer = plugin.call("start", Value::Null);
    assert!(is_closed(port) && machine.smtp2("down").exists(), "{answer}");
    failure(&answer, status).to_owned()
}

fn a_script_that_ends_at_once_is_520_that_says_so<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        for (mistake, mended) in [
            ("s/^exec 2.*/if/", "s/^if$/exec 2>\\&1/"),
            ("s/exec tcpserver/exec tcp-server/", "s/exec tcp-server/exec tcpserver/"),
            ("s/^#!.*/#!\\/bin\\/no-shell/", "s/^#!.*/#!\\/bin\\/sh/"),
        ] {
            edit(machine, mistake);
            let told = refused(machine, 520);
            assert!(told.contains("/smtp2/run ends at once"), "{mistake}: {told}");
            edit(machine, mended);
        }
        let mut plugin = crate::subject::plugin_of(machine);
        plugin.succeed("start", Value::Null);
    });
}

fn a_script_that_cannot_be_executed_is_501_that_says_how<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!("chmod 644 {SMTP2}/run"));
        let told = refused(machine, 501);
        assert!(told.contains("its mode is 644") && told.contains("chmod 755"), "{told}");
    });
}

/// What a script of the administrator's pipes its words into, so that they stand in this folder.
pub(super) fn logger<S: Supervisor>(folder: &str) -> String {
    match S::PROGRAMS[0] {
        "svscan" => format!("multilog t {folder}"),
        _ => format!("svlogd {folder}"),
    }
}

fn the_last_line_of_its_log_is_quoted<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh("mkdir -p /var/log/mail/submission");
        let logger = logger::<S>("/var/log/mail/submission");
        machine.sh(&format!(
            "cd {SMTP2}; sed -i -e 's/exec tcpserver/exec tcp-server/' -e \"\\$s,\\$, 2>\\&1 | {logger},\" run; cat run"
        ));
        let told = refused(machine, 520);
        let quoted = "the last line of /var/log/mail/submission/current: ";
        assert!(told.contains(quoted) && told.contains("tcp-server: not found"), "{told}");
    });
}

fn what_its_log_said_before_is_not_quoted<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh("mkdir /var/log/smtp2; echo a line of last year >/var/log/smtp2/current");
        edit(machine, "s/exec tcpserver/exec true/");
        let told = refused(machine, 520);
        assert!(!told.contains("last year"), "{told}");
        machine.sh(&format!(
            "cd {SMTP2}; sed -i 's/exec true/echo a new line >>\\/var\\/log\\/smtp2\\/current; &/' run"
        ));
        let told = refused(machine, 520);
        assert!(told.contains("the last line of /var/log/smtp2/current: a new line"), "{told}");
    });
}

fn a_mode_that_does_not_hold_is_told_with_variable_value_and_file<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        edit(machine, "s/exec tcpserver/FORCETLS=0 exec tcpserver/");
        let told = refused(machine, 520);
        let dir = format!("{}/smtp2", S::SERVICES);
        for named in ["SMTPAUTH is ! in", "FORCETLS is 1 in", "/env/FORCETLS", "/run has to act on"] {
            assert!(told.contains(named) && told.contains(&dir), "no {named}: {told}");
        }
    });
}

fn one_that_listens_on_loopback_alone_is_told_so<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        edit(machine, "s/ 0 \"$PORT\"/ 127.0.0.1 \"$PORT\"/");
        let told = refused(machine, 520);
        assert!(told.contains("listens on 127.0.0.1, the primary server on ::"), "{told}");
        assert!(!told.contains("does not act on"), "{told}");
    });
}

fn one_that_listens_on_more_than_the_primary_is_told_so<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(
            "cd /var/qmail/supervise/smtp; sed -i 's/ 0 \"$PORT\"/ 127.0.0.1 \"$PORT\"/' run; printf t >supervise/control",
        );
        eventually(PATIENCE, "the primary has moved", || {
            machine.bound(25).iter().any(|bound| bound.ends_with("0100007F"))
        });
        let told = refused(machine, 520);
        assert!(told.contains("listens on ::, the primary server on 127.0.0.1"), "{told}");
    });
}

fn a_directory_that_nobody_links_is_told_so<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!("rm {}/smtp2; printf x >{SMTP2}/supervise/control; {GONE}", S::SERVICES));
        let told = refused(machine, 503);
        assert!(told.contains(&format!("ln -s {SMTP2} {}/", S::SERVICES)), "{told}");
    });
}

fn a_directory_of_s6_is_501<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // s6-supervise reads one FIFO and has no other.
        machine.sh(&format!(
            "rm {}/smtp2; printf x >{SMTP2}/supervise/control; {GONE}; cd {SMTP2}/supervise; rm -f ok control; \
             mkfifo -m 600 control; setsid sleep 1000 <>control >/dev/null 2>&1 &",
            S::SERVICES
        ));
        let heard = || fs::symlink_metadata(machine.smtp2("supervise/control")).is_ok();
        eventually(PATIENCE, "somebody reads it", heard);
        let told = refused(machine, 501);
        assert!(told.contains("s6"), "{told}");
    });
}

fn a_listener_that_asks_dns_before_it_greets_is_told_so<S: Supervisor>() {
    on_configured::<Qmail<S>>("[deadlines]\nchange = 6\n", |machine| {
        edit(machine, "s/ -R -H / -R /");
        // A resolver that takes every question and never answers.
        machine.sh(
            "echo nameserver 127.0.0.1 >/tmp/resolv.conf; mount --bind /tmp/resolv.conf /etc/resolv.conf; \
             setsid perl -e 'use Socket; socket(S, AF_INET, SOCK_DGRAM, 0); \
             bind(S, sockaddr_in(53, INADDR_LOOPBACK)) or die; sleep 1000' >/dev/null 2>&1 & \
             for _ in $(seq 500); do grep -q ' 0100007F:0035 ' /proc/net/udp && exit 0; sleep 0.02; done; exit 1",
        );
        let told = refused(machine, 504);
        assert!(told.contains("/run starts tcpserver without -H"), "{told}");
    });
}

fn a_listener_that_hangs_up_is_told_once<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        edit(machine, "s/tcpserver \\(.*\\) \\/usr.*/tcpserver \\1 true'\"'\"'/");
        let told = refused(machine, 520);
        assert!(told.contains("hung up"), "{told}");
        assert_eq!(told.matches(":2525").count(), 1, "{told}");
    });
}

fn a_listener_that_does_not_fit_is_not_asked_again_and_again<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        edit(machine, "s/exec tcpserver/FORCETLS=0 exec tcpserver/");
        let told = refused(machine, 520);
        let log = fs::read_to_string(machine.path("/var/log/supervisors.log")).unwrap();
        let sessions = log.lines().filter(|line| line.contains("tcpserver: ok") && line.contains(":2525 "));
        let sessions = sessions.count();
        assert!((4..=20).contains(&sessions), "{sessions} sessions: {told}");
        // What is right is not refused for it.
        edit(machine, "s/FORCETLS=0 //");
        let mut plugin = crate::subject::plugin_of(machine);
        start(&mut plugin, 2525, TLS_OPTIONAL);
        plugin.succeed("update", json!({"auth_mode": TLS_YES}));
        assert!(is_open(2525));
    });
}
