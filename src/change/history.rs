//! What has happened, a line each: `<state-dir>/history.jsonl`, and a shorter one in the machine's own log.
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
use crate::sys::{FileError, Host, Severity, Who};
use crate::wire::text::{chain, printable};

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
    /// Of a failure, the name of its reason; a version before 1.1.0 wrote none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The sentence.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Who asked for it, and who did it.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Where a change came from. What is not known, or was not written down by the version that wrote the line, is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The id of its request: a string as it is, a number as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The node that asked for it, as it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// This node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Who>,
    /// The host, which has started the plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Who>,
    /// How often this plugin has refused input since its last line.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refused: u64,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Something that has just ended.
pub(super) struct Ended<'a> {
    /// When it began.
    pub(super) began: SystemTime,
    /// Which action.
    pub(super) action: &'a str,
    /// Its input.
    pub(super) input: Value,
    /// The settings before.
    pub(super) before: Option<Settings>,
    /// The status number.
    pub(super) status: u16,
    /// Of a failure, the name of its reason.
    pub(super) reason: Option<String>,
    /// The sentence.
    pub(super) outcome: String,
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

    fn severity(&self) -> Severity {
        match self.status {
            0 => Severity::Info,
            521 => Severity::Error,
            _ => Severity::Warning,
        }
    }

    /// As the machine's own log has it: what, how it ended, and on whose behalf.
    fn line(&self) -> String {
        let mut line = format!("{}: {} {}", self.action, self.status, self.outcome);
        let Origin { request, from, node, host, .. } = &self.origin;
        let host = host.as_ref().map(|it| format!("{} (pid {}, uid {})", it.program, it.pid, it.uid));
        let told = [("request", request), ("from", from), ("node", node), ("host", &host)];
        for (name, what) in told {
            if let Some(what) = what {
                line += &format!("; {name} {what}");
            }
        }
        printable(line)
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
pub(super) struct History<'b> {
    left: &'b [u8],
    /// How many lines so far were none: a full disk cuts a line short.
    pub(super) broken: usize,
}

impl<'b> History<'b> {
    /// Of the bytes of its file.
    pub(super) fn of(bytes: &'b [u8]) -> Self {
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

/// Writes the line of something that has just ended, and tells the machine's own log.
pub(super) fn record(site: &Site, asked: Origin, ended: Ended<'_>) {
    tell(site, asked, ended).append(&*site.host, &site.options.state_dir);
}

/// Tells the machine's own log alone: of what leaves no history. The record that was told.
pub(super) fn tell(site: &Site, asked: Origin, ended: Ended<'_>) -> Record {
    let (host, Ended { began, action, input, before, status, reason, outcome }) = (&*site.host, ended);
    let now = host.now();
    let shown = |who: Who| Who { program: printable(&who.program), ..who };
    let (plugin, starter) = (host.ourselves().map(shown), host.starter().map(shown));
    let node = Some(site.options.node.clone());
    let record = Record {
        time: Record::time(now),
        action: action.to_owned(),
        input,
        before,
        after: site.settings().ok().flatten(),
        status,
        reason,
        outcome,
        duration_ms: Record::duration(began, now),
        origin: Origin { node, plugin, host: starter, ..asked },
    };
    host.say(record.severity(), &record.line());
    record
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
            reason: None,
            outcome: "Success".into(),
            duration_ms: 1,
            origin: Origin::default(),
        }
    }

    #[test]
    fn the_machines_log_says_on_whose_behalf() {
        let host = Who { pid: 812, uid: 33, program: "php-fpm".into() };
        let (request, node) = (Some("a\n1".into()), Some("node1".into()));
        let origin = Origin { request, node, host: Some(host), ..Origin::default() };
        let done = Record { origin, ..record("start") };
        assert_eq!(done.line(), "start: 0 Success; request a 1; node node1; host php-fpm (pid 812, uid 33)");
    }

    #[test]
    fn a_line_of_1_0_0_is_read() {
        let text = r#"{"time":"t","action":"start","input":{},"before":null,"after":null,"status":0,"outcome":"Success","duration_ms":1}"#;
        let line: Record = serde_json::from_str(text).unwrap();
        assert_eq!(line.origin, Origin::default());
        assert_eq!(serde_json::to_string(&line).unwrap(), text);
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
