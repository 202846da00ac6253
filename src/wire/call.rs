//! A message of the host, taken apart: JSON-RPC 2.0 requests, notifications and batches.
//!
//! Answers for: what is a valid request and what is not, with the id kept as the bytes it came in (jsonrpsee's own
//! id type knows neither negative nor fractional numbers). Does not know: which methods exist, what parameters mean.
//! Text that is not JSON is [`NotJson`] as a whole; one bad member of a batch is only that member's fault.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::strict;

/// The method that answers the OpenRPC document (OpenRPC 1.2.6, "Service Discovery Method").
pub const DISCOVER: &str = "rpc.discover";

/// How many requests one batch may hold. A two-byte element costs an eighty-byte error, so there has to be an end.
pub const BATCH_LIMIT: usize = 10_000;

/// One message.
#[derive(Debug, PartialEq)]
pub enum Message<'a> {
    /// A single request or notification.
    One(Item<'a>),
    /// A batch of them, not empty.
    Batch(Vec<Item<'a>>),
    /// A batch that is answered with one error object: empty, or over [`BATCH_LIMIT`].
    BadBatch(Fault),
}

/// One element of the conversation.
#[derive(Debug, PartialEq)]
pub enum Item<'a> {
    /// A valid request.
    Call(Call<'a>),
    /// Anything else, with the id if one was to be seen.
    Invalid(Option<&'a str>, Fault),
}

/// A valid request or, without an id, notification.
#[derive(Debug, PartialEq)]
pub struct Call<'a> {
    /// The id's own bytes; `None` is a notification.
    pub id: Option<&'a str>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The text of the parameters, an object or an array; `None` when absent or null.
    pub params: Option<&'a str>,
}

/// Why something is no valid request (-32600).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Neither an object nor an array.
    NotAnObject,
    /// `jsonrpc` is missing or not "2.0".
    Version,
    /// `id` is neither a string nor a number nor null.
    Id,
    /// `method` is missing or not a string.
    Method,
    /// `params` is a scalar.
    Params,
    /// A member is named twice.
    Doubled,
    /// A batch of nothing.
    EmptyBatch,
    /// A batch of more than [`BATCH_LIMIT`].
    LongBatch,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject => f.write_str("a request is an object"),
            Self::Version => f.write_str("jsonrpc must be \"2.0\""),
            Self::Id => f.write_str("id must be a string, a number or null"),
            Self::Method => f.write_str("method must be a string"),
            Self::Params => f.write_str("params must be an object or an array"),
            Self::Doubled => f.write_str("a member is named twice"),
            Self::EmptyBatch => f.write_str("the batch is empty"),
            Self::LongBatch => write!(f, "a batch holds at most {BATCH_LIMIT} requests"),
        }
    }
}

/// The text is not JSON, or not UTF-8, or nested too deeply (-32700).
#[derive(Debug, thiserror::Error)]
pub enum NotJson {
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    /// Text that is no JSON that we read.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
}

/// Takes one message apart.
///
/// # Errors
/// [`NotJson`] for the message as a whole.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, NotJson> {
    let text = std::str::from_utf8(bytes)?.trim_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('[') {
        return Ok(Message::One(item(text)?));
    }
    let elements: Elements<'_> = serde_json::from_str(text)?;
    if elements.too_many {
        return Ok(Message::BadBatch(Fault::LongBatch));
    }
    let items = elements.first.into_iter().map(|raw| item(raw.get())).collect::<Result<Vec<_>, _>>()?;
    Ok(if items.is_empty() { Message::BadBatch(Fault::EmptyBatch) } else { Message::Batch(items) })
}

fn item(text: &str) -> Result<Item<'_>, NotJson> {
    if !text.starts_with('{') {
        strict::parse(text)?;
        return Ok(Item::Invalid(None, Fault::NotAnObject));
    }
    let members: Members<'_> = serde_json::from_str(text)?;
    Ok(members.judge())
}

/// The members of a request object that mean something, as they came.
#[derive(Debug, Default)]
struct Members<'a> {
    jsonrpc: Option<Text<'a>>,
    id: Option<&'a RawValue>,
    method: Option<Text<'a>>,
    params: Option<&'a RawValue>,
    doubled: bool,
    doubled_id: bool,
}

impl<'a> Members<'a> {
    /// A raw value was only skipped over; what is in it is read here, once.
    fn read<E: Error>(&mut self, raw: &'a RawValue) -> Result<&'a RawValue, E> {
        if raw.get().starts_with(['{', '[']) {
            self.doubled |= strict::parse(raw.get()).map_err(E::custom)?.doubled;
        }
        Ok(raw)
    }

    fn judge(self) -> Item<'a> {
        // An id that is named twice is no id.
        let id = self.id.map(RawValue::get).filter(|_| !self.doubled_id);
        if id.is_some_and(|id| !matches!(id.as_bytes()[0], b'"' | b'-' | b'n' | b'0'..=b'9')) {
            return Item::Invalid(None, Fault::Id);
        }
        if self.doubled {
            return Item::Invalid(id, Fault::Doubled);
        }
        if self.jsonrpc.and_then(|text| text.0).is_none_or(|version| version != "2.0") {
            return Item::Invalid(id, Fault::Version);
        }
        let Some(method) = self.method.and_then(|text| text.0) else {
            return Item::Invalid(id, Fault::Method);
        };
        let params = match self.params.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.starts_with(['{', '[']) => Some(text),
            Some(_) => return Item::Invalid(id, Fault::Params),
        };
        Item::Call(Call { id, method, params })
    }
}

/// A value that should be a string: `None` when it is something else, borrowed where it has no escapes.
#[derive(Debug)]
struct Text<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Text<'de>, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Text<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Text(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a request object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members::default();
                let mut others = HashSet::new();
                while let Some(name) = map.next_key::<Name>()? {
                    let again = match name {
                        Name::Jsonrpc => members.jsonrpc.replace(map.next_value()?).is_some(),
                        Name::Method => members.method.replace(map.next_value()?).is_some(),
                        Name::Id => {
                            let again = {
                                let id = members.read(map.next_value()?)?;
                                members.id.replace(id).is_some()
                            };
                            members.doubled_id |= again;
                            again
                        }
                        Name::Params => {
                            let params = members.read(map.next_value()?)?;
                            members.params.replace(params).is_some()
                        }
                        Name::Other(name) => {
                            members.read::<A::Error>(map.next_value()?)?;
                            !others.insert(name)
                        }
                    };
                    members.doubled |= again;
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// The name of a member; the four that we know without a copy.
#[derive(Debug)]
enum Name {
    Jsonrpc,
    Id,
    Method,
    Params,
    Other(Box<str>),
}

impl<'de> serde::Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member's name")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "jsonrpc" => Name::Jsonrpc,
                    "id" => Name::Id,
                    "method" => Name::Method,
                    "params" => Name::Params,
                    other => Name::Other(other.into()),
                })
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The elements of a batch, as many as it may hold.
struct Elements<'a> {
    first: Vec<&'a RawValue>,
    too_many: bool,
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Array;
        impl<'de> Visitor<'de> for Array {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a batch")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut first = Vec::new();
                while first.len() < BATCH_LIMIT {
                    match seq.next_element::<&RawValue>()? {
                        Some(raw) => first.push(raw),
                        None => return Ok(Elements { first, too_many: false }),
                    }
                }
                let mut too_many = false;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    too_many = true;
                }
                Ok(Elements { first, too_many })
            }
        }
        deserializer.deserialize_seq(Array)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Item<'_> {
        match parse(text.as_bytes()).unwrap() {
            Message::One(item) => item,
            other => panic!("{other:?}"),
        }
    }

    fn id_of(text: &str) -> Option<&str> {
        match one(text) {
            Item::Call(call) => call.id,
            Item::Invalid(..) => panic!("invalid: {text}"),
        }
    }

    #[test]
    fn ids_are_kept_byte_for_byte() {
        for id in ["1", "-1", "0", "null", "\"a\\u00e4\"", "1.50", "123456789012345678901234567890", "1e999"]
        {
            assert_eq!(id_of(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#)), Some(id));
        }
    }

    #[test]
    fn no_id_is_a_notification() {
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","method":"x"}"#), None);
    }

    #[test]
    fn an_id_of_another_type_is_a_fault_without_an_id() {
        for id in ["true", "[]", "{}"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#);
            assert_eq!(one(&text), Item::Invalid(None, Fault::Id));
        }
    }

    #[test]
    fn a_fault_elsewhere_keeps_the_id() {
        assert_eq!(one(r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#), Item::Invalid(Some("7"), Fault::Version));
        assert_eq!(one(r#"{"jsonrpc":"2.0","id":7}"#), Item::Invalid(Some("7"), Fault::Method));
        let scalar = r#"{"jsonrpc":"2.0","id":7,"method":"x","params":3}"#;
        assert_eq!(one(scalar), Item::Invalid(Some("7"), Fault::Params));
    }

    #[test]
    fn a_doubled_member_is_a_fault_at_any_depth() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"method":"x","method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":{"b":1,"b":1}}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","other":1,"other":1}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","other":[{"b":1,"b":1}]}"#,
        ] {
            assert_eq!(one(text), Item::Invalid(Some("7"), Fault::Doubled), "{text}");
        }
        let text = r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"x"}"#;
        assert_eq!(one(text), Item::Invalid(None, Fault::Doubled));
    }

    #[test]
    fn a_method_may_be_written_with_escapes() {
        let text = r#"{"jsonrpc":"2.0","id":7,"method":"\u0073tart"}"#;
        assert_eq!(one(text), Item::Call(Call { id: Some("7"), method: "start".into(), params: None }));
    }

    #[test]
    fn what_is_not_json_is_not_json_as_a_whole() {
        for text in ["", "{", "nul", "[1,", r#"[{"jsonrpc":"2.0"},x]"#, "{}{}", &"[".repeat(200_000)] {
            assert!(parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn depth_counts_inside_an_id_too() {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{}1{},"method":"x"}}"#, "[".repeat(300), "]".repeat(300));
        assert!(parse(text.as_bytes()).is_err());
    }

    #[test]
    fn a_bad_element_is_that_elements_fault() {
        let text = r#"[1,{"jsonrpc":"2.0","id":1,"method":"x"},[]]"#;
        let Message::Batch(items) = parse(text.as_bytes()).unwrap() else { panic!() };
        assert_eq!(items[0], Item::Invalid(None, Fault::NotAnObject));
        assert!(matches!(items[1], Item::Call(_)));
        assert_eq!(items[2], Item::Invalid(None, Fault::NotAnObject));
    }

    #[test]
    fn batches_have_a_least_and_a_greatest_length() {
        assert_eq!(parse(b" [ ] ").unwrap(), Message::BadBatch(Fault::EmptyBatch));
        let long = format!("[{}1]", "1,".repeat(BATCH_LIMIT));
        assert_eq!(parse(long.as_bytes()).unwrap(), Message::BadBatch(Fault::LongBatch));
    }
}
