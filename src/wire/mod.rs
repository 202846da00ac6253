//! The conversation as plain data: messages, frames, the envelope, and the tables of status numbers and reasons.
//!
//! What is valid JSON-RPC 2.0, where a message begins and ends, which number an outcome has. Actions, schemas and byte
//! streams belong to the floors above; nothing of ours is imported.

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
