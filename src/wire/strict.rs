//! JSON read strictly: no doubled member at any depth.
//!
//! Answers for: the value of a JSON text, and whether some object in it names a member twice, which RFC 8259 leaves
//! to every reader and which therefore means two things to two programs. Does not know: what the value is for.
//! serde_json's own depth limit (128) stands; text beyond it is an error, and so is a number beyond `f64`.

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
    fn names_that_serde_json_uses_inside_are_plain_names() {
        let text = r#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        assert_eq!(parse(text).unwrap().value, json!({"$serde_json::private::RawValue": "{\"a\":1}"}));
    }
}
