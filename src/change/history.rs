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

/// The name of the file, and that of the one that was put aside.
pub(super) const FILES: [&str; 2] = ["history.jsonl", "history.jsonl.1"];
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
        let [path, aside] = FILES.map(|name| state_dir.join(name));
        let result = (|| -> Result<(), ChangeError> {
            let mut line = serde_json::to_vec(self).map_err(ChangeError::Encode)?;
            line.push(b'\n');
            let old = host.read(&path)?.unwrap_or_default();
            if old.len() + line.len() > HISTORY_LIMIT {
                host.rename(&path, &aside)?;
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

/// The records of a history, the newest first; a line is read when it is come to, and blank lines are nothing.
struct History<'b> {
    left: &'b [u8],
    /// How many lines so far were none: a full disk cuts a line short.
    broken: usize,
}

impl<'b> History<'b> {
    fn of(bytes: &'b [u8]) -> Self {
        Self { left: bytes, broken: 0 }
    }
}

impl Iterator for History<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        while !self.left.is_empty() {
            let begin = self.left.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let line = &self.left[begin..];
            self.left = &self.left[..begin.saturating_sub(1)];
            match serde_json::from_slice(line) {
                _ if line.trim_ascii().is_empty() => {}
                Ok(record) => return Some(record),
                Err(_) => self.broken += 1,
            }
        }
        None
    }
}

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
            let bytes = host.read(&state_dir.join(name))?.unwrap_or_default();
            found.extend(History::of(&bytes).filter(&is_wanted).take(limit - found.len()));
        }
    }
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
        let mut history = History::of(text.as_bytes());
        let records: Vec<Record> = history.by_ref().collect();
        assert_eq!((records, history.broken), (vec![record("stop"), record("start")], 3));
    }
}
