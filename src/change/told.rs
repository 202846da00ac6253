//! A telling in words: who is told, and what; for the log and for a plan.
//!
//! Also what is left of one where its listener has been ended before. Does no telling, which is `tell`, and cannot fail.

use crate::mta::Tell;
use crate::sys::{Process, Signal};
use crate::wire::text::printable;

/// A telling as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Who: a process, a unit, a program, a supervisor's FIFO.
    pub who: String,
    /// What: a signal, a verb of systemd's, a command line, a supervisor's letters.
    pub what: String,
}

/// The words of a telling; none where it only waits.
pub(super) fn words(tell: &Tell) -> Option<Told> {
    let (who, what) = match tell {
        Tell::Signal(process, signal) => (named(process), signal_name(*signal).to_owned()),
        Tell::Unit { verb, unit } => (printable(unit), (*verb).to_owned()),
        Tell::Daemon(command) => {
            let words: Vec<String> =
                command.argv().iter().map(|word| printable(word.as_encoded_bytes())).collect();
            (words.first().cloned().unwrap_or_default(), words.join(" "))
        }
        Tell::End(process) => (named(process), signal_name(Signal::Terminate).to_owned()),
        Tell::Supervise { letters: "", .. } => return None,
        Tell::Supervise { control, letters, .. } => (control.display().to_string(), (*letters).to_owned()),
        Tell::Dismiss { control } => (control.display().to_string(), "dx".to_owned()),
    };
    Some(Told { who, what })
}

/// What is still told when all that it would end has ended.
pub(super) fn once_ended(tell: Tell) -> Option<Tell> {
    match tell {
        Tell::End(_) => None,
        Tell::Supervise { control, letters, .. } => {
            letters.contains('u').then_some(Tell::Supervise { control, letters: "u", ends: None })
        }
        other => Some(other),
    }
}

fn named(process: &Process) -> String {
    format!("{} (pid {})", printable(&process.name), process.pid)
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Hangup => "SIGHUP",
        Signal::Terminate => "SIGTERM",
        Signal::Kill => "SIGKILL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(letters: &'static str) -> Tell {
        Tell::Supervise { control: "/service/smtp2/supervise/control".into(), letters, ends: None }
    }

    #[test]
    fn a_supervisor_is_told_letters_and_one_that_is_only_waited_for_nothing() {
        let told = words(&letters("tcu")).unwrap();
        assert_eq!((told.who.as_str(), told.what.as_str()), ("/service/smtp2/supervise/control", "tcu"));
        assert_eq!(words(&letters("")), None);
    }

    #[test]
    fn where_a_service_is_down_it_is_only_started() {
        let left = |tell| once_ended(tell).and_then(|tell| words(&tell)).map(|told| told.what);
        assert_eq!((left(letters("tcu")).as_deref(), left(letters("d"))), (Some("u"), None));
    }
}
