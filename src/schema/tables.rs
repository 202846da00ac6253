//! The README's tables, printed from the same rows as everything else.
//!
//! Answers for: Markdown of the actions and of the status numbers. Does not know: the README; a test compares.

use std::fmt::Write as _;

use crate::action::{Lane, Scope, TABLE};
use crate::wire::status;

/// The actions.
pub fn actions() -> String {
    let mut text = String::from("| action | input | since | what it does |\n| --- | --- | --- | --- |\n");
    for row in &TABLE {
        let inputs: Vec<String> = row.inputs.iter().map(|input| format!("`{input}`")).collect();
        let scope = match row.scope {
            Scope::OneNode(base) => format!(" The same as `{base}`, on that node."),
            Scope::Here | Scope::EveryNodeIfAsked => String::new(),
        };
        let lane = if row.lane == Lane::Change { " **Changes.**" } else { "" };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {}{scope}{lane} |",
            row.name,
            inputs.join(", "),
            row.since.unwrap_or("mail-smtp2"),
            row.about,
        );
    }
    text
}

/// The status numbers.
pub fn statuses() -> String {
    let mut text = String::from("| status | meaning | state of the service |\n| --- | --- | --- |\n");
    for row in &status::TABLE {
        let _ = writeln!(text, "| {} | {} | {} |", row.number, row.meaning, row.service);
    }
    text
}
