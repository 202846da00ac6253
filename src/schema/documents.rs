//! The published documents, from the rows of the table: inputs, payloads, the envelope, the status numbers.
//!
//! Titles, identities and descriptions are alike in every dialect (`dialect`). Writing and comparing files is `files`'s,
//! OpenRPC `openrpc`'s. A document is made when it is asked for, and making one cannot fail.

use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::{examples, problems};
use crate::action::{PERMISSION, Row, Since};
use crate::wire::status;

/// The schema of an action's input.
pub fn params(row: &Row, dialect: &Dialect) -> Value {
    let about = format!("Input of {}. {} {}", row.name, row.about, provenance(row));
    let mut members = dialect.derive(row.input);
    members.insert("description".into(), about.into());
    members.insert("examples".into(), json!([row.example.params()]));
    named(members, "params", row, dialect)
}

/// The schema of an action's payload when it went well.
pub fn payload(row: &Row, dialect: &Dialect) -> Value {
    let mut members = dialect.derive(row.payload);
    let own = members.get("description").and_then(Value::as_str).unwrap_or_default();
    let about = format!("Payload of {} when status is 0: {own} {} {}", row.name, row.about, provenance(row));
    members.insert("description".into(), about.into());
    if !members.contains_key("examples") {
        members.insert("examples".into(), json!([row.example.envelope()["payload"]]));
    }
    named(members, "payload", row, dialect)
}

/// Since when, and what the host has to check.
pub fn provenance(row: &Row) -> String {
    let since = match row.since {
        Since::Panel(version) => format!("Since panel version {version}"),
        added @ Since::Ours(_) => format!("An addition of {added}"),
    };
    format!("{since}. Requires the permission {PERMISSION}.")
}

fn named(mut members: Map<String, Value>, kind: &str, row: &Row, dialect: &Dialect) -> Value {
    members.insert("title".into(), title(row, kind).into());
    members.extend(dialect.heads(&format!("{kind}:{}", row.name)));
    Value::Object(members)
}

/// A name for a type, which no other document has.
pub fn title(row: &Row, kind: &str) -> String {
    format!("{}{}", capitalised(row.name), capitalised(kind))
}

/// The name with a capital letter first.
pub fn capitalised(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect()
}

/// The schema of the envelope around any payload.
pub fn envelope(dialect: &Dialect) -> Value {
    // Alternatives: a union of types is refused by strict readers, and no type at all is unreadable.
    let shapes = ["string", "boolean", "array", "object"].map(|shape| json!({ "type": shape }));
    let mut envelope = json!({
        "title": "Envelope",
        "description": "What every action answers. Newer panels may add members, such as reply_code.",
        "type": "object",
        "properties": {
            "status": status(),
            "payload": {
                "description": format!(
                    "When status is 0, what the action's payload document says. Otherwise a failure. {FAILURE}"
                ),
                "anyOf": shapes,
            },
            "error": problems::problem(),
        },
        "required": ["status", "payload"],
        "additionalProperties": true,
        "examples": examples::envelopes().collect::<Vec<_>>(),
    });
    if let Value::Object(members) = &mut envelope {
        members.extend(dialect.heads("envelope"));
    }
    envelope
}

/// What a payload is when the action failed.
pub const FAILURE: &str = "Plain text: one sentence that says what is wrong and what state the service is \
                           in and, for refused input, a line \"field: message\" for each fault.";

/// The schema of a status number, each one explained; no enum, so that a new number breaks no reader.
pub fn status() -> Value {
    let explain =
        |row: &status::Row| format!("{}: {} (the service: {})", row.number, row.meaning, row.service);
    let explained: Vec<String> = status::TABLE.iter().map(explain).collect();
    json!({
        "type": "integer",
        "minimum": 0,
        "maximum": u16::MAX,
        "description": format!(
            "0 is success. An open set: whoever does not know a number takes it for a failure. {}.",
            explained.join("; ")
        ),
    })
}

/// The status table.
pub fn status_codes() -> Value {
    json!(status::TABLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{TABLE, find};
    use crate::schema::dialect::DRAFT_2020_12;

    #[test]
    fn the_inputs_of_a_row_are_the_members_of_its_schema() {
        for row in &TABLE {
            let document = params(row, &DRAFT_2020_12);
            let members = document["properties"].as_object().cloned().unwrap_or_default();
            let mut inputs = row.inputs.to_vec();
            inputs.sort_unstable();
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable();
            assert_eq!(names, inputs, "{}", row.name);
        }
    }

    #[test]
    fn no_input_is_required_and_none_is_unknown() {
        for row in &TABLE {
            let document = params(row, &DRAFT_2020_12);
            assert!(document.get("required").is_none(), "{}", row.name);
            assert_eq!(document["additionalProperties"], false, "{}", row.name);
        }
    }

    #[test]
    fn the_port_has_its_bounds_and_no_default() {
        let port = &params(find("update").unwrap(), &DRAFT_2020_12)["properties"]["alternate_smtp_port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&json!(1), &json!(65535)));
        assert_eq!((port.get("default"), &port["type"]), (None, &json!("integer")));
    }

    #[test]
    fn the_mode_is_a_plain_enum() {
        let mode = &params(find("update").unwrap(), &DRAFT_2020_12)["properties"]["auth_mode"];
        assert_eq!(mode["enum"], json!(["auth_yes/tls_yes", "auth_yes/tls_optional"]));
        assert!(mode.get("oneOf").is_none() && mode.get("anyOf").is_none(), "{mode}");
    }
}
