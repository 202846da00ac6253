//! How a subcommand prints, and how it says what is wrong.
//!
//! stdout is for what was asked for, stderr for everything else. What cannot be printed ends the program with 1; a line on
//! stderr that cannot be written is no reason to stop.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use mail_smtp2::cluster::fanout::Progress;

use super::lines::Look;
use crate::{config, log};

/// How a subcommand ends; an error has been told on stderr.
pub(crate) type Ending = Result<ExitCode, ExitCode>;

/// A text for stdout and the exit code, or what is wrong.
pub(super) type Said = Result<(String, u8), String>;

/// Colours are for whoever looks at a terminal.
#[allow(clippy::disallowed_methods, reason = "nothing is written to it here")]
pub(crate) fn look() -> Look {
    match std::io::stdout().is_terminal() && config::allows_colour() {
        true => Look::Coloured,
        false => Look::Plain,
    }
}

/// Says what is wrong, on stderr, and answers `status` as the exit code.
pub(crate) fn complain(what: &str, status: u8) -> ExitCode {
    say(&format!("mail-smtp2: {}", what.trim_end()));
    log::flush();
    ExitCode::from(status)
}

/// A line for whoever started us; one that cannot be written is no reason to stop.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line for each node of a cascade, for who watches it.
pub(crate) fn progress(Progress { node, failed, visited, of }: &Progress<'_>) {
    let how = failed.map_or("done".to_owned(), |number| format!("failed ({number})"));
    say(&format!("{visited}/{of} {node}: {how}"));
}

/// What a subcommand was asked to print, and how it ends if that can be written.
#[allow(clippy::disallowed_methods, reason = "a subcommand that prints serves no session")]
pub(crate) fn print(text: &str, status: ExitCode) -> ExitCode {
    // Through a file of our own: std takes a stdout that is not open for writing for one that takes everything.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    match stdout.and_then(|mut stdout| stdout.write_all(text.as_bytes())) {
        Ok(()) => status,
        Err(error) => complain(&format!("stdout: {error}"), 1),
    }
}
