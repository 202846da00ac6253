//! What the subcommands for people print.
//!
//! Each turns an answer of the plugin into text that reads well on 80 columns; nothing is looked at here. What comes from
//! outside (names of programs, sentences of a mail server) has been made harmless where it was read.

pub(crate) mod check;
pub(crate) mod history;
pub(crate) mod status;
