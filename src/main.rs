//! The program: its flags, and what is started with them.
//!
//! Without a subcommand it serves a host on stdin and stdout (`cli::serve`); each subcommand is a file of `cli`. What is
//! logged goes to stderr (`log`), the configuration file is `config`'s. Wrong flags are told on stderr with the usage and
//! end it with 2 (`check`: 3), everything else that keeps it from starting with 1.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod cli;
mod config;
mod log;
mod manual;

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser};

use cli::output::{complain, print, say};
use cli::{Command, Machine};
use mail_smtp2::action;

/// The panel's alternate inbound SMTP server, as a JSON-RPC 2.0 plugin: reads requests from stdin, one a line, and
/// writes replies to stdout.
#[derive(Debug, Parser)]
#[command(version, after_help = "Try it: mail-smtp2 --mta sandbox call listServiceInfo")]
struct Flags {
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    log: log::Logging,
    #[command(subcommand)]
    command: Option<Command>,
}

fn main() -> ExitCode {
    let Flags { machine, log, command } = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return misused(&error),
    };
    if let Some(Command::Sandbox(program)) = command {
        // It says what is wrong to the plugin that started it, and keeps no log.
        return program.run();
    }
    if let Err(error) = log::start(&log, config::log_filter()) {
        return complain(&error, 2);
    }
    let ended = match command {
        Some(command) => command.run(&machine, Flags::command()),
        None => cli::serve::run(&machine),
    };
    ended.unwrap_or_else(|said| said)
}

/// Help and version as asked for, or what is wrong with the flags, never without the usage.
fn misused(error: &clap::Error) -> ExitCode {
    if error.exit_code() == 0 {
        return print(&error.to_string(), ExitCode::SUCCESS);
    }
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && action::find(word).is_some()
    {
        return complain(&format!("{word} is an action, and no subcommand: mail-smtp2 call {word}"), 2);
    }
    let _ = error.print();
    // To a monitoring system 2 says that the service is down.
    let is_check = std::env::args_os().any(|word| word == "check");
    if !error.to_string().contains("Usage") {
        say(&Flags::command().render_usage().to_string());
    }
    ExitCode::from(if is_check { 3 } else { 2 })
}
