//! Postfix as administrators run it, by what they publish of it: from `update` to a delivered message and back, without a
//! byte that is not ours changed.

use super::Postfix;
use crate::subject::{MACHINES, Subject, is_one_insertion, on_four, plugin_of, report, settings};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open, ready_for_auth};
use crate::support::{PATIENCE, TLS_YES, repetitions, status, within};
use serde_json::Value;
use std::fs;

/// bob's name and password, as AUTH PLAIN wants them.
const BOB: &str = "AUTH PLAIN AGJvYgBzZWNyZXQ=";

/// What it is, and the script that makes it of Debian's own.
const CONFIGURATIONS: [(&str, &str); 44] = [
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
    (
        "nothing refused for good while it is being set up",
        "postconf -e soft_bounce=yes",
    ),
    (
        "a filter after the queue",
        "postconf -e 'content_filter = smtp:[127.0.0.1]:10025'; cat >>/etc/postfix/master.cf <<'X'
# What the filter gives back.
127.0.0.1:10025 inet n  -       n       -       10      smtpd
  -o content_filter=
  -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters
  -o smtpd_helo_restrictions=
  -o smtpd_client_restrictions=
  -o smtpd_sender_restrictions=
  # Postfix prior to 2.10 has no relay restrictions.
  -o smtpd_relay_restrictions=
  -o smtpd_recipient_restrictions=permit_mynetworks,reject
  -o mynetworks=127.0.0.0/8
  -o myhostname=filter.lab.test
  -o smtpd_authorized_xforward_hosts=127.0.0.0/8
X",
    ),
    (
        "amavis behind port 25 and behind a submission service of his own",
        "postconf -P 'smtp/inet/content_filter=smtp-amavis:[127.0.0.1]:10024'; cat >>/etc/postfix/master.cf <<'X'
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o content_filter=smtp-amavis:[127.0.0.1]:10026
  -o smtpd_client_restrictions=permit_sasl_authenticated,reject
smtp-amavis unix -      -       n       -       2       smtp
    -o smtp_data_done_timeout=1200
    -o smtp_send_xforward_command=yes
    -o disable_dns_lookups=yes
    -o max_use=20
127.0.0.1:10025 inet n  -       n       -       -       smtpd
    -o content_filter=
    -o mynetworks_style=host
    -o mynetworks=127.0.0.0/8
    -o local_recipient_maps=
    -o relay_recipient_maps=
    -o strict_rfc821_envelopes=yes
    -o smtp_tls_security_level=none
    -o smtpd_tls_security_level=none
    -o smtpd_restriction_classes=
    -o smtpd_delay_reject=no
    -o smtpd_client_restrictions=permit_mynetworks,reject
    -o smtpd_end_of_data_restrictions=
    -o smtpd_error_sleep_time=0
    -o smtpd_soft_error_limit=1001
    -o smtpd_hard_error_limit=1000
    -o smtpd_client_connection_count_limit=0
    -o smtpd_client_connection_rate_limit=0
    -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks,no_address_mappings
X",
    ),
    (
        "senders who may send as themselves alone, by a map behind the proxy",
        "echo 'bob@lab.test bob' >/etc/lab/logins; postconf -e 'smtpd_sender_login_maps = proxy:texthash:/etc/lab/logins' \
           'smtpd_restriction_classes = greylisting' 'greylisting = check_policy_service inet:127.0.0.1:10023' \
           'smtpd_sender_restrictions = check_sender_access regexp:{{/^devnull@/ DISCARD}}, permit_mynetworks, \
             reject_authenticated_sender_login_mismatch, permit_sasl_authenticated, reject_non_fqdn_sender' \
           'smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination, \
             check_recipient_access inline:{postmaster@lab.test=OK}'",
    ),
    (
        "mail programs' rules that name the server's, by convention",
        "postconf -e 'mua_client_restrictions = permit_sasl_authenticated, reject' \
           'mua_sender_restrictions = reject_non_fqdn_sender, permit_sasl_authenticated, reject' \
           'mua_helo_restrictions = reject_invalid_helo_hostname, permit' 'mua_relay_restrictions = permit_sasl_authenticated, reject' \
           'smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination' \
           'smtpd_sender_restrictions = $mua_sender_restrictions' 'smtpd_client_restrictions ='",
    ),
    (
        "Dovecot over TCP",
        "grep -q 12345 /etc/dovecot/dovecot.conf || { printf 'service auth {\\n  inet_listener {\\n    address = 127.0.0.1\\n    \
           port = 12345\\n  }\\n}\\n' >>/etc/dovecot/dovecot.conf; doveadm reload; }
         for n in $(seq 900); do (exec 5<>/dev/tcp/127.0.0.1/12345) 2>/dev/null && break; sleep 0.02; done
         postconf -e smtpd_sasl_path=inet:127.0.0.1:12345",
    ),
    (
        "Dovecot by an absolute path, and no chroot",
        "postconf -F '*/*/chroot=n'; postconf -e smtpd_sasl_path=/var/spool/postfix/private/auth",
    ),
    (
        "mailboxes that are no accounts",
        "echo 'bob@lab.test bob/' >/etc/lab/mailboxes; echo 'info@lab.test bob@lab.test' >/etc/lab/aliases
         postconf -e 'mydestination = localhost' 'virtual_mailbox_domains = lab.test' virtual_mailbox_base=/var/mail \
           virtual_mailbox_maps=texthash:/etc/lab/mailboxes virtual_alias_maps=texthash:/etc/lab/aliases \
           virtual_uid_maps=static:$(id -u bob) virtual_gid_maps=static:$(id -g bob)",
    ),
    (
        "a chain in one parameter",
        "postconf -e smtpd_tls_cert_file= smtpd_tls_key_file= 'smtpd_tls_chain_files = /etc/lab/key.pem, /etc/lab/cert.pem' \
           smtpd_tls_loglevel=1 tls_preempt_cipherlist=yes 'smtpd_tls_session_cache_database = btree:${data_directory}/smtpd_scache'",
    ),
    (
        "a panel's entries, none of them in a chroot",
        "sed -i 's/^smtp  *inet.*/smtp inet n - n - - smtpd -o smtpd_proxy_timeout=3600s/' /etc/postfix/master.cf; cat >>/etc/postfix/master.cf <<'X'
smtps inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
submission inet n - n - - smtpd -o smtpd_enforce_tls=yes -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject -o smtpd_sender_restrictions=
pickup fifo n - - 60 1 pickup -o content_filter=
panel_virtual unix - n n - - pipe flags=DORhu user=bob argv=/bin/true -f ${sender} -d ${recipient}
127.0.0.1:12346 inet n n n - - spawn user=nobody argv=/bin/true
X
sed -i '/^pickup  *unix/d' /etc/postfix/master.cf
postconf -e smtpd_use_tls=yes smtpd_timeout=3600s 'smtpd_milters = , inet:127.0.0.1:12768' milter_default_action=accept \
  'message_size_limit = 10240000' disable_vrfy_command=yes 'authorized_flush_users =' smtpd_sasl_local_domain=",
    ),
    (
        "an antispam filter by a pipe on port 25",
        "postconf -P smtp/inet/content_filter=spamassassin; cat >>/etc/postfix/master.cf <<'X'
spamassassin unix -     n       n       -       -       pipe
  user=nobody argv=/usr/bin/spamc -f -e
  /usr/sbin/sendmail -oi -f ${sender} ${recipient}
X",
    ),
    (
        "options in braces, with blanks and parameters in them",
        "cat >>/etc/postfix/master.cf <<'X'
submission inet n - y - - smtpd
\\t-o { syslog_name = ${multi_instance_name?{$multi_instance_name}:{postfix}}/submission }
\\t-o {smtpd_tls_security_level=encrypt}
\\t-o { smtpd_recipient_restrictions = check_recipient_access inline:{ {eve@lab.test = REJECT not her} }, permit_sasl_authenticated, reject }
\\t-o { smtpd_client_restrictions = }
X
sed -i 's/^\\\\t/\\t/' /etc/postfix/master.cf",
    ),
    (
        "postscreen with everything that it can ask",
        "sed -i 's/^smtp  *inet.*/smtp inet n - y - 1 postscreen\\nsmtpd pass - - y - - smtpd -o smtpd_sasl_auth_enable=no\\ndnsblog unix - - y - 0 dnsblog\\ntlsproxy unix - - y - 0 tlsproxy/' \
           /etc/postfix/master.cf
         postconf -e postscreen_greet_wait=1s postscreen_greet_action=enforce postscreen_dnsbl_threshold=3 postscreen_dnsbl_action=enforce \
           'postscreen_dnsbl_sites = zen.lab.invalid*3, bl.lab.invalid=127.0.0.[2..11]*2' \
           'postscreen_access_list = permit_mynetworks, cidr:/etc/lab/clients' postscreen_cache_map=proxy:btree:/var/lib/postfix/cache
         echo '192.0.2.0/24 reject' >/etc/lab/clients",
    ),
    (
        "names by which old programs log in",
        "postconf -e broken_sasl_auth_clients=yes smtpd_sasl_authenticated_header=yes smtpd_sasl_local_domain=lab.test \
           smtpd_use_tls=yes smtpd_enforce_tls=no smtpd_tls_dh1024_param_file= smtpd_tls_ask_ccert=yes",
    ),
    (
        "everything through a relay, but what is for here",
        "echo 'lab.invalid :[smtp.lab.invalid]:587' >/etc/lab/transport
         postconf -e 'relayhost = [smtp.lab.invalid]:587' smtp_sasl_auth_enable=yes smtp_tls_security_level=encrypt \
           transport_maps=texthash:/etc/lab/transport smtp_sasl_security_options=noanonymous",
    ),
    (
        "TLS asked of everybody, on port 25 too",
        "postconf -e smtpd_tls_security_level=encrypt smtpd_tls_mandatory_exclude_ciphers=aNULL,MD5 smtpd_tls_eecdh_grade=strong",
    ),
    (
        "another port for who comes through a proxy",
        "printf '%s\\n' '127.0.0.1:10026 inet n - y - - smtpd' '  -o smtpd_upstream_proxy_protocol=haproxy' >>/etc/postfix/master.cf; \
         postconf -e smtpd_upstream_proxy_timeout=5s",
    ),
    (
        "few processes and a log of its own",
        "sed -i 's/^\\(smtp  *inet.*\\) -  *smtpd/\\1 20 smtpd/' /etc/postfix/master.cf
         postconf -e default_process_limit=30 maillog_file=/var/log/postfix.log smtpd_client_port_logging=yes",
    ),
    (
        "recipients who are asked for elsewhere, and rules after the data",
        "postconf -e 'smtpd_recipient_restrictions = reject_non_fqdn_recipient, permit_mynetworks, reject_unauth_destination, \
           reject_unverified_recipient' unverified_recipient_reject_code=550 'smtpd_data_restrictions = reject_unauth_pipelining, permit' \
           'smtpd_end_of_data_restrictions = permit' strict_rfc821_envelopes=yes smtpd_reject_unlisted_sender=yes",
    ),
    (
        "tables of all kinds",
        "printf '/^Subject: .*spam/ REJECT\\n' >/etc/lab/headers; printf '192.0.2.0/24 REJECT\\n' >/etc/lab/networks
         printf 'eve@lab.test REJECT\\n' >/etc/lab/senders; postmap hash:/etc/lab/senders
         postconf -e header_checks=regexp:/etc/lab/headers 'smtpd_client_restrictions = check_client_access cidr:/etc/lab/networks' \
           'smtpd_sender_restrictions = check_sender_access hash:/etc/lab/senders, check_sasl_access hash:/etc/lab/senders' \
           'smtpd_helo_restrictions = check_helo_access static:DUNNO' smtpd_sender_login_maps=unionmap:{static:bob}",
    ),
];

/// Those that are walked: in the gate a part, in the soak all.
fn walked() -> &'static [(&'static str, &'static str)] {
    let all = CONFIGURATIONS.len();
    &CONFIGURATIONS[..repetitions("MAIL_SMTP2_SHAPES", 28, all).min(all)]
}

#[test]
fn from_each_configuration_it_is_not_far_to_a_delivered_message_and_back() {
    let tried = on_four("", |machine: &Postfix, number| {
        let mut wrong = Vec::new();
        for (name, script) in walked().iter().skip(number).step_by(MACHINES) {
            machine.sh(&format!(
                "postfix-stop 2>/dev/null || :; cp -p /etc/lab/pristine/*.cf /etc/postfix/\n{script}\npostfix start"
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
        walked().len()
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
        return Err("a byte that is not ours of master.cf was changed".to_owned());
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
