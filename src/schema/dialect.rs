//! The dialects of JSON Schema that the documents are published in, and the form that strict readers of them accept.
//!
//! What of a document depends on its dialect stands here as data, so that a document means the same in both. What a
//! derived schema says beyond the contract is taken out: schemars' own formats, `null` where absence is allowed, an
//! enum spelt as alternatives. What the documents say is their makers'. Nothing here fails.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

/// The version of the documents, in their names: what breaks a reader or a writer of them is a new one.
const MAJOR: &str = env!("CARGO_PKG_VERSION_MAJOR");

/// A dialect.
#[derive(Debug)]
pub struct Dialect {
    /// The folder of its documents below `schema/`.
    pub folder: &'static str,
    /// What ends the `$id` of its documents: the same words in another dialect are another document.
    pub suffix: &'static str,
    settings: fn() -> SchemaSettings,
}

/// What the program itself validates with.
pub static DRAFT_2020_12: Dialect =
    Dialect { folder: "", suffix: "", settings: SchemaSettings::draft2020_12 };

/// For OpenRPC, editors, and most validators in PHP.
pub static DRAFT_07: Dialect =
    Dialect { folder: "draft-07", suffix: ":draft-07", settings: SchemaSettings::draft07 };

impl Dialect {
    /// The dialects that are published.
    pub fn all() -> [&'static Self; 2] {
        [&DRAFT_2020_12, &DRAFT_07]
    }

    /// The `$schema` and the `$id` of a document.
    pub fn heads(&self, name: &str) -> [(String, Value); 2] {
        [
            ("$schema".to_owned(), json!((self.settings)().meta_schema)),
            ("$id".to_owned(), format!("urn:mail-smtp2:{MAJOR}:{name}{}", self.suffix).into()),
        ]
    }

    /// A schema in this dialect, complete in itself and without a head.
    pub fn derive(&self, make: fn(&mut SchemaGenerator) -> Schema) -> Map<String, Value> {
        let mut settings = (self.settings)();
        settings.inline_subschemas = true;
        settings.meta_schema = None;
        let mut generator = settings.into_generator();
        let mut schema = make(&mut generator);
        generator.transforms_mut().for_each(|transform| transform.transform(&mut schema));
        match plain(schema.to_value()) {
            Value::Object(members) => members,
            // `true` is the schema without a member.
            _ => Map::new(),
        }
    }
}

/// A schema as strict readers accept it.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(mut members) => {
            optional(&mut members);
            let mut members: Map<_, _> = members.into_iter().filter_map(plain_member).collect();
            unwrapped(&mut members);
            as_enum(&mut members);
            if members.contains_key("enum") {
                // What the Rust type could hold beyond the enum is of no interest.
                members.retain(|name, _| !matches!(name.as_str(), "minimum" | "maximum"));
            }
            Value::Object(members)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        other => other,
    }
}

/// What may be absent is never null: absence says what the type would say by null. Normalising drops the nulls of an input
/// before anything is validated.
fn optional(members: &mut Map<String, Value>) {
    let required = members.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = members.get_mut("properties") else { return };
    for (_, schema) in properties.iter_mut().filter(|(name, _)| !required.contains(&json!(name))) {
        for (name, value) in schema.as_object_mut().into_iter().flatten() {
            match (name.as_str(), value) {
                ("type", value) => {
                    let mut kinds = value.as_array().into_iter().flatten();
                    if let Some(kind) = kinds.find(|kind| *kind != "null").cloned() {
                        *value = kind;
                    }
                }
                ("enum", Value::Array(values)) => values.retain(|value| !value.is_null()),
                ("anyOf", Value::Array(branches)) => branches.retain(|branch| branch["type"] != "null"),
                _ => {}
            }
        }
    }
}

fn plain_member((name, value): (String, Value)) -> Option<(String, Value)> {
    let value = match (name.as_str(), value) {
        // uint16 and its like are schemars' own.
        ("format", Value::String(_)) => return None,
        // Line breaks of a doc comment are none of a reader's business.
        ("description", Value::String(text)) => text.split_whitespace().collect::<Vec<_>>().join(" ").into(),
        ("examples", value) => value,
        (_, value) => plain(value),
    };
    Some((name, value))
}

/// An `anyOf` of which one branch is left, now that null is gone, is that branch; what stands beside it wins.
fn unwrapped(members: &mut Map<String, Value>) {
    if let Some([Value::Object(only)]) = members.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        let mut branch = only.clone();
        members.shift_remove("anyOf");
        branch.append(members);
        *members = branch;
    }
}

/// Alternatives that are single values are the enum of those: a doc comment on one variant is enough for schemars to
/// spell an enum out.
fn as_enum(members: &mut Map<String, Value>) {
    let values = |branch: &Value| match branch.get("const") {
        Some(value) => Some(vec![value.clone()]),
        None => branch["enum"].as_array().cloned(),
    };
    let Some(Value::Array(branches)) = members.get("oneOf") else { return };
    let Some(all) = branches.iter().map(values).collect::<Option<Vec<_>>>() else { return };
    let kind = branches.first().map(|branch| branch["type"].clone());
    members.shift_remove("oneOf");
    members.insert("type".to_owned(), kind.unwrap_or_default());
    members.insert("enum".to_owned(), all.concat().into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    /// Lines that the
    /// source breaks.
    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Trap {
        port: Option<u16>,
        mode: Option<Mode>,
        format: String,
    }

    #[derive(JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code, reason = "only its schema is of interest")]
    enum Mode {
        /// A doc comment on one variant alone.
        Yes,
        No,
        Never,
    }

    fn trap(dialect: &Dialect) -> Value {
        dialect.derive(SchemaGenerator::root_schema_for::<Trap>).into()
    }

    #[test]
    fn a_documented_variant_leaves_an_enum_a_plain_enum() {
        for dialect in Dialect::all() {
            let mode = &trap(dialect)["properties"]["mode"];
            assert_eq!(mode["type"], "string", "{mode}");
            let mut values: Vec<&str> =
                mode["enum"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
            values.sort_unstable();
            assert_eq!(
                (values, mode.get("oneOf"), mode.get("anyOf")),
                (vec!["never", "no", "yes"], None, None)
            );
        }
    }

    #[test]
    fn an_optional_integer_keeps_its_bounds_and_loses_null_and_format() {
        for dialect in Dialect::all() {
            let port = &trap(dialect)["properties"]["port"];
            assert_eq!(*port, json!({ "type": "integer", "minimum": 0, "maximum": 65535 }));
        }
    }

    #[test]
    fn a_member_that_is_called_format_stays() {
        assert_eq!(trap(&DRAFT_07)["properties"]["format"], json!({ "type": "string" }));
    }

    #[test]
    fn a_description_is_one_line() {
        assert_eq!(trap(&DRAFT_07)["description"], "Lines that the source breaks.");
    }
}
