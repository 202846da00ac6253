//! What a look at the status remembers, so that the next one is cheap: panels ask often.
//!
//! Each thing is held against what it was made of: a listener that was seen holds for a second, and only as long as the same
//! process still has the same socket; the last line of the history and the comparison of our entries, as long as the
//! files are the same. Whatever does not match exactly is looked at afresh. It never makes a failure of its own.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::drift::{self, Drift};
use super::history::{self, Record};
use super::live;
use super::settings::Settings;
use super::site::Site;
use crate::mta::{Mta, MtaError};
use crate::sys::{Held, Host, Stamp};
use crate::wire::text::printable;

/// How long what was seen of a listener holds: its addresses may become more, and its clients come and go.
const FRESH: Duration = Duration::from_secs(1);

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    listener: Mutex<Option<Listening>>,
    last: Mutex<Option<(Stamp, Option<Record>)>>,
    drift: Mutex<Option<Compared>>,
    /// One probe at a time: each has the same folder for copies.
    pub(super) probing: Mutex<()>,
}

/// With which settings our entries were compared, in which files, and what came of it.
type Compared = (Settings, Vec<Option<Stamp>>, Vec<Drift>);

/// What was seen of a listener.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    at: SystemTime,
    port: u16,
    /// Its sockets; none is no listener.
    pub(super) held: Vec<Held>,
    /// The process that holds the first of them, by pid and name.
    pub(super) process: Option<(i32, String)>,
    /// How many clients are connected.
    pub(super) sessions: Option<usize>,
}

impl Memory {
    /// The listener of `mta` on `port`.
    ///
    /// # Errors
    /// It cannot be seen.
    pub(super) fn listener(&self, host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Listening, MtaError> {
        let (mut last, at) = (self.listener.lock(), host.now());
        let holds = |seen: &&Listening| {
            let same = |held: &Held| host.still_held(held) && mta.still_owns(host, held.pid);
            // A clock that was set back makes nothing fresh.
            let is_fresh = at.duration_since(seen.at).is_ok_and(|age| age < FRESH);
            seen.port == port && is_fresh && seen.held.first().is_some_and(same)
        };
        if let Some(seen) = last.as_ref().filter(holds) {
            return Ok(seen.clone());
        }
        *last = None;
        let held = live::owned(host, mta, port)?;
        let first = held.first().and_then(|held| host.process(held.pid));
        let process = first.map(|it| (it.pid, printable(&it.name)));
        let sessions = if held.is_empty() { None } else { host.sessions(port) };
        Ok(last.insert(Listening { at, port, held, process, sessions }).clone())
    }

    /// The last change that is over.
    pub(super) fn last_change(&self, site: &Site) -> Option<Record> {
        let (host, state_dir) = (&*site.host, &site.options.state_dir);
        let stamp = host.stamp(&state_dir.join(history::FILES[0])).ok().flatten()?;
        let mut last = self.last.lock();
        match last.as_ref() {
            Some((seen, record)) if *seen == stamp => record.clone(),
            _ => {
                let records = history::latest(host, state_dir, 1, |_| true).ok();
                let record = records.and_then(|records| records.into_iter().next());
                *last = Some((stamp, record.clone()));
                record
            }
        }
    }

    /// Where our entries are otherwise than the settings.
    pub(super) fn drift(&self, host: &dyn Host, mta: &dyn Mta, settings: &Settings) -> Vec<Drift> {
        let stamps: Vec<_> = mta.blocks().iter().map(|path| host.stamp(path).ok().flatten()).collect();
        let mut last = self.drift.lock();
        match last.as_ref() {
            Some((of, seen, drift)) if of == settings && *seen == stamps => drift.clone(),
            _ => {
                let drift = drift::of_entries(host, mta, settings);
                *last = Some((settings.clone(), stamps, drift.clone()));
                drift
            }
        }
    }
}
