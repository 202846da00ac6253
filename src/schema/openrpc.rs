//! The OpenRPC document, which `rpc.discover` answers.
//!
//! Answers for: one method per row of the table, with parameters by name and the envelope as result. Does not know:
//! anything that the other documents do not say; it is put together from them. Made once, at first use.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::documents;
use crate::action::{PERMISSION, Row, TABLE};
use crate::wire::status;

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn make() -> Value {
    let codes: Vec<String> =
        status::TABLE.iter().map(|row| format!("{}: {}", row.number, row.meaning)).collect();
    json!({
        "openrpc": "1.2.6",
        "info": {
            "title": "mail-smtp2",
            "version": VERSION,
            "license": { "name": "MIT" },
            "description": format!(
                "The panel's controller /nodeworx/mail/smtp2: the alternate inbound SMTP server. Every outcome of a \
                 method is a result with the panel's envelope; its status numbers: {}.", codes.join("; ")
            ),
        },
        "methods": TABLE.iter().map(method).collect::<Vec<_>>(),
    })
}

fn method(row: &Row) -> Value {
    let input = documents::params(row);
    let params: Vec<Value> = row.inputs.iter().map(|name| param(name, &input["properties"][name])).collect();
    json!({
        "name": row.name,
        "summary": row.about,
        "description": documents::provenance(row),
        "paramStructure": "by-name",
        "params": params,
        "result": { "name": "envelope", "schema": result(row) },
        "x-permission": PERMISSION,
        "x-since": row.since.unwrap_or("mail-smtp2 1.0.0"),
    })
}

fn param(name: &str, schema: &Value) -> Value {
    json!({
        "name": name,
        "required": false,
        "description": schema["description"],
        "schema": schema,
    })
}

/// The envelope with this action's payload in it, or a failure's text.
fn result(row: &Row) -> Value {
    let mut schema = nameless(documents::envelope());
    let payload = nameless(documents::payload(row));
    schema["title"] =
        format!("{}Result", documents::payload(row)["title"].as_str().unwrap_or_default()).into();
    schema["properties"]["payload"] = json!({ "anyOf": [payload, { "type": "string" }] });
    Value::Object(schema.as_object().cloned().unwrap_or_else(Map::new))
}

/// A document as a part of another one.
fn nameless(mut document: Value) -> Value {
    if let Value::Object(members) = &mut document {
        for member in ["$schema", "$id", "examples"] {
            members.remove(member);
        }
    }
    document
}
