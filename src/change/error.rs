//! What can go wrong with a change, each with its number.
//!
//! Answers for: one variant per operation that can fail, the status of each (a variant without one does not
//! compile), and the sentence that says what is wrong and what state the service is in. Does not know: how the
//! sentence reaches the host.

use std::path::PathBuf;

use super::block::Unpaired;
use crate::mta::{Kind, MtaError};
use crate::sys::{CommandError, FileError, LockError};
use crate::wire::envelope::FieldFault;
use crate::wire::status::Status;
use crate::wire::text::chain;

/// Why a change, or a part of one, did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The input does not fit this machine.
    #[error("the input was refused")]
    Refused(Vec<FieldFault>),
    /// Never configured.
    #[error("the alternate SMTP server was never configured; call update first")]
    Unconfigured,
    /// No MTA, or more than one.
    #[error("{0}")]
    Unavailable(String),
    /// Another MTA than the one that was configured.
    #[error("it was configured for {configured}, but here is {found}; remove the old configuration first")]
    OtherMta {
        /// In the settings.
        configured: Kind,
        /// Asked for, or found.
        found: Kind,
    },
    /// The port is somebody else's.
    #[error("port {port} is held by {holder}")]
    PortHeld {
        /// The port.
        port: u16,
        /// Program and pid.
        holder: String,
    },
    /// The port is spoken of elsewhere in the MTA's configuration.
    #[error("port {port} is meant by {by}")]
    PortClaimed {
        /// The port.
        port: u16,
        /// The entry.
        by: String,
    },
    /// The port may not be bound.
    #[error(
        "port {port} may not be bound by this user; take one above 1023, such as 2587, or run the plugin as root"
    )]
    PortDenied {
        /// The port.
        port: u16,
    },
    /// The port cannot be tried.
    #[error("port {port} cannot be tried")]
    PortOdd {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// The file was written by somebody between our read and our write.
    #[error("{} was changed by somebody else again and again", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// The marks of our block do not pair up.
    #[error("{} must be mended by hand", path.display())]
    Marks {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Unpaired,
    },
    /// A file that is wholly ours was written by somebody while a change was under way.
    #[error("{} was written by somebody else meanwhile; put it right by hand", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else's file stands in a folder that goes.
    #[error("{} was put there by somebody else; move it away first", path.display())]
    Stranger {
        /// The file.
        path: PathBuf,
    },
    /// Our block cannot be understood, and nothing else tells what it was for.
    #[error("the block of mail-smtp2 in {} cannot be understood; mend it or take it out by hand", path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
    },
    /// `remove` has done its work, but for the state.
    #[error(
        "the service is stopped and out of the mail server's configuration, but what it had could not be removed"
    )]
    Left(#[source] Box<Self>),
    /// The MTA's own check refuses it.
    #[error("the MTA refuses the configuration: {message}")]
    Check {
        /// Its message.
        message: String,
    },
    /// A control command failed.
    #[error("{command} failed: {message}")]
    Tell {
        /// Its program and verb.
        command: String,
        /// Its message.
        message: String,
    },
    /// A process could not be signalled.
    #[error("{name} (pid {pid}) could not be signalled")]
    Signal {
        /// Its name.
        name: String,
        /// Its pid.
        pid: i32,
        /// Why.
        source: std::io::Error,
    },
    /// The lock of the MTA's own tools was not to be had in time.
    #[error("the deadline passed while somebody else kept {} locked", path.display())]
    EditLock {
        /// The lock.
        path: PathBuf,
    },
    /// It runs, but does not do what the mode promises.
    #[error("the listener could not be proven: {0}")]
    Unproven(String),
    /// It listens, but a client is not answered as the mode promises.
    #[error("the listener could not be proven: {0}")]
    Unfit(String),
    /// The primary server does not answer as it did before.
    #[error("the mail server does not answer at {at} as it did before")]
    Primary {
        /// Where.
        at: std::net::SocketAddr,
        /// What came instead.
        source: crate::sys::SmtpError,
    },
    /// This machine's addresses cannot be found out.
    #[error("the addresses of this machine cannot be found out")]
    Interfaces(#[source] std::io::Error),
    /// Time is up.
    #[error("the deadline passed while {step}")]
    Deadline {
        /// What it was waiting for.
        step: String,
    },
    /// The lock is held beyond the wait, or cannot be had.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A part of the MTA's.
    #[error(transparent)]
    Mta(#[from] MtaError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A command that did not run.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// State that is not what we write.
    #[error("{} is not as mail-smtp2 wrote it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// State that a newer version wrote.
    #[error(
        "the state was written by a newer version (format {theirs}, this one knows {ours}); upgrade this plugin"
    )]
    Newer {
        /// In the file.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// State that cannot be put into JSON.
    #[error("the state cannot be encoded")]
    Encode(#[source] serde_json::Error),
}

impl ChangeError {
    /// Its number, as long as nothing was written.
    pub fn status(&self) -> Status {
        match self {
            Self::Refused(_) => Status::Refused,
            Self::Unconfigured => Status::Unconfigured,
            Self::Unavailable(_) => Status::Unavailable,
            Self::OtherMta { .. } | Self::PortHeld { .. } | Self::PortClaimed { .. } | Self::Moved { .. } => {
                Status::Conflict
            }
            Self::NotOurs { .. } | Self::Stranger { .. } => Status::Conflict,
            Self::PortDenied { .. } => Status::Denied,
            Self::Marks { .. }
            | Self::Garbled { .. }
            | Self::Check { .. }
            | Self::File(FileError::Irregular { .. }) => Status::Broken,
            Self::Unproven(_)
            | Self::Unfit(_)
            | Self::Primary { .. }
            | Self::Tell { .. }
            | Self::Signal { .. } => Status::Unproven,
            Self::Deadline { .. } | Self::EditLock { .. } | Self::Command(CommandError::TimedOut { .. }) => {
                Status::Deadline
            }
            Self::Lock(LockError::Held { .. }) => Status::Conflict,
            Self::Lock(LockError::File(e)) | Self::File(e) if e.denied() => Status::Denied,
            Self::Mta(e) => e.status(),
            Self::Interfaces(_) => Status::Unsupported,
            Self::Lock(LockError::File(_))
            | Self::File(_)
            | Self::Left(_)
            | Self::PortOdd { .. }
            | Self::Command(_)
            | Self::Unreadable { .. }
            | Self::Newer { .. }
            | Self::Encode(_) => Status::Fault,
        }
    }
}

/// A refusal of one field.
pub fn refuse(field: &str, message: impl Into<String>) -> ChangeError {
    ChangeError::Refused(vec![FieldFault::new(field, message)])
}

/// How far a failed change had come, and what became of it.
#[derive(Debug)]
pub enum Undone {
    /// Nothing was written.
    Nothing,
    /// It was taken back, and the old state is proven.
    All,
    /// It could not be taken back.
    Stuck(Box<ChangeError>),
}

/// A change that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Box<ChangeError>,
    /// What became of it.
    pub undone: Undone,
    /// Which log says more, and what it says last.
    pub log: Option<String>,
}

impl<E: Into<ChangeError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error.into()), undone: Undone::Nothing, log: None }
    }
}

impl Failure {
    /// Its number.
    pub fn status(&self) -> Status {
        match (&self.undone, self.error.status()) {
            (Undone::Nothing, status) => status,
            // What was in the way is what matters, now that all is as before.
            (Undone::All, status @ (Status::Deadline | Status::Conflict)) => status,
            (Undone::All, _) => Status::Unproven,
            (Undone::Stuck(_), _) => Status::Failed,
        }
    }

    /// Whether the input was refused, of which nothing is written down.
    pub fn is_refusal(&self) -> bool {
        matches!(&*self.error, ChangeError::Refused(_))
    }

    /// Whether nothing was written because a file was not as it had been read.
    pub fn moved(&self) -> bool {
        matches!((&*self.error, &self.undone), (ChangeError::Moved { .. }, Undone::Nothing))
    }

    /// What is wrong.
    pub fn sentence(&self) -> String {
        let mut what = chain(&*self.error);
        if let Some(log) = &self.log {
            what = format!("{what}; {log}");
        }
        match &self.undone {
            Undone::Nothing => format!("{what}; nothing was changed"),
            Undone::All => format!("{what}; the change was rolled back"),
            Undone::Stuck(error) => {
                format!("{what}; and it could not be rolled back: {}", chain(&**error))
            }
        }
    }

    /// What is wrong, and what state the service is in.
    pub fn told(&self, state: &str) -> String {
        match &*self.error {
            // They say the state themselves.
            ChangeError::Unconfigured => self.sentence(),
            ChangeError::Left(_) => chain(&*self.error),
            _ => format!("{}, {state}", self.sentence()),
        }
    }
}
