//! What is as it was asked for, and will be in somebody's way later: a closed set of kinds, and a sentence for each case.
//!
//! A warning never stands in the way of a change, which is what an error does. Which of them apply is put together in
//! `change/later.rs`; a sheet tells those that only it can see ([`Alternate::warnings`](super::Alternate::warnings)).

use crate::wire::named;
use crate::wire::text::printable;

/// The mechanisms that every mail program knows.
const USUAL: [&str; 2] = ["PLAIN", "LOGIN"];

named! {
    /// What a warning is about; a closed set.
    pub enum WarningKind {
        LoopbackOnly "loopback_only": "the primary server is on loopback alone, and so is the listener",
        FirewallClosed "firewall_closed": "the usual firewall profile of a mail server does not open this port",
        ImplicitTlsPort "implicit_tls_port": "mail programs begin with TLS on this port",
        UnusualPort "unusual_port": "TLS is optional on another port than 587: a mail program that has to be set up by hand \
                                     may be set up without",
        SelfSigned "self_signed": "the certificate is self-signed",
        NoPlainOrLogin "no_plain_or_login": "neither PLAIN nor LOGIN is offered",
        OtherEntries "other_entries": "settings that another entry of the mail server has for itself do not apply",
        EditRewritten "edit_rewritten": "what somebody had edited of ours is written anew; the old is kept",
    }
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// What there is to be known, and what helps.
    pub sentence: String,
}

impl Warning {
    /// A warning of this kind.
    pub fn new(kind: WarningKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }

    /// The certificate, named so, is self-signed.
    pub fn self_signed(named: &str) -> Self {
        let sentence = format!(
            "the certificate {named} is self-signed: mail programs ask their users whether to trust it, or refuse it"
        );
        Self::new(WarningKind::SelfSigned, sentence)
    }

    /// Mail programs can use none of the mechanisms that are offered, if it is so.
    pub fn of_mechanisms<'m>(offered: impl IntoIterator<Item = &'m str>) -> Option<Self> {
        let offered: Vec<&str> = offered.into_iter().collect();
        let is_usual = |name: &&str| USUAL.iter().any(|usual| usual.eq_ignore_ascii_case(name));
        if offered.iter().any(is_usual) {
            return None;
        }
        let sentence = format!(
            "neither PLAIN nor LOGIN is offered, which most mail programs want, but {}",
            printable(offered.join(", "))
        );
        Some(Self::new(WarningKind::NoPlainOrLogin, sentence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_mechanisms_that_everybody_knows_is_enough() {
        assert_eq!(Warning::of_mechanisms(["CRAM-MD5", "login"]), None);
        let told = Warning::of_mechanisms(["CRAM-MD5", "SCRAM-SHA-256"]).unwrap();
        assert!(
            told.kind == WarningKind::NoPlainOrLogin && told.sentence.contains("but CRAM-MD5, SCRAM-SHA-256")
        );
    }

    #[test]
    fn each_kind_stands_at_its_place_and_has_a_name_of_its_own() {
        assert!(WarningKind::ALL.iter().enumerate().all(|(at, (kind, ..))| *kind as usize == at));
        let mut names: Vec<&str> = WarningKind::ALL.iter().map(|(_, name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WarningKind::ALL.len());
    }
}
