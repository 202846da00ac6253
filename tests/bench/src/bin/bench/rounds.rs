//! Rounds: every figure that has a ratio, measured on both sides again and again in a fresh order.
//!
//! Within a round the two sides of a figure follow each other at once, in either order, and the ratio is
//! taken there: what slows the machine for a while slows both. The figure of the run is the median of its
//! rounds. A figure that fails is not tried again; an interruption ends the run.

use std::io::{IsTerminal, Write, stderr};

use crate::fault::Fault;
use crate::figures::{Pair, SERVICE_NAME};
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
    floor: f64,
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
            floor: middle(|sample| sample.floor),
            ratio: middle(|sample| sample.plugin / sample.floor),
        }
    }

    fn sample(
        &self,
        floor: &Server,
        effort: Effort,
        dog: &Watchdog,
        floor_first: bool,
    ) -> Result<Sample, Fault> {
        let on_floor = || measure(self.pair.on_floor, floor, &SERVICE_NAME, effort, dog);
        let on_plugin = || measure(self.pair.probe, self.server, &self.pair.ask, effort, dog);
        if floor_first {
            let floor = on_floor()?;
            Ok(Sample { floor, plugin: on_plugin()? })
        } else {
            let plugin = on_plugin()?;
            Ok(Sample { plugin, floor: on_floor()? })
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
