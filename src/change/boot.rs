//! Since which boot of the machine the listener runs, where nothing but us brings it back.
//!
//! Answers for: `<state-dir>/boot`, the boot id under which a listener was brought up whose MTA the machine does not
//! start by itself (contract, section 8). Does not know: how it is brought back. Where a unit or the MTA itself does it,
//! there is no such file; one that cannot be read says nothing.

use std::path::{Path, PathBuf};

use super::settings::Settings;
use super::{ChangeError, Service};
use crate::sys::Host;

/// The kernel's name for this boot (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("boot")
}

/// Whether the listener was brought up under another boot than this one.
pub fn differs(host: &dyn Host, state_dir: &Path) -> bool {
    let Ok(Some(noted)) = host.read(&path(state_dir)) else { return false };
    matches!(host.read(Path::new(BOOT_ID)), Ok(Some(now)) if now != noted)
}

/// Notes under which boot a listener of these settings runs, or that nobody needs to know.
///
/// # Errors
/// It cannot be written.
pub fn note(service: &Service, settings: Option<&Settings>) -> Result<(), ChangeError> {
    let host = &*service.host;
    let path = path(&service.options.state_dir);
    let running = settings.filter(|settings| settings.target().is_some());
    if running.is_none_or(|settings| service.mta(settings.mta).comes_back(host)) {
        return Ok(host.remove(&path)?);
    }
    match host.read(Path::new(BOOT_ID))? {
        Some(now) if host.read(&path)?.as_ref() != Some(&now) => Ok(host.write(&path, &now, 0o600)?),
        _ => Ok(()),
    }
}
