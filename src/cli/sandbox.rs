//! `mail-smtp2 sandbox ...`: the SMTP server for trying, as a program of its own; hidden in the help.
//!
//! The plugin starts it as it would start a mail server's programs. What it does, how it fails, and its exit codes are
//! `sandbox`'s.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use mail_smtp2::sandbox::serve::{self, Companion};
use mail_smtp2::sandbox::{daemon, server};

#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    Check { file: PathBuf },
    Daemon(Life),
    Serve(Life),
    End { dir: PathBuf },
    Stdio { dir: Option<PathBuf> },
}

#[derive(Debug, Args)]
pub(crate) struct Life {
    dir: PathBuf,
    #[arg(long, value_name = "PID")]
    with: Option<i32>,
    #[arg(long, value_name = "PATH", requires = "with")]
    and_remove: Option<PathBuf>,
}

impl Life {
    fn companion(&self) -> Option<Companion> {
        self.with.map(|pid| Companion { pid, and_remove: self.and_remove.clone() })
    }
}

impl Sandbox {
    /// Runs it.
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Check { file } => daemon::check(&file),
            Self::Daemon(life) => daemon::daemon(&life.dir, life.companion().as_ref()),
            Self::Serve(life) => serve::serve(&life.dir, life.companion().as_ref()),
            Self::End { dir } => daemon::end(&dir),
            Self::Stdio { dir } => server::stdio(dir.as_deref()),
        }
    }
}
