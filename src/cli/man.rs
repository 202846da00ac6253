//! `mail-smtp2 man`: prints a manual page, for `man -l`.
//!
//! The pages are `manual`'s. One that does not exist ends it with 2, and those that do are named.

use std::process::ExitCode;

use clap::Args;

use super::output::{Ending, complain, print};
use crate::manual;

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The page, such as mail-smtp2-cluster or just cluster [default: mail-smtp2]
    page: Option<String>,
    /// List the pages
    #[arg(long, conflicts_with = "page")]
    list: bool,
}

impl Man {
    pub(super) fn run(self, flags: clap::Command) -> Ending {
        let text = if self.list { Ok(manual::list()) } else { manual::page(self.page.as_deref(), flags) };
        match text {
            Ok(text) => Ok(print(&text, ExitCode::SUCCESS)),
            Err(error) => Err(complain(&error.to_string(), 2)),
        }
    }
}
