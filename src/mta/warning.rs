//! What is as it was asked for, and will be in somebody's way later: a closed set of kinds, and a sentence for each case.
//!
//! A warning never stands in the way of a change, which is what an error does. Which of them apply is put together in
//! `change/later.rs`; a sheet tells those that only it can see ([`Alternate::warnings`](super::Alternate::warnings)).

/// What a warning is about; a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningKind {
    /// Nobody reaches the listener from elsewhere.
    LoopbackOnly,
    /// Mail programs begin with TLS on this port.
    ImplicitTlsPort,
    /// TLS is optional where mail programs do not expect submission.
    UnusualPort,
    /// The certificate is its own issuer.
    SelfSigned,
    /// Neither PLAIN nor LOGIN is offered.
    NoPlainOrLogin,
    /// Another entry has settings of its own, which this listener has not.
    OtherEntries,
    /// What somebody had edited of ours was written anew.
    EditRewritten,
}

impl WarningKind {
    /// Its name, and what it means.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (
            Self::LoopbackOnly,
            "loopback_only",
            "the primary server is on loopback alone, and so is the listener",
        ),
        (Self::ImplicitTlsPort, "implicit_tls_port", "mail programs begin with TLS on this port"),
        (
            Self::UnusualPort,
            "unusual_port",
            "TLS is optional on another port than 587: a mail program that has to be set up by hand may be set up without",
        ),
        (Self::SelfSigned, "self_signed", "the certificate is self-signed"),
        (Self::NoPlainOrLogin, "no_plain_or_login", "neither PLAIN nor LOGIN is offered"),
        (
            Self::OtherEntries,
            "other_entries",
            "settings that another entry of the mail server has for itself do not apply",
        ),
        (
            Self::EditRewritten,
            "edit_rewritten",
            "what somebody had edited of ours is written anew; the old is kept",
        ),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
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
    pub(super) fn self_signed(named: &str) -> Self {
        let sentence = format!(
            "the certificate {named} is self-signed: mail programs ask their users whether to trust it, or refuse it"
        );
        Self::new(WarningKind::SelfSigned, sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_at_its_place_and_has_a_name_of_its_own() {
        assert!(WarningKind::ALL.iter().enumerate().all(|(at, (kind, ..))| *kind as usize == at));
        let mut names: Vec<&str> = WarningKind::ALL.iter().map(|(_, name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), WarningKind::ALL.len());
    }
}
