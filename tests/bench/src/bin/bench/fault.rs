//! What can go wrong in a run: one variant per operation, each with what a reader needs to act on it.
//!
//! It answers for the sentences only. A fault of one figure is printed in that figure's row and ends that
//! figure; `Interrupted` ends the run; both are decided elsewhere.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("cannot start {}: {source}", program.display())]
    Spawn { program: PathBuf, source: io::Error },
    #[error("{doing}: {source}")]
    Machine { doing: String, source: io::Error },
    #[error("the server's pipe: {0}")]
    Pipe(#[from] rustix::io::Errno),
    #[error("the server ended in the middle of a conversation{}", said(.0))]
    Ended(String),
    #[error("no reply within {seconds} s, the server was killed")]
    Hung { seconds: u64 },
    #[error("wrong reply ({why}): {reply}")]
    Reply { why: String, reply: String },
    #[error("the server did not end well after its input ended: {0}")]
    End(ExitStatus),
    #[error("the server did not end within {seconds} s after its input ended")]
    Lingers { seconds: u64 },
    #[error("`{action}` by a process of its own: {status}, it printed {printed:?}{}", said(.stderr))]
    Call { action: String, status: ExitStatus, printed: String, stderr: String },
    #[error("no free port between {low} and {high} on the loopback addresses")]
    NoPort { low: u16, high: u16 },
    #[error("{0}")]
    NotNow(String),
    #[error("interrupted")]
    Interrupted,
}

impl Fault {
    pub fn machine(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Fault {
        let doing = doing.into();
        move |source| Fault::Machine { doing, source }
    }
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; on its stderr: {stderr}") }
}
