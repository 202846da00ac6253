//! What a change may be asked to do.
//!
//! These are the verbs of the actions, and `remove` of the command line, with the little that every step wants to know
//! of them. What they lead to is decided in `plan`. Nothing here fails.

use crate::mta::AuthMode;

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Bring the listener up, now and after a reboot.
    Start,
    /// Take it down and out of the configuration.
    Stop,
    /// Take it down and bring it up.
    Restart,
    /// Change port or mode; `None` keeps what is.
    Update {
        /// The new port.
        port: Option<u16>,
        /// The new mode.
        auth_mode: Option<AuthMode>,
    },
    /// Take every byte of ours out of the machine.
    Remove,
}

impl Verb {
    /// The action's name, as the history has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Update { .. } => "update",
            Self::Remove => "remove",
        }
    }

    /// Whether it only takes away: possible also where nothing else is.
    pub fn tears_down(self) -> bool {
        matches!(self, Self::Stop | Self::Remove)
    }
}
