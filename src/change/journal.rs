//! What is about to happen, written down before it happens: `<state-dir>/intent`.
//!
//! It is enough to undo a change without the process that began it (schema/README.md, "How a change is made", step 4):
//! the settings before and after, what ran, which files are written and how ours stood in them. How it is undone stands
//! in `undo`. One that cannot be read, or that a newer version wrote, is an error.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ChangeError;
use super::settings::Settings;
use crate::sys::{Host, Meta};
use crate::wire::text::chain;

/// The version of the intent's format.
pub(super) const FORMAT: u32 = 1;

/// A change that has begun.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Intent {
    /// The version of this format.
    pub(super) format: u32,
    /// Which action.
    pub(super) action: String,
    /// The settings before; `None` on a machine that was never configured.
    pub(super) before: Option<Settings>,
    /// The settings after; `None` for `remove`.
    pub(super) after: Option<Settings>,
    /// What the listener was before.
    pub(super) was: Was,
    /// The port of a listener that ran in our place though no settings of ours asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) found: Option<u16>,
    /// Whether a program that the MTA had left behind listened on the port.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) orphaned: bool,
    /// The addresses at which the listener was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bound: Vec<IpAddr>,
    /// Where the primary server greeted its clients before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) primary: Vec<SocketAddr>,
    /// Whether the primary server ran before.
    pub(super) primary_ran: bool,
    /// The folders that are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) folders: Vec<PathBuf>,
    /// The files that are changed.
    pub(super) files: Vec<Planned>,
    /// The noted boot before, as its file had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) boot: Option<String>,
    /// Whether its rollback has begun: then it is not made, whatever the settings say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) undoing: bool,
    /// When it was last tried to end it, to no avail: seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<u64>,
}

/// How long what could not be ended is left alone by all but changes.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// What a listener was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Was {
    /// It listened and behaved as its settings say.
    Up,
    /// It listened, but a client was not answered as it should be.
    Odd,
    /// It did not listen.
    Absent,
}

/// A file that is changed: enough to put the old bytes back without keeping the administrator's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Planned {
    /// The file.
    pub(super) path: PathBuf,
    /// The hash of its bytes before; `None` where there was no file.
    pub(super) old: Option<String>,
    /// The hashes of what is written, one a phase.
    pub(super) new: Vec<Option<String>>,
    /// What of ours stood in it before, with the marks, piece by piece.
    pub(super) blocks: Vec<OldBlock>,
    /// Of a file that is wholly ours: its bytes before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) whole: Option<OldFile>,
    /// Permission bits, if the file has to be made again.
    pub(super) mode: u32,
    /// Owner and mode, if it has to be made again and was somebody's before us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<Meta>,
    /// The lock that the MTA's own tools take before they write it.
    pub(super) lock: Option<PathBuf>,
}

/// A whole file as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OldFile {
    /// Its bytes, base64; `None` where there was no file.
    pub(super) bytes: Option<String>,
}

impl OldFile {
    /// A file of these bytes.
    pub(super) fn new(bytes: Option<&[u8]>) -> Self {
        Self { bytes: bytes.map(encode) }
    }

    /// Its bytes.
    pub(super) fn decode(&self) -> Option<Vec<u8>> {
        self.bytes.as_deref().and_then(decode)
    }
}

/// Bytes as text that JSON can hold.
pub(super) fn encode(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

/// Bytes that were encoded so.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64.decode(text.as_bytes()).ok()
}

/// A block of ours as it stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OldBlock {
    /// Offset in the file, in bytes.
    pub(super) at: usize,
    /// Its bytes, base64: an administrator may have written anything into it.
    pub(super) bytes: String,
}

impl OldBlock {
    /// A block of these bytes.
    pub(super) fn new(at: usize, bytes: &[u8]) -> Self {
        Self { at, bytes: encode(bytes) }
    }

    /// Offset and bytes.
    pub(super) fn decode(&self) -> Option<(usize, Vec<u8>)> {
        Some((self.at, decode(&self.bytes)?))
    }
}

/// The hash by which bytes are recognised.
pub(super) fn hash(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}

impl Intent {
    /// Where it stands below a state directory.
    pub(super) fn path(state_dir: &Path) -> PathBuf {
        state_dir.join("intent")
    }

    /// Reads the intent of a change whose author died; `None` when there is none.
    ///
    /// # Errors
    /// It cannot be read, is not what we write, or was written by a newer version.
    pub(super) fn read(host: &dyn Host, state_dir: &Path) -> Result<Option<Self>, ChangeError> {
        let path = Self::path(state_dir);
        let Some(bytes) = host.read(&path)? else { return Ok(None) };
        let intent: Self =
            serde_json::from_slice(&bytes).map_err(|source| ChangeError::Unreadable { path, source })?;
        if intent.format > FORMAT {
            return Err(ChangeError::Newer { theirs: intent.format, ours: FORMAT });
        }
        Ok(Some(intent))
    }

    /// The same, tried at that time.
    pub(super) fn tried_at(self, now: SystemTime) -> Self {
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { tried: Some(seconds), ..self }
    }

    /// Whether it was tried to end it, to no avail, shortly before `now`.
    pub(super) fn was_tried_lately(&self, now: SystemTime) -> bool {
        let Some(tried) = self.tried else { return false };
        now.duration_since(UNIX_EPOCH + Duration::from_secs(tried)).is_ok_and(|since| since < AGAIN)
    }

    /// Writes it, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&self, host: &dyn Host, state_dir: &Path) -> Result<(), ChangeError> {
        let bytes = serde_json::to_vec(self).map_err(ChangeError::Encode)?;
        Ok(host.write(&Self::path(state_dir), &bytes, 0o600)?)
    }

    /// The change is over. A record that cannot be removed says nothing that is not so, and whoever meets it ends it.
    pub(super) fn remove(host: &dyn Host, state_dir: &Path) {
        if let Err(error) = host.remove(&Self::path(state_dir)) {
            tracing::warn!(error = chain(&error), "the record of a change that is over is left");
        }
    }
}
