//! The published documents under `schema/`: they are what the program would write, and they are complete.
//!
//! These tests hold the checked-in files, the validator's view of them and `rpc.discover` to one another. Other readers
//! of JSON Schema are `tests/consumers`'. `MAIL_SMTP2_BLESS=1` writes the documents anew.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use mail_smtp2::action::{Scope, Since, TABLE};
use mail_smtp2::schema::dialect::{DRAFT_2020_12, Dialect};
use mail_smtp2::schema::{documents, files, openrpc};

use super::support::sandbox::Sandbox;

/// The actions of the panel's page, in its order.
const PAGE: [&str; 16] = [
    "isRunning",
    "isRunningOnNode",
    "listGeneralName",
    "listPortNumbers",
    "listPortNumbersArray",
    "listRequiredPermissions",
    "listServiceInfo",
    "listServiceName",
    "listServicePage",
    "restart",
    "restartOnNode",
    "start",
    "startOnNode",
    "stop",
    "stopOnNode",
    "update",
];

fn dir() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schema"))
}

#[test]
fn the_checked_in_documents_are_those_of_this_version() {
    if std::env::var_os("MAIL_SMTP2_BLESS").is_some() {
        files::write(dir()).unwrap();
    }
    let differences = files::check(dir()).unwrap();
    assert!(
        differences.is_empty(),
        "{differences}to write them anew: MAIL_SMTP2_BLESS=1 cargo test --test plugin schema"
    );
}

/// Every schema document of a dialect, under the name of its file.
fn schemas(dialect: &Dialect) -> Vec<(String, Value)> {
    let of = |row| {
        let (params, payload) = (documents::params(row, dialect), documents::payload(row, dialect));
        [(format!("params/{}", row.name), params), (format!("payload/{}", row.name), payload)]
    };
    let envelope = ("envelope".to_owned(), documents::envelope(dialect));
    TABLE.iter().flat_map(of).chain([envelope]).collect()
}

/// Every document there is in every dialect.
fn all() -> impl Iterator<Item = (String, Value)> {
    Dialect::all().into_iter().flat_map(schemas)
}

/// Calls with every schema in the document, and its place.
fn each_schema(schema: &Value, place: &str, see: &mut impl FnMut(&str, &Value)) {
    see(place, schema);
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        each_schema(member, &format!("{place}/{name}"), see);
    }
    for branch in schema["anyOf"].as_array().into_iter().flatten().chain(schema.get("items")) {
        each_schema(branch, &format!("{place}/*"), see);
    }
}

#[test]
fn every_file_has_its_members_in_order_and_ends_with_a_line() {
    fn is_sorted(value: &Value) -> bool {
        let members = value.as_object().into_iter().flatten();
        members.clone().is_sorted_by_key(|(name, _)| name)
            && members.map(|(_, member)| member).chain(value.as_array().into_iter().flatten()).all(is_sorted)
    }
    /// Whether some text has a line break; in an example it may, as the sentence of a refused input does.
    fn is_broken(value: &Value) -> bool {
        let members = value.as_object().into_iter().flatten().filter(|(name, _)| *name != "examples");
        value.as_str().is_some_and(|text| text.contains('\n'))
            || members.map(|(_, member)| member).chain(value.as_array().into_iter().flatten()).any(is_broken)
    }
    for (path, text) in files::all() {
        let path = path.display();
        assert!((text.ends_with("}\n") || text.ends_with("]\n")) && !text.contains('\r'), "{path}");
        let document = serde_json::from_str(&text).unwrap();
        assert!(!is_broken(&document), "{path} has line breaks inside");
        assert!(is_sorted(&document), "{path}");
    }
}

#[test]
fn every_document_is_a_valid_schema() {
    for (name, document) in all() {
        assert!(jsonschema::meta::is_valid(&document), "{name}: {document}");
    }
}

#[test]
fn a_document_says_the_same_in_every_dialect() {
    let [new, old] = Dialect::all().map(|dialect| {
        let mut documents = schemas(dialect);
        for (_, document) in &mut documents {
            let members = document.as_object_mut().unwrap();
            ["$schema", "$id"].iter().for_each(|head| drop(members.remove(*head)));
        }
        documents
    });
    assert_eq!(new, old);
}

#[test]
fn every_document_has_an_identity_and_a_title_of_its_own() {
    let ids: BTreeSet<String> = all().map(|(_, document)| document["$id"].to_string()).collect();
    assert_eq!(ids.len(), all().count());
    assert!(ids.iter().all(|id| id.starts_with("\"urn:mail-smtp2:1:")), "{ids:?}");
    for dialect in Dialect::all() {
        let documents = schemas(dialect);
        let titles: BTreeSet<&str> = documents.iter().map(|(_, document)| text(document, "title")).collect();
        assert_eq!(titles.len(), documents.len());
    }
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_else(|| panic!("{value} has no {member}"))
}

#[test]
fn every_document_says_since_when_and_with_which_permission() {
    for (name, document) in all().filter(|(name, _)| name != "envelope") {
        let about = text(&document, "description");
        let row = TABLE.iter().find(|row| name.ends_with(&format!("/{}", row.name))).unwrap();
        let since = match row.since {
            Since::Panel(version) => format!("Since panel version {version}."),
            Since::Ours(version) => format!("An addition of mail-smtp2 {version}."),
        };
        assert!(
            about.contains(&since) && about.contains("Requires the permission EMAIL."),
            "{name}: {about}"
        );
        assert!(document["examples"].as_array().is_some_and(|all| !all.is_empty()), "{name} has no example");
    }
}

#[test]
fn every_example_of_a_document_fits_it() {
    let mut seen = 0;
    for (name, document) in all() {
        each_schema(&document, &name, &mut |place, schema| {
            let validator = jsonschema::validator_for(schema).unwrap();
            for example in schema["examples"].as_array().into_iter().flatten() {
                assert!(validator.is_valid(example), "{place}: {example} does not fit {schema}");
                seen += 1;
            }
        });
    }
    assert!(seen > 2 * 2 * TABLE.len(), "only {seen} examples were found");
}

#[test]
fn no_document_says_what_readers_refuse_or_misread() {
    // Their own: x-. What generated clients would send: default. What some readers do not know: the rest.
    const NEVER: [&str; 6] = ["format", "default", "const", "oneOf", "allOf", "$ref"];
    for (name, document) in all() {
        each_schema(&document, &name, &mut |place, schema| {
            let strange: Vec<_> = schema
                .as_object()
                .unwrap()
                .keys()
                .filter(|k| k.starts_with("x-") || NEVER.contains(&&***k))
                .collect();
            assert_eq!(strange, Vec::<&String>::new(), "{place}");
            assert!(
                schema["type"].is_string() != schema["anyOf"].is_array(),
                "{place} has no single type: {schema}"
            );
            // The change under way: `queryStatus` says that there is none.
            assert!(schema["type"] != "null" || place.ends_with("/changing/*"), "{place}");
            let bounded = ["minimum", "maximum"].iter().all(|bound| schema[bound].is_i64());
            assert!(
                schema["type"] != "integer" || bounded || schema["enum"].is_array(),
                "{place} has no bounds"
            );
        });
    }
}

#[test]
fn discovery_answers_the_document_that_is_published() {
    let sandbox = Sandbox::new();
    let mut reply = sandbox.plugin().ask("rpc.discover", Value::Null);
    let machine = reply["result"].as_object_mut().unwrap().remove("x-machine").unwrap();
    assert_eq!((&machine["mta"], &machine["is_changeable"]), (&"sandbox".into(), &1.into()), "{machine}");
    let published: Value = serde_json::from_str(&files::all()[Path::new("openrpc.json")]).unwrap();
    assert!(reply["result"] == published, "it answers {}", reply["result"]);
}

#[test]
fn the_actions_of_the_page_come_first_and_in_its_order() {
    let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
    assert_eq!(names[..PAGE.len()], PAGE);
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
fn every_schema_inside_the_openrpc_document_has_a_title() {
    let mut titles = BTreeSet::new();
    for (name, component) in openrpc::document()["components"]["schemas"].as_object().unwrap() {
        assert_eq!(component["title"], name.as_str());
        each_schema(component, name, &mut |place, schema| {
            assert!(schema["title"].is_string() != schema["$ref"].is_string(), "{place}");
            assert!(
                schema["title"].is_null() || titles.insert(schema["title"].to_string()),
                "{place} is not alone"
            );
        });
    }
}

#[test]
fn an_action_of_one_node_has_the_payload_of_its_base() {
    for row in &TABLE {
        let Scope::OneNode(base) = row.scope else { continue };
        let base = mail_smtp2::action::find(base).unwrap();
        let shape = |row| {
            let mut document = documents::payload(row, &DRAFT_2020_12);
            ["$id", "title", "description"]
                .iter()
                .for_each(|name| drop(document.as_object_mut().unwrap().remove(*name)));
            document
        };
        assert_eq!(shape(row), shape(base), "{}", row.name);
        assert_eq!(row.lane, base.lane, "{}", row.name);
    }
}
