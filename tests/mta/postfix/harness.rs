//! The machine itself, without the plugin: what the policies take for granted of a Postfix set up by its administrator.

use super::Postfix;
use super::corpus::corpus;
use crate::clients::{swaks, watching};
use crate::subject::{Subject, on};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, eventually};
use std::fs;

#[test]
fn port_25_of_a_fresh_machine_is_served_and_port_587_is_not() {
    on::<Postfix>(|machine| {
        assert!(is_open(25) && is_closed(587) && machine.listens(25) && !machine.listens(587));
    });
}

#[test]
fn a_machine_cannot_reach_beyond_itself() {
    on::<Postfix>(|machine| {
        let interfaces = fs::read_to_string(machine.path("/proc/1/net/dev")).unwrap();
        let names: Vec<_> =
            interfaces.lines().skip(2).map(|line| line.split(':').next().unwrap().trim()).collect();
        assert!(!names.iter().any(|name| name.starts_with("eth") || name.starts_with("en")), "{names:?}");
    });
}

#[test]
fn a_listener_made_by_hand_lets_bob_in_and_delivers() {
    on::<Postfix>(|machine| {
        machine.add_services(
            "587 inet n - y - - smtpd\n -o smtpd_tls_security_level=encrypt\n -o smtpd_sasl_auth_enable=yes\n",
        );
        let (ended, seen) = swaks(machine, addresses(587)[0], &["--tls", "--auth", "PLAIN"], "made by hand");
        assert_eq!(ended, 0, "{seen}");
        eventually(PATIENCE, "the message arrives", || machine.received("made by hand"));
    });
}

#[test]
fn a_reload_by_the_administrator_is_not_seen_on_port_25() {
    on::<Postfix>(|machine| {
        let watched = watching(machine, 25, |look_again| {
            (0..3).for_each(|_| {
                machine.reload();
                look_again();
            });
        });
        assert!(watched.refused.is_empty() && watched.held.is_empty(), "{watched:?}");
    });
}

#[test]
fn every_file_of_the_corpus_is_one_that_postconf_can_read() {
    on::<Postfix>(|machine| {
        let stock = fs::read(machine.master_cf()).unwrap();
        for (name, bytes) in corpus(&stock) {
            fs::write(machine.master_cf(), bytes).unwrap();
            assert!(machine.try_sh("postconf -M"), "{name}");
        }
    });
}
