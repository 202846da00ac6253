//! Actions, inputs and status numbers as people are told of them, from the rows of everything else.
//!
//! Answers for: their words, and the README's tables of them in Markdown. Does not know: the manual page, which puts the
//! same words into roff, or the README; a test compares.

use std::fmt::Write as _;

use serde_json::Value;

use super::dialect::DRAFT_2020_12;
use super::documents;
use crate::action::{self, Scope, TABLE};
use crate::wire::status;

/// An input, in words.
#[derive(Debug)]
pub struct Input {
    /// Its name.
    pub name: &'static str,
    /// What it may be, each value as JSON.
    pub values: Vec<String>,
    /// What it means.
    pub about: String,
}

/// Every input, once.
pub fn inputs() -> Vec<Input> {
    let mut all: Vec<Input> = Vec::new();
    for row in &TABLE {
        let document = documents::params(row, &DRAFT_2020_12);
        for name in row.inputs {
            if all.iter().all(|input| input.name != *name) {
                let schema = &document["properties"][name];
                let about = schema["description"].as_str().unwrap_or_default().to_owned();
                all.push(Input { name, values: values(schema), about });
            }
        }
    }
    all
}

/// What a schema admits: its values, its bounds, or its type.
fn values(schema: &Value) -> Vec<String> {
    match (&schema["enum"], &schema["minimum"], &schema["maximum"]) {
        (Value::Array(values), ..) => values.iter().map(Value::to_string).collect(),
        (_, Value::Number(least), Value::Number(most)) => vec![format!("{least} to {most}")],
        _ => schema["type"].as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// What the payload of an action looks like, each example as JSON.
pub fn payloads(row: &action::Row) -> Vec<String> {
    let document = documents::payload(row, &DRAFT_2020_12);
    document["examples"].as_array().into_iter().flatten().map(Value::to_string).collect()
}

/// The action that this one is on another node.
pub fn base(row: &action::Row) -> Option<&'static str> {
    match row.scope {
        Scope::OneNode(base) => Some(base),
        Scope::Here | Scope::EveryNode | Scope::EveryNodeIfAsked => None,
    }
}

/// The actions, in Markdown.
pub fn actions() -> String {
    let mut text = String::from(
        "| action | input | payload | since | what it does |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in &TABLE {
        let scope = base(row).map(|base| format!(" The same as `{base}`, on that node.")).unwrap_or_default();
        let lane = if row.lane == action::Lane::Change { " **Changes.**" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {}{scope}{lane} |",
            row.name,
            code(row.inputs, ", "),
            code(&payloads(row), " or "),
            row.since.unwrap_or("mail-smtp2"),
            row.about,
        );
    }
    text
}

/// The inputs, in Markdown.
pub fn inputs_table() -> String {
    let mut text = String::from("| input | values | what it means |\n| --- | --- | --- |\n");
    for input in inputs() {
        let _ = writeln!(text, "| `{}` | {} | {} |", input.name, code(&input.values, " or "), input.about);
    }
    text
}

fn code(words: &[impl AsRef<str>], between: &str) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    words.join(between)
}

/// The status numbers, in Markdown.
pub fn statuses() -> String {
    let mut text = String::from("| status | meaning | state of the service |\n| --- | --- | --- |\n");
    for row in &status::TABLE {
        let _ = writeln!(text, "| {} | {} | {} |", row.number, row.meaning, row.service);
    }
    text
}
