//! The document of what a program is told of a failure: the member `error` of the envelope, and the table of its
//! reasons.
//!
//! The set of reasons is open, as is that of steps: a later version of one major number may add some, which an enum
//! would not allow, so that each version's own stand in the description, in `reasons.json` and in the table. Which
//! failure has which reason is said by `change` and `mta`. Nothing here fails.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::wire::problem::Step;
use crate::wire::reason::{self, Row};

/// What the name of a reason, of a step or of a kind of fault looks like.
const NAME: &str = "^[a-z_]+$";

/// The schema of the member.
pub fn problem() -> Value {
    json!({
        "title": "Problem",
        "description": "Of a failure, for programs; an envelope of success has none, nor has that of a node older than \
                        1.1.0. Members that do not apply are absent, and later versions may add some.",
        "type": "object",
        "properties": {
            "reason": {
                "description": format!(
                    "Why it failed, finer than the status. An open set: whoever does not know a reason goes by the status. \
                     This version has {}.",
                    list(reason::TABLE.iter().map(|row| row.name))
                ),
                "type": "string",
                "pattern": NAME,
            },
            "retry": {
                "description": "Whether the same request may work later without anybody's doing. False, too, where nobody \
                                knows whether a change was made.",
                "type": "boolean",
            },
            "fields": { "description": "What stands beside the fields of a form.", "type": "array", "items": fault() },
            "holder": holder(),
            "step": {
                "description": format!(
                    "In which step of a change it happened. An open set; this version has {}.",
                    list(Step::NAMES.into_iter())
                ),
                "type": "string",
                "pattern": NAME,
            },
            "said": {
                "description": "Another program's own words: the mail server's, or those of ssh. Cut to 1 KiB, and not \
                                made safe for HTML.",
                "type": "string",
            },
            "nodes": { "description": "Of a cascade: the nodes that failed.", "type": "array", "items": node() },
        },
        "required": ["reason", "retry"],
        "additionalProperties": true,
    })
}

fn fault() -> Value {
    json!({
        "description": "What is wrong with one input.",
        "type": "object",
        "properties": {
            "name": { "description": "The input, as it was sent.", "type": "string" },
            "keyword": {
                "description": "The keyword of JSON Schema that refuses it, or a word of ours: required, primary_port, \
                                unknown_node, unreadable, or the reason. An open set.",
                "type": "string",
            },
            "message": { "description": "What a person is told.", "type": "string" },
        },
        "required": ["name", "keyword", "message"],
        "additionalProperties": true,
    })
}

fn holder() -> Value {
    let text = |about: &str| json!({ "description": about, "type": "string" });
    json!({
        "description": "Who has the port or the lock. What is not known is absent.",
        "type": "object",
        "properties": {
            "pid": { "description": "Its process.", "type": "integer", "minimum": 1, "maximum": i32::MAX },
            "program": text("The name of its program."),
            "address": text("Of a port: address and port."),
            "action": text("Of the lock: the action that is under way."),
            "since": text("Of the lock: since when, RFC 3339, UTC."),
        },
        "additionalProperties": true,
    })
}

fn node() -> Value {
    json!({
        "description": "A node that failed.",
        "type": "object",
        "properties": {
            "id": { "description": "The node.", "type": "string" },
            "status": {
                "description": "Its status; from a newer node one that is not in the table.",
                "type": "integer", "minimum": 0, "maximum": u16::MAX,
            },
            "reason": { "description": "Its reason, if it says one.", "type": "string", "pattern": NAME },
            "sentence": { "description": "What it says.", "type": "string" },
        },
        "required": ["id", "status", "sentence"],
        "additionalProperties": true,
    })
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The table of reasons.
pub fn reasons() -> Value {
    json!(reason::TABLE.as_slice())
}

/// The same in Markdown.
pub fn table() -> String {
    let mut text =
        String::from("| reason | status | may pass by itself | meaning |\n| --- | --- | --- | --- |\n");
    for Row { name, status, retry, meaning, .. } in &reason::TABLE {
        let retry = if *retry { "yes" } else { "" };
        let _ = writeln!(text, "| `{name}` | {} | {retry} | {meaning} |", status.number());
    }
    text
}
