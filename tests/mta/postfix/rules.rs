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
         smtpd_data_restrictions=permit mua_client_restrictions=permit mua_helo_restrictions=permit
         mua_sender_restrictions=permit smtpd_tls_security_level=none smtpd_tls_auth_only=no smtpd_delay_reject=yes",
    );
}

#[test]
fn a_main_cf_that_hides_auth_from_loopback_does_not_close_the_alternate_listener() {
    the_table_holds_with(
        "smtpd_sasl_exceptions_networks=127.0.0.0/8,[::1]/128 smtpd_discard_ehlo_keywords=starttls,AUTH
         smtpd_tls_wrappermode=yes",
    );
}

#[test]
fn an_extension_that_the_administrator_has_discarded_is_not_offered_again() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -e 'smtpd_discard_ehlo_keywords = chunking, starttls, etrn'");
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        let mut session = Session::open(addresses(port)[0]);
        assert!(session.offers("STARTTLS") && !session.offers("CHUNKING") && !session.offers("ETRN"));
    });
}

#[test]
fn a_mechanism_that_the_administrator_keeps_out_of_the_clear_stays_out_of_it() {
    on::<Postfix>(|machine| {
        machine.sh(
            "postconf -e 'smtpd_sasl_security_options = noplaintext' smtpd_sasl_tls_security_options=
             sed -i 's/^auth_mechanisms.*/auth_mechanisms = plain login cram-md5/' /etc/dovecot/dovecot.conf; doveadm reload
             for n in $(seq 200); do doveadm auth test bob secret && exit; sleep 0.05; done; exit 1",
        );
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        let mut session = Session::open(addresses(port)[0]);
        assert_eq!(mechanisms(&mut session), ["CRAM-MD5"]);
        session.start_tls();
        assert_eq!(mechanisms(&mut session), ["PLAIN", "LOGIN", "CRAM-MD5"]);
    });
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
        assert!(bob_sends_as(port, "bob@lab.test") && !bob_sends_as(port, "eve@lab.test"));
    });
}

#[test]
fn an_account_that_the_administrator_has_suspended_sends_nothing() {
    // The client list and that for HELO are asked too early for anybody to have logged in.
    for list in ["client", "helo", "sender", "relay", "recipient"] {
        on::<Postfix>(|machine| {
            machine.sh(&format!(
                "echo 'bob REJECT suspended' >/etc/lab/suspended
                 postconf -e 'smtpd_{list}_restrictions = permit_mynetworks, check_sasl_access texthash:/etc/lab/suspended, \
                   permit_sasl_authenticated, reject_unauth_destination'"
            ));
            machine.reload();
            let (_plugin, port) = running(machine, TLS_OPTIONAL);
            assert!(!bob_sends_as(port, "bob@lab.test"), "{list}");
        });
    }
}

#[test]
fn the_administrators_kind_of_login_mismatch_is_not_made_stricter() {
    on::<Postfix>(|machine| {
        machine.sh("echo 'eve@lab.test eve' >/etc/lab/logins
             postconf -e smtpd_sender_login_maps=texthash:/etc/lab/logins \
               'smtpd_sender_restrictions=reject_known_sender_login_mismatch, permit_sasl_authenticated'");
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        assert!(bob_sends_as(port, "nobodys@lab.test") && !bob_sends_as(port, "eve@lab.test"));
    });
}

#[test]
fn what_postfix_has_for_mail_programs_by_convention_applies() {
    for list in ["client", "helo", "sender"] {
        on::<Postfix>(|machine| {
            machine.sh(&format!(
                "echo 'eve@lab.test REJECT' >/etc/lab/senders
                 postconf -e 'mua_{list}_restrictions = check_sender_access texthash:/etc/lab/senders, \
                   permit_sasl_authenticated, reject'"
            ));
            machine.reload();
            let (_plugin, port) = running(machine, TLS_OPTIONAL);
            assert!(bob_sends_as(port, "bob@lab.test") && !bob_sends_as(port, "eve@lab.test"), "{list}");
            assert!(Session::open(addresses(port)[0]).refuses_mail(), "{list}");
        });
    }
}

#[test]
fn what_one_list_by_convention_lets_in_is_still_asked_by_the_others() {
    on::<Postfix>(|machine| {
        machine.sh(
            "echo 'eve@lab.test REJECT' >/etc/lab/senders
             postconf -e 'mua_client_restrictions = permit_mynetworks, reject' \
               'mua_helo_restrictions = permit_mynetworks, reject_non_fqdn_helo_hostname, permit' \
               'mua_sender_restrictions = check_sender_access texthash:/etc/lab/senders, permit_sasl_authenticated, reject'",
        );
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        assert!(bob_sends_as(port, "bob@lab.test") && !bob_sends_as(port, "eve@lab.test"));
        // On loopback whatever name a client has is good enough.
        let mut session = Session::open(addresses(port)[0]);
        assert_eq!(session.say("EHLO laptop").0, 250);
        assert_eq!(session.say(BOB).0, 235);
        for line in ["MAIL FROM:<bob@lab.test>", "RCPT TO:<bob@lab.test>"] {
            assert_eq!(session.say(line).0, 250, "{line}");
        }
    });
}

#[test]
fn what_is_meant_for_strangers_on_port_25_does_not_reach_who_has_logged_in() {
    on::<Postfix>(|machine| {
        machine.sh(
            "postconf -e 'smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:1, reject_unauth_destination' \
               'smtpd_client_restrictions = reject_rbl_client bl.lab.invalid=127.0.0.2, check_client_access inline:{127.0.0.1=REJECT}'",
        );
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        assert!(bob_sends_as(port, "bob@lab.test"));
    });
}

#[test]
fn a_table_within_a_restriction_class_is_read_as_postfix_reads_it() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -e 'smtpd_restriction_classes = insiders' \
               'insiders = check_sasl_access { inline:{ {bob = 550 5.7.1 not today} } }' \
               'smtpd_sender_restrictions = insiders, permit_sasl_authenticated'");
        machine.reload();
        let (mut plugin, port) = running(machine, TLS_OPTIONAL);
        assert!(!bob_sends_as(port, "bob@lab.test"));
        plugin.succeed("stop", serde_json::Value::Null);
    });
}

/// A milter is told `{daemon_name}`: by that value those that sign know mail of one's own.
#[test]
fn a_milter_is_told_that_mail_originates_here() {
    on::<Postfix>(|machine| {
        machine.sh(&format!(
            "cat >/etc/lab/milter <<'X'\n{MILTER}X
             setsid perl /etc/lab/milter >/etc/lab/told 2>&1 </dev/null &
             until [ -s /etc/lab/told ]; do sleep 0.05; done
             postconf -e smtpd_milters=inet:127.0.0.1:10040 milter_default_action=accept"
        ));
        machine.reload();
        let (_plugin, port) = running(machine, TLS_OPTIONAL);
        assert!(bob_sends_as(port, "bob@lab.test"));
        let told = std::fs::read_to_string(machine.path("/etc/lab/told")).unwrap();
        assert!(told.contains("{daemon_name}=ORIGINATING"), "{told}");
    });
}

/// The least of a milter: it negotiates, prints the macros that it is given, and lets everything pass (libmilter's
/// protocol, version 6).
const MILTER: &str = r#"
use IO::Socket::INET;
$| = 1; $SIG{CHLD} = 'IGNORE';
my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1:10040', Listen => 9, ReuseAddr => 1) or die $!;
print "up\n";
while (my $c = $s->accept) {
    next if fork;
    while (read($c, my $length, 4) == 4) {
        read($c, my $packet, unpack('N', $length));
        my ($command, $data) = (substr($packet, 0, 1), substr($packet, 1));
        exit if $command =~ /[QK]/;
        next if $command eq 'A';
        if ($command eq 'D') {
            my @parts = split /\0/, substr($data, 1), -1;
            while (@parts > 1) { print shift(@parts), '=', shift(@parts), "\n" }
            next;
        }
        my $body = $command eq 'O' ? 'O' . pack('NNN', 6, 0, 0) : 'c';
        syswrite $c, pack('N', length $body) . $body;
    }
    exit;
}
"#;

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

/// The mechanisms that are offered for AUTH.
#[track_caller]
fn mechanisms(session: &mut Session) -> Vec<String> {
    let (_, lines) = session.say("EHLO client.example.com");
    let offer = lines.iter().find_map(|line| line.strip_prefix("AUTH "));
    offer.unwrap_or_default().split(' ').map(str::to_owned).collect()
}

/// Whether bob, logged in, may send from this address.
#[track_caller]
fn bob_sends_as(port: u16, sender: &str) -> bool {
    let mut session = Session::open(addresses(port)[0]);
    assert_eq!(session.say(BOB).0, 235);
    !(session.refuses(&format!("MAIL FROM:<{sender}>")) || session.refuses("RCPT TO:<bob@lab.test>"))
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
