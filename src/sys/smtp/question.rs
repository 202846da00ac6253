//! What one dialogue asks of a server, and what it finds: plain data, as tests have it recorded.
//!
//! A dialogue asks one question and so commits at most one error, whatever limits a server has for them. How it is held is
//! `dialogue`'s; what is right is `change::client`'s. Nothing here fails.

use serde::{Deserialize, Serialize};

use super::reply::Reply;

/// What one dialogue asks: a command that a client which has not authenticated gives, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Before STARTTLS or after it.
    pub layer: Layer,
    /// The command.
    pub command: Asked,
}

/// Where in a connection something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// In the clear.
    Clear,
    /// After STARTTLS.
    Tls,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// AUTH without an initial response, which tells nothing; where the server goes on, it is given up (`*`).
    Auth,
    /// MAIL from the null sender, and where that is accepted RCPT to this recipient.
    Mail(Recipient),
}

/// Whom mail would be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// Bare `postmaster`, whom every server has to take (RFC 5321, section 4.5.1).
    Postmaster,
    /// `postmaster` at the domain that the server greets with.
    PostmasterThere,
}

/// The answer to EHLO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The reply to EHLO.
    pub ehlo: Reply,
    /// Whether STARTTLS was offered.
    pub starttls: bool,
    /// The mechanisms that were offered, in upper case and in the server's order, each once; the ones of the old form
    /// `AUTH=LOGIN` too.
    pub auth: Vec<String>,
}

/// What became of STARTTLS (RFC 3207).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// It was not asked for.
    Unasked,
    /// It was not offered.
    NotOffered,
    /// It was offered and then refused.
    Refused(Reply),
    /// It was granted, but the handshake failed (or the server hung up in it).
    Failed(String),
    /// The connection was encrypted, and EHLO asked again.
    Done(Offer),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// There was no TLS to ask it under: see [`Upgrade`].
    NotAsked,
    /// The reply to AUTH. 334 means: go on, send your credentials (we did not).
    Auth(Reply),
    /// The reply to MAIL, and to RCPT, which is sent only after an accepted MAIL.
    Mail(Reply, Option<Reply>),
}

/// One whole dialogue with a server that greeted with 220.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The greeting.
    pub greeting: Reply,
    /// What was offered before STARTTLS.
    pub clear: Offer,
    /// What became of STARTTLS, and what was offered after it.
    pub upgrade: Upgrade,
    /// What the question was answered.
    pub heard: Heard,
    /// The server's certificate, in DER; `None` where there was no TLS. Not recorded.
    #[serde(skip)]
    pub certificate: Option<Vec<u8>>,
}
