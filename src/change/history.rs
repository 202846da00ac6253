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
use crate::sys::{FileError, Host};
use crate::wire::text::chain;

/// When the history is put aside.
const HISTORY_LIMIT: usize = 1 << 20;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it ended, RFC 3339, UTC.
    pub time: String,
    /// Which action.
    pub action: String,
    /// Its input.
    pub input: Value,
    /// The settings before.
    pub before: Option<Settings>,
    /// The settings after, as they stand now.
    pub after: Option<Settings>,
    /// The status number.
    pub status: u16,
    /// The sentence.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
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
            let old = host.read(&path)?.unwrap_or_default();
            if old.len() + line.len() > HISTORY_LIMIT {
                host.rename(&path, &state_dir.join("history.jsonl.1"))?;
            } else if old.last().is_some_and(|last| *last != b'\n') {
                // A full disk has cut the last line short; this one is to be readable all the same.
                line.insert(0, b'\n');
            }
            Ok(host.append(&path, &line)?)
        })();
        if let Err(error) = result {
            tracing::warn!(error = chain(&error), "the history could not be written");
        }
    }
}

/// The history, as far as it can be read.
#[derive(Debug, Default, PartialEq)]
pub struct History {
    /// Its records, the oldest first.
    pub records: Vec<Record>,
    /// How many lines are none: a full disk cuts a line short.
    pub broken: usize,
}

impl History {
    /// Reads the bytes of a history; blank lines are nothing.
    pub fn of(bytes: &[u8]) -> Self {
        let mut history = Self::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match serde_json::from_slice(line) {
                Ok(record) => history.records.push(record),
                Err(_) => history.broken += 1,
            }
        }
        history
    }
}

/// The name of the file, and that of the one that was put aside.
const FILES: [&str; 2] = ["history.jsonl", "history.jsonl.1"];

/// The latest records, the newest first, at most `limit` of those that `is_wanted`. Broken lines are skipped.
///
/// # Errors
/// The history cannot be read.
pub(super) fn latest(
    host: &dyn Host,
    state_dir: &Path,
    limit: usize,
    is_wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>, FileError> {
    let mut found = Vec::new();
    for name in FILES {
        if found.len() < limit {
            let history = History::of(&host.read(&state_dir.join(name))?.unwrap_or_default());
            found.extend(history.records.into_iter().rev().filter(&is_wanted));
        }
    }
    found.truncate(limit);
    Ok(found)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn record(action: &str) -> Record {
        Record {
            time: Record::time(UNIX_EPOCH),
            action: action.into(),
            input: Value::Null,
            before: None,
            after: None,
            status: 0,
            outcome: "Success".into(),
            duration_ms: 1,
        }
    }

    #[test]
    fn broken_lines_of_a_history_are_skipped_and_counted() {
        let [first, last] = ["start", "stop"].map(|action| serde_json::to_string(&record(action)).unwrap());
        let text = format!("{first}\n{}\n\n\u{1}\n{last}\n{}", &first[..40], &last[..7]);
        let wanted = History { records: vec![record("start"), record("stop")], broken: 3 };
        assert_eq!(History::of(text.as_bytes()), wanted);
    }
}
