//! The README's tables, printed from the same rows as everything else.
//!
//! Answers for: Markdown of the actions and of the status numbers. Does not know: the README; a test compares.

use std::fmt::Write as _;

use serde_json::Value;

use super::dialect::DRAFT_2020_12;
use super::documents;
use crate::action::{Lane, Row, Scope, TABLE};
use crate::wire::status;

/// The actions.
pub fn actions() -> String {
    let mut text = String::from(
        "| action | input | payload | since | what it does |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in &TABLE {
        let inputs: Vec<String> = row.inputs.iter().map(|input| format!("`{input}`")).collect();
        let scope = match row.scope {
            Scope::OneNode(base) => format!(" The same as `{base}`, on that node."),
            Scope::Here | Scope::EveryNode | Scope::EveryNodeIfAsked => String::new(),
        };
        let lane = if row.lane == Lane::Change { " **Changes.**" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {}{scope}{lane} |",
            row.name,
            inputs.join(", "),
            payload(row),
            row.since.unwrap_or("mail-smtp2"),
            row.about,
        );
    }
    text
}

/// What a payload looks like: its only value, or its examples.
fn payload(row: &Row) -> String {
    let schema = documents::payload(row, &DRAFT_2020_12);
    let values = schema.get("examples").or_else(|| schema.get("enum")).and_then(Value::as_array);
    let values: Vec<String> = values.into_iter().flatten().map(|value| format!("`{value}`")).collect();
    values.join(" or ")
}

/// The status numbers.
pub fn statuses() -> String {
    let mut text = String::from("| status | meaning | state of the service |\n| --- | --- | --- |\n");
    for row in &status::TABLE {
        let _ = writeln!(text, "| {} | {} | {} |", row.number, row.meaning, row.service);
    }
    text
}
