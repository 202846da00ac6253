//! Every golden conversation against the published documents, with typify's types and with the plugin's validator.
//!
//! What the schema admits and refuses has to be what the fixtures say, and what it admits has to survive being read
//! into the generated types. `MAIL_SMTP2_BLESS=1` writes each case's `refused.jsonl` anew; whether the conversations
//! are right is `tests/plugin/golden`'s.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;

use mail_smtp2_consumers::corpus::{Entry, Keywords, Refused, cases, corpus, entries};
use mail_smtp2_consumers::types::TYPES;
use serde_json::{Value, json};

/// The folders of the two dialects.
const DIALECTS: [&str; 2] = ["", "draft-07/"];

fn document(name: &str) -> Value {
    let path = format!("{}/../../../schema/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Why the published schema refuses these parameters: the first keyword that speaks of each place.
fn refused(entry: &Entry, dialect: &str) -> Keywords {
    let schema = document(&format!("{dialect}params/{}.json", entry.action));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut keywords = Keywords::new();
    for error in validator.iter_errors(&entry.params) {
        let place = error.schema_path().to_string();
        let keyword = place.rsplit('/').next().unwrap_or_default().to_owned();
        keywords.entry(error.instance_path().to_string()).or_insert(keyword);
    }
    keywords
}

/// Without lists of nothing: typify leaves an optional one out when it writes.
fn filled(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.retain(|_, member| member.as_array().is_none_or(|list| !list.is_empty()));
            members.values_mut().for_each(|member| *member = filled(member.take()));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| *element = filled(element.take())),
        _ => {}
    }
    value
}

#[track_caller]
fn survives(document: &str, case: &str, value: &Value) {
    let again = TYPES.iter().find(|(name, _)| *name == document).unwrap_or_else(|| panic!("no {document}")).1;
    match again(value.clone()) {
        Ok(after) => assert_eq!(filled(after), filled(value.clone()), "{case}: {document}"),
        Err(error) => panic!("{case}: {value} is no {document}: {error}"),
    }
}

#[test]
fn every_request_is_refused_by_the_keyword_that_stands_beside_it() {
    let bless = std::env::var("MAIL_SMTP2_BLESS").is_ok_and(|on| on == "1");
    for case in cases() {
        let file = case.join("refused.jsonl");
        let of = |entry: &Entry| Refused { id: entry.id.clone(), refused: refused(entry, "") };
        let found: Vec<Refused> =
            entries(&case).iter().map(of).filter(|line| !line.refused.is_empty()).collect();
        let text: String = found.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        if bless && !text.is_empty() {
            fs::write(&file, &text).unwrap();
        }
        let stands = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(stands, text, "{}; MAIL_SMTP2_BLESS=1 writes it", file.display());
    }
}

#[test]
fn the_dialects_refuse_the_same_for_the_same_reason() {
    for entry in corpus() {
        let [new, old] = DIALECTS.map(|dialect| refused(&entry, dialect));
        assert_eq!(new, old, "{}", entry.case);
    }
}

#[test]
fn what_the_schema_refuses_was_answered_with_11_and_nothing_else_was() {
    for entry in corpus().iter().filter(|entry| !entry.refused.is_empty()) {
        assert_eq!(
            entry.envelope.as_ref().map(|envelope| &envelope["status"]),
            Some(&json!(11)),
            "{}",
            entry.case
        );
    }
    let refusals = corpus().iter().filter(|entry| !entry.refused.is_empty()).count();
    assert!(refusals > 15, "only {refusals} refusals were found");
}

#[test]
fn every_document_has_a_type() {
    let documented = |dialect: &str, kind: &str| {
        let of = |row: &mail_smtp2::action::Row| format!("{dialect}{kind}/{}.json", row.name);
        mail_smtp2::action::TABLE.iter().map(of).collect::<Vec<_>>()
    };
    let kinds = |dialect| ["params", "payload"].map(|kind| documented(dialect, kind)).concat();
    let mut all: BTreeSet<String> = DIALECTS.into_iter().flat_map(kinds).collect();
    all.extend(DIALECTS.map(|dialect| format!("{dialect}envelope.json")));
    assert_eq!(all, TYPES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn admitted_parameters_survive_their_types() {
    for entry in corpus().iter().filter(|entry| entry.refused.is_empty()) {
        for dialect in DIALECTS {
            survives(&format!("{dialect}params/{}.json", entry.action), &entry.case, &entry.params);
        }
    }
}

#[test]
fn answers_survive_their_types() {
    let mut payloads = BTreeSet::new();
    for entry in corpus() {
        let Some(envelope) = &entry.envelope else { continue };
        for dialect in DIALECTS {
            survives(&format!("{dialect}envelope.json"), &entry.case, envelope);
            if envelope["status"] == 0 {
                survives(
                    &format!("{dialect}payload/{}.json", entry.action),
                    &entry.case,
                    &envelope["payload"],
                );
                payloads.insert(entry.action.clone());
            }
        }
    }
    assert_eq!(payloads.len(), mail_smtp2::action::TABLE.len(), "{payloads:?}");
}
