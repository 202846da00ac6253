//! Postfix as administrators run it, by what they publish of it: from `update` to a delivered message and back, without a
//! foreign byte changed.

use super::Postfix;
use crate::subject::{MACHINES, Subject, is_one_insertion, on_four, plugin_of, report, settings};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open, ready_for_auth};
use crate::support::{PATIENCE, TLS_YES, status, within};
use serde_json::Value;
use std::fs;

/// bob's name and password, as AUTH PLAIN wants them.
const BOB: &str = "AUTH PLAIN AGJvYgBzZWNyZXQ=";

/// What it is, and the script that makes it of Debian's own.
const CONFIGURATIONS: [(&str, &str); 24] = [
    ("Debian's own", ""),
    (
        "Postfix's documentation for SASL",
        "postconf -e smtpd_sasl_auth_enable=yes 'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination'",
    ),
    (
        "lists set apart by blanks",
        "postconf -e 'smtpd_recipient_restrictions = permit_mynetworks permit_sasl_authenticated reject_unauth_destination'",
    ),
    (
        "lists of DNS lists",
        "postconf -e 'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, \
           reject_rbl_client zen.lab.invalid, reject_rhsbl_sender dbl.lab.invalid, reject_rbl_client bl.lab.invalid=127.0.0.[2..11]'",
    ),
    (
        "greylisting and a policy for SPF",
        "postconf -e 'smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination, \
           check_policy_service { inet:127.0.0.1:10023, timeout=1s, default_action=DUNNO }, check_policy_service unix:private/policy-spf'",
    ),
    (
        "postscreen",
        "sed -i 's/^smtp  *inet.*/smtp inet n - y - 1 postscreen\\nsmtpd pass - - y - - smtpd\\ndnsblog unix - - y - 0 dnsblog\\ntlsproxy unix - - y - 0 tlsproxy/' \
           /etc/postfix/master.cf; postconf -e postscreen_greet_wait=1s",
    ),
    (
        "postscreen outside of the chroot of smtpd",
        "sed -i 's/^smtp  *inet.*/smtp inet n - n - 1 postscreen\\nsmtpd pass - - y - - smtpd/' /etc/postfix/master.cf; \
         postconf -e postscreen_greet_wait=1s",
    ),
    (
        "two addresses",
        "sed -i 's/^\\(smtp  *inet\\)\\(.*\\)/127.0.0.1:smtp inet\\2\\n[::1]:smtp inet\\2/' /etc/postfix/master.cf",
    ),
    ("IPv4 alone", "postconf -e inet_protocols=ipv4"),
    ("no chroot anywhere", "postconf -F '*/*/chroot=n'"),
    (
        "a submission service as in the sample",
        "cat >>/etc/postfix/master.cf <<'X'
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes
  -o smtpd_reject_unlisted_recipient=no
  -o smtpd_client_restrictions=$mua_client_restrictions
  -o smtpd_helo_restrictions=$mua_helo_restrictions
  -o smtpd_sender_restrictions=$mua_sender_restrictions
  -o smtpd_recipient_restrictions=
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o milter_macro_daemon_name=ORIGINATING
X
postconf -e 'mua_client_restrictions = permit_sasl_authenticated, reject' 'mua_helo_restrictions = permit_mynetworks, permit' \
  'mua_sender_restrictions = permit_sasl_authenticated, reject'",
    ),
    (
        "a submission service with -o in braces",
        "printf '%s\\n' 'submission inet n - y - - smtpd' '  -o { smtpd_tls_security_level = encrypt }' \
           '  -o { smtpd_sender_restrictions = reject_non_fqdn_sender, permit_sasl_authenticated }' >>/etc/postfix/master.cf",
    ),
    (
        "an entry that takes mail back from a filter",
        "printf '%s\\n' '127.0.0.1:10025 inet n - y - - smtpd' '  -o content_filter=' '  -o mynetworks=127.0.0.0/8' \
           '  -o smtpd_recipient_restrictions=permit_mynetworks,reject' >>/etc/postfix/master.cf",
    ),
    (
        "senders' logins in a table",
        "echo 'bob@lab.test bob' >/etc/lab/logins; postconf -e smtpd_sender_login_maps=texthash:/etc/lab/logins \
           'smtpd_sender_restrictions = reject_sender_login_mismatch, permit_mynetworks, permit_sasl_authenticated'",
    ),
    (
        "a table of accounts",
        "echo 'bob OK' >/etc/lab/accounts; echo 'eve REJECT suspended' >>/etc/lab/accounts; \
         postconf -e 'smtpd_client_restrictions = check_sasl_access texthash:/etc/lab/accounts'",
    ),
    (
        "restriction classes",
        "postconf -e 'smtpd_restriction_classes = greylist, insiders' 'greylist = check_policy_service inet:127.0.0.1:10023' \
           'insiders = check_sender_access inline:{lab.test=OK}, reject' \
           'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, greylist'",
    ),
    (
        "strict about HELO",
        "postconf -e smtpd_helo_required=yes 'smtpd_helo_restrictions = permit_mynetworks, reject_invalid_helo_hostname, \
           reject_non_fqdn_helo_hostname, reject_unknown_helo_hostname'",
    ),
    (
        "refusing at once",
        "postconf -e smtpd_delay_reject=no 'smtpd_client_restrictions = permit_mynetworks, reject_unknown_client_hostname'",
    ),
    ("a milter that is down", "postconf -e smtpd_milters=inet:127.0.0.1:8891 milter_default_action=accept"),
    (
        "against smuggling",
        "postconf -e 'smtpd_discard_ehlo_keywords = chunking, silent-discard' smtpd_data_restrictions=reject_unauth_pipelining",
    ),
    (
        "TLS of today",
        "postconf -e smtpd_tls_security_level=may smtpd_tls_auth_only=yes 'smtpd_tls_mandatory_protocols = >=TLSv1.2' \
           'smtpd_tls_protocols = >=TLSv1.2' smtpd_tls_mandatory_ciphers=high smtpd_tls_received_header=yes",
    ),
    (
        "no passwords in clear",
        "postconf -e 'smtpd_sasl_security_options = noanonymous, noplaintext' smtpd_sasl_tls_security_options=noanonymous",
    ),
    (
        "an entry that is disabled",
        "echo 'submission inet n - y - - smtpd' >>/etc/postfix/master.cf; postconf -e master_service_disable=submission/inet",
    ),
    (
        "limits for clients",
        "postconf -e smtpd_client_connection_count_limit=50 smtpd_client_message_rate_limit=100 smtpd_error_sleep_time=1s \
           smtpd_soft_error_limit=3 smtpd_hard_error_limit=5 smtpd_recipient_limit=100",
    ),
];

#[test]
fn from_each_configuration_it_is_not_far_to_a_delivered_message_and_back() {
    let tried = on_four("", |machine: &Postfix, number| {
        let mut wrong = Vec::new();
        for (name, script) in CONFIGURATIONS.iter().skip(number).step_by(MACHINES) {
            machine.sh(&format!(
                "postfix stop 2>/dev/null || :; cp -p /etc/lab/pristine/*.cf /etc/postfix/\n{script}\npostfix start"
            ));
            if let Err(what) = there_and_back(machine, name) {
                wrong.push(format!("{name}: {what}"));
            }
            machine.try_sh("rm -rf /var/lib/mail-smtp2");
        }
        wrong
    });
    report(&format!(
        "Postfix: {} configurations from update to a delivered message and back",
        CONFIGURATIONS.len()
    ));
    let wrong: Vec<String> = tried.into_iter().flatten().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn there_and_back(machine: &Postfix, name: &str) -> Result<(), String> {
    let port = machine.port();
    let read = || [machine.master_cf(), machine.main_cf()].map(|path| fs::read(path).unwrap());
    let before = read();
    let mut plugin = plugin_of(machine);
    for (method, params) in [("update", settings(port, TLS_YES)), ("start", Value::Null)] {
        let answer = plugin.call(method, params);
        if status(&answer) != 0 {
            return Err(format!("{method}: {answer}"));
        }
    }
    if !is_one_insertion(&before[0], &read()[0]) {
        return Err("a foreign byte of master.cf was changed".to_owned());
    }
    let at = addresses(port)
        .into_iter()
        .find(|at| std::net::TcpStream::connect(at).is_ok())
        .ok_or("nobody listens")?;
    let mut session = ready_for_auth(at, TLS_YES);
    for (line, code) in
        [(BOB, 235), ("MAIL FROM:<bob@lab.test>", 250), ("RCPT TO:<bob@lab.test>", 250), ("DATA", 354)]
    {
        let said = session.say(line);
        if said.0 != code {
            return Err(format!("{line}: {said:?}"));
        }
    }
    let said = session.say(&format!("Subject: x\r\n\r\nfrom {name}\r\n."));
    if said.0 != 250 || !within(PATIENCE, || machine.received(&format!("from {name}"))) {
        return Err(format!("the message does not arrive: {said:?}"));
    }
    let answer = plugin.call("stop", Value::Null);
    if status(&answer) != 0 || !is_closed(port) {
        return Err(format!("stop: {answer}"));
    }
    plugin.end();
    let run = machine.launch().arg("remove").run();
    if run.code != Some(0) || read() != before {
        return Err(format!("remove ends with {:?}: {}", run.code, run.stderr));
    }
    // A primary that greets late, or on one family alone, is no less there.
    within(PATIENCE, || is_open(25) || machine.listens(25)).then_some(()).ok_or("port 25 is gone".to_owned())
}
