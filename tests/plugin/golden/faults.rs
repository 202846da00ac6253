//! Faults that are laid over a recording: `faults.jsonl` of a case, a line each.
//!
//! A line says at which call (`run` and the command's beginning, `signal` and the name of who gets it, `feed` and a
//! FIFO, `write` and a path, `lock`, `bind`, `dialogue`, `holder`), the how-manieth of them (`nth`; absent is each), and what becomes of it.
//! A command with a fault changes nothing: the scene stays. The line `{"deadline": SECONDS}` gives the case's changes that
//! long, so that waiting in vain is short.

use serde::Deserialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::recording::lines;

/// Which call fails.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum At {
    /// A command whose words, joined, begin like this.
    Run(String),
    /// A signal to the process of this name.
    Signal(String),
    /// What is written into this FIFO.
    Feed(PathBuf),
    /// The writing of this file.
    Write(PathBuf),
    /// The taking of this lock.
    Lock(PathBuf),
    /// The binding of a socket.
    Bind(SocketAddr),
    /// A dialogue.
    Dialogue(SocketAddr),
    /// The question who holds the listener on this port.
    Holder(u16),
}

/// What becomes of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    /// The command ends with this status, having done nothing.
    Exit(i32),
    /// The command is killed by this signal.
    Killed(i32),
    /// The command is killed at its deadline, after this many seconds.
    Hangs(f64),
    /// The system says "permission denied".
    Denied(bool),
    /// The lock is held by this process.
    HeldBy(i32),
    /// The signal, or what is written into the FIFO, changes nothing.
    Lost(bool),
    /// The signal does what this command does.
    Instead(Vec<String>),
    /// The listener takes mail without AUTH, on the last channel that it offers.
    TakesMail(bool),
    /// The listener offers no AUTH, on the last channel that it offers.
    NoAuth(bool),
}

/// A fault.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Fault {
    /// Where.
    #[serde(flatten)]
    at: At,
    /// The how-manieth call, from 1; absent is each.
    nth: Option<usize>,
    /// What happens.
    #[serde(flatten)]
    then: Then,
    /// What a command complains of.
    #[serde(default)]
    stderr: String,
}

/// The faults of a case.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    /// How long a change may take, in seconds.
    pub(super) deadline: Option<f64>,
    /// The faults, and how often each call has been met.
    laid: Vec<(Fault, usize)>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Deadline { deadline: f64 },
    Fault(Fault),
}

impl Faults {
    /// Those that stand in a file; `None` where there is none.
    pub(super) fn load(path: &Path) -> Option<Self> {
        let mut faults = Self::default();
        for line in path.exists().then(|| lines(path).unwrap())? {
            match line {
                Line::Deadline { deadline } => faults.deadline = Some(deadline),
                Line::Fault(fault) => faults.laid.push((fault, 0)),
            }
        }
        Some(faults)
    }

    /// What becomes of this call, if not what was recorded, and what it complains of.
    pub(super) fn strike(&mut self, met: impl Fn(&At, &Then) -> bool) -> Option<(Then, String)> {
        let mut struck = None;
        for (fault, calls) in self.laid.iter_mut().filter(|(fault, _)| met(&fault.at, &fault.then)) {
            *calls += 1;
            if fault.nth.is_none_or(|nth| nth == *calls) {
                struck = struck.or_else(|| Some((fault.then.clone(), fault.stderr.clone())));
            }
        }
        struck
    }
}
