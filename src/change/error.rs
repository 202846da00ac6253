//! What can go wrong with a change, each with its reason.
//!
//! One variant per operation that can fail. Its reason, without which it does not compile, gives the status number; its text
//! says what is wrong. What became of the change that failed of it is added by `failure`.

use std::fmt;
use std::path::PathBuf;

use super::block::Unpaired;
use crate::mta::{Kind, MtaError, of_command, of_file};
use crate::sys::{CommandError, FileError, SmtpError};
use crate::wire::problem::{FieldFault, Holder, Problem};
use crate::wire::reason::Reason;
use crate::wire::status::Status;
use crate::wire::text::{chain, printable};

/// Why a change, or a part of one, did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The input does not fit this machine.
    #[error("the input was refused")]
    Refused(Vec<FieldFault>),
    /// Never configured.
    #[error("the alternate SMTP server was never configured; call update first")]
    Unconfigured,
    /// Another MTA than the one that was configured.
    #[error(
        "it was configured for {configured}, but here is {found}; mail-smtp2 remove takes out what was made for \
         {configured}, then call update and start"
    )]
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
        /// Program and pid, as a sentence names them.
        holder: String,
        /// The same for a program.
        who: Box<Holder>,
    },
    /// The mail server itself cannot start, because the port that it is to open for us is somebody else's.
    #[error("{what}")]
    StartsNot {
        /// What helps.
        what: String,
        /// Who has the port.
        who: Box<Holder>,
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
    /// It did not come up, or not as a listener does; or something else does not do any more what it did.
    #[error("the listener could not be proven: {1}")]
    Unproven(Reason, Finding),
    /// It listens, but a client is not answered as the mode promises.
    #[error("the listener could not be proven: {0}")]
    Unfit(Finding),
    /// It put its clients off until the deadline.
    #[error("the deadline passed while {0}")]
    PutOff(Finding),
    /// A change that was interrupted before was found.
    #[error("an interrupted {0} was found")]
    Interrupted(String),
    /// The primary server does not answer as it did before.
    #[error("the mail server does not answer at {at} as it did before")]
    Primary {
        /// Where.
        at: std::net::SocketAddr,
        /// What came instead.
        source: SmtpError,
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
    /// The lock is held beyond the wait.
    #[error("{}", keeper(.0))]
    LockHeld(Box<Holder>),
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
    /// Its reason, as long as nothing was written: the one place where each failure of a change says why.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused(_) => Reason::Input,
            Self::Unconfigured => Reason::NeverConfigured,
            Self::OtherMta { .. } => Reason::OtherMta,
            Self::PortHeld { .. } | Self::StartsNot { .. } => Reason::PortHeld,
            Self::PortClaimed { .. } => Reason::PortClaimed,
            Self::PortDenied { .. } => Reason::PortDenied,
            Self::PortOdd { .. } => Reason::KernelFailed,
            Self::Moved { .. } => Reason::FileChanging,
            Self::NotOurs { .. } | Self::Stranger { .. } => Reason::FileForeign,
            Self::Marks { .. } | Self::Garbled { .. } => Reason::EntryDamaged,
            Self::Left(_) => Reason::StateLeft,
            Self::Check { .. } => Reason::ConfigurationRefused,
            Self::Tell { .. } | Self::Signal { .. } => Reason::TellFailed,
            Self::EditLock { .. } => Reason::FileLocked,
            Self::Unproven(reason, _) => *reason,
            Self::Unfit(_) => Reason::ListenerUnfit,
            Self::PutOff(_) => Reason::ListenerSlow,
            Self::Interrupted(_) => Reason::Interrupted,
            Self::Primary { .. } => Reason::PrimaryDisturbed,
            Self::Interfaces(_) => Reason::KernelUnsupported,
            Self::Deadline { .. } => Reason::DeadlinePassed,
            Self::LockHeld(_) => Reason::LockHeld,
            Self::Mta(error) => error.reason(),
            Self::File(error) => of_file(error),
            Self::Command(error) => of_command(error),
            Self::Unreadable { .. } => Reason::StateUnreadable,
            Self::Newer { .. } => Reason::StateNewer,
            Self::Encode(_) => Reason::Internal,
        }
    }

    /// Its number, as long as nothing was written.
    pub fn status(&self) -> Status {
        self.reason().status()
    }

    /// What a program is told of it.
    pub fn problem(&self) -> Problem {
        let reason = self.reason();
        let fields = match (self, reason.row().field) {
            (Self::Refused(faults), _) => return Problem::of_fields(faults),
            (_, Some(field)) => vec![FieldFault::new(field, reason.row().name, chain(self))],
            (_, None) => Vec::new(),
        };
        let holder = match self {
            Self::PortHeld { who, .. } | Self::StartsNot { who, .. } | Self::LockHeld(who) => {
                Some((**who).clone())
            }
            _ => None,
        };
        let said = match self {
            Self::Check { message } | Self::Tell { message, .. } => Some(message.clone()),
            Self::Unproven(_, found) | Self::Unfit(found) | Self::PutOff(found) => found.said.clone(),
            Self::Primary { source, .. } => source.reply().map(|reply| printable(reply.to_string())),
            Self::Mta(error) => error.said(),
            _ => None,
        };
        Problem { fields, holder, said, ..reason.into() }
    }
}

/// What a look at a listener has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In words.
    pub what: String,
    /// What the mail server itself has said, if that is it.
    pub said: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<String> for Finding {
    fn from(what: String) -> Self {
        Self { what, said: None }
    }
}

impl From<&str> for Finding {
    fn from(what: &str) -> Self {
        what.to_owned().into()
    }
}

impl From<SmtpError> for Finding {
    fn from(error: SmtpError) -> Self {
        Self { what: chain(&error), said: error.reply().map(|reply| printable(reply.to_string())) }
    }
}

/// Who has the lock, which action that is, and since when.
fn keeper(holder: &Holder) -> String {
    let mut text = match (holder.pid, &holder.program) {
        (Some(pid), Some(program)) => format!("the lock is held by {program} (pid {pid})"),
        (Some(pid), None) => format!("the lock is held by process {pid}"),
        (None, _) => "the lock is held by another process".to_owned(),
    };
    if let (Some(action), Some(since)) = (&holder.action, &holder.since) {
        text += &format!(" for {action}, since {since}");
    }
    text + "; send this again when that is over"
}

/// A refusal of one field.
pub fn refuse(field: &str, keyword: &'static str, message: impl Into<String>) -> ChangeError {
    ChangeError::Refused(vec![FieldFault::new(field, keyword, message)])
}
