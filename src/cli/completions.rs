//! `mail-smtp2 completions`: prints what a shell needs to complete this command.
//!
//! It is made of the flags by clap_complete; what is hidden in the help is not offered either. A shell that is not
//! known is a wrong flag.

use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::output::{Ending, print};

#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self, ours: clap::Command) -> Ending {
        // clap_complete would offer what is hidden, too.
        let mut shown = clap::Command::new("mail-smtp2")
            .version(env!("CARGO_PKG_VERSION"))
            .args(ours.get_arguments().cloned())
            .subcommands(ours.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut shown, "mail-smtp2", &mut script);
        Ok(print(&String::from_utf8_lossy(&script), ExitCode::SUCCESS))
    }
}
