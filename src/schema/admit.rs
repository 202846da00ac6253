//! What a host sent, made into what an action takes: normalised, then validated (schema/README.md, "Input").
//!
//! Hosts written in PHP are forgiven the few forms that are named here, and nothing else is bent. Every fault of an input is
//! told at once, with the field's name. The validator is built from the published document, on the first request that
//! carries parameters. What the action does with its input is the action's.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::dialect::DRAFT_2020_12;
use super::documents;
use crate::action::{Row, TABLE};
use crate::wire::problem::FieldFault;
use crate::wire::strict;

/// How much of a value that is refused is shown, in characters.
const SHOWN: usize = 80;

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
    admit_value(row, params.map(read).transpose()?)
}

/// The input of `row`, from what a request's parameters say.
///
/// # Errors
/// Every fault at once.
pub fn admit_value(row: &Row, params: Option<Value>) -> Result<Value, Vec<FieldFault>> {
    let input = normalise_value(row, params)?;
    if input.as_object().is_some_and(Map::is_empty) {
        return Ok(input);
    }
    let ready = ready(row)?;
    let mut faults = BTreeMap::new();
    for error in ready.validator.iter_errors(&input) {
        for fault in told(row, &input, &ready.document["properties"], &error) {
            // One line a field: the first thing that is wrong with it.
            faults.entry(fault.name.clone()).or_insert(fault);
        }
    }
    if faults.is_empty() { Ok(input) } else { Err(faults.into_values().collect()) }
}

/// The text of a request's parameters as the published schema judges them: by name, and without the forms of PHP.
///
/// # Errors
/// What no schema would see: doubled members, too many positions.
pub fn normalise(row: &Row, params: Option<&str>) -> Result<Value, Vec<FieldFault>> {
    normalise_value(row, params.map(read).transpose()?)
}

/// What the text of parameters says.
fn read(text: &str) -> Result<Value, Vec<FieldFault>> {
    let unheld = |error| {
        let message = format!("cannot be held: {}", strict::what(&error));
        vec![FieldFault::new("params", "unreadable", message)]
    };
    strict::parse(text).map(|read| read.value).map_err(unheld)
}

fn normalise_value(row: &Row, params: Option<Value>) -> Result<Value, Vec<FieldFault>> {
    let Some(value) = params else { return Ok(json!({})) };
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
            let message = format!("{given} positions, but {} takes {taken}", row.name);
            Err(vec![FieldFault::new("params", "maxItems", message)])
        }
        Value::Array(items) => Ok(row.inputs.iter().map(|name| (*name).to_owned()).zip(items).collect()),
        _ => Err(vec![FieldFault::new("params", "type", "must be an object or an array")]),
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
fn told(row: &Row, input: &Value, properties: &Value, error: &ValidationError<'_>) -> Vec<FieldFault> {
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
        let message = format!("is unknown; {known}");
        return unknown.map(|name| FieldFault::new(name, "additionalProperties", &*message)).collect();
    }
    let path = error.instance_path().to_string();
    let field = path.trim_start_matches('/').split('/').next().filter(|field| !field.is_empty());
    let keyword = error.kind().keyword().to_owned();
    vec![match field {
        Some(field) => {
            let message =
                format!("{}, not {}", expected(&properties[field]), came(&input[field], &properties[field]));
            FieldFault::new(field, keyword, message)
        }
        None => FieldFault::new("params", keyword, error.to_string()),
    }]
}

/// What a person is told to give, from the schema of the input.
fn expected(property: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let kind = property["type"].as_str();
    match (&property["enum"], &property["minimum"], &property["maximum"]) {
        (Value::Array(values), ..) => {
            let values: Vec<String> = values.iter().map(plain).collect();
            format!("must be {}", values.join(" or "))
        }
        (_, least @ Value::Number(_), most @ Value::Number(_)) => {
            format!("must be a whole number from {least} to {most}")
        }
        _ if kind == Some("integer") => "must be a whole number".to_owned(),
        _ if kind == Some("string") => "must be a text".to_owned(),
        _ => "must be as the document of this action says".to_owned(),
    }
}

/// What came, as short as it still says what it is, and what is usually meant by it.
fn came(value: &Value, property: &Value) -> String {
    let is_flag = property["enum"] == json!([0, 1]);
    let text = match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        // What a browser sends for a checkbox without a value of its own.
        Value::String(text) if text == "on" && is_flag => {
            "\"on\" (give an HTML checkbox value=\"1\")".to_owned()
        }
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text,
    }
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
        .map_err(|e| vec![FieldFault::new("params", "schema", format!("the schema itself is wrong: {e}"))])?;
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
            assert_eq!(faults[0].name, "alternate_smtp_port", "{port}");
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
        assert_eq!(update("[1,null,0,4]").unwrap_err()[0].name, "params");
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults =
            update(r#"{"alternate_smtp_port":70000,"auth_mode":"none","port":1,"x":2}"#).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.name.as_str()).collect();
        assert_eq!(fields, ["alternate_smtp_port", "auth_mode", "port", "x"]);
    }

    #[test]
    fn a_person_is_told_what_to_give() {
        let told = |params: &str| {
            let [fault] = &*update(params).unwrap_err() else { panic!("{params}") };
            format!("{} ({})", fault.message, fault.keyword)
        };
        for (params, expected) in [
            (r#"["x"]"#, r#"must be a whole number from 1 to 65535, not "x" (type)"#),
            ("[0]", "must be a whole number from 1 to 65535, not 0 (minimum)"),
            (r#"[587,"none"]"#, r#"must be auth_yes/tls_yes or auth_yes/tls_optional, not "none" (enum)"#),
            ("[587,null,{}]", "must be 0 or 1, not an object (type)"),
            (r#"["on"]"#, r#"must be a whole number from 1 to 65535, not "on" (type)"#),
            (
                r#"{"cascade_to_nodes":"on"}"#,
                r#"must be 0 or 1, not "on" (give an HTML checkbox value="1") (type)"#,
            ),
            (
                r#"{"x":1}"#,
                "is unknown; update takes alternate_smtp_port, auth_mode, cascade_to_nodes (additionalProperties)",
            ),
        ] {
            assert_eq!(told(params), expected, "{params}");
        }
        assert!(told(&format!("[\"{}\"]", "ä".repeat(5000))).len() < 300);
    }

    #[test]
    fn a_port_is_within_its_bounds() {
        for port in [0, -1, 65536, 70000] {
            assert!(update(&format!("[{port}]")).is_err(), "{port}");
        }
        assert!(update("[1]").is_ok() && update("[65535]").is_ok());
    }
}
