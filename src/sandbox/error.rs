//! Why there is no server, or none could be ended, in the one line that a command says of it.
//!
//! The words of the system are those that any mail server would log. Who reads them is known to nobody here.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;

use super::certificate::CertificateError;
use super::configuration::ReadError;

/// How long a lock is waited for; the sentences say it.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    #[error("{}: held by process {holder}, which has not ended within {} s", path.display(), LOCK_WAIT.as_secs())]
    Held { path: PathBuf, holder: String },
    #[error("{}: {}", path.display(), words(.source))]
    Lock { path: PathBuf, source: io::Error },
    #[error("{}: is not this process's standard input and lock; `sandbox daemon` starts the server", path.display())]
    NotOurs { path: PathBuf },
    #[error("cannot start the server: {}", words(.0))]
    Spawn(io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("the server ended without a word")]
    Mute,
    #[error("{}", conf_words(.0))]
    Conf(#[from] ReadError),
    #[error("{}: no listener", path.display())]
    NoListener { path: PathBuf },
    #[error("{}: changed while the server started", path.display())]
    Changed { path: PathBuf },
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("bind {address}: {}", words(.source))]
    Bind { address: SocketAddr, source: io::Error },
    #[error("process {pid}: {reason}")]
    Companion { pid: i32, reason: &'static str },
    #[error("cannot start a thread: {}", words(.0))]
    Thread(io::Error),
    #[error("whoever asked for it has ended")]
    Unasked,
    #[error("{}: another command has not ended within {} s", path.display(), LOCK_WAIT.as_secs())]
    Busy { path: PathBuf },
    #[error("standard streams: {}", words(.0))]
    Streams(io::Error),
}

/// The system's own words, without the number that the standard library adds.
fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

pub(super) fn conf_words(error: &ReadError) -> String {
    match error {
        ReadError::Read { path, source } => format!("{}: {}", path.display(), words(source)),
        ReadError::Fault { .. } => error.to_string(),
    }
}
