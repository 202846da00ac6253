//! The gate of compatibility: what has changed in the published documents since the last release, and whom it breaks.
//!
//! A change that breaks somebody needs a new major version. Whoever makes a release replaces the folder below
//! `tests/plugin/released/`, which is named after the version: `mail-smtp2 schema tests/plugin/released/VERSION`.
//! Comparing two documents is `difference`'s. A failure names the document, the place in it, and whom it breaks.

mod difference;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use difference::{Change, Side, Verdict, changes};
use mail_smtp2::schema::files;

/// The documents by their path below `schema/`.
type Documents = BTreeMap<PathBuf, Value>;

fn current() -> Documents {
    let parse = |(path, text): (PathBuf, String)| (path, serde_json::from_str(&text).unwrap());
    files::all().into_iter().map(parse).collect()
}

/// The version of the last release, and its documents.
fn released() -> (String, Documents) {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugin/released");
    let mut versions: Vec<PathBuf> = fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    let folder = versions.pop().expect("a release is kept");
    assert!(versions.is_empty(), "more than one release is kept");
    let mut documents = Documents::new();
    let mut folders = vec![folder.clone()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                let document = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                documents.insert(path.strip_prefix(&folder).unwrap().to_owned(), document);
            }
        }
    }
    (folder.file_name().unwrap().to_string_lossy().into_owned(), documents)
}

/// Which side of the conversation holds a document against what it has: hosts write inputs and read all else.
fn side(path: &Path) -> Option<Side> {
    let path = path.strip_prefix("draft-07").unwrap_or(path);
    match path.iter().next()?.to_str()? {
        "params" => Some(Side::Writers),
        "payload" | "envelope.json" => Some(Side::Readers),
        // The others say nothing of their own, but for the order of the inputs.
        _ => None,
    }
}

/// Every change from the old documents to the new ones.
fn classified(old: &Documents, new: &Documents) -> Vec<Change> {
    let mut all = Vec::new();
    for (path, was) in old {
        let Some(side) = side(path) else { continue };
        let place = path.display().to_string();
        match new.get(path) {
            Some(is) => all.extend(changes(side, &place, was, is)),
            None => all.push(Change { verdict: Verdict::Breaks(side), place, what: "is gone".to_owned() }),
        }
    }
    let added = new.keys().filter(|path| side(path).is_some() && !old.contains_key(*path));
    all.extend(added.map(|path| Change {
        verdict: Verdict::Compatible,
        place: path.display().to_string(),
        what: "is new".to_owned(),
    }));
    let openrpc = Path::new("openrpc.json");
    if let (Some(was), Some(is)) = (old.get(openrpc), new.get(openrpc)) {
        all.extend(moved_inputs(was, is));
    }
    all
}

/// Whom these changes break.
fn broken(changes: &[Change]) -> Vec<Side> {
    let side = |change: &Change| match change.verdict {
        Verdict::Breaks(side) => Some(side),
        Verdict::Compatible => None,
    };
    changes.iter().filter_map(side).collect()
}

/// Inputs that a host which sends them by position would now send as something else.
fn moved_inputs(old: &Value, new: &Value) -> Vec<Change> {
    let inputs = |document: &Value| -> BTreeMap<String, Vec<String>> {
        let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
        let names = |method: &Value| method["params"].as_array().into_iter().flatten().map(name).collect();
        let methods = document["methods"].as_array().into_iter().flatten();
        methods.map(|method| (name(method), names(method))).collect()
    };
    let new = inputs(new);
    let moved =
        |(method, was): &(String, Vec<String>)| new.get(method).is_some_and(|is| !is.starts_with(was));
    let verdict = Verdict::Breaks(Side::Writers);
    let told =
        |(place, was)| Change { verdict, place, what: format!("had its inputs in this order: {was:?}") };
    inputs(old).into_iter().filter(moved).map(told).collect()
}

/// Whether a step between these versions may break somebody.
fn may_break(released: &str, current: &str) -> bool {
    let major =
        |version: &str| version.split('.').next().and_then(|n| n.parse::<u32>().ok()).expect("a version");
    major(current) > major(released)
}

#[test]
fn nobody_is_broken_without_a_new_major_version() {
    let (version, released) = released();
    let changes = classified(&released, &current());
    let told: String = changes.iter().map(|change| format!("{change}\n")).collect();
    eprint!("changes since {version}:\n{told}");
    assert!(
        broken(&changes).is_empty() || may_break(&version, env!("CARGO_PKG_VERSION")),
        "since {version}:\n{told}"
    );
}

#[test]
fn every_identity_carries_the_major_version() {
    let head = concat!("urn:mail-smtp2:", env!("CARGO_PKG_VERSION_MAJOR"), ":");
    for (path, document) in current().iter().filter(|(path, _)| side(path).is_some()) {
        assert!(document["$id"].as_str().unwrap().starts_with(head), "{}", path.display());
    }
}

#[test]
fn an_action_that_is_gone_breaks_both_sides() {
    let mut without = current();
    without.retain(|path, _| !path.ends_with("start.json"));
    let sides = broken(&classified(&current(), &without));
    assert_eq!(sides, [Side::Writers, Side::Readers, Side::Writers, Side::Readers]);
}

#[test]
fn a_new_action_breaks_nobody() {
    let mut before = current();
    before.retain(|path, _| !path.ends_with("start.json"));
    let changes = classified(&before, &current());
    assert_eq!((changes.len(), broken(&changes)), (4, vec![]));
}

#[test]
fn a_status_number_that_is_new_breaks_no_reader() {
    for (path, document) in current().iter().filter(|(path, _)| path.ends_with("envelope.json")) {
        let newer = json!({ "status": 599, "payload": "something that nobody knows yet" });
        assert!(jsonschema::is_valid(document, &newer), "{}", path.display());
    }
}

#[test]
fn inputs_that_change_places_break_writers_and_one_at_the_end_does_not() {
    let document = |names: &[&str]| {
        let params: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        json!({ "methods": [{ "name": "update", "params": params }] })
    };
    let old = document(&["port", "mode"]);
    assert_eq!(broken(&moved_inputs(&old, &document(&["mode", "port"]))), [Side::Writers]);
    assert_eq!(moved_inputs(&old, &document(&["port", "mode", "more"])), []);
}

#[test]
fn a_break_needs_a_new_major_version() {
    assert!(may_break("1.4.0", "2.0.0") && may_break("9.9.9", "10.0.0"));
    assert!(!may_break("1.4.0", "1.5.0") && !may_break("1.4.0", "1.4.1") && !may_break("2.0.0", "1.9.0"));
}
