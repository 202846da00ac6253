//! Mail servers as answer sheets: the list of all there are, and which of them this machine runs.
//!
//! A new one is a file (or folder) here and a line in [`all`]; what a sheet says stands in [`sheet`]. Where several are
//! installed, the one that runs is meant, or the one that the configuration names.

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

/// All mail servers, in the order of [`Kind::ALL`]; those that are configured as they are.
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

/// Which MTA this machine runs, judged by what is on it; never the sandbox.
///
/// # Errors
/// What was looked for and what was found.
pub fn detect<'a>(mtas: &'a [Box<dyn Mta>], host: &dyn View) -> Result<&'a dyn Mta, MtaError> {
    let mut best: Vec<&dyn Mta> = Vec::new();
    let mut best_presence = Presence::Installed;
    let real = || mtas.iter().map(Box::as_ref).filter(|mta| mta.kind() != Kind::Sandbox);
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
    fn there_is_one_answer_sheet_of_each_kind_in_the_order_of_the_kinds() {
        let sandbox = sandbox::Sandbox { program: "/p".into(), dir: "/d".into(), with: None };
        let kinds: Vec<Kind> = all(qmail::Qmail::default(), sandbox).iter().map(|mta| mta.kind()).collect();
        assert_eq!(kinds, Kind::ALL);
        assert!(Kind::ALL.iter().enumerate().all(|(at, kind)| *kind as usize == at));
    }
}
