//! What the subcommands for people print.
//!
//! Each turns an answer of the plugin into text that reads well on 80 columns. What comes from outside (names of programs,
//! sentences of a mail server) has been made harmless where it was read.

pub(crate) mod check;
pub(crate) mod history;
mod lines;
pub(crate) mod nodes;
pub(crate) mod plan;
pub(crate) mod status;

pub(crate) use lines::Look;

/// A text for stdout and the exit code, or what is wrong.
pub(crate) type Said = Result<(String, u8), String>;
