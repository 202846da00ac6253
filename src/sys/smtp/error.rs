//! Why a dialogue could not be held, and at which step.
//!
//! One variant per way to fail, each with the server; what a server says is kept as it came, and escaped where it is shown.
//! What a failure means for a change is `change`'s to say.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::connection::LIMIT;
use super::reply::Reply;

/// Where in the dialogue something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Connecting.
    Connect,
    /// The greeting.
    Greeting,
    /// EHLO in the clear.
    Ehlo,
    /// AUTH in the clear.
    Auth,
    /// MAIL in the clear.
    Mail,
    /// RCPT in the clear.
    Rcpt,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// EHLO after STARTTLS.
    TlsEhlo,
    /// AUTH after STARTTLS.
    TlsAuth,
    /// MAIL after STARTTLS.
    TlsMail,
    /// RCPT after STARTTLS.
    TlsRcpt,
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Ehlo => "EHLO",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::TlsEhlo => "EHLO after STARTTLS",
            Self::TlsAuth => "AUTH after STARTTLS",
            Self::TlsMail => "MAIL after STARTTLS",
            Self::TlsRcpt => "RCPT after STARTTLS",
        })
    }
}

/// Why there is no [`Dialogue`](super::question::Dialogue).
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// No connection could be had.
    #[error("cannot connect to {address}")]
    Connect {
        /// The server.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The greeting was not 220.
    #[error("{address} greets with {reply}")]
    Greeting {
        /// The server.
        address: SocketAddr,
        /// Its greeting.
        reply: Reply,
    },
    /// The deadline passed.
    #[error("{address} was not done with {step} in time")]
    TimedOut {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// The server hung up.
    #[error("{address} hung up at {step}")]
    Closed {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// The server answered 421: it is about to hang up.
    #[error("{address} answered {step} with {reply}")]
    Unavailable {
        /// The server.
        address: SocketAddr,
        /// What it answered.
        step: Step,
        /// Its answer.
        reply: Reply,
    },
    /// What came is no reply, or nobody had asked for it.
    #[error("{address} answered {step} with what is no reply to it: {quote:?}")]
    Malformed {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
        /// The beginning of what came.
        quote: String,
    },
    /// The server sent more than a dialogue may have.
    #[error("{address} sent more than {LIMIT} bytes by {step}")]
    TooMuch {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// Something followed the go-ahead to STARTTLS in the clear: somebody in between, or a server that would let them.
    #[error("{address} sent plain text after its go-ahead to STARTTLS")]
    Injected {
        /// The server.
        address: SocketAddr,
    },
    /// The connection broke.
    #[error("the connection to {address} broke at {step}")]
    Io {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
        /// How.
        source: io::Error,
    },
}

impl SmtpError {
    /// What the server itself has said.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Greeting { reply, .. } | Self::Unavailable { reply, .. } => Some(reply),
            Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::Malformed { .. }
            | Self::TooMuch { .. }
            | Self::Injected { .. }
            | Self::Io { .. } => None,
        }
    }
}
