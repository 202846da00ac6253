//! The benchmark: measures the plugin beside the floor and prints one table (`--help` is the manual).
//!
//! It answers for the command line, the exit status and what stands around the table. A figure that cannot be
//! had is a line of the table; what keeps the run from being made at all is one sentence on stderr.

mod alone;
mod crowd;
mod fault;
mod figures;
mod load;
mod machine;
mod options;
mod probe;
mod reply;
mod report;
mod rounds;
mod run;
mod sandbox;
mod scratch;
mod server;
mod session;
mod stats;
mod units;
mod watchdog;

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;

use crate::fault::Fault;
use crate::options::Options;
use crate::report::{Line, table};

const NOT_READY: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(sockets) = options.hold_sockets {
        return crowd::hold(sockets);
    }
    if cfg!(debug_assertions) {
        eprintln!("bench: built without --release, so is what it finds beside it: the times mean nothing");
    }
    let (programs, lines) = match options.programs().and_then(|found| Ok((found, run::chosen(&options)?))) {
        Ok(ready) => ready,
        Err(fault) => return ended(&fault, NOT_READY),
    };
    let run = match run::run(&options, &programs, lines) {
        Ok(run) => run,
        Err(Fault::Interrupted) => return ended(&Fault::Interrupted, INTERRUPTED),
        Err(fault) => return ended(&fault, 1),
    };
    let head = format!(
        "{}\nmedians over rounds: {}; everything on CPU {}, but changes on all\n\n",
        programs[0].display(),
        options.rounds(),
        run.cpu
    );
    // A reader that went away (a pager, `head`) has seen what it wanted.
    let _ = stdout().write_all((head + &table(&run.lines)).as_bytes());
    if let Err(fault) = &run.closed {
        eprintln!("bench: the listener could not be stopped at the end: {fault}");
    }
    let failed = run.closed.is_err() || run.lines.iter().any(Line::failed);
    let missed = options.strict && run.lines.iter().any(Line::missed);
    if failed || missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn ended(fault: &Fault, status: u8) -> ExitCode {
    eprintln!("bench: {fault}");
    ExitCode::from(status)
}
