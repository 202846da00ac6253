//! A run from beginning to end: sandbox up, rounds, rounds on a crowded machine, the plugin alone, sandbox
//! down.
//!
//! It knows the order and who needs what, not how anything is measured. A figure that cannot be had is an
//! outcome that says why; only what keeps the whole run from being made, or an interruption, is a fault here.
//! Sandbox and scratch folder are dropped in that order however it ends.

use std::path::PathBuf;

use crate::alone::{self, OF_CHANGES, OF_MEMORY, Values};
use crate::crowd::Crowd;
use crate::fault::Fault;
use crate::figures::{Alone, FIGURES, Figure, Others, Pair, Plugin, Source};
use crate::machine::Pinned;
use crate::options::Options;
use crate::report::{Line, Outcome};
use crate::rounds::{self, Entry};
use crate::sandbox::Sandbox;
use crate::scratch::Scratch;
use crate::server::Server;
use crate::units::grouped;
use crate::watchdog::Watchdog;

pub struct Run {
    pub lines: Vec<Line>,
    pub cpu: usize,
    /// Whether the listener could be stopped at the end.
    pub closed: Result<(), Fault>,
}

struct Stage<'a> {
    options: &'a Options,
    dog: Watchdog,
    floor: Server,
    unconfigured: Server,
    /// The listener, or why there is none.
    sandbox: Result<Sandbox, String>,
    lines: Vec<Line>,
}

/// Measures the chosen lines with the two programs.
pub fn run(options: &Options, [plugin, floor]: &[PathBuf; 2], lines: Vec<Line>) -> Result<Run, Fault> {
    let dog = Watchdog::start(options.patience())?;
    let scratch = Scratch::new(plugin)?;
    let listening = scratch.plugin("listening")?;
    let sandbox = match lines.iter().any(|line| needs_listener(line.figure)) {
        true => {
            noted(Sandbox::start(listening, &dog))?.map_err(|why| format!("no listener to ask about: {why}"))
        }
        false => Err("not asked for".into()),
    };
    let mut stage = Stage {
        options,
        dog,
        floor: scratch.floor(floor),
        unconfigured: scratch.plugin("unconfigured")?,
        sandbox,
        lines,
    };
    let pinned = Pinned::to_one_cpu()?;
    let cpu = pinned.cpu;
    stage.pairs(Others::AsFound)?;
    stage.pairs(Others::ManySockets)?;
    drop(pinned);
    stage.alone()?;
    let closed = stage.sandbox.map_or(Ok(()), Sandbox::stop);
    Ok(Run { lines: stage.lines, cpu, closed })
}

/// The lines that the options ask for, still without outcomes.
pub fn chosen(options: &Options) -> Result<Vec<Line>, Fault> {
    let title = |figure: &Figure| {
        let title = figure.title.replace("{sockets}", &grouped(options.sockets));
        title.replace("{changes}", &grouped(options.changes()))
    };
    let pending = |figure| Line { figure, title: title(figure), outcome: Outcome::Pending };
    let lines: Vec<Line> =
        FIGURES.iter().map(pending).filter(|line| line.title.contains(&options.only)).collect();
    match lines.is_empty() {
        true => Err(Fault::NotNow(format!("no figure's name contains {:?}", options.only))),
        false => Ok(lines),
    }
}

fn needs_listener(figure: &Figure) -> bool {
    match &figure.source {
        Source::Pair(pair) => pair.plugin == Plugin::Listening,
        Source::Alone(alone) => OF_CHANGES.contains(alone),
    }
}

/// An interruption goes on up; any other fault becomes a sentence.
fn noted<T>(result: Result<T, Fault>) -> Result<Result<T, String>, Fault> {
    match result {
        Err(Fault::Interrupted) => Err(Fault::Interrupted),
        other => Ok(other.map_err(|fault| fault.to_string())),
    }
}

impl Stage<'_> {
    fn pairs(&mut self, others: Others) -> Result<(), Fault> {
        let rows = self.lines.iter().enumerate().filter_map(|(row, line)| match line.figure.source {
            Source::Pair(pair) if pair.crowd == others => Some((row, pair)),
            _ => None,
        });
        let rows: Vec<(usize, Pair)> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        let outcomes = match self.crowd(others)? {
            Ok(_crowd) => self.rounds(&rows)?,
            Err(why) => rows.iter().map(|(row, _)| (*row, Outcome::Skipped(why.clone()))).collect(),
        };
        for (row, outcome) in outcomes {
            self.lines[row].outcome = outcome;
        }
        Ok(())
    }

    fn crowd(&self, others: Others) -> Result<Result<Option<Crowd>, String>, Fault> {
        match (others, self.options.sockets) {
            (Others::AsFound, _) => Ok(Ok(None)),
            (Others::ManySockets, 0) => Ok(Err("none were asked for".into())),
            (Others::ManySockets, sockets) => noted(Crowd::open(sockets, &self.dog).map(Some)),
        }
    }

    fn rounds(&self, rows: &[(usize, Pair)]) -> Result<Vec<(usize, Outcome)>, Fault> {
        let mut outcomes = Vec::new();
        let mut entries = Vec::new();
        for &(row, pair) in rows {
            match (pair.plugin, &self.sandbox) {
                (Plugin::Unconfigured, _) => entries.push(Entry::new(row, pair, &self.unconfigured)),
                (Plugin::Listening, Ok(sandbox)) => entries.push(Entry::new(row, pair, &sandbox.server)),
                (Plugin::Listening, Err(why)) => outcomes.push((row, Outcome::Failed(why.clone()))),
            }
        }
        let (rounds, effort) = (self.options.rounds(), self.options.effort());
        rounds::run(&mut entries, &self.floor, rounds, effort, &self.dog)?;
        outcomes.extend(entries.into_iter().map(|entry| (entry.row, entry.outcome())));
        Ok(outcomes)
    }

    fn alone(&mut self) -> Result<(), Fault> {
        if self.wants(OF_MEMORY) {
            let values = noted(alone::memory(&self.unconfigured, &self.dog))?;
            self.settle(OF_MEMORY, &values);
        }
        if self.wants(OF_CHANGES) {
            let (updates, restarts) = (self.options.changes(), self.options.restarts());
            let values = match &self.sandbox {
                Ok(sandbox) => noted(alone::changes(sandbox, updates, restarts, &self.dog))?,
                Err(why) => Err(why.clone()),
            };
            self.settle(OF_CHANGES, &values);
        }
        Ok(())
    }

    fn wants(&self, group: &[Alone]) -> bool {
        self.lines
            .iter()
            .any(|line| matches!(&line.figure.source, Source::Alone(alone) if group.contains(alone)))
    }

    fn settle(&mut self, group: &[Alone], values: &Result<Values, String>) {
        for line in &mut self.lines {
            let Source::Alone(alone) = &line.figure.source else { continue };
            if !group.contains(alone) {
                continue;
            }
            line.outcome = match values {
                Ok(values) => values
                    .iter()
                    .find(|(which, _)| which == alone)
                    .map_or(Outcome::Pending, |(_, value)| Outcome::Value(*value)),
                Err(why) => Outcome::Failed(why.clone()),
            };
        }
    }
}
