//! What a host sent, made into what an action takes: normalised, then validated (schema/README.md, "Input").
//!
//! Answers for: the few things that hosts written in PHP are forgiven, and every fault of an input told at once, with
//! the field's name. Does not know: what the action does with it. Nothing is bent that is not named here; the
//! validator is built from the published document, on the first request that carries parameters.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::dialect::DRAFT_2020_12;
use super::documents;
use crate::action::{Row, TABLE};
use crate::wire::envelope::FieldFault;
use crate::wire::strict;

/// A schema, ready to be used.
struct Ready {
    document: Value,
    validator: Validator,
}

/// The input of `row`, from the text of a request's parameters.
///
/// # Errors
/// Every fault at once.
pub fn admit(row: &Row, params: Option<&str>) -> Result<Value, Vec<FieldFault>> {
    let input = normalise(row, params)?;
    if input.as_object().is_some_and(Map::is_empty) {
        return Ok(input);
    }
    let ready = ready(row)?;
    let mut faults = BTreeMap::new();
    for error in ready.validator.iter_errors(&input) {
        for fault in told(row, &input, &error) {
            // One line a field: the first thing that is wrong with it.
            faults.entry(fault.field.clone()).or_insert(fault);
        }
    }
    if faults.is_empty() { Ok(input) } else { Err(faults.into_values().collect()) }
}

/// The text of a request's parameters as the published schema judges them: by name, and without the forms of PHP.
///
/// # Errors
/// What no schema would see: doubled members, too many positions.
pub fn normalise(row: &Row, params: Option<&str>) -> Result<Value, Vec<FieldFault>> {
    let Some(text) = params else { return Ok(json!({})) };
    let value = strict::parse(text).map_err(|e| vec![FieldFault::new("params", e.to_string())])?.value;
    let members = named(row, value)?;
    if members.is_empty() {
        return Ok(json!({}));
    }
    Ok(Value::Object(normalised(members, &ready(row)?.document["properties"])))
}

/// Parameters by name: positions take the names of the page, in its order.
fn named(row: &Row, params: Value) -> Result<Map<String, Value>, Vec<FieldFault>> {
    match params {
        Value::Object(members) => Ok(members),
        Value::Array(items) if items.len() > row.inputs.len() => {
            let (given, taken) = (items.len(), row.inputs.len());
            Err(vec![FieldFault::new("params", format!("{given} positions, but {} takes {taken}", row.name))])
        }
        Value::Array(items) => Ok(row.inputs.iter().map(|name| (*name).to_owned()).zip(items).collect()),
        _ => Err(vec![FieldFault::new("params", "must be an object or an array")]),
    }
}

/// The forms that PHP hosts send, made into what the schema knows; absent members gone.
fn normalised(members: Map<String, Value>, properties: &Value) -> Map<String, Value> {
    let absent = |value: &Value| value.is_null() || value.as_str() == Some("");
    members
        .into_iter()
        .filter(|(_, value)| !absent(value))
        .map(|(name, value)| {
            let property = &properties[&name];
            let value = match (property["type"].as_str(), property.get("enum")) {
                (Some("integer"), Some(_)) => flag(value),
                (Some("integer"), None) => integer(value),
                _ => value,
            };
            (name, value)
        })
        .collect()
}

/// `"0"`, `"1"`, `true` and `false` are the flag 0 or 1.
fn flag(value: Value) -> Value {
    match &value {
        Value::Bool(flag) => json!(u8::from(*flag)),
        Value::String(text) if text == "0" => json!(0),
        Value::String(text) if text == "1" => json!(1),
        _ => integer(value),
    }
}

/// `"587"` (`[1-9][0-9]{0,4}`) and `587.0` are the integer 587.
fn integer(value: Value) -> Value {
    match &value {
        Value::String(text)
            if (1..=5).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_digit())
                && !text.starts_with('0') =>
        {
            text.parse::<u32>().map_or(value, Value::from)
        }
        Value::Number(number) => match number.as_f64() {
            // Beyond 2^53 a float does not name one integer.
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9e15 => {
                json!(float as i64)
            }
            _ => value,
        },
        _ => value,
    }
}

/// What is wrong, by field.
fn told(row: &Row, input: &Value, error: &ValidationError<'_>) -> Vec<FieldFault> {
    // A schema without members reports its first unknown one as a plain `false`.
    if matches!(
        error.kind(),
        ValidationErrorKind::AdditionalProperties { .. } | ValidationErrorKind::FalseSchema
    ) {
        let known = match row.inputs {
            [] => format!("{} takes no input", row.name),
            inputs => format!("{} takes {}", row.name, inputs.join(", ")),
        };
        let unknown = input
            .as_object()
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !row.inputs.contains(&name.as_str()));
        return unknown.map(|name| FieldFault::new(name, format!("is unknown; {known}"))).collect();
    }
    let path = error.instance_path().to_string();
    let field = path.trim_start_matches('/').split('/').next().filter(|field| !field.is_empty());
    vec![FieldFault::new(field.unwrap_or("params"), error.to_string())]
}

/// The validator of this row, built at first use.
fn ready(row: &Row) -> Result<&'static Ready, Vec<FieldFault>> {
    static READY: [OnceLock<Ready>; TABLE.len()] = [const { OnceLock::new() }; TABLE.len()];
    let at = TABLE.iter().position(|other| other.name == row.name).unwrap_or_default();
    if let Some(ready) = READY[at].get() {
        return Ok(ready);
    }
    let document = documents::params(row, &DRAFT_2020_12);
    let validator = jsonschema::validator_for(&document)
        .map_err(|e| vec![FieldFault::new("params", format!("the schema itself is wrong: {e}"))])?;
    Ok(READY[at].get_or_init(|| Ready { document, validator }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::find;

    fn update(params: &str) -> Result<Value, Vec<FieldFault>> {
        admit(find("update").unwrap(), Some(params))
    }

    #[test]
    fn forms_of_php_are_the_values_that_they_mean() {
        let input = update(r#"{"alternate_smtp_port":"587","auth_mode":"","cascade_to_nodes":true}"#);
        assert_eq!(input.unwrap(), json!({"alternate_smtp_port":587,"cascade_to_nodes":1}));
        assert_eq!(update(r#"{"alternate_smtp_port":587.0}"#).unwrap(), json!({"alternate_smtp_port":587}));
        assert_eq!(
            update(r#"{"cascade_to_nodes":"0","auth_mode":null}"#).unwrap(),
            json!({"cascade_to_nodes":0})
        );
    }

    #[test]
    fn nothing_else_is_bent() {
        for port in [
            r#"" 587""#,
            r#""+587""#,
            r#""0587""#,
            r#""587.0""#,
            "587.5",
            "true",
            r#""123456""#,
            "1e300",
            "[]",
        ] {
            let faults = update(&format!(r#"{{"alternate_smtp_port":{port}}}"#)).unwrap_err();
            assert_eq!(faults[0].field, "alternate_smtp_port", "{port}");
        }
        for flag in ["2", r#""yes""#, r#""true""#, "-1"] {
            assert!(update(&format!(r#"{{"cascade_to_nodes":{flag}}}"#)).is_err(), "{flag}");
        }
    }

    #[test]
    fn no_parameters_may_be_written_in_every_way() {
        for row in &TABLE {
            for params in [None, Some("{}"), Some("[]")] {
                assert_eq!(admit(row, params), Ok(json!({})), "{} {params:?}", row.name);
            }
        }
    }

    #[test]
    fn positions_are_the_inputs_of_the_page_in_order() {
        let input = update(r#"[2525,"auth_yes/tls_yes"]"#).unwrap();
        assert_eq!(input, json!({"alternate_smtp_port":2525,"auth_mode":"auth_yes/tls_yes"}));
        assert_eq!(update("[1,null,0,4]").unwrap_err()[0].field, "params");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults =
            update(r#"{"alternate_smtp_port":70000,"auth_mode":"none","port":1,"x":2}"#).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["alternate_smtp_port", "auth_mode", "port", "x"]);
    }

    #[test]
    fn a_port_is_within_its_bounds() {
        for port in [0, -1, 65536, 70000] {
            assert!(update(&format!("[{port}]")).is_err(), "{port}");
        }
        assert!(update("[1]").is_ok() && update("[65535]").is_ok());
    }
}
