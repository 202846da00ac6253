//! The alternate listener: what is to be listened on, how, and what is to become of it.
//!
//! Plain data, of which a change's plan and every sheet speak; how a listener is made stands on the sheets. Nothing here
//! fails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the listener asks of a client: AUTH always, TLS before it or optionally (page of the panel, `update`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthMode {
    #[serde(rename = "auth_yes/tls_yes")]
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    TlsYes,
    #[serde(rename = "auth_yes/tls_optional")]
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    TlsOptional,
}

impl AuthMode {
    /// As it stands on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsYes => "auth_yes/tls_yes",
            Self::TlsOptional => "auth_yes/tls_optional",
        }
    }
}

/// The alternate listener: what is to be listened on, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// TCP port, 1 to 65535.
    pub port: u16,
    /// AUTH and TLS.
    pub auth_mode: AuthMode,
}

/// What is to become of the alternate service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// This listener runs, now and after a reboot.
    Running(Listener),
    /// None runs, nor after a reboot.
    Stopped,
    /// And no byte of ours is left.
    Removed,
}

impl Goal {
    /// The listener that is to run, if any.
    pub fn listener(&self) -> Option<&Listener> {
        match self {
            Self::Running(listener) => Some(listener),
            Self::Stopped | Self::Removed => None,
        }
    }
}
