//! The published documents: one file per action and kind, the envelope, the status table, OpenRPC.
//!
//! Answers for: stable bytes (sorted members, LF, the same on every machine), writing them, and saying how files on
//! disk differ. Does not know: who reads them. schemars' output is put into the form that strict readers accept:
//! no `format` of its own, no `null` where absence is meant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemars::{Schema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::openrpc;
use crate::action::{PERMISSION, Row, TABLE};
use crate::wire::status;

/// The dialect of all documents.
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of an action's input.
pub fn params(row: &Row) -> Value {
    let about = format!("Input of {}. {} {}", row.name, row.about, provenance(row));
    document("params", row, &about, row.input)
}

/// The schema of an action's payload when it went well.
pub fn payload(row: &Row) -> Value {
    let about = format!("Payload of {} when status is 0. {} {}", row.name, row.about, provenance(row));
    document("payload", row, &about, row.payload)
}

/// Since when, and what the host has to check.
pub fn provenance(row: &Row) -> String {
    match row.since {
        Some(since) => format!("Since panel version {since}. Requires the permission {PERMISSION}."),
        None => format!("An addition of mail-smtp2. Requires the permission {PERMISSION}."),
    }
}

fn document(kind: &str, row: &Row, about: &str, make: fn(&mut SchemaGenerator) -> Schema) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut generator = settings.into_generator();
    let mut value = plain(make(&mut generator).to_value());
    if let Value::Object(members) = &mut value {
        let own = members.get("description").and_then(Value::as_str).filter(|_| kind == "payload");
        let about = own.map_or(about.to_owned(), |own| format!("{about} {own}"));
        members.insert("description".into(), about.into());
        members.insert("$schema".into(), DIALECT.into());
        members.insert("$id".into(), format!("urn:mail-smtp2:1:{kind}:{}", row.name).into());
        members.insert("title".into(), format!("{}{}", capitalised(row.name), capitalised(kind)).into());
    }
    value
}

fn capitalised(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).chain(name.chars().skip(1)).collect()
}

/// A schema as strict readers accept it.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            if members.contains_key("enum") {
                // What the Rust type could hold beyond the enum is of no interest.
                members.retain(|name, _| !matches!(name.as_str(), "minimum" | "maximum"));
            }
            Value::Object(members.into_iter().filter_map(plain_member).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        other => other,
    }
}

fn plain_member((name, value): (String, Value)) -> Option<(String, Value)> {
    let value = match (name.as_str(), value) {
        // uint16 and its like are schemars' own.
        ("format", _) => return None,
        // The input says absent where the type says null; normalising drops nulls before anything is validated.
        ("type", Value::Array(types)) => types.into_iter().find(|t| t != "null").unwrap_or(Value::Null),
        ("enum", Value::Array(values)) => values.into_iter().filter(|v| !v.is_null()).collect(),
        // Line breaks of a doc comment are none of a reader's business.
        ("description", Value::String(text)) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        (_, value) => plain(value),
    };
    Some((name, value))
}

/// The schema of the envelope around any payload.
pub fn envelope() -> Value {
    let numbers: Vec<u16> = status::TABLE.iter().map(|row| row.number).collect();
    json!({
        "$schema": DIALECT,
        "$id": "urn:mail-smtp2:1:envelope",
        "title": "Envelope",
        "description": "What every action answers. On failure payload is a string: one sentence, for refused input \
                        followed by one line per field. Newer panels may add members.",
        "type": "object",
        "properties": {
            "status": {
                "type": "integer",
                "enum": numbers,
                "description": "0 is success; see status-codes.json for the others.",
            },
            "payload": {
                "description": "On success as the action's payload document says, on failure a string.",
                "type": ["string", "boolean", "array", "object"],
            },
        },
        "required": ["status", "payload"],
        "examples": [
            { "status": 0, "payload": "Success" },
            { "status": 412, "payload": "the alternate SMTP server was never configured; call update first" },
        ],
    })
}

/// The status table.
pub fn status_codes() -> Value {
    json!(status::TABLE)
}

/// Every document, by its path below `schema/`.
pub fn all() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for row in &TABLE {
        files.insert(format!("params/{}.json", row.name).into(), text(&params(row)));
        files.insert(format!("payload/{}.json", row.name).into(), text(&payload(row)));
    }
    files.insert("envelope.json".into(), text(&envelope()));
    files.insert("status-codes.json".into(), text(&status_codes()));
    files.insert("openrpc.json".into(), text(openrpc::document()));
    files
}

/// A document's bytes: members sorted, two spaces, LF at the end.
fn text(value: &Value) -> String {
    let mut text = format!("{:#}", sorted(value));
    text.push('\n');
    text
}

/// The same value with its members in order, whatever the features of serde_json are.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            Value::Object(
                sorted.into_iter().map(|(k, v)| (k.clone(), self::sorted(v))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Writes every document below `dir`, and takes away JSON files there that are none of ours any more.
///
/// # Errors
/// The file system.
pub fn write(dir: &Path) -> io::Result<()> {
    let files = all();
    for (path, text) in &files {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            fs::write(path, text)?;
        }
    }
    for path in strays(dir, &files)? {
        fs::remove_file(dir.join(path))?;
    }
    Ok(())
}

/// How the documents below `dir` differ from what they should be; empty when they do not.
///
/// # Errors
/// The file system.
pub fn check(dir: &Path) -> io::Result<String> {
    let files = all();
    let mut differences = String::new();
    for (path, expected) in &files {
        let shown = dir.join(path);
        match fs::read_to_string(&shown) {
            Ok(found) if found == *expected => {}
            Ok(found) => {
                let line = found.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count() + 1;
                let _ = writeln!(differences, "{} differs from line {line} on", shown.display());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let _ = writeln!(differences, "{} is missing", shown.display());
            }
            Err(e) => return Err(e),
        }
    }
    for path in strays(dir, &files)? {
        let _ = writeln!(differences, "{} is no document of this version", dir.join(path).display());
    }
    Ok(differences)
}

/// JSON files below `dir` where our documents stand, but which are none of them.
fn strays(dir: &Path, files: &BTreeMap<PathBuf, String>) -> io::Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    for folder in ["", "params", "payload"] {
        let entries = match fs::read_dir(dir.join(folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = Path::new(folder).join(entry?.file_name());
            if path.extension().is_some_and(|ending| ending == "json") && !files.contains_key(&path) {
                strays.push(path);
            }
        }
    }
    strays.sort();
    Ok(strays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inputs_of_a_row_are_the_members_of_its_schema() {
        for row in &TABLE {
            let document = params(row);
            let members = document["properties"].as_object().cloned().unwrap_or_default();
            let mut inputs = row.inputs.to_vec();
            inputs.sort_unstable();
            assert_eq!(members.keys().collect::<Vec<_>>(), inputs, "{}", row.name);
        }
    }

    #[test]
    fn no_input_is_required_and_none_is_unknown() {
        for row in &TABLE {
            let document = params(row);
            assert!(document.get("required").is_none(), "{}", row.name);
            assert_eq!(document["additionalProperties"], false, "{}", row.name);
        }
    }

    #[test]
    fn the_port_has_its_bounds_and_no_default() {
        let port = &params(crate::action::find("update").unwrap())["properties"]["alternate_smtp_port"];
        assert_eq!((&port["minimum"], &port["maximum"]), (&json!(1), &json!(65535)));
        assert_eq!((port.get("default"), &port["type"]), (None, &json!("integer")));
    }

    #[test]
    fn the_mode_is_a_plain_enum() {
        let mode = &params(crate::action::find("update").unwrap())["properties"]["auth_mode"];
        assert_eq!(mode["enum"], json!(["auth_yes/tls_yes", "auth_yes/tls_optional"]));
        assert!(mode.get("oneOf").is_none() && mode.get("anyOf").is_none(), "{mode}");
    }
}
