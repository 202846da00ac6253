//! The conversation as plain data: messages, frames, the envelope, and the tables of status numbers and reasons.
//!
//! Answers for: what is valid JSON-RPC 2.0 and what is not, where a message begins and ends, which number an
//! outcome has. Does not know: any action, any schema, any byte stream. Imports nothing of ours.

pub mod call;
pub mod envelope;
pub mod framing;
mod named;
pub mod problem;
pub mod reason;
pub mod reply;
pub mod status;
pub mod strict;
pub mod text;

pub(crate) use named::named;
