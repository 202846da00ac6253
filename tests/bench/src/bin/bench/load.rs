//! A segment of load: a number of equal requests, so many in flight, each reply timed and then judged.
//!
//! The requests are written out before the clock starts and the replies judged after it has stopped, so that
//! the harness costs both sides the same few system calls. There is one loop for every depth. A missing,
//! doubled or wrong reply is a fault of the whole segment.

use std::time::{Duration, Instant};

use crate::fault::Fault;
use crate::reply::{Ask, Judge};
use crate::session::Session;
use crate::stats::median;

pub struct Timing {
    /// Seconds from a request's writing to its reply's reading, the median.
    pub p50: f64,
    pub per_second: f64,
    /// When the last reply was read.
    pub ended: Instant,
}

pub fn ask_once(session: &mut Session, ask: &Ask) -> Result<Timing, Fault> {
    ask_many(session, ask, 1, 1)
}

pub fn ask_many(session: &mut Session, ask: &Ask, count: usize, in_flight: usize) -> Result<Timing, Fault> {
    let ids = session.next_id..session.next_id + count as u64;
    session.next_id = ids.end;
    let (mut requests, mut ends) = (Vec::new(), vec![0]);
    for id in ids.clone() {
        ask.write(id, &mut requests);
        ends.push(requests.len());
    }
    // A reply is the envelope with its frame and id around it.
    session.prepare(count * (ask.payload.room() + 64));

    let mut sent: Vec<Instant> = Vec::with_capacity(count);
    let mut received: Vec<Instant> = Vec::with_capacity(count);
    let mut written = 0;
    let started = Instant::now();
    while received.len() < count {
        let due = (received.len() + in_flight).min(count);
        if written < ends[due] {
            let now = Instant::now();
            sent.resize(due.max(sent.len()), now);
            written += session.send(&requests[written..ends[due]])?;
            if written < ends[due] && !session.wait()? {
                continue;
            }
        }
        let completed = session.receive()?;
        received.resize(received.len() + completed, Instant::now());
    }
    let ended = received.last().copied().unwrap_or(started);

    let mut judge = Judge::new(ask, ids);
    let mut trips = Vec::with_capacity(count);
    for (line, at) in session.lines().zip(received) {
        let asked = sent.get(judge.judge(line)?).copied().unwrap_or(at);
        trips.push(at.saturating_duration_since(asked).as_secs_f64());
    }
    if session.lines().len() > count {
        return Err(Fault::NotNow(format!("{} replies to {count} requests", session.lines().len())));
    }
    let wall = ended.saturating_duration_since(started).max(Duration::from_nanos(1));
    Ok(Timing { p50: median(&mut trips), per_second: count as f64 / wall.as_secs_f64(), ended })
}
