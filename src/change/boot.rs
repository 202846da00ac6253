//! Since which boot of the machine the listener runs, where nothing but us brings it back.
//!
//! It keeps `<state-dir>/boot`: the boot id and the start of the first process under which a listener was brought up
//! whose mail server the machine does not start by itself (schema/README.md, "What the words mean"). Bringing it back
//! is `recover`'s. Where a unit or the mail server itself does that, there is no such file; one that cannot be read
//! says nothing.

use std::path::{Path, PathBuf};

use super::error::ChangeError;
use super::settings::Settings;
use super::site::Site;
use crate::sys::{FileError, Host};

/// The kernel's name for this boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("boot")
}

/// This boot: a container that is restarted keeps the kernel's name for it, but not its first process.
fn now(host: &dyn Host) -> Result<Option<Vec<u8>>, FileError> {
    let Some(mut boot) = host.read(Path::new(BOOT_ID))? else { return Ok(None) };
    if let Some(first) = host.process(1) {
        boot.extend(format!("{}\n", first.started).bytes());
    }
    Ok(Some(boot))
}

/// Whether the listener was brought up under another boot than this one.
fn differs(host: &dyn Host, state_dir: &Path) -> bool {
    let Ok(Some(noted)) = host.read(&path(state_dir)) else { return false };
    matches!(now(host), Ok(Some(now)) if now != noted)
}

/// Whether a wanted listener is away since the machine was booted, and nobody but us brings it back.
pub(super) fn has_ended(site: &Site) -> bool {
    let wanted = || site.settings().ok().flatten().is_some_and(|settings| settings.target().is_some());
    differs(&*site.host, &site.options.state_dir) && wanted()
}

/// What is noted now, as text.
///
/// # Errors
/// It cannot be read.
pub(super) fn noted(host: &dyn Host, state_dir: &Path) -> Result<Option<String>, FileError> {
    Ok(host.read(&path(state_dir))?.map(|noted| String::from_utf8_lossy(&noted).into_owned()))
}

/// Notes what was noted before.
///
/// # Errors
/// It cannot be written.
pub(super) fn restore(host: &dyn Host, state_dir: &Path, before: Option<&str>) -> Result<(), FileError> {
    if noted(host, state_dir)?.as_deref() == before {
        return Ok(());
    }
    match before {
        Some(before) => host.write(&path(state_dir), before.as_bytes(), 0o600),
        None => host.remove(&path(state_dir)),
    }
}

/// Notes under which boot a listener of these settings runs, or that nobody needs to know.
///
/// # Errors
/// It cannot be written.
pub(super) fn note(site: &Site, settings: Option<&Settings>) -> Result<(), ChangeError> {
    let host = &*site.host;
    let path = path(&site.options.state_dir);
    let running = settings.filter(|settings| settings.target().is_some());
    if running.is_none_or(|settings| site.mta(settings.mta).comes_back(host)) {
        return Ok(host.remove(&path)?);
    }
    match now(host)? {
        Some(now) if host.read(&path)?.as_ref() != Some(&now) => Ok(host.write(&path, &now, 0o600)?),
        _ => Ok(()),
    }
}
