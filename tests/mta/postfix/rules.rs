//! What main.cf says about clients neither opens the alternate listener nor closes it, and the administrator's own rules
//! for authenticated senders still hold there.

use super::Postfix;
use crate::clients::{promised, smtplib_facts};
use crate::subject::{MODES, on, running};
use crate::support::sandbox::addresses;
use crate::support::smtp::{Session, ready_for_auth};
use crate::support::{TLS_OPTIONAL, TLS_YES};

/// bob's name and password, as AUTH PLAIN wants them.
const BOB: &str = "AUTH PLAIN AGJvYgBzZWNyZXQ=";

#[test]
fn a_main_cf_that_lets_everybody_in_does_not_open_the_alternate_listener() {
    the_table_holds_with(
        "smtpd_client_restrictions=permit smtpd_helo_restrictions=permit smtpd_sender_restrictions=permit
         smtpd_relay_restrictions=permit smtpd_recipient_restrictions=permit smtpd_etrn_restrictions=permit
         smtpd_data_restrictions=permit smtpd_tls_security_level=none smtpd_tls_auth_only=no smtpd_delay_reject=yes",
    );
}

#[test]
fn a_main_cf_that_hides_auth_from_loopback_does_not_close_the_alternate_listener() {
    the_table_holds_with(
        "smtpd_sasl_exceptions_networks=127.0.0.0/8,[::1]/128 smtpd_sasl_security_options=noanonymous,noplaintext
         smtpd_sasl_tls_security_options=noanonymous smtpd_tls_wrappermode=yes",
    );
}

#[test]
fn a_main_cf_that_requires_auth_under_tls_only_is_overridden_by_tls_optional() {
    the_table_holds_with("smtpd_tls_auth_only=yes smtpd_tls_security_level=may");
}

#[test]
fn the_administrators_check_of_senders_logins_still_holds() {
    on::<Postfix>(|machine| {
        machine.sh(
            "echo 'bob@lab.test bob' >/etc/lab/logins; postconf -e smtpd_sender_login_maps=texthash:/etc/lab/logins \
             smtpd_sender_restrictions=reject_sender_login_mismatch",
        );
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        let at = addresses(port)[0];
        for (sender, taken) in [("bob@lab.test", true), ("eve@lab.test", false)] {
            let mut session = Session::open(at);
            assert_eq!(session.say(BOB).0, 235);
            let refused = session.refuses(&format!("MAIL FROM:<{sender}>"))
                || session.refuses("RCPT TO:<bob@lab.test>");
            assert_eq!(!refused, taken, "{sender}");
        }
    });
}

#[test]
fn a_listener_that_wraps_in_tls_at_once_is_never_made() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -P smtp/inet/smtpd_helo_required=yes");
        machine.reload();
        let (_plugin, port) = running(machine, TLS_YES);
        assert!(ready_for_auth(addresses(port)[0], TLS_YES).offers("AUTH"));
    });
}

#[test]
fn no_process_of_the_listener_answers_in_the_old_mode_after_update() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_OPTIONAL);
        let old: Vec<_> = (0..5).map(|_| Session::open(addresses(port)[0])).collect();
        drop(old);
        plugin.succeed("update", serde_json::json!({"auth_mode": TLS_YES}));
        let offers = (0..30).filter(|_| Session::open(addresses(port)[0]).offers("AUTH")).count();
        assert_eq!(offers, 0, "of 30 new sessions");
    });
}

#[track_caller]
fn the_table_holds_with(parameters: &str) {
    for mode in MODES {
        on::<Postfix>(|machine| {
            machine.sh(&format!(
                "postconf -e {}",
                parameters.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
            ));
            machine.sh("postfix reload");
            let (_plugin, port) = running(machine, mode);
            for at in addresses(port) {
                let Some(found) = smtplib_facts(machine, at, "rules") else { return };
                let promised = promised(mode);
                let wrong: Vec<_> =
                    promised.iter().filter(|(fact, so)| found.get(*fact) != Some(*so)).collect();
                assert!(wrong.is_empty(), "{mode} at {at}: promised {wrong:?}");
            }
        });
    }
}
