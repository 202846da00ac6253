//! `mail-smtp2 call`: one action, by the same way as a host's request.
//!
//! Prints the envelope and ends with 0 if its status is 0, else with 1; a request that is none gets an error object, and 2.
//! What a change warns of, and the nodes of a cascade as they are done, are told on stderr.

use std::process::ExitCode;
use std::sync::mpsc::Receiver;

use clap::Args;
use mail_smtp2::wire::envelope::Envelope;
use mail_smtp2::wire::status::Status;

use super::output::{Ending, print, say};
use super::program::{Machine, Program, Watched};

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The action, such as listServiceInfo
    action: String,
    /// Its parameters, a JSON object or array
    json: Option<String>,
}

impl Call {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByAPerson)?;
        envelope(&program, &self.action, self.json.as_deref())
    }
}

/// Runs one action and prints its envelope.
pub(super) fn envelope(program: &Program, action: &str, json: Option<&str>) -> Ending {
    let result = program.answer(action, json)?;
    // Of rpc.discover the result is a document, and no envelope that could have failed.
    let failed =
        serde_json::from_str(result.get()).is_ok_and(|envelope: Envelope| envelope.status != Status::Done);
    let code = print(&format!("{result}\n"), ExitCode::from(u8::from(failed)));
    for warning in program.warned.iter().flat_map(Receiver::try_iter) {
        say(&format!("mail-smtp2: warning: {} ({})", warning.sentence, warning.kind.name()));
    }
    Ok(code)
}
