//! Rounds: every figure that has a ratio, measured on both sides again and again in a fresh order.
//!
//! Beside the plugin is the floor, or the plugin itself that is asked something else. Within a round the two
//! sides of a figure follow each other at once, in either order, and the ratio is taken there: what slows the
//! machine for a while slows both. The figure of the run is the median of its rounds. A figure that fails is
//! not tried again; an interruption ends the run.

use std::io::{IsTerminal, Write, stderr};

use crate::fault::Fault;
use crate::figures::{Beside, Pair, SERVICE_NAME};
use crate::probe::{Effort, measure};
use crate::report::Outcome;
use crate::server::Server;
use crate::stats::{Dice, median};
use crate::watchdog::Watchdog;

/// A figure in the rounds, and what it came to so far.
pub struct Entry<'a> {
    pub row: usize,
    pub pair: Pair,
    pub server: &'a Server,
    samples: Vec<Sample>,
    failure: Option<String>,
}

struct Sample {
    plugin: f64,
    beside: f64,
}

impl<'a> Entry<'a> {
    pub fn new(row: usize, pair: Pair, server: &'a Server) -> Entry<'a> {
        Entry { row, pair, server, samples: Vec::new(), failure: None }
    }

    pub fn outcome(self) -> Outcome {
        if let Some(failure) = self.failure {
            return Outcome::Failed(failure);
        }
        let middle =
            |value: fn(&Sample) -> f64| median(&mut self.samples.iter().map(value).collect::<Vec<_>>());
        Outcome::Pair {
            plugin: middle(|sample| sample.plugin),
            beside: middle(|sample| sample.beside),
            ratio: middle(|sample| sample.plugin / sample.beside),
        }
    }

    fn sample(
        &self,
        floor: &Server,
        effort: Effort,
        dog: &Watchdog,
        beside_first: bool,
    ) -> Result<Sample, Fault> {
        let on_plugin = |ask| measure(self.pair.probe, self.server, ask, effort, dog);
        let beside = || match &self.pair.beside {
            Beside::Floor(probe) => measure(*probe, floor, &SERVICE_NAME, effort, dog),
            Beside::Itself(ask) => on_plugin(ask),
        };
        if beside_first {
            let beside = beside()?;
            Ok(Sample { beside, plugin: on_plugin(&self.pair.ask)? })
        } else {
            let plugin = on_plugin(&self.pair.ask)?;
            Ok(Sample { plugin, beside: beside()? })
        }
    }
}

pub fn run(
    entries: &mut [Entry],
    floor: &Server,
    rounds: usize,
    effort: Effort,
    dog: &Watchdog,
) -> Result<(), Fault> {
    let mut dice = Dice::new();
    let mut order: Vec<usize> = (0..entries.len()).collect();
    for round in 1..=rounds {
        dice.shuffle(&mut order);
        for &place in &order {
            let entry = &mut entries[place];
            if entry.failure.is_some() {
                continue;
            }
            match entry.sample(floor, effort, dog, dice.below(2) == 0) {
                Ok(sample) => entry.samples.push(sample),
                Err(Fault::Interrupted) => return Err(Fault::Interrupted),
                Err(fault) => entry.failure = Some(fault.to_string()),
            }
        }
        if stderr().is_terminal() {
            let _ =
                write!(stderr(), "\rround {round} of {rounds}{}", if round == rounds { "\n" } else { "" });
        }
    }
    Ok(())
}
