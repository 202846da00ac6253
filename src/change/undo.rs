//! The way back: from a change that failed, or one whose author died, to a state that is proven.
//!
//! Works from the intent alone: the files as they were (byte for byte where nobody else has written since, otherwise our
//! own block alone), the mail server told, the old state proven. It has a deadline of its own. What cannot be undone
//! stays in the intent, for the next one to try, and is the error.

use std::net::IpAddr;

use super::edits::{edit_lock, put};
use super::error::ChangeError;
use super::journal::{Intent, OldBlock, Planned, Was, hash};
use super::settings::{self, Settings};
use super::site::Site;
use super::tell::{tell, tell_goal};
use super::{block, boot, ports, prove, remove};
use crate::mta::{Alternate, Goal, Listener, Mta};
use crate::sys::{Deadline, Host};
use crate::wire::text::chain;

/// Puts everything back as the intent says that it was, and proves it.
///
/// # Errors
/// What could not be put back; the intent stays.
pub(super) fn take_back(site: &Site, intent: &Intent) -> Result<(), ChangeError> {
    let host = &*site.host;
    // A deadline of its own, and never cut short by the change's.
    let deadline = Deadline::after(site.options.change);
    if !settings_stand(site, intent) {
        // Whoever dies from here on has begun to undo, and has not made it.
        Intent { undoing: true, ..intent.clone() }.write(host, &site.options.state_dir)?;
    }
    put_settings_back(site, intent)?;
    let Some(settings) = intent.before.as_ref().or(intent.after.as_ref()) else {
        Intent::remove(host, &site.options.state_dir);
        return Ok(());
    };
    let mta = site.mta(settings.mta);
    let was = intent.before.as_ref().and_then(Settings::target);
    // Of what an administrator had taken out of the configuration, and that ran only until it was told, nothing comes back.
    let listed = intent.files.iter().any(|file| !file.blocks.is_empty());
    let up = was.filter(|_| intent.was != Was::Absent && (listed || !mta.shares_its_process()));
    let found = intent.found.map(|port| Listener { port, ..settings.listener });
    let goal = up.copied().or(found).map_or(Goal::Stopped, Goal::Running);
    let staging = site.staging();
    let alternate = site.alternate(mta, site.context(&staging, deadline));
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
        tell(host, &alternate.start_primary(), deadline)?;
    }
    // What ran is brought back where it ran, whatever the primary shows at this moment.
    let addresses = if intent.bound.is_empty() { alternate.addresses()? } else { intent.bound.clone() };
    tell_goal(host, &*alternate, &goal, &addresses, deadline)?;
    let before = Before { was, up, found, listed };
    prove_before(site, intent, (mta, &*alternate), &before, &addresses, deadline)?;
    prove::greets(host, &intent.primary, deadline)?;
    for folder in &intent.folders {
        remove::discard(host, mta, folder, deadline)?;
    }
    let made = |settings: Option<&Settings>| settings.map(|it| it.folders.clone()).unwrap_or_default();
    remove::emptied(host, &(&made(intent.after.as_ref()) - &made(intent.before.as_ref())))?;
    host.remove_dir(&staging)?;
    Intent::remove(host, &site.options.state_dir);
    Ok(())
}

/// What there was before the change.
struct Before<'s> {
    /// The listener that was to run, by the settings.
    was: Option<&'s Listener>,
    /// The same, where it is to be brought back.
    up: Option<&'s Listener>,
    /// A listener that ran against the settings.
    found: Option<Listener>,
    /// Whether our entry stood in the configuration.
    listed: bool,
}

/// Proves that what listens is what listened before, and that nothing else of ours does.
fn prove_before(
    site: &Site,
    intent: &Intent,
    (mta, alternate): (&dyn Mta, &dyn Alternate),
    before: &Before<'_>,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let &Before { was, up, found, listed } = before;
    let host = &*site.host;
    match up {
        Some(goal) if intent.was == Was::Up => {
            let alive = || prove::alive(alternate, goal, true);
            prove::up(host, mta, goal, &|| Ok(addresses.to_vec()), &alive, deadline)?;
        }
        // It was faulty before we began: it is as before when it listens.
        Some(goal) => prove::listening(host, mta, goal.port, addresses, deadline)?,
        None => found.map_or(Ok(()), |found| prove::held(host, mta, found.port, deadline))?,
    }
    // Where the files as they were make the MTA listen, it may; as may others of its entries.
    let stays = |port: u16| {
        let before = intent.before.as_ref().is_some_and(|before| before.listener.port == port);
        was.is_some_and(|was| was.port == port && (listed || up.is_some()))
            || intent.found == Some(port)
            || (intent.orphaned && before)
    };
    let claims = ports::claims(host, alternate, mta.is_ours())?;
    for settings in [&intent.before, &intent.after].into_iter().flatten() {
        let port = settings.listener.port;
        if !stays(port) {
            prove::down(host, mta, &claims, port, addresses, deadline)?;
        }
    }
    Ok(())
}

/// Whether the settings stand as they were before.
fn settings_stand(site: &Site, intent: &Intent) -> bool {
    let path = settings::path(&site.options.state_dir);
    settings::read(&*site.host, &path).is_ok_and(|now| now == intent.before)
}

/// The settings and the noted boot are as they were.
///
/// # Errors
/// One of them cannot be put back; it may stand as it was all the same.
pub(super) fn put_settings_back(site: &Site, intent: &Intent) -> Result<(), ChangeError> {
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    if !settings_stand(site, intent) {
        settings::put(host, &settings::path(state_dir), intent.before.as_ref())?;
    }
    Ok(boot::restore(host, state_dir, intent.boot.as_deref())?)
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
        let not_ours = || ChangeError::NotOurs { path: path.clone() };
        return ours
            .then_some(())
            .ok_or_else(not_ours)
            .and_then(|()| put(host, path, whole.decode().as_deref(), planned.mode, planned.owner));
    }
    let marks = |source| ChangeError::Marks { path: path.clone(), source };
    let old: Vec<_> = planned.blocks.iter().filter_map(OldBlock::decode).collect();
    if planned.new.contains(&found) {
        let back = block::restore(now.as_deref(), &old, is_ours).map_err(marks)?;
        return put(host, path, back.as_deref(), planned.mode, planned.owner);
    }
    // Somebody else has written since: their bytes stay, and only our block is put back as it was.
    let old: Vec<u8> = old.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let ours = block::find(&old, is_ours).map_err(marks)?.map(|found| found.text(&old));
    let back = block::set(now.as_deref(), ours.as_deref(), is_ours).map_err(marks)?;
    put(host, path, back.as_deref(), planned.mode, planned.owner)
}
