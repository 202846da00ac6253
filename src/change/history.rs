//! What has happened, a line each: `<state-dir>/history.jsonl`.
//!
//! A history that cannot be written is logged and holds nothing up: the change itself is proven by then. At 1 MiB the file
//! is put aside as `history.jsonl.1` (schema/README.md, "How a change is made", step 8).

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::ChangeError;
use super::settings::Settings;
use super::site::Site;
use crate::sys::Host;

/// When the history is put aside.
const HISTORY_LIMIT: usize = 1 << 20;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// When it ended, RFC 3339, UTC.
    pub(super) time: String,
    /// Which action.
    pub(super) action: String,
    /// Its input.
    pub(super) input: Value,
    /// The settings before.
    pub(super) before: Option<Settings>,
    /// The settings after, as they stand now.
    pub(super) after: Option<Settings>,
    /// The status number.
    pub(super) status: u16,
    /// The sentence.
    pub(super) outcome: String,
    /// How long it took, in milliseconds.
    pub(super) duration_ms: u64,
}

impl Record {
    /// The time stamp of `now`.
    pub(super) fn time(now: SystemTime) -> String {
        humantime::format_rfc3339_millis(now).to_string()
    }

    /// The duration in the history's unit.
    pub(super) fn duration(began: SystemTime, now: SystemTime) -> u64 {
        now.duration_since(began).unwrap_or(Duration::ZERO).as_millis() as u64
    }

    /// Appends it, putting a full history aside first.
    pub(super) fn append(&self, host: &dyn Host, state_dir: &Path) {
        let path = state_dir.join("history.jsonl");
        let result = (|| -> Result<(), ChangeError> {
            let mut line = serde_json::to_vec(self).map_err(ChangeError::Encode)?;
            line.push(b'\n');
            if host.read(&path)?.is_some_and(|old| old.len() + line.len() > HISTORY_LIMIT) {
                host.rename(&path, &state_dir.join("history.jsonl.1"))?;
            }
            Ok(host.append(&path, &line)?)
        })();
        if let Err(error) = result {
            tracing::warn!(%error, "the history could not be written");
        }
    }
}

/// Writes the line of something that began at `began` and has just ended.
pub(super) fn record(
    site: &Site,
    began: SystemTime,
    action: &str,
    input: Value,
    before: Option<Settings>,
    status: u16,
    outcome: String,
) {
    let now = site.host.now();
    let record = Record {
        time: Record::time(now),
        action: action.to_owned(),
        input,
        before,
        after: site.settings().ok().flatten(),
        status,
        outcome,
        duration_ms: Record::duration(began, now),
    };
    record.append(&*site.host, &site.options.state_dir);
}
