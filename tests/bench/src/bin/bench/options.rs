//! The options, their manual, and where the programs are that a run needs.
//!
//! What is not named is looked for beside this program, where cargo puts all of them. A program that is
//! missing ends the run before it begins, with the command that builds it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::fault::Fault;
use crate::probe::Effort;

const BEFORE: &str = "\
Shows what mail-smtp2 costs on this machine, beside what nothing at all would cost.

The yardstick is `floor`, a program that finds the id of a request and writes a constant reply: a
ratio of 1 is the pipe itself. One figure, queryStatus, stands beside the plugin's own isRunning
instead. Both sides are measured in the same run. In every round each figure is taken
on both sides, in shuffled order, harness and server bound to one CPU; every reply is checked after
the clock has stopped. Printed are the medians of the rounds and of each round's ratio. Times differ
from machine to machine, ratios much less; a machine busy with other work spoils both.

No mail server of this machine is touched: the plugin runs with `--mta sandbox`, on an empty
configuration and state directories in a temporary folder, its listener on free ports of the
loopback addresses. Folder and processes are gone afterwards, also after ctrl-C.";

const AFTER: &str = "\
To build and run:
  cargo build --release --workspace
  cargo run --release -p mail-smtp2-bench --bin bench -- --quick

Exit status: 0 if everything could be measured, whether or not the goals are met; 1 if a reply was
wrong or missing (with --strict: or a goal not met); 2 for a bad option or a program that is not
built; 130 when interrupted.";

#[derive(Parser)]
#[command(name = "bench", about = BEFORE, after_help = AFTER)]
pub struct Options {
    /// The mail-smtp2 to measure [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub plugin: Option<PathBuf>,

    /// Fewer rounds and changes: rough figures in a fraction of the time
    #[arg(long)]
    quick: bool,

    /// Rounds [default: 9, quick: 3]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    rounds: Option<usize>,

    /// Other sockets to open for the figures on a crowded machine; 0 skips them
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub sockets: usize,

    /// Changes over which memory growth is taken [default: 200, quick: 50]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    changes: Option<usize>,

    /// Only the figures whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub only: String,

    /// Seconds without an answer after which a server is killed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,

    /// Exit with 1 if a goal is not met
    #[arg(long)]
    pub strict: bool,

    /// Be the process that keeps the other sockets open
    #[arg(long, hide = true)]
    pub hold_sockets: Option<usize>,
}

impl Options {
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 3 } else { 9 })
    }

    pub fn changes(&self) -> usize {
        self.changes.unwrap_or(if self.quick { 50 } else { 200 })
    }

    /// How often the listener is stopped and started.
    pub fn restarts(&self) -> usize {
        if self.quick { 10 } else { 30 }
    }

    pub fn effort(&self) -> Effort {
        if self.quick {
            Effort { requests: 2_000, spawns: 10 }
        } else {
            Effort { requests: 5_000, spawns: 20 }
        }
    }

    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The plugin and the floor.
    pub fn programs(&self) -> Result<[PathBuf; 2], Fault> {
        let own = std::env::current_exe().map_err(Fault::machine("finding this program"))?;
        let plugin = self.plugin.clone().unwrap_or_else(|| own.with_file_name("mail-smtp2"));
        let floor = own.with_file_name("floor");
        for program in [&plugin, &floor] {
            if !program.is_file() {
                let build = "build it with: cargo build --release --workspace";
                return Err(Fault::NotNow(format!("{} is missing; {build}", program.display())));
            }
        }
        // A bare name would be looked up on PATH.
        let plugin =
            plugin.canonicalize().map_err(Fault::machine(format!("finding {}", plugin.display())))?;
        Ok([plugin, floor])
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number from 1 up".into())
}
