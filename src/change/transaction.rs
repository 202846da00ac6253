//! A change in its eight steps (schema/README.md, "How a change is made"): lock, plan, check, intent, apply, tell, prove,
//! settle; or all the way back.
//!
//! The order of things and nothing else: what each step does stands in the file of its name (`apply`, `tell` and `prove`
//! are done phase by phase in `perform`, the history is written by the face). A change either ends proven, or the old state
//! is proven, or the failure says what could not be undone.

use super::against::Against;
use super::edits::Wrote;
use super::error::ChangeError;
use super::failure::{Failure, InStep, Undone};
use super::journal::Intent;
use super::perform::Progress;
use super::plan::Plan;
use super::settings;
use super::site::Site;
use super::verb::Verb;
use super::{boot, edits, later, perform, recover, remove, undo};
use crate::sys::{Deadline, Lock};
use crate::wire::problem::Step;
use crate::wire::text::chain;

/// Makes one change.
///
/// # Errors
/// Why it was not made, and what became of what had been done.
pub(super) fn run(site: &Site, verb: Verb) -> Result<(), Failure> {
    let lock = site.lock(verb.name(), site.options.lock_wait).in_step(Step::Lock)?;
    match recover::end_interrupted(site, &lock) {
        // What cannot be brought back to what it was can still be ended; a plan starts from what stands.
        Err(failure) if verb.tears_down() => {
            tracing::warn!(error = %failure.sentence(), "going on to {}", verb.name())
        }
        done => done.in_step(Step::Recover)?,
    }
    let before = if verb == Verb::Remove { site.settings()? } else { None };
    under_lock(site, verb, &lock)?;
    if verb.tears_down() {
        // One that could not be ended before is over now.
        Intent::remove(&*site.host, &site.options.state_dir);
    }
    if verb != Verb::Remove {
        return Ok(());
    }
    remove::forget(site, lock, before.as_ref()).map_err(|error| ChangeError::Left(Box::new(error)).into())
}

/// Under the lock: plans and carries out, within the deadline of a change; again, if somebody else wrote meanwhile.
///
/// # Errors
/// As [`run`].
pub(super) fn under_lock(site: &Site, verb: Verb, _: &Lock) -> Result<(), Failure> {
    let deadline = Deadline::after(site.options.change);
    let staging = site.staging();
    remove::leftovers(site)?;
    let result = loop {
        let plan = match Plan::make(site, verb, site.context(&staging, deadline), &mut Against::First) {
            Ok(Some(plan)) => plan,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error).in_step(Step::Plan),
        };
        match carry_out(site, plan, deadline) {
            // What there is to do is decided anew.
            Err(failure) if failure.moved() && !deadline.passed() => {}
            result => break result,
        }
    };
    if let Err(error) = site.host.remove_dir(&staging) {
        tracing::warn!(%error, "copies for the mail server's programs are left");
    }
    if result.as_ref().is_err_and(Failure::is_refusal) {
        remove::empty_state(site);
    }
    result
}

/// Carries a plan out. After a failure the old state is proven, or the failure says that it is not.
fn carry_out(site: &Site, plan: Plan<'_>, deadline: Deadline) -> Result<(), Failure> {
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    if plan.settings_only {
        return settle(site, &plan).or_else(|error| unsettle(site, &plan, error)).in_step(Step::Settle);
    }
    perform::check(host, &plan, &site.staging(), deadline, &mut Against::First).in_step(Step::Check)?;
    // Before the sheet is asked for the old edits: it has those of the new listener at hand.
    let known = later::warnings(&plan);
    let before = plan.intent.before.as_ref();
    let mut warnings = edits::edited(&*plan.alternate, plan.mta.is_ours(), &plan.files, before)
        .and_then(|edited| edits::keep_edited(host, state_dir, &edited))
        .in_step(Step::Record)?;
    if let Err(error) = plan.intent.write(host, state_dir) {
        // It may stand all the same.
        Intent::remove(host, state_dir);
        return Err(error).in_step(Step::Record);
    }
    let mut progress = Progress { wrote: Wrote::Nothing, step: Step::Apply };
    let result = perform::phases(host, &plan, deadline, &mut progress).and_then(|heard| {
        progress.step = Step::Settle;
        settle(site, &plan).map(|()| heard)
    });
    let Progress { wrote, step } = progress;
    let error = match result {
        Ok(heard) => {
            if plan.after.is_none() {
                remove::folders(site, &plan.intent).map_err(|error| ChangeError::Left(Box::new(error)))?;
            }
            Intent::remove(host, state_dir);
            warnings.extend(later::confirmed(&plan, known, &heard));
            warnings.into_iter().for_each(|warning| site.warn(warning));
            return Ok(());
        }
        Err(error) => error,
    };
    if wrote == Wrote::Nothing {
        Intent::remove(host, state_dir);
        return Err(error).in_step(step);
    }
    let log = log(site, &plan);
    let undone = match undo::take_back(site, &plan.intent) {
        Ok(()) => Undone::All,
        Err(stuck) => Undone::Stuck(Box::new(stuck)),
    };
    Err(Failure { error: Box::new(error), step: Some(step), undone, log })
}

/// What the listener's own log says last; one that goes with the way back is kept.
fn log(site: &Site, plan: &Plan<'_>) -> Option<String> {
    let log = plan.alternate.log()?;
    let mut path = log.path.clone();
    if plan.intent.folders.iter().any(|folder| path.starts_with(folder)) {
        match edits::keep(&*site.host, &site.options.state_dir, &path, &log.end) {
            Ok(kept) => path = kept,
            Err(error) => tracing::warn!(error = %chain(&error), "the listener's log is not kept"),
        }
    }
    Some(format!("the last line of {}: {}", path.display(), log.last_line()))
}

/// The settings are written, or gone: from here on the change is made.
fn settle(site: &Site, plan: &Plan<'_>) -> Result<(), ChangeError> {
    let (host, path) = (&*site.host, settings::path(&site.options.state_dir));
    boot::note(site, plan.after.as_ref())?;
    settings::put(host, &path, plan.after.as_ref())
}

/// Settings that could not be written for certain are as they were again, and the error stands; or they cannot be put back,
/// and the change is made.
fn unsettle(site: &Site, plan: &Plan<'_>, error: ChangeError) -> Result<(), ChangeError> {
    let path = settings::path(&site.options.state_dir);
    let Err(back) = undo::put_settings_back(site, &plan.intent) else { return Err(error) };
    if settings::read(&*site.host, &path).is_ok_and(|now| now == plan.after) {
        tracing::warn!(
            error = chain(&error),
            "the settings are written, and may be lost if the power fails now"
        );
        return Ok(());
    }
    tracing::warn!(error = chain(&back), "the settings and the noted boot may not be as they were");
    Err(error)
}
