//! What a proof must not trip over: an administrator's limits, certificates of every kind; and what it must find.

use super::Postfix;
use crate::subject::{figure, on, report, stopped};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, status, success, text};
use serde_json::Value;

#[test]
fn limits_of_errors_neither_break_nor_delay_the_proof() {
    for mode in [TLS_YES, TLS_OPTIONAL] {
        on::<Postfix>(|machine| {
            let (mut plugin, port) = stopped(machine, mode);
            for limits in ["smtpd_hard_error_limit=1", "smtpd_soft_error_limit=2 smtpd_error_sleep_time=600s"]
            {
                machine.sh(&format!(
                    "cp -p /etc/lab/pristine/main.cf /etc/postfix/main.cf; postconf -e {limits}"
                ));
                machine.reload();
                let answer = plugin.call("start", Value::Null);
                assert_eq!(answer, success(), "{mode}, {limits}");
                assert!(is_open(port), "{mode}, {limits}");
                plugin.succeed("stop", Value::Null);
            }
        });
    }
}

/// Kinds that rustls or its friends would refuse: what port 25 serves, the alternate port may serve.
#[test]
fn certificates_are_not_judged() {
    const KINDS: [(&str, &str); 3] = [
        (
            "of version 1",
            "openssl req -new -key key.pem -subj /CN=mail | openssl x509 -req -signkey key.pem -days 9 -out cert.pem",
        ),
        (
            "P-521",
            "openssl ecparam -name secp521r1 -genkey -noout -out key.pem; openssl req -x509 -key key.pem -subj /CN=mail -days 9 -out cert.pem",
        ),
        (
            "with an unknown critical extension",
            "openssl req -x509 -key key.pem -subj /CN=mail -days 9 -addext '1.2.3.4=critical,ASN1:UTF8String:odd' -out cert.pem",
        ),
    ];
    for (kind, make) in &KINDS {
        on::<Postfix>(|machine| {
            machine.sh(&format!("cd /etc/lab; ({make}) 2>/dev/null"));
            machine.reload();
            let (mut plugin, port) = stopped(machine, TLS_YES);
            plugin.succeed("start", Value::Null);
            assert!(is_open(port), "{kind}");
        });
    }
}

#[test]
fn a_backend_whose_queue_is_full_is_named_and_nobody_waits_for_it() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        // It listens and never accepts, and one client waits already.
        machine.sh(
            "dovecot-stop; rm -f /var/spool/postfix/private/auth
             setsid perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un(shift)); listen(S,0); sleep 999' \
               /var/spool/postfix/private/auth >/dev/null 2>&1 </dev/null &
             until [ -S /var/spool/postfix/private/auth ]; do sleep 0.05; done; chmod 666 /var/spool/postfix/private/auth
             setsid perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); connect(S,sockaddr_un(shift)); $|=1; print 1; sleep 999' \
               /var/spool/postfix/private/auth >/run/waits 2>&1 </dev/null &
             until [ -s /run/waits ]; do sleep 0.05; done",
        );
        let answer = plugin.call("start", Value::Null);
        assert_eq!(status(&answer), 424, "{answer}");
        for word in ["/var/spool/postfix/private/auth", "accepts no connections"] {
            assert!(text(&answer).contains(word), "{answer}");
        }
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn what_is_no_regular_file_is_refused_by_name_as_a_certificate_or_key() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh("mkfifo /etc/lab/fifo");
        for parameter in ["smtpd_tls_cert_file", "smtpd_tls_key_file"] {
            for (path, kind) in
                [("/etc/lab/fifo", "a FIFO"), ("/dev/zero", "a device"), ("/etc/lab", "a directory")]
            {
                let now = machine.sh(&format!("postconf -h {parameter}"));
                machine.sh(&format!("postconf -e {parameter}={path}"));
                let answer = plugin.call("start", Value::Null);
                assert_eq!(status(&answer), 424, "{answer}");
                let told = text(&answer);
                assert!([parameter, path, kind].iter().all(|word| told.contains(word)), "{answer}");
                machine.sh(&format!("postconf -e {parameter}={}", now.trim()));
            }
        }
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn a_backend_that_lets_nobody_in_is_named() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        // Its socket is there, and whoever connects is hung up on.
        machine.sh(
            "dovecot-stop; rm -f /var/spool/postfix/private/auth
             setsid perl -MSocket -e 'socket(S,PF_UNIX,SOCK_STREAM,0); bind(S,sockaddr_un(shift)); listen(S,9); while(accept(C,S)){close C}' \
               /var/spool/postfix/private/auth >/dev/null 2>&1 </dev/null &
             until [ -S /var/spool/postfix/private/auth ]; do sleep 0.05; done; chmod 666 /var/spool/postfix/private/auth",
        );
        let answer = plugin.call("start", Value::Null);
        // It may die of it before it has greeted, and be kept from the next try for longer than the change has time.
        assert!(
            [504, 520].contains(&status(&answer)) && text(&answer).contains(&port.to_string()),
            "{answer}"
        );
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn what_a_proof_costs_is_told() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let connects = || machine.log().matches("]: connect from ").count() as u64;
        let errors = || machine.log().matches("]: NOQUEUE: ").count() as u64;
        let before = (connects(), errors());
        plugin.succeed("start", Value::Null);
        let (connects, errors) = (connects() - before.0, errors() - before.1);
        report(&format!(
            "Postfix: a start makes {connects} connections, of which {errors} leave a line NOQUEUE in the log"
        ));
        figure("connections of a proof", connects);
        assert!(connects >= 8, "{connects}");
    });
}

#[test]
fn xclient_of_the_primary_lets_nobody_in_on_the_alternate_port() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -e 'smtpd_authorized_xclient_hosts = 127.0.0.0/8 [::1]/128' 'smtpd_authorized_xforward_hosts = 127.0.0.0/8 [::1]/128'");
        machine.reload();
        let (mut plugin, port) = stopped(machine, TLS_OPTIONAL);
        plugin.succeed("start", Value::Null);
        let mut session = crate::support::smtp::Session::open(([127, 0, 0, 1], port).into());
        assert!(!session.offers("XCLIENT") && !session.offers("XFORWARD"));
        assert_ne!(session.say("XCLIENT LOGIN=root").0 / 100, 2);
    });
}
