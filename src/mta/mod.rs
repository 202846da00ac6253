//! Mail servers as answer sheets: the list of all there are, and which of them this machine runs.
//!
//! A new one is a file (or folder) here and a line in [`all`]; what a sheet says stands in [`sheet`]. Where several are
//! installed, the one that runs is taken, or the one that the configuration names. None and several that are equal are an
//! error that says what was found.

mod context;
mod error;
pub mod exim;
pub mod gone;
mod kind;
mod listener;
mod machine;
pub mod opensmtpd;
pub mod postfix;
pub mod qmail;
pub mod recognised;
pub mod sandbox;
pub mod sendmail;
mod services;
pub mod sheet;
mod staged;
mod tell;
pub mod warning;

use crate::sys::View;
use crate::wire::reason::Reason;

pub use warning::{Warning, WarningKind};

pub use sheet::{
    Alternate, AuthMode, Claim, Claimant, Content, Context, Doubt, Edit, Goal, KeptBy, Kind, Listener, Log,
    Mta, MtaError, Objection, Presence, Serves, Staged, Tell, of_command, of_file,
};

/// The list: all mail servers, in the order in which `auto` looks for them; those that are configured as they are.
pub fn all(qmail: qmail::Qmail, sandbox: sandbox::Sandbox) -> Vec<Box<dyn Mta>> {
    vec![
        Box::new(postfix::Postfix),
        Box::new(exim::Exim),
        Box::new(qmail),
        Box::new(opensmtpd::OPENSMTPD),
        Box::new(sendmail::SENDMAIL),
        Box::new(sandbox),
    ]
}

/// All of them as they are without a configuration, for what is always true of them.
pub fn unconfigured() -> Vec<Box<dyn Mta>> {
    all(qmail::Qmail::default(), sandbox::Sandbox::default())
}

/// What they are called, in the same order.
pub fn kinds() -> Vec<Kind> {
    unconfigured().iter().map(|mta| mta.kind()).collect()
}

/// The one that the configuration calls so.
pub fn named(name: &str) -> Option<Kind> {
    kinds().into_iter().find(|kind| kind.name() == name)
}

/// Whether this version can change `mta`, one of `mtas`.
///
/// # Errors
/// The sentence that says which ones it can change.
pub fn changeable(mta: &dyn Mta, mtas: &[Box<dyn Mta>]) -> Result<(), MtaError> {
    if mta.is_changeable() {
        return Ok(());
    }
    let can: Vec<&str> =
        mtas.iter().filter(|mta| mta.is_changeable()).map(|mta| mta.kind().title()).collect();
    let can = match can.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        can => can.concat(),
    };
    let what =
        format!("{} is recognised, but this version cannot change it yet; it can change {can}", mta.kind());
    Err(MtaError::Cannot(Reason::MtaUnsupported, what))
}

/// Which MTA this machine runs, judged by what is on it; never the sandbox.
///
/// # Errors
/// What was looked for and what was found.
pub fn detect<'a>(mtas: &'a [Box<dyn Mta>], host: &dyn View) -> Result<&'a dyn Mta, MtaError> {
    let mut best: Vec<&dyn Mta> = Vec::new();
    let mut best_presence = Presence::Installed;
    let real = || mtas.iter().map(Box::as_ref).filter(|mta| mta.kind() != sandbox::KIND);
    for mta in real() {
        match mta.presence(host) {
            Presence::Missing => {}
            Presence::Installed if best_presence == Presence::Runs => {}
            presence => {
                if presence != best_presence {
                    best.clear();
                    best_presence = presence;
                }
                best.push(mta);
            }
        }
    }
    match best.as_slice() {
        [one] => Ok(*one),
        [] => {
            let looked: Vec<String> =
                real().map(|mta| format!("{} ({})", mta.kind(), mta.looked_for())).collect();
            let what = format!("no mail server was found; looked for {}", looked.join(", "));
            Err(MtaError::Cannot(Reason::MtaMissing, what))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|mta| mta.kind().name()).collect();
            let how = if best_presence == Presence::Runs { "run" } else { "are installed" };
            let what = format!("{} {how}; choose one with --mta or [mta] kind", names.join(" and "));
            Err(MtaError::Cannot(Reason::MtaAmbiguous, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_mail_servers_are_called_the_same() {
        let kinds = kinds();
        assert!(kinds.iter().all(|kind| named(kind.name()) == Some(*kind)), "{kinds:?}");
    }

    #[test]
    fn what_cannot_be_changed_is_refused_with_what_can() {
        let mtas = unconfigured();
        let error = changeable(&opensmtpd::OPENSMTPD, &mtas).unwrap_err().to_string();
        let (why, which) = error.split_once("; it can change ").unwrap();
        assert_eq!(why, "opensmtpd is recognised, but this version cannot change it yet");
        for mta in &mtas {
            let is_named = which.contains(mta.kind().title());
            assert_eq!(is_named, changeable(&**mta, &mtas).is_ok(), "{which}: {}", mta.kind());
        }
        assert!(which.starts_with("Postfix, Exim, ") && which.ends_with(" and the sandbox"), "{which}");
    }

    #[test]
    fn each_mail_server_that_can_be_changed_has_a_manual_page() {
        for mta in unconfigured() {
            assert_eq!(mta.manual().is_some(), mta.is_changeable(), "{}", mta.kind());
        }
    }
}
