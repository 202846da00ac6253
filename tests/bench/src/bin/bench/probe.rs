//! Probes: one number about one server, from a session begun for it and ended with it.
//!
//! The floor and the plugin go through the same code. Times are in seconds, throughput in requests a second.
//! Any wrong or missing reply is a fault of the probe.

use std::time::Instant;

use crate::fault::Fault;
use crate::figures::Probe;
use crate::load::{Timing, ask_many, ask_once};
use crate::reply::Ask;
use crate::server::{Server, call};
use crate::session::Session;
use crate::stats::median;
use crate::watchdog::Watchdog;

/// How much of everything goes into one sample.
#[derive(Clone, Copy)]
pub struct Effort {
    pub requests: usize,
    pub spawns: usize,
}

// A deep pipeline is done too soon to be measured: it gets that many times the requests.
const DEEP: usize = 20;

pub fn measure(
    probe: Probe,
    server: &Server,
    ask: &Ask,
    effort: Effort,
    dog: &Watchdog,
) -> Result<f64, Fault> {
    let several = |one: &dyn Fn() -> Result<f64, Fault>| -> Result<f64, Fault> {
        let mut values = (0..effort.spawns).map(|_| one()).collect::<Result<Vec<_>, _>>()?;
        Ok(median(&mut values))
    };
    match probe {
        Probe::RoundTrip { in_flight } => Ok(under_load(server, ask, effort, in_flight, dog)?.p50),
        Probe::Throughput { in_flight } => Ok(under_load(server, ask, effort, in_flight, dog)?.per_second),
        Probe::FirstReply => several(&|| first_reply(server, ask, dog)),
        Probe::Call => several(&|| {
            let started = Instant::now();
            call(server, ask, dog)?;
            Ok(started.elapsed().as_secs_f64())
        }),
    }
}

fn under_load(
    server: &Server,
    ask: &Ask,
    effort: Effort,
    in_flight: usize,
    dog: &Watchdog,
) -> Result<Timing, Fault> {
    let count = effort.requests * if in_flight > 1 { DEEP } else { 1 };
    let mut session = Session::spawn(server, dog)?;
    ask_many(&mut session, ask, count / 10, in_flight)?;
    let timing = ask_many(&mut session, ask, count, in_flight)?;
    session.finish()?;
    Ok(timing)
}

fn first_reply(server: &Server, ask: &Ask, dog: &Watchdog) -> Result<f64, Fault> {
    let started = Instant::now();
    let mut session = Session::spawn(server, dog)?;
    let timing = ask_once(&mut session, ask)?;
    session.finish()?;
    Ok(timing.ended.saturating_duration_since(started).as_secs_f64())
}
