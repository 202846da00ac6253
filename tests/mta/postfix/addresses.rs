//! The alternate listener binds what the primary binds, never more.

use super::Postfix;
use crate::subject::{Subject, on, running};
use crate::support::TLS_YES;

#[test]
fn bound_to_one_address_by_inet_interfaces_it_binds_that_one() {
    binds_what_the_primary_binds("postconf -e inet_interfaces=127.0.0.1");
}

#[test]
fn bound_to_loopback_only_it_binds_loopback_only() {
    binds_what_the_primary_binds("postconf -e inet_interfaces=loopback-only");
}

#[test]
fn bound_to_ipv4_only_it_binds_ipv4_only() {
    binds_what_the_primary_binds("postconf -e inet_protocols=ipv4");
}

#[test]
fn bound_to_ipv6_only_it_binds_ipv6_only() {
    binds_what_the_primary_binds("postconf -e inet_protocols=ipv6");
}

#[test]
fn bound_to_one_address_in_master_cf_it_binds_that_one() {
    binds_what_the_primary_binds("sed -i 's/^smtp  *inet/127.0.0.1:smtp inet/' /etc/postfix/master.cf");
}

#[test]
fn bound_to_one_ipv6_address_in_master_cf_it_binds_that_one() {
    binds_what_the_primary_binds("sed -i 's/^smtp  *inet/[::1]:25 inet/' /etc/postfix/master.cf");
}

#[test]
fn bound_to_two_addresses_in_master_cf_it_binds_both() {
    binds_what_the_primary_binds(
        "sed -i 's/^\\(smtp  *inet\\)\\(.*\\)/127.0.0.1:smtp inet\\2\\n127.0.0.2:smtp inet\\2/' /etc/postfix/master.cf",
    );
}

#[test]
fn a_listener_that_nobody_reaches_from_elsewhere_is_told_with_success() {
    on::<Postfix>(|machine| {
        machine.sh("postconf -e inet_interfaces=loopback-only; postfix-stop; postfix start");
        let call = |words: &[&str]| {
            words.iter().fold(machine.launch().arg("call"), |launch, word| launch.arg(word)).run()
        };
        call(&["update", r#"{"alternate_smtp_port":465,"auth_mode":"auth_yes/tls_yes"}"#]);
        let run = call(&["start"]);
        assert!(run.code == Some(0) && run.stdout.contains("Success"), "{} {}", run.stdout, run.stderr);
        assert!(run.stderr.contains("on loopback alone") && run.stderr.contains("on 587"), "{}", run.stderr);
        machine.sh("sed -i 's,-o syslog_name=postfix/smtp2,& -o smtpd_banner=mine,' /etc/postfix/master.cf");
        let run = call(&["restart"]);
        assert!(run.stderr.contains("the old lies in /var/lib/mail-smtp2/edited/"), "{}", run.stderr);
    });
}

#[track_caller]
fn binds_what_the_primary_binds(script: &str) {
    on::<Postfix>(|machine| {
        machine.sh(&format!("{script}; postfix-stop; postfix start"));
        let (mut plugin, port) = running(machine, TLS_YES);
        assert!(!machine.node().bound(25).is_empty());
        assert_eq!(machine.node().bound(port), machine.node().bound(25));
        plugin.succeed("stop", serde_json::Value::Null);
        assert!(machine.node().bound(port).is_empty());
    });
}
