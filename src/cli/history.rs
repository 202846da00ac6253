//! `mail-smtp2 history`: the latest changes, as a table.
//!
//! When, what, with which status, and what of it: the input, the sentence of what failed, and who asked for it; the newest
//! first, as `queryHistory` has them.

use std::fmt::Write;

use clap::Args;
use mail_smtp2::action::query_history::{Change, Process};
use mail_smtp2::wire::text::{chain, printable};
use serde_json::Value;

use super::call;
use super::lines::{WIDTH, wrapped};
use super::output::Ending;
use super::program::{Machine, Program, Watched};

/// Where what there is to say begins.
const INDENT: usize = 36;

#[derive(Debug, Args)]
pub(crate) struct History {
    /// How many at the most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Only what failed
    #[arg(long)]
    failed: bool,
    /// Print the envelope of queryHistory instead
    #[arg(long)]
    json: bool,
}

impl History {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        let Self { limit, failed, json } = self;
        if json {
            let params = format!("{{\"limit\":{limit},\"failed\":{}}}", u8::from(failed));
            return call::envelope(&program, "queryHistory", Some(&params));
        }
        program.tell(|plugin| {
            let records = plugin.service.history(limit.into(), failed).map_err(|error| chain(&error))?;
            let changes: Vec<_> = records.into_iter().map(Change::from).collect();
            Ok((text(&changes), 0))
        })
    }
}

/// The text, with a line end after each change.
fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "no change is written down\n".to_owned();
    }
    let mut text = format!("{:20} {:8} {:5} WHAT\n", "TIME (UTC)", "ACTION", "HOW");
    for change in changes {
        let mut lines = wrapped(&what(change), WIDTH - INDENT).into_iter();
        let (first, action) = (lines.next().unwrap_or_default(), &change.action);
        let line = format!("{:20} {action:8} {:5} {first}", time(change), how(change));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line.trim_end());
        for line in lines {
            let _ = writeln!(text, "{:INDENT$}{line}", "");
        }
    }
    text
}

/// One change in a sentence: `2026-11-28 09:30:12 UTC start 409: port 587 is held by ...`.
pub(super) fn sentence(change: &Change) -> String {
    let what = what(change);
    let colon = if what.is_empty() { "" } else { ": " };
    format!("{} UTC {} {}{colon}{what}", time(change), change.action, how(change))
}

fn time(change: &Change) -> String {
    change.time.split('.').next().unwrap_or_default().replace('T', " ")
}

fn how(change: &Change) -> String {
    if change.status == 0 { "ok".to_owned() } else { change.status.to_string() }
}

/// What came of it, with which input, and on whose behalf.
fn what(change: &Change) -> String {
    let said = (change.sentence != "Success").then(|| change.sentence.clone());
    let input: Vec<String> = change.input.iter().filter_map(|(name, value)| given(name, value)).collect();
    let input = (!input.is_empty()).then(|| input.join(" "));
    let by = |Process { pid, uid, program }: &Process| format!("asked by {program} (pid {pid}, uid {uid})");
    // What a plugin does of its own accord nobody has asked for.
    let asked = change.request.as_ref().and(change.host.as_ref()).map(by);
    let from = change.from.as_ref().map(|node| format!("from node {node}"));
    let refused = change.refused.map(|count| format!("input was refused {count} times before"));
    [said, input, asked, from, refused].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// An input that says something: a flag that is not set does not.
fn given(name: &str, value: &Value) -> Option<String> {
    let value = match value {
        Value::Null => return None,
        Value::Number(number) if number.as_u64() == Some(0) => return None,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(format!("{}={}", printable(name), printable(value)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn change() -> Change {
        Change {
            time: "2026-11-28T09:30:12.345Z".into(),
            action: "update".into(),
            status: 0,
            reason: None,
            sentence: "Success".into(),
            duration_ms: 7,
            input: Map::from_iter([
                ("alternate_smtp_port".to_owned(), json!(2587)),
                ("cascade_to_nodes".to_owned(), json!(0)),
            ]),
            request: Some("7".into()),
            from: None,
            node: None,
            plugin: None,
            host: Some(Process { pid: 4650, uid: 33, program: "php-fpm".into() }),
            refused: None,
        }
    }

    #[test]
    fn a_change_says_what_was_asked_for_and_by_whom_in_80_columns() {
        let failed = Change {
            status: 409,
            sentence: "port 587 is held by nginx (pid 812); nothing was changed, it is not running".into(),
            ..change()
        };
        let text = text(&[failed, change()]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert!(
            lines[1].starts_with("2026-11-28 09:30:12  update   409   port 587 is held by nginx"),
            "{text}"
        );
        assert!(lines[2].starts_with(&" ".repeat(INDENT)), "{text}");
        assert!(text.contains("update   ok    alternate_smtp_port=2587; asked by"), "{text}");
        assert!(text.ends_with("(pid 4650, uid 33)\n"), "{text}");
        assert_eq!(
            sentence(&change()),
            "2026-11-28 09:30:12 UTC update ok: alternate_smtp_port=2587; asked by php-fpm (pid 4650, uid 33)"
        );
    }
}
