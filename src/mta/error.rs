//! Why a mail server's part of a change or a read cannot be had, each with its reason.
//!
//! A sheet's own objections are [`MtaError::Cannot`], with a sentence that says what helps; what the machine refused comes
//! from `sys` as it is. The number of a reason is `wire::reason`'s.

use super::kind::Kind;
use crate::sys::{CommandError, FileError, SightError, SocketError};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// Who hears what speaks against a listener: with `Err` the first objection ends the questions.
pub type Objection<'a> = dyn FnMut(MtaError) -> Result<(), MtaError> + 'a;

/// Why an MTA's part of a change or a read cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MtaError {
    /// It is not as a listener needs it, for this reason, and what helps.
    #[error("{1}")]
    Cannot(Reason, String),
    /// The administrator's configuration is broken already.
    #[error("the configuration of {kind} is broken: {message}")]
    Broken {
        /// Which MTA.
        kind: Kind,
        /// What its own program says.
        message: String,
    },
    /// One of its programs was killed.
    #[error("{program} was ended by signal {signal}; try again")]
    Killed {
        /// The program.
        program: String,
        /// By which signal.
        signal: i32,
    },
    /// One of its programs did not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The socket table or a holder could not be read.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// One of its processes could not be looked into, or is somewhere else.
    #[error(transparent)]
    Sight(#[from] SightError),
}

impl MtaError {
    /// Its reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Cannot(reason, _) => *reason,
            Self::Broken { .. } => Reason::ConfigurationBroken,
            Self::Killed { .. } => Reason::CommandKilled,
            Self::Command(error) => of_command(error),
            Self::File(error) => of_file(error),
            Self::Socket(error) => of_socket(error),
            Self::Sight(_) => Reason::NotSeen,
        }
    }

    /// What its own program has said.
    pub fn said(&self) -> Option<String> {
        match self {
            Self::Broken { message, .. } => Some(message.clone()),
            Self::Command(CommandError::TimedOut { stderr, .. }) if !stderr.trim_ascii().is_empty() => {
                Some(printable(stderr))
            }
            Self::Cannot(..)
            | Self::Killed { .. }
            | Self::Command(_)
            | Self::File(_)
            | Self::Socket(_)
            | Self::Sight(_) => None,
        }
    }
}

/// The reason of a command that did not run to its end.
pub fn of_command(error: &CommandError) -> Reason {
    match error {
        CommandError::TimedOut { .. } => Reason::DeadlinePassed,
        CommandError::Spawn { .. } | CommandError::Wait { .. } => Reason::CommandFailed,
    }
}

/// The reason of a file that could not be had.
pub fn of_file(error: &FileError) -> Reason {
    match error {
        FileError::Irregular { .. } => Reason::FileIrregular,
        error if error.denied() => Reason::FileDenied,
        FileError::Read { .. }
        | FileError::Write { .. }
        | FileError::Irreplaceable { .. }
        | FileError::Untrusted { .. } => Reason::FileFailed,
    }
}

fn of_socket(error: &SocketError) -> Reason {
    match error {
        SocketError::Denied { .. } | SocketError::Elsewhere { .. } => Reason::NotSeen,
        SocketError::Untold { .. } => Reason::KernelUnsupported,
        SocketError::Ask { .. }
        | SocketError::Refused { .. }
        | SocketError::Malformed { .. }
        | SocketError::Changing { .. }
        | SocketError::Unseen { .. } => Reason::KernelFailed,
    }
}
