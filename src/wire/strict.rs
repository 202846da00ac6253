//! JSON read strictly: no doubled member at any depth.
//!
//! Reads a text into its value and says whether an object in it names a member twice, which RFC 8259 leaves to every reader
//! and which therefore means two things to two programs. serde_json's own depth limit (128) stands; text beyond it is an
//! error, and so is a number beyond `f64`.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON text, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Strict {
    /// The value; of a doubled member the last one.
    pub value: Value,
    /// Whether any object names a member twice.
    pub doubled: bool,
}

/// Reads one JSON text.
///
/// # Errors
/// Not JSON, deeper than 128, or a number that no `f64` can hold.
pub fn parse(text: &str) -> Result<Strict, serde_json::Error> {
    let doubled = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node(&doubled).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Strict { value, doubled: doubled.get() })
}

/// How deep values may stand in each other, as serde_json counts them.
const DEPTH: usize = 127;

/// Whether a JSON text is too deep to be read, and not for another reason.
pub fn is_too_deep(text: &str) -> bool {
    let (mut depth, mut deepest) = (0usize, 0);
    let mut bytes = text.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest > DEPTH
}

/// What is wrong, without the place, which is one in the text that was read.
pub fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map(str::to_owned).unwrap_or(text)
}

/// One value somewhere in the text.
struct Node<'f>(&'f Cell<bool>);

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Node(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(Node(self.0))?;
            if members.insert(name, value).is_some() {
                self.0.set(true);
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plain_text_is_its_value() {
        let text = r#"{"a":[1,-2,2.5,"x",null,true,{}]}"#;
        let read = parse(text).unwrap();
        assert_eq!(read, Strict { value: json!({"a":[1,-2,2.5,"x",null,true,{}]}), doubled: false });
    }

    #[test]
    fn a_doubled_member_is_seen_at_any_depth() {
        assert!(parse(r#"[{"x":{"a":1,"b":2,"a":1}}]"#).unwrap().doubled);
    }

    #[test]
    fn a_member_doubled_by_an_escape_is_seen() {
        assert!(parse(r#"{"a":1,"\u0061":2}"#).unwrap().doubled);
    }

    #[test]
    fn equal_names_in_different_objects_are_not_doubled() {
        assert!(!parse(r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#).unwrap().doubled);
    }

    #[test]
    fn too_deep_is_an_error() {
        assert!(parse(&"[".repeat(200_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
    }

    #[test]
    fn too_deep_is_told_from_what_cannot_be_held() {
        for depth in [100, 127, 128, 200] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(is_too_deep(&text), parse(&text).is_err(), "{depth}");
        }
        for text in [r#"["\ud800"]"#, "1e400", r#"["[[\"[[[",1e400]"#] {
            assert!(parse(text).is_err() && !is_too_deep(text), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_a_place() {
        assert_eq!(what(&parse("[1e400]").unwrap_err()), "number out of range");
    }

    #[test]
    fn names_that_serde_json_uses_inside_are_plain_names() {
        let text = r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        assert_eq!(parse(text).unwrap().value, json!({"$serde_json::private::RawValue": "{\"a\":1}"}));
    }
}
