//! What a host sends as parameters: the published schema, the types that are made of it, and the page in plain words agree.
//!
//! The words stand here once more, as rules by a member's name. An action with a member that no rule knows is held to less:
//! what is admitted is admitted again as it is, and what is refused says why.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::action::input::{Cascade, Nothing, OnNode};
use crate::action::query_history::History;
use crate::action::update::Update;
use crate::action::{Row, TABLE};
use crate::schema::admit as admission;
use crate::wire::strict;

/// The members that there are rules for.
const RULES: [&str; 7] =
    ["alternate_smtp_port", "auth_mode", "cascade_to_nodes", "node_id", "limit", "failed", "probe"];

/// The first byte chooses an action, the rest is its parameters.
pub(super) fn admit(data: &[u8]) {
    let Some((chosen, params)) = data.split_first() else { return };
    let Ok(params) = std::str::from_utf8(params) else { return };
    let row = &TABLE[usize::from(*chosen) % TABLE.len()];
    let admitted = admission::admit(row, Some(params));
    // What is no JSON, or a scalar, is told apart before.
    let Ok(strict::Strict { value, .. }) = strict::parse(params) else { return assert!(admitted.is_err()) };
    let wrong = wrong(row, value);
    let is_known = row.inputs.iter().all(|name| RULES.contains(name));
    match admitted {
        Ok(input) => {
            assert!(!is_known || wrong.is_empty(), "{} {params}: {input}, though {wrong:?}", row.name);
            typed(row, &input);
            let again = admission::admit(row, Some(&input.to_string()));
            assert_eq!(again, Ok(input), "{} {params}: what is admitted is admitted as it is", row.name);
        }
        Err(faults) => {
            let fields: BTreeSet<String> = faults.iter().map(|fault| fault.name.clone()).collect();
            assert!(!is_known || fields == wrong, "{} {params}: {fields:?}, not {wrong:?}", row.name);
            assert!(faults.iter().all(|fault| !fault.message.is_empty()));
        }
    }
}

/// The type takes what the schema admits.
fn typed(row: &Row, input: &Value) {
    let taken = match row.inputs {
        [] => Nothing::deserialize(input).map(drop),
        ["cascade_to_nodes"] => Cascade::deserialize(input).map(drop),
        ["node_id"] => OnNode::deserialize(input).map(drop),
        ["alternate_smtp_port", "auth_mode", "cascade_to_nodes"] => Update::deserialize(input).map(drop),
        ["limit", "failed"] => History::deserialize(input).map(drop),
        // An action that this does not know is held to the rules of its members alone.
        _ => Ok(()),
    };
    assert!(taken.is_ok(), "{} {input}: {taken:?}", row.name);
}

/// The members that are wrong, by the rules.
fn wrong(row: &Row, params: Value) -> BTreeSet<String> {
    let members: Map<String, Value> = match params {
        Value::Object(members) => members,
        Value::Array(items) if items.len() <= row.inputs.len() => {
            row.inputs.iter().map(|name| (*name).to_owned()).zip(items).collect()
        }
        _ => return BTreeSet::from(["params".to_owned()]),
    };
    let given = members.into_iter().filter(|(_, value)| !value.is_null() && *value != "");
    let wrong = given.filter(|(name, value)| !row.inputs.contains(&name.as_str()) || !fits(name, value));
    wrong.map(|(name, _)| name).collect()
}

/// Whether a member may have this value.
fn fits(name: &str, value: &Value) -> bool {
    let within = |least: f64, most: f64| match value {
        Value::Number(number) => {
            number.as_f64().is_some_and(|n| n.fract() == 0.0 && (least..=most).contains(&n))
        }
        Value::String(text) => {
            let plain = !text.starts_with('0') && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
            plain && text.parse().is_ok_and(|number: f64| (least..=most).contains(&number))
        }
        _ => false,
    };
    match name {
        "alternate_smtp_port" => within(1.0, 65535.0),
        "limit" => within(1.0, 1000.0),
        "auth_mode" => *value == "auth_yes/tls_yes" || *value == "auth_yes/tls_optional",
        "cascade_to_nodes" | "failed" | "probe" => *value == "0" || value.is_boolean() || within(0.0, 1.0),
        "node_id" => value.is_string(),
        _ => true,
    }
}
