//! `mail-smtp2 history`: the latest changes, a line each.
//!
//! When, what, with which status, and the sentence of what failed; the newest first, as `queryHistory` has them.

use clap::Args;
use mail_smtp2::action::query_history::Change;
use mail_smtp2::wire::text::chain;

use super::program::{Machine, Program, Watched};
use super::{Ending, call};

#[derive(Debug, Args)]
pub(crate) struct History {
    /// How many at the most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only what failed
    #[arg(long)]
    failed: bool,
    /// Print the envelope of queryHistory instead
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        let Self { limit, failed, json } = self;
        if json {
            let params = format!("{{\"limit\":{limit},\"failed\":{}}}", u8::from(failed));
            return call::envelope(&program, "queryHistory", Some(&params));
        }
        program.tell(|plugin| {
            let records = plugin.service.history(limit.into(), failed).map_err(|error| chain(&error))?;
            let changes: Vec<_> = records.into_iter().map(Change::from).collect();
            Ok((text(&changes), 0))
        })
    }
}

/// The text, with a line end after each change.
fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing was changed yet\n".to_owned();
    }
    changes.iter().map(|change| line(change) + "\n").collect()
}

/// One change: `2026-11-28 09:30:12 UTC  start  409  port 587 is held by ...`.
pub(super) fn line(change: &Change) -> String {
    let time = change.time.split('.').next().unwrap_or_default().replace('T', " ");
    let how = if change.status == 0 { "ok".to_owned() } else { change.status.to_string() };
    format!("{time} UTC  {:8} {how:4} {}", change.action, change.sentence).trim_end().to_owned()
}
