//! The subcommands, one file each; `serve` is what runs without one.
//!
//! A file holds its flags, what it asks the plugin (`program`), and how the answer is told: text that reads well on 80
//! columns (`lines`), or an envelope. What comes from outside (names of programs, sentences of a mail server) has been made
//! harmless where it was read. `output` prints.

mod call;
mod check;
mod completions;
mod history;
mod lines;
mod man;
mod nodes;
pub(crate) mod output;
mod plan;
mod program;
mod remove;
mod sandbox;
mod schema;
pub(crate) mod serve;
mod status;

use output::Ending;
pub(crate) use program::Machine;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run one action and print its envelope; exit 0 if its status is 0, else 1
    Call(call::Call),
    /// Say whether it is up, and why or why not
    Status(status::Status),
    /// List the latest changes, the newest first
    History(history::History),
    /// List the nodes of the cluster: state, port, mode and version; exit 1 if one was not reached
    Nodes(nodes::Nodes),
    /// Answer a monitoring system: one line, and exit 0 (ok), 1 (warning), 2 (critical) or 3 (unknown)
    Check(check::Check),
    /// Say what an action would do and what would refuse it, without doing it; exit 1 if it would be refused
    Plan(plan::Plan),
    /// Write the published JSON documents, or say how they differ from what they should be
    Schema(schema::Schema),
    /// Print a manual page, for man -l
    Man(man::Man),
    /// Print what a shell needs to complete this command
    Completions(completions::Completions),
    /// Stop the service and take every byte of ours out of this machine
    Remove(remove::Remove),
    #[command(subcommand, hide = true)]
    Sandbox(sandbox::Sandbox),
}

impl Command {
    /// Runs it with the flags that say on which machine; `flags` is the whole command line, for those that print it.
    pub(crate) fn run(self, machine: &Machine, flags: clap::Command) -> Ending {
        match self {
            Self::Call(call) => call.run(machine),
            Self::Status(status) => status.run(machine),
            Self::History(history) => history.run(machine),
            Self::Nodes(nodes) => nodes.run(machine),
            Self::Check(check) => check.run(machine),
            Self::Plan(plan) => plan.run(machine),
            Self::Schema(schema) => schema.run(),
            Self::Man(man) => man.run(flags),
            Self::Completions(completions) => completions.run(flags),
            Self::Remove(remove) => remove.run(machine),
            Self::Sandbox(sandbox) => Ok(sandbox.run()),
        }
    }
}
