//! The published documents under `schema/`: they are what the program would write, and they are complete.
//!
//! Answers for: the checked-in files, the validator's view of them, `rpc.discover`. Does not know: other readers of
//! JSON Schema. `MAIL_SMTP2_BLESS=1` writes them anew.

use std::path::Path;

use serde_json::Value;

use mail_smtp2::action::{Scope, TABLE};
use mail_smtp2::schema::{documents, openrpc};

use super::support::sandbox::Sandbox;

fn dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schema"))
}

#[test]
fn the_checked_in_documents_are_those_of_this_version() {
    if std::env::var_os("MAIL_SMTP2_BLESS").is_some() {
        documents::write(dir()).unwrap();
    }
    let differences = documents::check(dir()).unwrap();
    assert!(
        differences.is_empty(),
        "{differences}to write them anew: MAIL_SMTP2_BLESS=1 cargo test --test plugin schema"
    );
}

#[test]
fn every_document_is_a_valid_schema() {
    for row in &TABLE {
        for document in [documents::params(row), documents::payload(row)] {
            assert!(jsonschema::meta::is_valid(&document), "{}: {document}", row.name);
        }
    }
    assert!(jsonschema::meta::is_valid(&documents::envelope()));
}

#[test]
fn every_example_of_a_document_fits_it() {
    let mut seen = 0;
    let mut check = |schema: &Value| {
        let validator = jsonschema::validator_for(schema).unwrap();
        for example in schema["examples"].as_array().into_iter().flatten() {
            assert!(validator.is_valid(example), "{example} does not fit {schema}");
            seen += 1;
        }
    };
    for row in &TABLE {
        let params = documents::params(row);
        params["properties"].as_object().into_iter().flatten().for_each(|(_, member)| check(member));
        check(&documents::payload(row));
    }
    check(&documents::envelope());
    assert!(seen > 10, "only {seen} examples were found");
}

#[test]
fn no_document_says_what_strict_readers_refuse() {
    fn walk(value: &Value, path: &str) {
        for (name, member) in value.as_object().into_iter().flatten() {
            let here = format!("{path}/{name}");
            assert!(!name.starts_with("x-") && name != "format", "{here}");
            walk(member, &here);
        }
        value.as_array().into_iter().flatten().for_each(|item| walk(item, path));
    }
    TABLE.iter().for_each(|row| walk(&documents::params(row), row.name));
}

#[test]
fn discovery_answers_the_document_that_is_published() {
    let published: Value =
        serde_json::from_slice(&std::fs::read(dir().join("openrpc.json")).unwrap()).unwrap();
    let sandbox = Sandbox::new();
    let reply = sandbox.plugin().ask("rpc.discover", Value::Null);
    assert_eq!(reply["result"], published);
}

#[test]
fn the_openrpc_document_has_a_method_for_every_row() {
    let document = openrpc::document();
    let methods: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    assert_eq!(methods, TABLE.iter().map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn an_action_of_one_node_has_the_payload_of_its_base() {
    for row in &TABLE {
        let Scope::OneNode(base) = row.scope else { continue };
        let base = mail_smtp2::action::find(base).unwrap();
        let shape = |row| {
            let mut document = documents::payload(row);
            ["$id", "title", "description"]
                .iter()
                .for_each(|name| drop(document.as_object_mut().unwrap().remove(*name)));
            document
        };
        assert_eq!(shape(row), shape(base), "{}", row.name);
        assert_eq!(row.lane, base.lane, "{}", row.name);
    }
}
