//! `settings.json`: the truth for port, mode, wanted and which MTA (schema/README.md, "How a change is made").
//!
//! Its format and version, reading and writing it; what runs is `live`'s. A newer version's file is read for what it shares
//! with ours, and refuses to be changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::ChangeError;
use crate::mta::{self, Goal, Kind, Listener};
use crate::sys::{Host, Meta};
use crate::wire::text::printable;

/// The version of the format that this program writes.
pub const FORMAT: u32 = 1;

/// Whether the listener is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is to run.
    Running,
    /// It is not.
    Stopped,
}

/// What the administrator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of this format.
    pub format: u32,
    /// The MTA that was found when it was configured.
    #[serde(deserialize_with = "kind")]
    pub mta: Kind,
    /// Port and mode.
    #[serde(flatten)]
    pub listener: Listener,
    /// Running or stopped.
    pub wanted: Wanted,
    /// The files of the MTA's that are wholly ours since our first write, and their bytes before, base64; `None` where
    /// there was no file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub saved: BTreeMap<PathBuf, Option<String>>,
    /// Of those that were there before: owner and mode, where ours would have others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub owners: BTreeMap<PathBuf, Meta>,
    /// The folders that were made for those that were not there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<PathBuf>,
}

fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<Kind, D::Error> {
    let name = String::deserialize(from)?;
    mta::named(&name).ok_or_else(|| D::Error::custom(format!("unknown mail server {}", printable(name))))
}

impl Settings {
    /// The files that were made for us.
    pub fn made(&self) -> Vec<&Path> {
        self.saved.iter().filter(|(_, was)| was.is_none()).map(|(path, _)| path.as_path()).collect()
    }

    /// The listener that is to run, if any.
    pub fn target(&self) -> Option<&Listener> {
        (self.wanted == Wanted::Running).then_some(&self.listener)
    }

    /// What is to become of the service so that these settings are true.
    pub fn goal(&self) -> Goal {
        self.target().map_or(Goal::Stopped, |listener| Goal::Running(*listener))
    }
}

/// Where they stand below a state directory.
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("settings.json")
}

/// Reads them; `None` on a machine that was never configured.
///
/// # Errors
/// The file cannot be read, or is not what we write.
pub fn read(host: &dyn Host, path: &Path) -> Result<Option<Settings>, ChangeError> {
    let Some(bytes) = host.read(path)? else { return Ok(None) };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| ChangeError::Unreadable { path: path.to_owned(), source })
}

/// Makes the file say this, or nothing.
///
/// # Errors
/// The file cannot be written or removed; it may say this all the same.
pub(super) fn put(host: &dyn Host, path: &Path, settings: Option<&Settings>) -> Result<(), ChangeError> {
    match settings {
        Some(settings) => write(host, path, settings),
        None => Ok(host.remove(path)?),
    }
}

/// Writes them, durably.
///
/// # Errors
/// The file cannot be written.
pub fn write(host: &dyn Host, path: &Path, settings: &Settings) -> Result<(), ChangeError> {
    let mut bytes = serde_json::to_vec(settings).map_err(ChangeError::Encode)?;
    bytes.push(b'\n');
    Ok(host.write(path, &bytes, 0o600)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::AuthMode;

    #[test]
    fn the_format_is_as_it_was_released() {
        let settings = Settings {
            format: 1,
            mta: mta::sandbox::KIND,
            listener: Listener { port: 2587, auth_mode: AuthMode::TlsYes },
            wanted: Wanted::Running,
            saved: BTreeMap::new(),
            owners: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        let text =
            r#"{"format":1,"mta":"sandbox","port":2587,"auth_mode":"auth_yes/tls_yes","wanted":"running"}"#;
        assert_eq!(serde_json::to_string(&settings).unwrap(), text);
        assert_eq!(serde_json::from_str::<Settings>(text).unwrap(), settings);
    }

    #[test]
    fn members_of_a_newer_version_are_no_obstacle_to_reading() {
        let text = r#"{"format":9,"mta":"exim","port":1,"auth_mode":"auth_yes/tls_optional","wanted":"stopped","x":[]}"#;
        assert_eq!(serde_json::from_str::<Settings>(text).unwrap().format, 9);
    }
}
