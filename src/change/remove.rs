//! After `remove`: the state goes, and with it the lock; folders that were made for us go from the machine.
//!
//! Runs when the listener is proven to be down and our bytes are out of the mail server's files. A folder into which
//! somebody else has put something stays. Fails with what could not be taken away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::edits::EDITED;
use super::error::ChangeError;
use super::history;
use super::journal::Intent;
use super::settings::Settings;
use super::site::Site;
use super::tell::tell;
use super::verb::Verb;
use crate::mta::{Edit, Goal, Mta};
use crate::sys::{Deadline, FileError, Host, Lock, files};

/// The files of a state directory.
const FILES: [&str; 5] = ["settings.json", "intent", "boot", history::FILES[0], history::FILES[1]];
/// Of a lock whose file nobody needs any more.
const LEFT: &str = "is left from editing and cannot be removed; nobody needs it: remove it";

/// After `remove`: what is left of editing goes, then the state, and with it the lock.
///
/// # Errors
/// Something cannot be taken away.
pub(super) fn forget(site: &Site, lock: Lock, before: Option<&Settings>) -> Result<(), ChangeError> {
    let state_dir = &site.options.state_dir;
    // Also without settings: a `remove` that could not take it away has left none.
    if let Ok(mta) = site.acting(before, Verb::Remove) {
        tidy(site, mta, before)?;
    }
    let made = before.map(Settings::made).unwrap_or_default();
    for mta in &site.mtas {
        for path in mta.belongings(&made) {
            site.host.remove_dir(&path)?;
        }
    }
    leftovers(site)?;
    for name in FILES {
        site.host.remove(&state_dir.join(name))?;
    }
    site.host.remove_dir(&state_dir.join(EDITED))?;
    let holds_lock = site.options.lock.starts_with(state_dir);
    if !holds_lock {
        // Whoever waits for the lock makes it anew.
        leave(site, state_dir);
    }
    site.host.remove(&site.options.lock)?;
    drop(lock);
    site.options.lock.parent().into_iter().for_each(|folder| leave(site, folder));
    if holds_lock {
        leave(site, state_dir);
    }
    Ok(())
}

/// What a plugin that died while it edited a file of the mail server's, or that could not tidy up, has left beside it.
fn tidy(site: &Site, mta: &dyn Mta, before: Option<&Settings>) -> Result<(), ChangeError> {
    let (host, staging) = (&*site.host, site.staging());
    let context = site.context(&staging, Deadline::after(site.options.change));
    let edits = match site.alternate(mta, context).and_then(|alternate| alternate.edits(&Goal::Removed)) {
        // Nobody has ever edited what is in such disorder.
        Err(_) if before.is_none() => return Ok(()),
        edits => edits?,
    };
    for Edit { path, lock, .. } in edits {
        host.remove_aside(&path)?;
        lock.map_or(Ok(()), |lock| free(host, lock))?;
    }
    Ok(())
}

/// The lock of an editing protocol goes, if it is ours and nobody's: the mail server's own tools write into it.
fn free(host: &dyn Host, lock: PathBuf) -> Result<(), ChangeError> {
    let is_left = || Ok::<_, FileError>(host.read(&lock)?.is_some_and(|bytes| bytes.is_empty()));
    if !is_left()? {
        return Ok(());
    }
    // Whoever holds it is at work, and removes it himself; when ours is let go, its file goes.
    let Some(held) = host.edit_lock(&lock, Duration::ZERO)? else { return Ok(()) };
    drop(held);
    if is_left()? { Err(FileError::Irreplaceable { path: lock, why: LEFT }.into()) } else { Ok(()) }
}

/// What a plugin that died in the middle of a write may have left in the state directory.
///
/// # Errors
/// It cannot be removed.
pub(super) fn leftovers(site: &Site) -> Result<(), FileError> {
    for name in FILES {
        site.host.remove_aside(&site.options.state_dir.join(name))?;
    }
    site.host.remove_dir(&site.probing())?;
    site.host.remove_dir(&site.staging())
}

/// Under the lock: a state directory in which nothing is written down goes.
pub(super) fn empty_state(site: &Site) {
    // One with something in it says so by an error.
    site.host.remove_empty_dir(&site.options.state_dir).ok();
}

/// Takes a folder away if nobody else has put anything into it.
fn leave(site: &Site, folder: &Path) {
    if let Err(error) = site.host.remove_empty_dir(folder) {
        tracing::info!(%error, "a folder was left");
    }
}

/// The folders go that were made for us.
///
/// # Errors
/// One could not be taken away.
pub(super) fn folders(site: &Site, intent: &Intent) -> Result<(), ChangeError> {
    let Some(before) = &intent.before else { return Ok(()) };
    let (host, mta) = (&*site.host, site.mta(before.mta));
    let deadline = Deadline::after(site.options.change);
    let folders = mta.belongings(&before.made());
    folders.iter().try_for_each(|folder| discard(host, mta, folder, deadline))?;
    emptied(host, &before.folders)
}

/// Folders that were made for files of ours go where nothing is left in them.
///
/// # Errors
/// One that is empty could not be taken away.
pub(super) fn emptied(host: &dyn Host, folders: &BTreeSet<PathBuf>) -> Result<(), ChangeError> {
    // What is inside another one comes behind it.
    for folder in folders.iter().rev() {
        match host.remove_empty_dir(folder) {
            Err(error) if host.list(folder)?.is_empty() => return Err(error.into()),
            Err(_) => {
                tracing::info!(folder = %folder.display(), "a folder stays: somebody else has put something into it")
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Takes a folder away, with all in it. First under a name that no supervisor looks at, or one would begin anew in it.
pub(super) fn discard(
    host: &dyn Host,
    mta: &dyn Mta,
    folder: &Path,
    deadline: Deadline,
) -> Result<(), ChangeError> {
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
