//! Figures of the plugin alone: its memory, and what its changes take.
//!
//! Each group is one session whose numbers belong together; the changes run on the live sandbox listener,
//! proofs included, on whatever CPUs the machine gives. A fault is the fault of every figure of its group.

use crate::fault::Fault;
use crate::figures::{Alone, READS, SERVICE_NAME};
use crate::load::{ask_many, ask_once};
use crate::sandbox::{START, STOP, Sandbox};
use crate::server::Server;
use crate::session::Session;
use crate::stats::median;
use crate::watchdog::Watchdog;

pub type Values = Vec<(Alone, f64)>;

pub const OF_MEMORY: &[Alone] = &[Alone::Resident, Alone::ResidentAfterLoad];
pub const OF_CHANGES: &[Alone] = &[Alone::Growth, Alone::Update, Alone::Start, Alone::Stop];

const LOAD: usize = 100_000;

pub fn memory(server: &Server, dog: &Watchdog) -> Result<Values, Fault> {
    let mut session = Session::spawn(server, dog)?;
    for ask in READS {
        ask_once(&mut session, ask)?;
    }
    let resident = session.resident()?;
    ask_many(&mut session, &SERVICE_NAME, LOAD, 256)?;
    let after_load = session.resident()?;
    session.finish()?;
    Ok(vec![(Alone::Resident, resident), (Alone::ResidentAfterLoad, after_load)])
}

/// A process of its own on the running listener, so that its first change is one like all the others.
pub fn changes(sandbox: &Sandbox, updates: usize, restarts: usize, dog: &Watchdog) -> Result<Values, Fault> {
    let mut session = Session::spawn(&sandbox.server, dog)?;
    let mut update = vec![sandbox.update(&mut session, 1)?];
    let after_first = session.resident()?;
    for turn in 2..=updates {
        update.push(sandbox.update(&mut session, turn)?);
    }
    let growth = session.resident()? - after_first;

    let (mut stop, mut start) = (Vec::new(), Vec::new());
    for _ in 0..restarts {
        stop.push(ask_once(&mut session, &STOP)?.p50);
        start.push(ask_once(&mut session, &START)?.p50);
    }
    session.finish()?;
    Ok(vec![
        (Alone::Growth, growth),
        (Alone::Update, median(&mut update)),
        (Alone::Start, median(&mut start)),
        (Alone::Stop, median(&mut stop)),
    ])
}
