//! Whether a listener that was just proven stays up: a daemon that dies soon after `Success` is not left to be found by
//! a client.
//!
//! For a minute after a change the plugin that made it looks every second; what is away at several looks in a row is
//! logged and gets a line in the history. It leaves alone what has been changed since (by whichever plugin), and waits
//! while a change is under way. It mends nothing: whoever reads `isRunning` sees `false`, and `start` starts it anew.

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::history::{self, Ended, Origin};
use super::journal::Intent;
use super::live::Sighting;
use super::settings::Settings;
use super::site::Site;
use super::verb::Verb;
use crate::mta::{Kind, MtaError};
use crate::sys::Deadline;
use crate::wire::reason::Reason;
use crate::wire::status::Status;

/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(60);
/// How often.
const LOOK: Duration = Duration::from_secs(1);
/// How many looks in a row have to miss it: a mail server that somebody restarts is away for a moment, too.
const MISSED: u32 = 3;

/// The change whose listener is watched, if any.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Option<Watched>>);

#[derive(Debug)]
struct Watched {
    verb: Verb,
    began: SystemTime,
    settings: Settings,
    until: Deadline,
    next: Deadline,
    missed: u32,
}

impl Watch {
    /// From now on the listener of `settings` is watched; nothing is, if there is to be none.
    pub(super) fn begin(&self, verb: Verb, settings: Option<Settings>, began: SystemTime) {
        let settings = settings.filter(|settings| settings.target().is_some());
        let (until, next) = (Deadline::after(WATCHED), Deadline::after(LOOK));
        *self.0.lock() = settings.map(|settings| Watched { verb, began, settings, until, next, missed: 0 });
    }

    /// Looks, if it is time to; says when it will be time again. `None`: there is nothing to look after.
    pub(super) fn look(&self, site: &Site, sighting: &Sighting) -> Option<Duration> {
        let mut watch = self.0.lock();
        let watched = watch.as_mut()?;
        if !watched.next.passed() {
            return Some(watched.next.left());
        }
        watched.next = Deadline::after(LOOK);
        if is_under_way(site) {
            return Some(LOOK);
        }
        let stands = site.settings().is_ok_and(|now| now.as_ref() == Some(&watched.settings));
        if !stands || watched.until.passed() {
            *watch = None;
            return None;
        }
        watched.missed = match sighting.is_running(site) {
            Ok(false) => watched.missed + 1,
            // What cannot be seen is not away.
            Ok(true) | Err(_) => 0,
        };
        if watched.missed >= MISSED {
            if let Some(watched) = watch.take() {
                note_end(site, &watched);
            }
            return None;
        }
        Some(LOOK)
    }
}

/// Whether somebody is changing something: from the intent on.
fn is_under_way(site: &Site) -> bool {
    !matches!(site.host.stamp(&Intent::path(&site.options.state_dir)), Ok(None))
}

fn note_end(site: &Site, watched: &Watched) {
    let port = watched.settings.listener.port;
    let (why, said) = match primary_runs(site, watched.settings.mta) {
        Ok(false) => (Reason::MtaDown, "the mail server itself is down"),
        Ok(true) | Err(_) => (Reason::ListenerAbsent, "the mail server's log says why"),
    };
    let outcome = format!(
        "the listener on port {port} has ended within a minute after {} had succeeded: {said}",
        watched.verb.name()
    );
    tracing::warn!(outcome, "the listener has ended");
    let (before, status) = (Some(watched.settings.clone()), Status::Unavailable.number());
    let (began, input) = (watched.began, watched.verb.name().into());
    let reason = Some(why.row().name.to_owned());
    let ended = Ended { began, action: "watch", input, before, status, reason, outcome };
    history::record(site, Origin::default(), ended);
}

fn primary_runs(site: &Site, kind: Kind) -> Result<bool, MtaError> {
    let staging = site.staging();
    let context = site.context(&staging, Deadline::after(site.options.change));
    site.alternate(site.mta(kind), context)?.primary_runs()
}
