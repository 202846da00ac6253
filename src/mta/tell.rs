//! The ways in which a mail server is told that its configuration has changed: a closed set.
//!
//! A sheet says what is to be told, and to whom; `change` tells it, waits, and says what failed. A new way is a change of
//! `change::tell`, too.

use std::path::PathBuf;

use crate::sys::{Command, Process, Signal};

/// How an MTA is told that its configuration has changed.
#[derive(Debug, Clone)]
pub enum Tell {
    /// A signal to a process of its own.
    Signal(Process, Signal),
    /// What systemd is asked to do with one of its units.
    Unit {
        /// `reload`, `start`, `stop` or `restart`.
        verb: &'static str,
        /// The unit.
        unit: String,
    },
    /// A control command that ends or starts a daemon of its own and returns when that is done.
    Daemon(Command),
    /// A process of its own is to end: it is asked, then made to.
    End(Process),
    /// Bytes for whoever supervises it (supervise(8), runsv(8)).
    Supervise {
        /// The FIFO that the supervisor reads.
        control: PathBuf,
        /// One letter for each command.
        letters: &'static str,
        /// The process that ends of them, to be waited for.
        ends: Option<Process>,
    },
    /// Whoever supervises is to end what is supervised and then itself; nobody need be there.
    Dismiss {
        /// The FIFO that the supervisor reads.
        control: PathBuf,
    },
}
