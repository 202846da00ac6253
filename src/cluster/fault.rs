//! Why a node did not answer with an envelope, and what is then known of the service there.
//!
//! Each way in which a node fails has a sentence of its own, which says what the administrator can do about it. Where a
//! fault is noticed is `channel`'s and `ssh`'s. What a node or ssh has said is quoted up to a limit.

use std::time::Duration;

use crate::action::Lane;
use crate::wire::problem::Problem;
use crate::wire::reason::Reason;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// ssh was not even started.
    #[error("ssh cannot be started here: {0}")]
    Start(String),
    /// ssh ended before the node's plugin did anything, or lost it.
    #[error("{told} (ssh says: {said})")]
    Ssh {
        /// What that means, and what to do.
        told: &'static str,
        /// ssh's own words.
        said: String,
    },
    /// ssh is older than some of the options that it was called with, and is called without them then.
    #[error("ssh here is too old ({said})")]
    Older {
        /// How many groups of newer options it knows.
        known: usize,
        /// ssh's own words.
        said: String,
    },
    /// The shell there found no plugin.
    #[error("no mail-smtp2 is on the PATH there; install it as /usr/local/bin/mail-smtp2 ({said})")]
    NotInstalled {
        /// The shell's own words.
        said: String,
    },
    /// The shell there, or the loader of programs, did not find something else.
    #[error(
        "what is to be started there was not found (exit status 127); see the command in authorized_keys, and install \
         the plugin there anew: {said}"
    )]
    NotStarted {
        /// Their own words.
        said: String,
    },
    /// The shell there may not start the plugin.
    #[error(
        "the mail-smtp2 there cannot be executed; look at its mode and for which machine it was built ({said})"
    )]
    NotExecutable {
        /// The shell's own words.
        said: String,
    },
    /// The plugin there ended by itself.
    #[error("the plugin there ended with exit status {code}: {said}")]
    Ended {
        /// Its status.
        code: i32,
        /// The last line of its stderr.
        said: String,
    },
    /// The session has ended without ssh having anything to say of it.
    #[error("the plugin there was killed, or ended with exit status 255: {said}")]
    Killed {
        /// The last line of its stderr.
        said: String,
    },
    /// Something was said before the first message, and then the session ended.
    #[error(
        "the login there ended before the plugin spoke; see that the user's shell and the command in authorized_keys \
         start mail-smtp2: {said}"
    )]
    LoginEnded {
        /// What was said.
        said: String,
    },
    /// ssh or the plugin there was killed, or closed its output and went on.
    #[error("the connection to the plugin there broke")]
    Broke,
    /// Something stood before the first message.
    #[error(
        "something there prints text before the plugin speaks, which has to be silenced (a shell's start-up file, most \
         likely): {0}"
    )]
    Rubbish(String),
    /// Something in the middle was no message.
    #[error("what came from there is no reply of mail-smtp2: {0}")]
    Garbled(String),
    /// A reply was longer than any of ours.
    #[error("a reply from there is longer than {0} bytes and was not read")]
    TooLong(usize),
    /// Another major version.
    #[error(
        "mail-smtp2 {there} runs there and {here} here, which do not understand each other; install the same version"
    )]
    Version {
        /// Of the node.
        there: String,
        /// Of this machine.
        here: &'static str,
    },
    /// The deadline passed.
    #[error("no answer came within {0:?} ([deadlines] node), and the connection was given up")]
    Silent(Duration),
    /// The plugin there answered with an error object.
    #[error("the plugin there answers with the error {code}: {message}")]
    Error {
        /// Its number.
        code: i64,
        /// Its text.
        message: String,
    },
    /// We closed the channel ourselves.
    #[error("the connection was closed here")]
    Closed,
}

impl Fault {
    /// Why, for a program.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Start(_) | Self::Ssh { .. } | Self::Older { .. } => Reason::NodeUnreachable,
            Self::NotInstalled { .. }
            | Self::NotStarted { .. }
            | Self::NotExecutable { .. }
            | Self::LoginEnded { .. } => Reason::NodeWithoutPlugin,
            Self::Ended { .. } | Self::Killed { .. } | Self::Broke | Self::Closed => Reason::NodeLost,
            Self::Rubbish(_) | Self::Garbled(_) | Self::TooLong(_) => Reason::NodeGarbled,
            Self::Version { .. } => Reason::NodeVersion,
            Self::Silent(_) => Reason::NodeSilent,
            Self::Error { .. } => Reason::NodeRefused,
        }
    }

    /// What ssh or a shell has said.
    fn said(&self) -> Option<&str> {
        match self {
            Self::Ssh { said, .. }
            | Self::Older { said, .. }
            | Self::NotInstalled { said }
            | Self::NotStarted { said }
            | Self::NotExecutable { said }
            | Self::LoginEnded { said }
            | Self::Killed { said }
            | Self::Ended { said, .. } => Some(said),
            Self::Start(_)
            | Self::Broke
            | Self::Rubbish(_)
            | Self::Garbled(_)
            | Self::TooLong(_)
            | Self::Version { .. }
            | Self::Silent(_)
            | Self::Error { .. }
            | Self::Closed => None,
        }
    }
}

/// A request without an envelope as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub fault: Fault,
    /// Whether the node may have carried it out.
    pub fate: Fate,
}

/// What became of a request that was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never reached the plugin there, or was turned away.
    NotBegun,
    /// Nobody here knows.
    Unknown,
}

impl Lost {
    /// Lost before it was sent.
    pub fn unsent(fault: Fault) -> Self {
        Self { fault, fate: Fate::NotBegun }
    }

    /// Lost after it was sent.
    pub fn unanswered(fault: Fault) -> Self {
        Self { fault, fate: Fate::Unknown }
    }

    /// What a program is told of it. A change of which nobody knows whether it was made is not sent again as it is.
    pub fn problem(&self, lane: Lane) -> Problem {
        let reason = self.fault.reason();
        let open = lane == Lane::Change && self.fate == Fate::Unknown;
        let said = self.fault.said().map(str::to_owned);
        Problem { retry: reason.row().retry && !open, said, ..reason.into() }
    }

    /// What is wrong, and what is known of the service there.
    pub fn sentence(&self, lane: Lane) -> String {
        let state = match (lane, self.fate) {
            (Lane::Change, Fate::NotBegun) => "nothing was changed there",
            (Lane::Change, Fate::Unknown) => {
                "whether the change was made there is not known, and it is not sent again: see with queryNodes, and \
                 repeat it if it was not"
            }
            _ => "what state the service is in there is not known",
        };
        format!("{}; {state}", self.fault)
    }
}
