//! The tables of actions, inputs, states, warnings and status numbers, in Markdown, from the rows of everything else.
//!
//! These are the words in which people are told of them, in `schema/README.md` and in mail-smtp2(8). Putting them
//! there, and turning them into roff, is `files`'s and the manual's. Nothing here fails.

use std::fmt::Write as _;

use serde_json::Value;

use super::dialect::DRAFT_2020_12;
use super::documents;
use crate::action::{self, Scope, TABLE};
use crate::change::status;
use crate::mta::WarningKind;
use crate::wire::status::TABLE as STATUSES;

/// What a schema admits: its values, its bounds, or its type.
fn values(schema: &Value) -> Vec<String> {
    match (&schema["enum"], &schema["minimum"], &schema["maximum"]) {
        (Value::Array(values), ..) => values.iter().map(Value::to_string).collect(),
        (_, Value::Number(least), Value::Number(most)) => vec![format!("{least} to {most}")],
        _ => schema["type"].as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// What the payload of an action looks like, each example as JSON.
fn payloads(row: &action::Row) -> Vec<String> {
    let document = documents::payload(row, &DRAFT_2020_12);
    document["examples"].as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// The action that this one is on another node.
fn base(row: &action::Row) -> Option<&'static str> {
    match row.scope {
        Scope::OneNode(base) => Some(base),
        Scope::Here | Scope::Named | Scope::EveryNode | Scope::EveryNodeIfAsked => None,
    }
}

/// The actions, in Markdown.
pub fn actions() -> String {
    let mut text = String::from(
        "| action | what it does | input | payload | since |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in &TABLE {
        let scope = base(row).map(|base| format!(" The same as `{base}`, on that node.")).unwrap_or_default();
        let lane = if row.lane == action::Lane::Change { " **Changes.**" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {}{scope}{lane} | {} | {} | {} |",
            row.name,
            row.about,
            code(row.inputs, ", "),
            code(&payloads(row), " or "),
            row.since,
        );
    }
    text
}

/// The inputs of all actions, each once, in Markdown.
pub fn inputs() -> String {
    let mut text = String::from("| input | what it means | values |\n| --- | --- | --- |\n");
    let mut told = Vec::new();
    for row in &TABLE {
        let document = documents::params(row, &DRAFT_2020_12);
        for name in row.inputs.iter().filter(|name| !told.contains(*name)) {
            let schema = &document["properties"][name];
            let about = schema["description"].as_str().unwrap_or_default();
            let _ = writeln!(text, "| `{name}` | {about} | {} |", code(&values(schema), " or "));
        }
        told.extend(row.inputs);
    }
    text
}

fn code(words: &[impl AsRef<str>], between: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    words.join(between)
}

/// The kinds of warnings, in Markdown.
pub fn warnings() -> String {
    names("kind", "what it means", &WarningKind::ALL)
}

/// Why the listener is as it is, in Markdown.
pub fn states() -> String {
    names("reason", "what a person is told", &status::Reason::ALL)
}

/// A closed set of names (`wire::named`), each with what it means.
fn names<T>(name: &str, meaning: &str, set: &[(T, &str, &str)]) -> String {
    let mut text = format!("| {name} | {meaning} |\n| --- | --- |\n");
    for (_, name, meaning) in set {
        let _ = writeln!(text, "| `{name}` | {meaning} |");
    }
    text
}

/// The status numbers, in Markdown.
pub fn statuses() -> String {
    let mut text = String::from("| status | meaning | state of the service |\n| --- | --- | --- |\n");
    for row in &STATUSES {
        let _ = writeln!(text, "| {} | {} | {} |", row.number, row.meaning, row.service);
    }
    text
}
