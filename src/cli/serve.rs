//! `mail-smtp2` without a subcommand: serves a host on stdin and stdout until the end of input.
//!
//! Starts the transport with the dispatch and what is to be done besides answering (ending a change that was cut short,
//! looking after the listener). Whoever starts it on a terminal is told how to try it. The exit code is the transport's.

use std::io::IsTerminal;
use std::sync::Arc;

use mail_smtp2::rpc::dispatch::Dispatch;
use mail_smtp2::rpc::lanes::Upkeep;
use mail_smtp2::transport::{self, Pipes};

use super::output::{Ending, complain, say};
use super::program::{Machine, Program, Watched};
use crate::log;

/// Serves until the end of input, a signal, or the end of the host.
pub(crate) fn run(machine: &Machine) -> Ending {
    let program = Program::start(machine, Watched::ByNobody)?;
    if std::io::stdin().is_terminal() {
        say(concat!(
            "mail-smtp2 ",
            env!("CARGO_PKG_VERSION"),
            " speaks JSON-RPC 2.0 on stdin and stdout, for a hosting panel; end it with ctrl-D.\n",
            "Try: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"listServiceInfo\"}   or: mail-smtp2 --help",
        ));
    }
    let pipes = match Pipes::take() {
        Ok(pipes) => pipes,
        Err(error) => return Err(complain(&format!("stdin and stdout: {error}"), 1)),
    };
    let Program { plugin, limit, throw_away, warned: _ } = program;
    let dispatch = match Dispatch::new(Arc::clone(&plugin)) {
        Ok(dispatch) => dispatch,
        Err(error) => return Err(complain(&error.to_string(), 1)),
    };
    let ours = Arc::clone(&plugin);
    let (asks, ends, looks) = (Arc::clone(&plugin), Arc::clone(&plugin), Arc::clone(&plugin));
    let upkeep = Upkeep {
        at_start: plugin.service.awaits_recovery(),
        is_due: Box::new(move || asks.service.is_interrupted()),
        recover: Box::new(move || ends.service.recover()),
        look_after: Box::new(move || looks.service.look_after()),
    };
    let farewell = Box::new(move || {
        ours.cluster.hang_up();
        drop(throw_away);
        log::flush();
    });
    Ok(transport::serve(pipes, dispatch, upkeep, limit, farewell))
}
