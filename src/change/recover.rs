//! Ending a change whose author died.
//!
//! Whoever meets a record of a change (the intent) while its lock is free ends it first, be it to read or to change. It
//! was made if the settings say so, else it is taken back. What cannot be ended is tried again after a minute, or by the
//! next change, and the log says what is in the way.

use std::time::Duration;

use super::error::ChangeError;
use super::failure::{Failure, Undone};
use super::history::{self, Ended, Origin};
use super::journal::{self, Intent};
use super::site::Site;
use super::{remove, settings, undo};
use crate::sys::{Lock, LockError};
use crate::wire::problem::Step;
use crate::wire::text::chain;

/// What the lock and the history call it.
pub(super) const ACTION: &str = "recover";
/// How long a lock may outlive its owner in a process that has not begun to be another program yet.
const FORKED: Duration = Duration::from_secs(1);

/// Whether a change was begun and not ended by somebody who is gone, and it is time to try to end it: what could not
/// be ended before is left alone for a while, so that who reads meanwhile need not wait for it. Where there is nothing
/// to end, as nearly always, this is one look at a file that is not there.
pub(super) fn is_due(site: &Site) -> bool {
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    if matches!(host.stamp(&Intent::path(state_dir)), Ok(None)) {
        return false;
    }
    match host.lock(&site.options.lock, Duration::ZERO) {
        Ok(_) => {}
        // Its owner lives and ends it himself.
        Err(LockError::Held { holder, .. }) if holder.is_none_or(|pid| host.process(pid).is_some()) => {
            return false;
        }
        Err(LockError::Held { .. }) => {}
        // Who may not take it may not end anything either.
        Err(LockError::File(error)) => return !error.denied(),
    }
    match Intent::read(host, state_dir) {
        Ok(Some(intent)) => !intent.was_tried_lately(host.now()),
        Ok(None) => false,
        Err(_) => true,
    }
}

/// The lock, unless the owner of what there is to recover lives.
///
/// # Errors
/// As [`Site::lock`].
pub(super) fn lock(site: &Site) -> Result<Lock, ChangeError> {
    match site.lock(ACTION, Duration::ZERO) {
        // Its owner is dead; a process that it was just forking has the lock for a moment longer.
        Err(ChangeError::LockHeld(holder))
            if holder.pid.is_some_and(|owner| site.host.process(owner).is_none()) =>
        {
            site.lock(ACTION, FORKED)
        }
        taken => taken,
    }
}

/// Under the lock: ends what was begun, and writes its line of the history.
///
/// # Errors
/// It could not be taken back; the intent stays.
pub(super) fn end_interrupted(site: &Site, _: &Lock) -> Result<(), Failure> {
    let Some(intent) = Intent::read(&*site.host, &site.options.state_dir)? else { return Ok(()) };
    let began = site.host.now();
    let done = end(site, &intent);
    if let Err(error) = remove::leftovers(site) {
        tracing::warn!(
            error = chain(&error),
            "what the interrupted change has left in the state directory stays"
        );
    }
    let (status, outcome) = match &done {
        Ok(outcome) => (0, (*outcome).to_owned()),
        Err(failure) => (failure.status().number(), failure.sentence()),
    };
    tracing::warn!(action = intent.action, outcome, "a change was interrupted");
    let (input, before) = (intent.action.into(), intent.before);
    let reason = done.as_ref().err().map(Failure::reason);
    let ended = Ended { began, action: ACTION, input, before, status, reason, outcome };
    history::record(site, Origin::default(), ended);
    done.map(|_| ())
}

/// As [`end_interrupted`]; what cannot be ended is logged, and left alone for a while.
pub(super) fn try_to_end(site: &Site, lock: &Lock) -> bool {
    let Err(failure) = end_interrupted(site, lock) else { return true };
    tracing::error!(
        error = %failure.sentence(),
        again_in = ?journal::AGAIN,
        "an interrupted change could not be ended; put right what is named, then call any change"
    );
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    let noted = Intent::read(host, state_dir).and_then(|intent| match intent {
        Some(intent) => intent.tried_at(host.now()).write(host, state_dir),
        None => Ok(()),
    });
    if let Err(error) = noted {
        tracing::warn!(%error, "the attempt could not be noted");
    }
    false
}

/// It was made if the settings say so, else it is taken back; which of the two.
fn end(site: &Site, intent: &Intent) -> Result<&'static str, Failure> {
    let host = &*site.host;
    let path = settings::path(&site.options.state_dir);
    if !intent.undoing && intent.before != intent.after && settings::read(host, &path)? == intent.after {
        if intent.after.is_none() {
            remove::folders(site, intent)?;
        }
        Intent::remove(host, &site.options.state_dir);
        return Ok("the interrupted change had been made");
    }
    match undo::take_back(site, intent) {
        Ok(()) => Ok("the interrupted change was taken back"),
        Err(error) => {
            let interrupted = Box::new(ChangeError::Interrupted(intent.action.clone()));
            let undone = Undone::Stuck(Box::new(error));
            Err(Failure { error: interrupted, step: Some(Step::Recover), undone, log: None })
        }
    }
}
