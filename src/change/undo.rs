//! The way back: from a change that failed, or one whose author died, to a state that is proven.
//!
//! Answers for: from an intent alone, the files as they were (byte for byte where nobody else has written since,
//! otherwise our own block alone), the MTA told, the old state proven. Does not know: why. What cannot be undone
//! stays in the intent, for the next one to try.

use std::path::Path;

use super::error::{Failure, Undone};
use super::journal::{Intent, Planned, Was, hash};
use super::plan::{edit_lock, is_theirs, meant, put, tell};
use super::settings::{self, Settings};
use super::{ChangeError, Service, block, prove};
use crate::mta::{Desk, Goal, Listener, Mta};
use crate::sys::{Deadline, Host, files};
use crate::wire::text::chain;

/// Ends an interrupted change: it was made if the settings say so, else it is taken back.
///
/// # Errors
/// It could not be taken back.
pub fn end(service: &Service, intent: &Intent) -> Result<&'static str, Failure> {
    let host = &*service.host;
    let path = settings::path(&service.options.state_dir);
    if intent.before != intent.after && settings::read(host, &path)? == intent.after {
        if intent.after.is_none() {
            clear(service, intent)?;
        }
        Intent::remove(host, &service.options.state_dir)?;
        return Ok("the interrupted change had been made");
    }
    match take_back(service, intent) {
        Ok(()) => Ok("the interrupted change was taken back"),
        Err(error) => {
            let interrupted = ChangeError::Unproven(format!("an interrupted {} was found", intent.action));
            Err(Failure { error: Box::new(interrupted), undone: Undone::Stuck(Box::new(error)) })
        }
    }
}

/// Puts everything back as the intent says that it was, and proves it.
///
/// # Errors
/// What could not be put back; the intent stays.
pub fn take_back(service: &Service, intent: &Intent) -> Result<(), ChangeError> {
    let host = &*service.host;
    // A deadline of its own, and never cut short by the change's.
    let deadline = Deadline::after(service.options.change);
    let Some(settings) = intent.before.as_ref().or(intent.after.as_ref()) else {
        return Intent::remove(host, &service.options.state_dir);
    };
    let mta = service.mta(settings.mta);
    let was = intent.before.as_ref().and_then(Settings::target);
    // Of what an administrator had taken out of the configuration, and that ran only until it was told, nothing comes back.
    let listed = intent.files.iter().any(|file| !file.blocks.is_empty());
    let up = was.filter(|_| intent.was != Was::Absent && (listed || !mta.shares_its_process()));
    let found = intent.found.map(|port| Listener { port, ..settings.listener });
    let goal = up.copied().or(found).map_or(Goal::Stopped, Goal::Running);
    let staging = service.staging();
    let alternate = service.alternate(mta, Desk { host, staging: &staging, deadline });
    if let Ok(alternate) = &alternate
        && let Err(error) =
            alternate.tell_before(&goal).map_err(Into::into).and_then(|it| tell(host, &it, deadline))
    {
        // Above all, the files have to be as they were.
        tracing::warn!(error = %chain(&error), "going on with taking back");
    }
    for planned in &intent.files {
        restore(host, planned, mta.is_ours(), deadline)?;
    }
    let alternate = alternate?;
    if intent.primary_ran && !alternate.primary_runs()? {
        tell(host, &alternate.revive(), deadline)?;
    }
    // What ran is brought back where it ran, whatever the primary shows at this moment.
    let addresses = if intent.bound.is_empty() { alternate.addresses()? } else { intent.bound.clone() };
    tell(host, &alternate.tell(&goal, &addresses)?, deadline)?;
    match up {
        Some(goal) if intent.was == Was::Up => {
            let alive = || prove::alive(&*alternate, goal, true);
            prove::up(host, mta, goal, &|| Ok(addresses.clone()), &alive, deadline)?;
        }
        // It was faulty before we began: it is as before when it listens.
        Some(goal) => prove::listening(host, mta, goal.port, &addresses, deadline)?,
        None => found.map_or(Ok(()), |found| prove::held(host, mta, found.port, deadline))?,
    }
    // Where the files as they were make the MTA listen, it may; as may others of its entries.
    let stays = |port: u16| {
        let before = intent.before.as_ref().is_some_and(|before| before.listener.port == port);
        was.is_some_and(|was| was.port == port && (listed || up.is_some()))
            || intent.found == Some(port)
            || (intent.orphaned && before)
    };
    let meant = meant(host, &*alternate, mta.is_ours())?;
    for settings in [&intent.before, &intent.after].into_iter().flatten() {
        let port = settings.listener.port;
        if !stays(port) && !is_theirs(&meant, port) {
            prove::down(host, mta, port, &addresses, deadline)?;
        }
    }
    prove::greets(host, &intent.primary, deadline)?;
    for folder in &intent.folders {
        discard(host, mta, folder, deadline)?;
    }
    host.remove_dir(&staging)?;
    Intent::remove(host, &service.options.state_dir)
}

/// After `remove`: the folders go that were made for us.
///
/// # Errors
/// One could not be taken away.
pub fn clear(service: &Service, intent: &Intent) -> Result<(), ChangeError> {
    let Some(before) = &intent.before else { return Ok(()) };
    let (host, mta) = (&*service.host, service.mta(before.mta));
    let deadline = Deadline::after(service.options.change);
    let folders = mta.belongings(&before.made());
    folders.iter().try_for_each(|folder| discard(host, mta, folder, deadline))
}

/// Takes a folder away, with all in it. First under a name that no supervisor looks at, or one would begin anew in it.
fn discard(host: &dyn Host, mta: &dyn Mta, folder: &Path, deadline: Deadline) -> Result<(), ChangeError> {
    let aside = files::aside(folder);
    let take = || -> Result<(), ChangeError> {
        tell(host, &mta.dismissal(&aside), deadline)?;
        Ok(host.remove_dir(&aside)?)
    };
    // What a plugin that died here has left.
    take()?;
    if host.meta(folder)?.is_some() {
        host.rename(folder, &aside)?;
        take()?;
    }
    Ok(())
}

/// Puts one file back.
fn restore(
    host: &dyn Host,
    planned: &Planned,
    is_ours: Option<block::IsOurs>,
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let path = &planned.path;
    let _lock = edit_lock(host, planned.lock.as_deref(), deadline)?;
    // What a write that was cut short may have left.
    host.remove_aside(path)?;
    let now = host.read(path)?;
    let found = hash(now.as_deref());
    if found == planned.old {
        return Ok(());
    }
    if let Some(whole) = &planned.whole {
        // There is no telling our bytes from theirs in it.
        let ours = planned.new.contains(&found);
        let foreign = || ChangeError::Foreign { path: path.clone() };
        return ours
            .then_some(())
            .ok_or_else(foreign)
            .and_then(|()| put(host, path, whole.decode().as_deref(), planned.mode));
    }
    let marks = |source| ChangeError::Marks { path: path.clone(), source };
    let old: Vec<_> = planned.blocks.iter().filter_map(super::journal::OldBlock::decode).collect();
    if planned.new.contains(&found) {
        let back = block::restore(now.as_deref(), &old, is_ours).map_err(marks)?;
        return put(host, path, back.as_deref(), planned.mode);
    }
    // Somebody else has written since: their bytes stay, and only our block is put back as it was.
    let old: Vec<u8> = old.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let ours = block::find(&old, is_ours).map_err(marks)?.map(|found| found.text(&old));
    let back = block::set(now.as_deref(), ours.as_deref(), is_ours).map_err(marks)?;
    put(host, path, back.as_deref(), planned.mode)
}
