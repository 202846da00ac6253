//! A plan, phase by phase: the files are written, the mail server is told, and what came of it is proven.
//!
//! A restart has two phases, everything else one. Also the mail server's own check of the configuration as it will be,
//! which comes before the first byte is written. Whatever fails here is undone by the transaction; what it needs to know
//! for that is whether anything was written or told at all.

use std::path::Path;
use std::time::Duration;

use super::against::Against;
use super::edits::Wrote;
use super::error::{ChangeError, Finding};
use super::journal::Was;
use super::plan::Plan;
use super::settings::Settings;
use super::tell::{message, run, tell, tell_goal};
use super::{live, ports, prove};
use crate::mta::{Doubt, Listener, Staged};
use crate::sys::{Deadline, Dialogue, Ended, Host};
use crate::wire::problem::Step;

/// How long an MTA that keeps a socket is given to be rid of the processes that still serve it as before; one that is
/// asked too early answers as it was (a Postfix whose helpers are just being replaced takes two seconds for it). It saves
/// time and nothing else: Postfix starts a process only when no earlier one is idle, so that a new one heard in the proof
/// means that none is left to answer otherwise.
const SETTLE: Duration = Duration::from_millis(40);

/// The MTA's own check of the configuration as it will be.
///
/// # Errors
/// [`ChangeError::Check`] with its words; what of others' would go live with our change and cannot.
pub(super) fn check(
    host: &dyn Host,
    plan: &Plan<'_>,
    staging: &Path,
    deadline: Deadline,
    against: &mut Against,
) -> Result<(), ChangeError> {
    let Some(goal) = plan.phases.last() else { return Ok(()) };
    let staged: Vec<Staged> = plan.files.iter().map(|file| file.staged()).collect();
    let Some(command) = plan.alternate.check(&staged, goal)? else { return Ok(()) };
    let output = run(host, &command, deadline)?;
    if output.ended != Ended::Exited(0) {
        plan.alternate.sound_already()?;
        against.object(ChangeError::Check { message: unstaged(message(&output), plan, staging) })?;
    }
    against.hear(plan.alternate.nothing_pending().map_err(ChangeError::from))
}

/// What was said of a copy, said of the file that it is to become: an administrator knows no other.
fn unstaged(mut message: String, plan: &Plan<'_>, staging: &Path) -> String {
    for file in &plan.files {
        let Some(name) = file.path.file_name() else { continue };
        message = message.replace(&*staging.join(name).to_string_lossy(), &file.path.to_string_lossy());
    }
    message
}

/// How far a plan has come.
pub(super) struct Progress {
    /// Whether anything was written or told.
    pub(super) wrote: Wrote,
    /// The step that it is at.
    pub(super) step: Step,
}

/// Carries out every phase; `progress` says how far that came. What the listener was heard to say in the proof, if there is one.
///
/// # Errors
/// What could not be written, told or proven.
pub(super) fn phases(
    host: &dyn Host,
    plan: &Plan<'_>,
    deadline: Deadline,
    Progress { wrote, step }: &mut Progress,
) -> Result<Vec<Dialogue>, ChangeError> {
    let mut heard = Vec::new();
    for (phase, goal) in plan.phases.iter().enumerate() {
        let first = plan.alternate.tell_before(goal)?;
        if !first.is_empty() {
            (*wrote, *step) = (Wrote::Something, Step::Tell);
            tell(host, &first, deadline)?;
        }
        *step = Step::Apply;
        for file in &plan.files {
            file.apply(host, phase, wrote, deadline)?;
        }
        let listener = goal.listener();
        if let Some(listener) = listener {
            // Somebody may have taken the port since we looked, and some MTAs die of that.
            ports::is_ours_or_free(host, plan.mta, listener.port, &plan.addresses, live::LEAVING)?;
        }
        (*wrote, *step) = (Wrote::Something, Step::Tell);
        tell_goal(host, &*plan.alternate, goal, &plan.addresses, deadline)?;
        if keeps_socket(plan, listener) {
            host.sleep(SETTLE);
        }
        *step = Step::Prove;
        heard = proof(host, plan, listener, deadline)?;
    }
    prove::greets(host, &plan.intent.primary, deadline)?;
    Ok(heard)
}

/// Whether the listener goes on listening where it does, so that no socket shows when it has changed.
fn keeps_socket(plan: &Plan<'_>, goal: Option<&Listener>) -> bool {
    let before = plan.intent.before.as_ref().and_then(Settings::target);
    let was = before.filter(|_| plan.intent.was != Was::Absent);
    plan.phases.len() == 1 && was.map(|was| was.port) == goal.map(|goal| goal.port) && goal.is_some()
}

/// What is wrong with a listener that is there, and what the mail server's sheet knows that helps.
fn advised(plan: &Plan<'_>, goal: &Listener, error: ChangeError) -> ChangeError {
    let with = |what: String, doubt| match plan.alternate.advice(goal, doubt) {
        Ok(Some(advice)) => format!("{what}; {advice}"),
        Ok(None) | Err(_) => what,
    };
    let on = |found: Finding, doubt| Finding { what: with(found.what, doubt), ..found };
    match error {
        ChangeError::Unfit(found) => ChangeError::Unfit(on(found, Doubt::Unfit)),
        ChangeError::PutOff(found) => ChangeError::PutOff(on(found, Doubt::Slow)),
        ChangeError::Deadline { step } => ChangeError::Deadline { step: with(step, Doubt::Slow) },
        other => other,
    }
}

fn proof(
    host: &dyn Host,
    plan: &Plan<'_>,
    goal: Option<&Listener>,
    deadline: Deadline,
) -> Result<Vec<Dialogue>, ChangeError> {
    let mut heard = Vec::new();
    if let Some(goal) = goal {
        let alive = || prove::alive(&*plan.alternate, goal, plan.intent.primary_ran);
        let addresses = || Ok(plan.alternate.addresses()?);
        heard = prove::up(host, plan.mta, goal, &addresses, &alive, deadline)
            .map_err(|error| advised(plan, goal, error))?;
    }
    let old = plan.intent.before.as_ref().map(|before| before.listener.port);
    if let Some(old) = old.filter(|port| goal.is_none_or(|goal| goal.port != *port)) {
        prove::down(host, plan.mta, &plan.claims, old, &plan.addresses, deadline)?;
    }
    Ok(heard)
}
