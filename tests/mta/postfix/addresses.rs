//! The alternate listener binds what the primary binds, never more.

use super::Postfix;
use crate::subject::{on, running};
use crate::support::TLS_YES;
use std::fs;

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

#[track_caller]
fn binds_what_the_primary_binds(script: &str) {
    on::<Postfix>(|machine| {
        machine.sh(&format!("{script}; postfix stop; postfix start"));
        let (mut plugin, port) = running(machine, TLS_YES);
        assert!(!bound(machine, 25).is_empty());
        assert_eq!(bound(machine, port), bound(machine, 25));
        plugin.succeed("stop", serde_json::Value::Null);
        assert!(bound(machine, port).is_empty());
    });
}

/// The addresses, as the kernel writes them, on which somebody listens.
fn bound(machine: &Postfix, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let tables = ["tcp", "tcp6"]
        .map(|table| fs::read_to_string(machine.path(&format!("/proc/1/net/{table}"))).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let rows = rows.map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    let mut bound: Vec<_> = rows
        .filter(|row| row.len() > 9 && row[3] == "0A")
        .filter_map(|row| row[1].strip_suffix(&suffix).map(str::to_owned))
        .collect();
    bound.sort();
    bound
}
