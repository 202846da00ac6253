//! What a change would do, and all that would refuse it, without doing it.
//!
//! The plan is the one that the change itself would make (`plan`), and what is asked is what it would ask; only that every
//! objection is heard (`Against::All`). Holds the lock while it looks, so that nothing is seen half done, and writes
//! nothing but the copies that the mail server's own check reads, which go again. What cannot be found out is a refusal,
//! as it would be of the change.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use similar::TextDiff;

use super::against::Against;
use super::edits::{self, EDITED, File};
use super::error::ChangeError;
use super::journal::Intent;
use super::plan::Plan;
use super::site::Site;
use super::told::{self, Told};
use super::verb::Verb;
use super::{later, perform, remove};
use crate::mta::{Goal, MtaError, Tell, Warning, WarningKind};
use crate::sys::{Deadline, established};
use crate::wire::problem::FieldFault;
use crate::wire::reason::Reason;
use crate::wire::status::Status;
use crate::wire::text::chain;

/// What the lock is held for meanwhile.
pub(super) const PLAN: &str = "queryPlan";
/// How many lines stand around what differs.
const CONTEXT: usize = 3;

/// A file that would be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Which.
    pub path: PathBuf,
    /// How many times: a restart writes it twice.
    pub writes: u64,
    /// From what it is to what it would be; `None` where that is not for everybody's eyes.
    pub diff: Option<String>,
    /// Whether the diff has every byte, or stands for some that are no UTF-8.
    pub is_exact: bool,
}

/// Something that would refuse the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// With which number.
    pub status: Status,
    /// Why, for a program.
    pub reason: Cow<'static, str>,
    /// The input that it is about.
    pub field: Option<String>,
    /// What is in the way.
    pub sentence: String,
}

/// What a change would do.
#[derive(Debug, Default)]
pub struct Preview {
    /// Whether anything would be done; `None` if that cannot be told, because of what would refuse it.
    pub changes: Option<bool>,
    /// The files of the mail server's configuration.
    pub files: Vec<FileChange>,
    /// Who would be told what, in this order.
    pub tells: Vec<Told>,
    /// What the administrator should know.
    pub warnings: Vec<Warning>,
    /// Connections that stand on the port and may be cut.
    pub sessions: u64,
    /// All that would refuse it, in the order in which a change would meet it.
    pub refusals: Vec<Refusal>,
}

/// What `verb` would do now.
pub(super) fn look(site: &Site, verb: Verb) -> Preview {
    let (host, state_dir, staging) = (&*site.host, &site.options.state_dir, site.staging());
    let was_there = matches!(host.stamp(state_dir), Ok(Some(_)));
    let mut against = Against::All(Vec::new());
    let mut preview = Preview::default();
    match site.lock(PLAN, Duration::ZERO) {
        Ok(_lock) => {
            preview.refusals.extend(interrupted(site, verb));
            let looked = fill(site, verb, &mut against, &mut preview);
            // What leaves no further question is an objection, too; all are heard, so that this is no error.
            let _ = against.hear(looked);
            if let Err(error) = host.remove_dir(&staging) {
                tracing::warn!(%error, "copies for the mail server's programs are left");
            }
            if !was_there {
                remove::empty_state(site);
            }
        }
        Err(error) => drop(against.object(error)),
    }
    if let Against::All(all) = against {
        preview.refusals.extend(all.into_iter().flat_map(refusals));
    }
    let mut seen: Vec<Refusal> = Vec::new();
    // Several questions may fail of one thing.
    preview.refusals.retain(|one| {
        !seen.contains(one) && {
            seen.push(one.clone());
            true
        }
    });
    preview
}

fn fill(site: &Site, verb: Verb, against: &mut Against, preview: &mut Preview) -> Result<(), ChangeError> {
    let (host, staging) = (&*site.host, site.staging());
    let deadline = Deadline::after(site.options.change);
    host.remove_dir(&staging)?;
    let Some(plan) = Plan::make(site, verb, site.context(&staging, deadline), against)? else {
        preview.changes = Some(false);
        return Ok(());
    };
    preview.changes = Some(true);
    if plan.settings_only {
        return Ok(());
    }
    if !plan.files.is_empty() {
        let checked = perform::check(host, &plan, &staging, deadline, against);
        against.hear(checked)?;
    }
    preview.files =
        plan.files.iter().filter(|file| file.changes()).map(|file| shown(site, &plan, file)).collect();
    preview.warnings = rewritten(site, &plan)?;
    preview.warnings.extend(later::warnings(&plan));
    preview.sessions =
        plan.intent.before.as_ref().map_or(0, |before| established(host, before.listener.port));
    preview.tells = tells(&plan)?;
    Ok(())
}

/// A change that nobody could end: the next one would begin with it.
fn interrupted(site: &Site, verb: Verb) -> Option<Refusal> {
    let intent = Intent::read(&*site.host, &site.options.state_dir).ok().flatten()?;
    (!verb.tears_down()).then(|| Refusal {
        status: Status::Failed,
        reason: Reason::Interrupted.row().name.into(),
        field: None,
        sentence: format!("an interrupted {} was found, and could not be ended yet", intent.action),
    })
}

/// An error as what would refuse the change: one for each field of refused input.
fn refusals(error: ChangeError) -> Vec<Refusal> {
    let (status, problem) = (error.status(), error.problem());
    let refusal = |field: Option<&FieldFault>, sentence: String| {
        let (reason, field) = (problem.reason.clone(), field.map(|field| field.name.clone()));
        Refusal { status, reason, field, sentence }
    };
    match &error {
        ChangeError::Refused(faults) => {
            faults.iter().map(|fault| refusal(Some(fault), fault.message.clone())).collect()
        }
        error => vec![refusal(problem.fields.first(), chain(error))],
    }
}

/// How a file would change. One that not everybody may read is shown as far as it is ours.
fn shown(site: &Site, plan: &Plan<'_>, file: &File) -> FileChange {
    let private = matches!(site.host.meta(&file.path), Ok(Some(meta)) if meta.mode & 0o004 == 0);
    let saved = plan.intent.before.as_ref().is_some_and(|before| before.saved.contains_key(&file.path));
    let is_ours = !file.whole || saved || file.old.is_none();
    let (old, new) = (file.old.clone().unwrap_or_default(), file.staged().bytes.unwrap_or_default());
    let is_exact = str::from_utf8(&old).is_ok() && str::from_utf8(&new).is_ok();
    let name = file.path.display().to_string();
    let diff = TextDiff::from_lines(&*String::from_utf8_lossy(&old), &*String::from_utf8_lossy(&new))
        .unified_diff()
        .context_radius(if private { 0 } else { CONTEXT })
        .header(&name, &name)
        .to_string();
    let diff = (is_ours || !private).then_some(diff);
    FileChange { path: file.path.clone(), writes: file.writes(), diff, is_exact }
}

/// What somebody has edited of ours, and would be written anew.
fn rewritten(site: &Site, plan: &Plan<'_>) -> Result<Vec<Warning>, ChangeError> {
    let before = plan.intent.before.as_ref();
    let edited = edits::edited(&*plan.alternate, plan.mta.is_ours(), &plan.files, before)?;
    let folder = site.options.state_dir.join(EDITED);
    let warning = |(file, _): (PathBuf, Vec<u8>)| {
        let (file, folder) = (file.display(), folder.display());
        let sentence = format!(
            "what stands in {file} for the listener is not what would be written now: the old would be kept in {folder}"
        );
        Warning::new(WarningKind::EditRewritten, sentence)
    };
    Ok(edited.into_iter().map(warning).collect())
}

/// Who would be told what. What the first phase has ended is not ended by the second.
fn tells(plan: &Plan<'_>) -> Result<Vec<Told>, MtaError> {
    let mut tells = Vec::new();
    let mut has_ended = false;
    for goal in &plan.phases {
        let before = plan.alternate.tell_before(goal)?;
        let ends_first = has_ended || !before.is_empty();
        let left = |all: Vec<Tell>, ended: bool| -> Vec<Tell> {
            all.into_iter().filter_map(|one| if ended { told::once_ended(one) } else { Some(one) }).collect()
        };
        tells.extend(left(before, has_ended));
        tells.extend(left(plan.alternate.tell(goal, &plan.addresses)?, ends_first));
        has_ended = matches!(goal, Goal::Stopped | Goal::Removed);
    }
    Ok(tells.iter().filter_map(told::words).collect())
}
