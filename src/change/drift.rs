//! What stands in the mail server's configuration for the listener, against what we wrote there.
//!
//! It names each file in which an entry of ours is missing, stands though the service was stopped, or says something
//! else. The quick look compares the port and the mode that an entry tells; the full one asks the sheet what it would
//! write now, and compares bytes. Nobody can tell from it who changed the file. A file that cannot be read is left out.

use std::path::PathBuf;

use super::block;
use super::edits;
use super::settings::Settings;
use crate::mta::{Alternate, Mta};
use crate::sys::Host;
use crate::wire::named;

named! {
    /// What is otherwise.
    pub enum Otherwise {
        Missing "missing": "our entry is not there",
        Unexpected "unexpected": "it is there, though the service was stopped",
        Changed "changed": "it says something else than we wrote",
    }
}

/// A file that is not as we wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The file.
    pub path: PathBuf,
    /// What is otherwise in it.
    pub what: Otherwise,
}

/// Compares the entries that tell the listener with the settings.
pub(super) fn of_entries(host: &dyn Host, mta: &dyn Mta, settings: &Settings) -> Vec<Drift> {
    let entries = mta.blocks().into_iter().filter_map(|path| {
        let bytes = host.read(&path).ok()?;
        let found = block::find(bytes.as_deref().unwrap_or_default(), mta.is_ours());
        // Marks that do not pair up are something of ours that was changed.
        let entry = found.map(|found| found.map(|found| found.text(bytes.as_deref().unwrap_or_default())));
        Some((path, entry))
    });
    let entries: Vec<_> = entries.collect();
    let stands = entries.iter().any(|(_, entry)| !matches!(entry, Ok(None)));
    let what = |entry: Result<Option<String>, _>| match (settings.target(), entry) {
        (None, Ok(None)) => None,
        (None, _) => Some(Otherwise::Unexpected),
        // It may stand in any of them.
        (Some(_), Ok(None)) => (!stands).then_some(Otherwise::Missing),
        (Some(listener), Ok(Some(entry))) => {
            // An entry without a listener in it stands beside the one that tells it.
            let other = mta.listener_in(&entry).is_some_and(|said| said != *listener);
            other.then_some(Otherwise::Changed)
        }
        (Some(_), Err(_)) => Some(Otherwise::Changed),
    };
    let drifts = entries.into_iter().filter_map(|(path, entry)| Some(Drift { path, what: what(entry)? }));
    let mut drifts: Vec<_> = drifts.collect();
    if !stands {
        // Of all the places where it may stand, the first is the usual one.
        drifts.truncate(1);
    }
    drifts
}

/// Compares every file with what would be written now; `None` where the sheet cannot tell.
pub(super) fn of_bytes(
    host: &dyn Host,
    mta: &dyn Mta,
    alternate: &dyn Alternate,
    settings: &Settings,
) -> Option<Vec<Drift>> {
    let (goals, is_ours) = ([settings.goal()], mta.is_ours());
    let files = edits::files(host, alternate, &goals, Some(settings), is_ours).ok()?;
    // After an update of ours, what an older version has written stands there until the first change.
    let older = alternate.formerly(&settings.goal()).unwrap_or_default();
    let is_drift = |file: &&edits::File| file.changes() && !file.has_block_of(&older, is_ours);
    let drift = |file: &edits::File| {
        let stands = match file.whole {
            true => file.old.is_some(),
            false => !matches!(block::find(file.old.as_deref().unwrap_or_default(), is_ours), Ok(None)),
        };
        let what = match (settings.target(), stands) {
            (None, _) => Otherwise::Unexpected,
            (Some(_), false) => Otherwise::Missing,
            (Some(_), true) => Otherwise::Changed,
        };
        Drift { path: file.path.clone(), what }
    };
    Some(files.iter().filter(is_drift).map(drift).collect())
}
