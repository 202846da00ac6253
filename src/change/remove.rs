//! After `remove`: the state goes, and with it the lock; folders that were made for us go from the machine.
//!
//! Runs when the listener is proven to be down and our bytes are out of the mail server's files. A folder into which
//! somebody else has put something stays. Fails with what could not be taken away.

use std::path::Path;

use super::edits::EDITED;
use super::error::ChangeError;
use super::history;
use super::journal::Intent;
use super::settings::Settings;
use super::site::Site;
use super::tell::tell;
use crate::mta::Mta;
use crate::sys::{Deadline, FileError, Host, Lock, files};

/// The files of a state directory.
const FILES: [&str; 5] = ["settings.json", "intent", "boot", history::FILES[0], history::FILES[1]];

/// After `remove`: the state goes, and with it the lock.
pub(super) fn forget(site: &Site, lock: Lock, before: Option<&Settings>) -> Result<(), FileError> {
    let state_dir = &site.options.state_dir;
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
    folders.iter().try_for_each(|folder| discard(host, mta, folder, deadline))
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
