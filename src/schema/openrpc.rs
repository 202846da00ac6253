//! The OpenRPC document, which `rpc.discover` answers.
//!
//! One method per row of the table, with parameters by name, the envelope as result and an example; a component for every
//! input, payload and result. It is put together from the other documents in draft-07, OpenRPC's own dialect, and says
//! nothing that they do not. Made once, at first use.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::dialect::DRAFT_07;
use super::{documents, problems};
use crate::action::example::Example;
use crate::action::{PERMISSION, Row, TABLE};

/// The document.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

fn make() -> Value {
    let status = documents::status();
    json!({
        // What every tool of OpenRPC understands.
        "openrpc": "1.2.6",
        "info": {
            "title": "mail-smtp2",
            "version": VERSION,
            "license": { "name": "MIT" },
            "description": format!(
                "The panel's controller /nodeworx/mail/smtp2: the alternate inbound SMTP server. Every outcome of a \
                 method is a result with the panel's envelope, {{\"status\": ..., \"payload\": ...}}. Of the status \
                 numbers, {}", status["description"].as_str().unwrap_or_default()
            ),
        },
        "methods": TABLE.iter().map(method).collect::<Vec<_>>(),
        "components": { "schemas": components(status) },
    })
}

fn method(row: &Row) -> Value {
    let input = documents::params(row, &DRAFT_07);
    let param = |name: &&str| {
        json!({
            "name": name,
            "required": false,
            "description": input["properties"][name]["description"],
            "schema": component(&camel(name)),
        })
    };
    json!({
        "name": row.name,
        "summary": row.about,
        "description": documents::provenance(row),
        // By position, generated clients would send null for what is not given.
        "paramStructure": "by-name",
        "params": row.inputs.iter().map(param).collect::<Vec<_>>(),
        "result": { "name": "envelope", "schema": component(&documents::title(row, "result")) },
        "examples": [pairing(&row.example)],
        "x-permission": PERMISSION,
        "x-since": row.since.to_string(),
    })
}

/// A request and what came of it.
fn pairing(example: &Example) -> Value {
    let params = example.params();
    let params = params.as_object().into_iter().flatten();
    json!({
        "name": example.case,
        "params": params.map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>(),
        "result": { "name": "envelope", "value": example.envelope() },
    })
}

/// Every schema that a method refers to, under its title.
fn components(status: Value) -> Map<String, Value> {
    let mut all = Map::new();
    let mut add = |title: String, mut schema: Value| {
        entitle(&mut schema, &title);
        all.insert(title, schema);
    };
    add("Status".to_owned(), status);
    add("Problem".to_owned(), problems::problem());
    add("Failure".to_owned(), json!({ "type": "string", "description": documents::FAILURE }));
    for row in &TABLE {
        let input = documents::params(row, &DRAFT_07);
        row.inputs.iter().for_each(|name| add(camel(name), input["properties"][name].clone()));
        let payload = documents::title(row, "payload");
        add(documents::title(row, "result"), result(&payload));
        add(payload, nameless(documents::payload(row, &DRAFT_07)));
    }
    all
}

/// The envelope with this payload in it, or a failure's text.
fn result(payload: &str) -> Value {
    let mut schema = nameless(documents::envelope(&DRAFT_07));
    schema["properties"]["status"] = component("Status");
    schema["properties"]["error"] = component("Problem");
    schema["properties"]["payload"] = json!({ "anyOf": [component(payload), component("Failure")] });
    schema
}

/// Names every schema inside, too: generators make up a name for the type of one that has none.
fn entitle(schema: &mut Value, title: &str) {
    let Value::Object(members) = schema else { return };
    if members.contains_key("$ref") {
        return;
    }
    members.insert("title".to_owned(), title.into());
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.iter_mut().for_each(|(name, member)| entitle(member, &format!("{title}{}", camel(name))));
    }
    if let Some(items) = members.get_mut("items") {
        entitle(items, &format!("{title}Item"));
    }
    if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
        for branch in branches {
            let kind = documents::capitalised(branch["type"].as_str().unwrap_or_default());
            entitle(branch, &format!("{title}{kind}"));
        }
    }
}

fn component(title: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{title}") })
}

/// The title of an input's schema: `auth_mode` is `AuthMode`.
fn camel(name: &str) -> String {
    name.split('_').map(documents::capitalised).collect()
}

/// A document as a part of another one.
fn nameless(mut document: Value) -> Value {
    if let Value::Object(members) = &mut document {
        ["$schema", "$id", "examples"].iter().for_each(|name| drop(members.remove(*name)));
    }
    document
}
