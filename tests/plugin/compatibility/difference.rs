//! What has changed between two versions of a JSON Schema: which values it admits now that it did not, and the reverse.
//!
//! It knows the keywords that our documents use; a change to any other one counts as both. Files and versions are
//! `compatibility.rs`'s. A schema that admits less breaks those who write its values, one that admits more those who
//! read them.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// Who holds values against a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// They read what the plugin answers.
    Readers,
    /// They write what the plugin takes.
    Writers,
}

/// What a change does to those who have the documents of the last release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Compatible,
    Breaks(Side),
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) verdict: Verdict,
    pub(super) place: String,
    pub(super) what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Compatible => "compatible",
            Verdict::Breaks(Side::Readers) => "breaking for readers",
            Verdict::Breaks(Side::Writers) => "breaking for writers",
        };
        write!(f, "{verdict}: {} {}", self.place, self.what)
    }
}

/// What became of the set of values that a schema admits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Narrower,
    Wider,
    /// Neither contains the other, or nobody can say.
    Another,
}

/// What a schema says that no value is held against.
const ANNOTATIONS: [&str; 4] = ["title", "description", "examples", "$comment"];

/// Every change from `old` to `new`, as it is for this side.
pub(super) fn changes(side: Side, place: &str, old: &Value, new: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    schemas(place, old, new, &mut changes);
    let harmless = match side {
        Side::Readers => Set::Narrower,
        Side::Writers => Set::Wider,
    };
    let told = |(place, set): (String, Set)| {
        let what = match set {
            Set::Narrower => "admits less",
            Set::Wider => "admits more",
            Set::Another => "admits something else",
        };
        let verdict = if set == harmless { Verdict::Compatible } else { Verdict::Breaks(side) };
        Change { verdict, place, what: what.to_owned() }
    };
    changes.into_iter().map(told).collect()
}

fn schemas(place: &str, old: &Value, new: &Value, changes: &mut Vec<(String, Set)>) {
    let (everything, nothing) =
        (|s: &Value| *s == true || *s == serde_json::json!({}), |s: &Value| *s == false);
    if old == new || everything(old) && everything(new) {
        return;
    }
    let whole = match () {
        () if everything(old) || nothing(new) => Some(Set::Narrower),
        () if everything(new) || nothing(old) => Some(Set::Wider),
        () => None,
    };
    if let Some(set) = whole {
        return changes.push((place.to_owned(), set));
    }
    let keywords = |schema: &Value| -> BTreeSet<String> {
        schema.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    for keyword in keywords(old).union(&keywords(new)).filter(|name| !ANNOTATIONS.contains(&name.as_str())) {
        let here = format!("{place} {keyword}");
        match keyword.as_str() {
            "properties" => members(place, old, new, changes),
            "additionalProperties" | "items" => {
                schemas(&here, old.get(keyword).unwrap_or(&ANY), new.get(keyword).unwrap_or(&ANY), changes);
            }
            _ => changes.extend(values(keyword, old.get(keyword), new.get(keyword)).map(|set| (here, set))),
        }
    }
}

/// What is not there admits everything.
static ANY: Value = Value::Bool(true);

/// A member that one of them does not name is what it says of additional ones.
fn members(place: &str, old: &Value, new: &Value, changes: &mut Vec<(String, Set)>) {
    let names = |schema: &Value| -> BTreeSet<String> {
        schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    };
    for name in names(old).union(&names(new)) {
        let member = |schema: &Value| {
            let own = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
            own.unwrap_or(&ANY).clone()
        };
        schemas(&format!("{place}/{name}"), &member(old), &member(new), changes);
    }
}

/// What became of the values that this keyword admits.
fn values(keyword: &str, old: Option<&Value>, new: Option<&Value>) -> Option<Set> {
    match (keyword, old, new) {
        (_, old, new) if old == new => None,
        // Members that have to be there: none of them is like an empty list.
        ("required", ..) => Some(reversed(sets(&listed(old), &listed(new)))),
        ("enum" | "type" | "anyOf" | "pattern", None, _) => Some(Set::Narrower),
        ("enum" | "type" | "anyOf" | "pattern", _, None) => Some(Set::Wider),
        ("enum", ..) => Some(sets(&listed(old), &listed(new))),
        ("anyOf", ..) => same_or(&branches(old), &branches(new)),
        ("type", ..) => Some(sets(&types(old), &types(new))),
        ("minimum" | "minLength" | "minItems" | "maximum" | "maxLength" | "maxItems", ..) => {
            let upper = keyword.starts_with("max");
            Some(bounds(upper, old.and_then(Value::as_f64), new.and_then(Value::as_f64)))
        }
        _ => Some(Set::Another),
    }
}

fn listed(value: Option<&Value>) -> BTreeSet<String> {
    value.and_then(Value::as_array).into_iter().flatten().map(Value::to_string).collect()
}

/// The alternatives, without what they say to people.
fn branches(value: Option<&Value>) -> BTreeSet<String> {
    let bare = |branch: &Value| {
        let members = branch.as_object().into_iter().flatten();
        let told = members.filter(|(name, _)| !ANNOTATIONS.contains(&name.as_str()));
        // The empty string alone has two spellings.
        let spelt = |(name, value): (&String, &Value)| match (name.as_str(), value) {
            ("enum", value) if *value == serde_json::json!([""]) => ("maxLength".to_owned(), 0.into()),
            _ => (name.clone(), value.clone()),
        };
        format!("{:?}", told.map(spelt).collect::<Vec<_>>())
    };
    value.and_then(Value::as_array).into_iter().flatten().map(bare).collect()
}

/// The types, an integer being a number too.
fn types(value: Option<&Value>) -> BTreeSet<String> {
    let mut all = listed(value);
    all.extend(value.and_then(Value::as_str).map(|name| format!("{name:?}")));
    if all.contains("\"number\"") {
        all.insert("\"integer\"".to_owned());
    }
    all
}

fn sets(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Set {
    match (old.is_subset(new), new.is_subset(old)) {
        (true, _) => Set::Wider,
        (_, true) => Set::Narrower,
        _ => Set::Another,
    }
}

fn same_or(old: &BTreeSet<String>, new: &BTreeSet<String>) -> Option<Set> {
    (old != new).then(|| sets(old, new))
}

fn reversed(set: Set) -> Set {
    match set {
        Set::Narrower => Set::Wider,
        Set::Wider => Set::Narrower,
        Set::Another => Set::Another,
    }
}

/// Of a bound, where none is as far out as can be.
fn bounds(upper: bool, old: Option<f64>, new: Option<f64>) -> Set {
    let far = if upper { f64::INFINITY } else { f64::NEG_INFINITY };
    let (old, new) = (old.unwrap_or(far), new.unwrap_or(far));
    if (new > old) == upper { Set::Wider } else { Set::Narrower }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Whom a step between these breaks, and its reverse.
    #[track_caller]
    fn assert_breaks(old: &Value, new: &Value, there: &[Side], back: &[Side]) {
        let broken = |old, new| {
            let breaks = |side: &Side| {
                let changes = changes(*side, "schema", old, new);
                changes.iter().any(|change| change.verdict == Verdict::Breaks(*side))
            };
            [Side::Readers, Side::Writers].into_iter().filter(|side| breaks(side)).collect::<Vec<_>>()
        };
        assert_eq!(broken(old, new), there, "{old} to {new}");
        assert_eq!(broken(new, old), back, "{new} to {old}");
    }

    const NOBODY: &[Side] = &[];
    const READERS: &[Side] = &[Side::Readers];
    const WRITERS: &[Side] = &[Side::Writers];
    const BOTH: &[Side] = &[Side::Readers, Side::Writers];

    #[test]
    fn words_for_people_break_nobody() {
        let (old, new) =
            (json!({ "title": "A" }), json!({ "title": "B", "description": "b", "examples": [1] }));
        assert_breaks(
            &json!({ "type": "string" }),
            &json!({ "type": "string", "title": "A" }),
            NOBODY,
            NOBODY,
        );
        assert_breaks(
            &json!({ "properties": { "a": old } }),
            &json!({ "properties": { "a": new } }),
            NOBODY,
            NOBODY,
        );
    }

    #[test]
    fn one_more_value_of_an_enum_breaks_readers_and_one_less_writers() {
        assert_breaks(&json!({ "enum": ["a"] }), &json!({ "enum": ["a", "b"] }), READERS, WRITERS);
        assert_breaks(
            &json!({ "type": "string" }),
            &json!({ "type": "string", "enum": ["a"] }),
            WRITERS,
            READERS,
        );
    }

    #[test]
    fn another_value_of_an_enum_breaks_both() {
        assert_breaks(&json!({ "enum": ["a"] }), &json!({ "enum": ["b"] }), BOTH, BOTH);
    }

    #[test]
    fn another_type_breaks_both() {
        assert_breaks(&json!({ "type": "string" }), &json!({ "type": "integer" }), BOTH, BOTH);
    }

    #[test]
    fn a_type_that_contains_the_other_is_wider() {
        assert_breaks(&json!({ "type": "integer" }), &json!({ "type": "number" }), READERS, WRITERS);
        assert_breaks(&json!({ "type": "string" }), &json!({ "type": ["string", "null"] }), READERS, WRITERS);
        assert_breaks(&json!({ "type": "string" }), &json!({}), READERS, WRITERS);
    }

    #[test]
    fn bounds_that_move_outwards_break_readers_and_inwards_writers() {
        for (old, new) in [
            (json!({ "maximum": 9 }), json!({ "maximum": 10 })),
            (json!({ "minimum": 1, "maximum": 9 }), json!({ "minimum": 0, "maximum": 9 })),
            (json!({ "minItems": 1, "maxItems": 1 }), json!({ "minItems": 1 })),
            (json!({ "minLength": 1, "maxLength": 5 }), json!({ "maxLength": 5 })),
        ] {
            assert_breaks(&old, &new, READERS, WRITERS);
        }
    }

    #[test]
    fn another_pattern_breaks_both_and_a_new_one_writers() {
        assert_breaks(&json!({ "pattern": "a" }), &json!({ "pattern": "b" }), BOTH, BOTH);
        assert_breaks(
            &json!({ "type": "string" }),
            &json!({ "type": "string", "pattern": "b" }),
            WRITERS,
            READERS,
        );
    }

    #[test]
    fn a_new_input_breaks_nobody_and_one_that_is_gone_breaks_writers() {
        let closed = |properties: Value| json!({ "properties": properties, "additionalProperties": false });
        let (old, new) =
            (json!({ "a": { "type": "string" } }), json!({ "a": { "type": "string" }, "b": true }));
        // As a payload it would break readers, who knew that nothing else comes.
        assert_breaks(&closed(old), &closed(new), READERS, WRITERS);
    }

    #[test]
    fn a_new_member_of_an_open_payload_breaks_no_reader_and_one_that_is_gone_does() {
        let old = json!({ "properties": { "a": { "type": "string" } } });
        let new = json!({ "properties": { "a": { "type": "string" }, "b": { "type": "string" } } });
        assert_breaks(&old, &new, WRITERS, READERS);
    }

    #[test]
    fn a_member_that_becomes_required_breaks_writers_and_the_reverse_readers() {
        assert_breaks(
            &json!({ "type": "object" }),
            &json!({ "type": "object", "required": ["a"] }),
            WRITERS,
            READERS,
        );
        assert_breaks(&json!({ "required": ["a"] }), &json!({ "required": ["a", "b"] }), WRITERS, READERS);
        assert_breaks(&json!({ "required": ["a"] }), &json!({ "required": ["b"] }), BOTH, BOTH);
    }

    #[test]
    fn an_object_that_is_closed_breaks_writers_and_one_that_is_opened_readers() {
        let closed = json!({ "type": "object", "additionalProperties": false });
        assert_breaks(&json!({ "type": "object" }), &closed, WRITERS, READERS);
        assert_breaks(
            &json!({ "type": "object" }),
            &json!({ "type": "object", "additionalProperties": true }),
            NOBODY,
            NOBODY,
        );
    }

    #[test]
    fn one_more_alternative_breaks_readers_and_one_less_writers() {
        let [a, b] = ["string", "boolean"].map(|name| json!({ "type": name }));
        assert_breaks(&json!({ "anyOf": [a] }), &json!({ "anyOf": [a, b] }), READERS, WRITERS);
        assert_breaks(&json!({ "anyOf": [a] }), &json!({ "anyOf": [b] }), BOTH, BOTH);
        let named = json!({ "anyOf": [b, { "type": "string", "title": "A" }] });
        assert_breaks(&json!({ "anyOf": [a, b] }), &named, NOBODY, NOBODY);
    }

    #[test]
    fn changes_deep_inside_are_seen() {
        let deep =
            |kind: &str| json!({ "items": { "properties": { "a": { "items": { "enum": [kind] } } } } });
        assert_breaks(&deep("a"), &deep("b"), BOTH, BOTH);
    }

    #[test]
    fn a_keyword_that_nobody_judges_breaks_both() {
        assert_breaks(&json!({ "type": "string" }), &json!({ "type": "string", "not": {} }), BOTH, BOTH);
        assert_breaks(&json!({ "$id": "urn:a:1" }), &json!({ "$id": "urn:a:2" }), BOTH, BOTH);
        assert_breaks(
            &json!({ "type": "integer" }),
            &json!({ "type": "integer", "default": 587 }),
            BOTH,
            BOTH,
        );
    }

    #[test]
    fn a_change_says_whom_it_breaks_and_where() {
        let told =
            |side| changes(side, "a", &json!({ "enum": [1, 2] }), &json!({ "enum": [1] }))[0].to_string();
        assert_eq!(told(Side::Writers), "breaking for writers: a enum admits less");
        assert_eq!(told(Side::Readers), "compatible: a enum admits less");
    }
}
