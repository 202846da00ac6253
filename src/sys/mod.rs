//! The machine: files, commands, sockets, processes, the clock, and SMTP as a client sees it.
//!
//! The trait [`Host`] is all that the floors above ask of it, [`View`] the part of it that only looks; [`Local`] is the real
//! machine, and tests have a recorded one. What a mail server is, what a change is and what a status number is, is said
//! above. Each file has its own errors, which name the operation and what it was done to.

pub mod certificate;
pub mod command;
pub mod deadline;
mod established;
pub mod files;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/sys.rs"]
pub mod fuzz;
pub mod host;
pub mod inherited;
pub mod journal;
pub mod local;
mod net;
pub mod pidfd;
pub mod process;
pub mod signal;
pub mod smtp;
pub mod sockets;
pub mod talk;
pub mod tls;
pub mod watch;

pub use certificate::Certificate;
pub use command::{Command, CommandError, Ended, Output};
pub use deadline::Deadline;
pub use established::established;
pub use files::{EditLock, Entry, EntryKind, FileError, Lock, LockError, LockHolder, Meta, Stamp};
pub use host::{Host, View};
pub use journal::Severity;
pub use local::Local;
pub use net::Socket;
pub use process::{Process, SightError, Who};
pub use signal::Signal;
pub use smtp::{Asked, Dialogue, Layer, Question, Recipient, Reply, SmtpError};
pub use sockets::{Held, SocketError};
