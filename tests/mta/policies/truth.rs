//! The truth table of both modes, as independent SMTP clients see it on every address (schema/README.md, "What the
//! words mean").

use crate::clients::{SWAKS_TLS_OPTIONAL, SWAKS_TLS_YES, SwaksRow, promised, smtplib_facts, swaks};
use crate::subject::{Subject, on, policies, running};
use crate::support::sandbox::addresses;
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually};

policies! {
    where_tls_is_required_smtplib_finds_what_is_promised,
    where_tls_is_optional_smtplib_finds_what_is_promised,
    where_tls_is_required_swaks_finds_what_is_promised,
    where_tls_is_optional_swaks_finds_what_is_promised,
    a_message_accepted_after_auth_arrives_in_the_mailbox,
}

fn where_tls_is_required_smtplib_finds_what_is_promised<S: Subject>() {
    smtplib_finds_what_is_promised::<S>(TLS_YES);
}

fn where_tls_is_optional_smtplib_finds_what_is_promised<S: Subject>() {
    smtplib_finds_what_is_promised::<S>(TLS_OPTIONAL);
}

fn where_tls_is_required_swaks_finds_what_is_promised<S: Subject>() {
    swaks_finds_what_is_promised::<S>(TLS_YES, &SWAKS_TLS_YES);
}

fn where_tls_is_optional_swaks_finds_what_is_promised<S: Subject>() {
    swaks_finds_what_is_promised::<S>(TLS_OPTIONAL, &SWAKS_TLS_OPTIONAL);
}

fn a_message_accepted_after_auth_arrives_in_the_mailbox<S: Subject>() {
    on::<S>(|machine| {
        let (_plugin, port) = running(machine, TLS_YES);
        for (number, at) in addresses(port).into_iter().enumerate() {
            let text = format!("message {number} of this test");
            let (ended, seen) = swaks(machine, at, &["--tls", "--auth", "PLAIN"], &text);
            assert_eq!(ended, 0, "{seen}");
            eventually(PATIENCE, "the message arrives", || machine.received(&text));
        }
    });
}

#[track_caller]
fn smtplib_finds_what_is_promised<S: Subject>(mode: &str) {
    on::<S>(|machine| {
        let (_plugin, port) = running(machine, mode);
        for at in addresses(port) {
            let Some(found) = smtplib_facts(machine, at, "from smtplib") else { return };
            let promised = promised(mode);
            let wrong: Vec<_> = promised.iter().filter(|(fact, so)| found.get(*fact) != Some(*so)).collect();
            assert!(
                wrong.is_empty() && found.len() == promised.len(),
                "{at}: promised {wrong:?}, found {found:?}"
            );
        }
    });
}

#[track_caller]
fn swaks_finds_what_is_promised<S: Subject>(mode: &str, rows: &[SwaksRow]) {
    on::<S>(|machine| {
        let (_plugin, port) = running(machine, mode);
        for row in rows {
            let (ended, seen) = swaks(machine, addresses(port)[0], row.flags, "from swaks");
            assert!(row.ends.contains(&ended), "{:?}: {ended}, not {:?}\n{seen}", row.flags, row.ends);
        }
    });
}
