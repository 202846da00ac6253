//! `mail-smtp2 remove`: stops the service and takes every byte of ours out of this machine.
//!
//! It is a change like the others (`change::remove`), and no action: a host cannot ask for it. Ends with 0 when nothing is
//! left, else with 1 and the sentence of what is.

use std::process::ExitCode;

use clap::Args;
use mail_smtp2::change::Verb;
use mail_smtp2::wire::status::Status;

use super::output::{Ending, complain, say};
use super::program::{Machine, Program, Watched, outlive_terminal};
use crate::log;

#[derive(Debug, Args)]
pub(crate) struct Remove {}

impl Remove {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        outlive_terminal()?;
        program.recover();
        let envelope = program.plugin.service.change(Verb::Remove, &serde_json::json!({}));
        log::flush();
        if envelope.status == Status::Done {
            say("every byte of mail-smtp2 has been taken out of this machine");
            return Ok(ExitCode::SUCCESS);
        }
        Err(complain(envelope.payload.as_str().unwrap_or_default(), 1))
    }
}
