//! A message of the host, taken apart: JSON-RPC 2.0 requests, notifications and batches.
//!
//! It decides what is a valid request, and keeps the id as the bytes in which it came (jsonrpsee's own id type knows
//! neither negative nor fractional numbers). Which methods there are, and what parameters mean, is found out by `rpc`
//! and `schema`. Text that is not JSON, or too deep, is [`NotJson`] as a whole, with the place in the message; one bad
//! member of a batch is only that member's fault, and so is JSON that cannot be held (half a surrogate pair, 1e400),
//! which is left to whoever wants it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::strict;

/// The method that answers the OpenRPC document (OpenRPC 1.2.6, "Service Discovery Method").
pub const DISCOVER: &str = "rpc.discover";

/// How many requests one batch may hold. A two-byte element costs an eighty-byte error, so there has to be an end.
pub const BATCH_LIMIT: usize = 10_000;

/// One message; `C` is what is known of each valid request in it.
#[derive(Debug, PartialEq)]
pub enum Message<'a, C = Call<'a>> {
    /// A single request or notification.
    One(Item<'a, C>),
    /// A batch of them, not empty.
    Batch(Vec<Item<'a, C>>),
    /// A batch that is answered with one error object: empty, or over [`BATCH_LIMIT`].
    BadBatch(Fault),
}

/// One element of the conversation.
#[derive(Debug, PartialEq)]
pub enum Item<'a, C = Call<'a>> {
    /// A valid request.
    Call(C),
    /// A reply: nobody's request. It is not answered, or a host that feeds our replies back to us would never be done.
    Reply,
    /// Anything else, with the id if one was to be seen.
    Invalid(Option<Cow<'a, str>>, Fault),
}

/// A valid request or, without an id, notification.
#[derive(Debug, PartialEq)]
pub struct Call<'a> {
    /// The id's own bytes; `None` is a notification.
    pub id: Option<Cow<'a, str>>,
    /// The method's name.
    pub method: Cow<'a, str>,
    /// The parameters; `None` when absent or null.
    pub params: Option<Params<'a>>,
    /// The node that asks on its host's behalf, as it calls itself: a member of ours.
    pub from: Option<Cow<'a, str>>,
}

/// Parameters, an object or an array.
#[derive(Debug, PartialEq)]
pub struct Params<'a> {
    /// The bytes that they came in.
    pub text: Cow<'a, str>,
    /// What they say; `None` if it cannot be held.
    pub value: Option<Value>,
}

impl<'a, C> Message<'a, C> {
    /// Its elements.
    pub fn items(&self) -> &[Item<'a, C>] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Batch(items) => items,
            Self::BadBatch(_) => &[],
        }
    }

    /// Its valid requests.
    pub fn calls(&self) -> impl Iterator<Item = &C> {
        self.items().iter().filter_map(|item| match item {
            Item::Call(call) => Some(call),
            Item::Reply | Item::Invalid(..) => None,
        })
    }

    /// With something else known of each valid request.
    pub fn map<D>(self, mut known: impl FnMut(C) -> D) -> Message<'a, D> {
        self.each(|item| match item {
            Item::Call(call) => Item::Call(known(call)),
            Item::Reply => Item::Reply,
            Item::Invalid(id, fault) => Item::Invalid(id, fault),
        })
    }

    /// Without the bytes that it came in, to be kept.
    pub fn into_owned(self) -> Message<'static, C> {
        self.each(|item| match item {
            Item::Call(call) => Item::Call(call),
            Item::Reply => Item::Reply,
            Item::Invalid(id, fault) => Item::Invalid(id.map(owned), fault),
        })
    }

    fn each<'b, D>(self, mut other: impl FnMut(Item<'a, C>) -> Item<'b, D>) -> Message<'b, D> {
        match self {
            Self::One(item) => Message::One(other(item)),
            Self::Batch(items) => Message::Batch(items.into_iter().map(other).collect()),
            Self::BadBatch(fault) => Message::BadBatch(fault),
        }
    }
}

impl Call<'_> {
    /// Without the bytes that it came in, to be kept. The parameters are kept as text: what they say may take many times as
    /// much.
    pub fn into_owned(self) -> Call<'static> {
        Call {
            id: self.id.map(owned),
            method: owned(self.method),
            params: self.params.map(|params| Params { text: owned(params.text), value: None }),
            from: self.from.map(owned),
        }
    }
}

fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
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

/// The text is not JSON, or not UTF-8, or nested too deeply (-32700); and where in the message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line} column {column}")]
pub struct NotJson {
    /// What is wrong.
    pub what: String,
    /// The line in the message, from 1.
    pub line: usize,
    /// The byte in that line, from 1.
    pub column: usize,
}

impl NotJson {
    /// At a byte of the message.
    fn at(message: &[u8], at: usize, what: impl Into<String>) -> Self {
        let before = &message[..at.min(message.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column =
            1 + before.len() - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Self { what: what.into(), line, column }
    }

    /// In a part of the message.
    fn within(message: &[u8], part: &str, error: &serde_json::Error) -> Self {
        let lines = part.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len);
        let inside = lines.sum::<usize>() + error.column().saturating_sub(1);
        Self::at(message, offset(message, part) + inside, strict::what(error))
    }
}

/// Where a part of the message stands in it.
fn offset(message: &[u8], part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(message.as_ptr() as usize)
}

/// Takes one message apart.
///
/// # Errors
/// [`NotJson`] for the message as a whole.
pub fn parse(message: &[u8]) -> Result<Message<'_>, NotJson> {
    let text =
        std::str::from_utf8(message).map_err(|e| NotJson::at(message, e.valid_up_to(), "not UTF-8"))?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if !text.starts_with('[') {
        return Ok(Message::One(item(message, text)?));
    }
    let elements: Elements<'_> = read(message, text)?;
    if elements.too_many {
        return Ok(Message::BadBatch(Fault::LongBatch));
    }
    let items =
        elements.first.into_iter().map(|raw| item(message, raw.get())).collect::<Result<Vec<_>, _>>()?;
    Ok(if items.is_empty() { Message::BadBatch(Fault::EmptyBatch) } else { Message::Batch(items) })
}

/// Reads a part of the message.
fn read<'a, T: serde::Deserialize<'a>>(message: &[u8], part: &'a str) -> Result<T, NotJson> {
    serde_json::from_str(part).map_err(|error| NotJson::within(message, part, &error))
}

fn item<'a>(message: &[u8], text: &'a str) -> Result<Item<'a>, NotJson> {
    let deep = |part| NotJson::at(message, offset(message, part), "nested too deeply");
    if !text.starts_with('{') {
        let raw: &RawValue = read(message, text)?;
        return if strict::is_too_deep(raw.get()) {
            Err(deep(text))
        } else {
            Ok(Item::Invalid(None, Fault::NotAnObject))
        };
    }
    let members: Members<'_> = read(message, text)?;
    match members.deep {
        Some(raw) => Err(deep(raw.get())),
        None => Ok(members.judge()),
    }
}

/// The members of a request object that mean something, as they came.
#[derive(Debug, Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    /// What the parameters say.
    value: Option<Value>,
    from: Option<&'a RawValue>,
    /// It has what only a reply has.
    replies: bool,
    /// What is nested too deeply.
    deep: Option<&'a RawValue>,
    doubled: bool,
    doubled_id: bool,
}

impl<'a> Members<'a> {
    /// A raw value was only skipped over; what is in it is looked at here, once. What cannot be held is not an error: whoever
    /// wants it finds that out.
    fn look(&mut self, raw: &'a RawValue) -> Option<Value> {
        if !raw.get().starts_with(['{', '[']) {
            return None;
        }
        match strict::parse(raw.get()) {
            Ok(read) => {
                self.doubled |= read.doubled;
                return Some(read.value);
            }
            Err(_) if strict::is_too_deep(raw.get()) => self.deep = Some(raw),
            Err(_) => {}
        }
        None
    }

    fn judge(self) -> Item<'a> {
        if self.replies && self.method.is_none() {
            return Item::Reply;
        }
        // An id that is named twice is no id.
        let id = self.id.map(RawValue::get).filter(|_| !self.doubled_id).map(Cow::Borrowed);
        if id.as_ref().is_some_and(|id| !matches!(id.as_bytes()[0], b'"' | b'-' | b'n' | b'0'..=b'9')) {
            return Item::Invalid(None, Fault::Id);
        }
        if self.doubled {
            return Item::Invalid(id, Fault::Doubled);
        }
        if self.jsonrpc.and_then(string).is_none_or(|version| version != "2.0") {
            return Item::Invalid(id, Fault::Version);
        }
        let Some(method) = self.method.and_then(string) else {
            return Item::Invalid(id, Fault::Method);
        };
        let params = match self.params.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.starts_with(['{', '[']) => {
                Some(Params { text: Cow::Borrowed(text), value: self.value })
            }
            Some(_) => return Item::Invalid(id, Fault::Params),
        };
        Item::Call(Call { id, method, params, from: self.from.and_then(string) })
    }
}

/// The string that a value is, borrowed where it has no escapes; `None` where it is something else, or cannot be held.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    serde_json::from_str(text).map(Cow::Borrowed).or_else(|_| serde_json::from_str(text).map(Cow::Owned)).ok()
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
                while let Some(name) = map.next_key::<&RawValue>()? {
                    let raw = map.next_value()?;
                    let value = members.look(raw);
                    let name = string(name).unwrap_or(Cow::Borrowed(name.get()));
                    let place = match &*name {
                        "jsonrpc" => &mut members.jsonrpc,
                        "method" => &mut members.method,
                        "id" => &mut members.id,
                        "params" => {
                            members.value = value;
                            &mut members.params
                        }
                        "from" => &mut members.from,
                        other => {
                            members.replies |= matches!(other, "result" | "error");
                            members.doubled |= !others.insert(name);
                            continue;
                        }
                    };
                    if place.replace(raw).is_some() {
                        members.doubled = true;
                        members.doubled_id |= name == "id";
                    }
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Object)
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

    fn id_of(text: &str) -> Option<Cow<'_, str>> {
        match one(text) {
            Item::Call(call) => call.id,
            other => panic!("{other:?}: {text}"),
        }
    }

    #[test]
    fn ids_are_kept_byte_for_byte() {
        for id in ["1", "-1", "0", "null", "\"a\\u00e4\"", "1.50", "123456789012345678901234567890", "1e999"]
        {
            assert_eq!(id_of(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"x"}}"#)), Some(id.into()));
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
        assert_eq!(
            one(r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#),
            Item::Invalid(Some("7".into()), Fault::Version)
        );
        assert_eq!(one(r#"{"jsonrpc":"2.0","id":7}"#), Item::Invalid(Some("7".into()), Fault::Method));
        let scalar = r#"{"jsonrpc":"2.0","id":7,"method":"x","params":3}"#;
        assert_eq!(one(scalar), Item::Invalid(Some("7".into()), Fault::Params));
    }

    #[test]
    fn a_doubled_member_is_a_fault_at_any_depth() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"method":"x","method":"x"}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":{"b":1,"b":1}}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","other":1,"other":1}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"x","other":[{"b":1,"b":1}]}"#,
        ] {
            assert_eq!(one(text), Item::Invalid(Some("7".into()), Fault::Doubled), "{text}");
        }
        let text = r#"{"jsonrpc":"2.0","id":7,"id":7,"method":"x"}"#;
        assert_eq!(one(text), Item::Invalid(None, Fault::Doubled));
    }

    #[test]
    fn a_method_may_be_written_with_escapes() {
        let text = r#"{"jsonrpc":"2.0","id":7,"method":"\u0073tart"}"#;
        assert_eq!(
            one(text),
            Item::Call(Call { id: Some("7".into()), method: "start".into(), params: None, from: None })
        );
    }

    #[test]
    fn parameters_are_read_once_with_what_they_say() {
        let text = r#"{"jsonrpc":"2.0","id":7,"method":"x","params":{"a":[1]}}"#;
        let Item::Call(Call { params: Some(params), .. }) = one(text) else { panic!() };
        assert_eq!(params, Params { text: r#"{"a":[1]}"#.into(), value: Some(serde_json::json!({"a":[1]})) });
    }

    #[test]
    fn what_is_kept_holds_nothing_of_the_message() {
        let text =
            String::from(r#"[{"jsonrpc":"2.0","id":7,"method":"x","params":[1],"from":"n"},{"id":8}]"#);
        let kept = parse(text.as_bytes()).unwrap().map(Call::into_owned).into_owned();
        drop(text);
        let params = Some(Params { text: "[1]".into(), value: None });
        let call = Call { id: Some("7".into()), method: "x".into(), params, from: Some("n".into()) };
        assert_eq!(kept.items(), [Item::Call(call), Item::Invalid(Some("8".into()), Fault::Version)]);
    }

    #[test]
    fn what_is_not_json_is_not_json_as_a_whole() {
        for text in ["", "{", "nul", "[1,", r#"[{"jsonrpc":"2.0"},x]"#, "{}{}", &"[".repeat(200_000)] {
            assert!(parse(text.as_bytes()).is_err(), "{}", &text[..text.len().min(40)]);
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn what_cannot_be_held_is_its_own_requests_business() {
        for params in [r#"{"a":"\ud800"}"#, "[1e400]", r#"{"\udfff":1}"#] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{params}}}"#);
            assert_eq!(
                one(&text),
                Item::Call(Call {
                    id: Some("7".into()),
                    method: "x".into(),
                    params: Some(Params { text: params.into(), value: None }),
                    from: None
                })
            );
            let batch = format!(r#"[{{"jsonrpc":"2.0","id":1,"method":"y"}},{text},"\ud800"]"#);
            let Message::Batch(items) = parse(batch.as_bytes()).unwrap() else { panic!("{batch}") };
            assert!(matches!(&items[..2], [Item::Call(_), Item::Call(_)]), "{items:?}");
            assert_eq!(items[2], Item::Invalid(None, Fault::NotAnObject));
        }
        let text = r#"{"jsonrpc":"2.0","id":7,"method":"\ud800"}"#;
        assert_eq!(one(text), Item::Invalid(Some("7".into()), Fault::Method));
        let text = r#"{"jsonrpc":"2.0","id":"\ud800","method":"x","\ud800":1e400}"#;
        assert_eq!(id_of(text), Some(r#""\ud800""#.into()));
    }

    #[test]
    fn a_reply_is_nobodys_request() {
        for text in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":0}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
        ] {
            assert_eq!(one(text), Item::Reply, "{text}");
        }
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#;
        assert_eq!(id_of(text), Some("1".into()));
    }

    #[test]
    fn a_fault_is_told_with_its_place_in_the_message() {
        let place = |text: &[u8]| parse(text).unwrap_err().to_string();
        assert_eq!(place(b"{x}"), "key must be a string at line 1 column 2");
        assert_eq!(place(b"  {x}"), "key must be a string at line 1 column 4");
        assert_eq!(place(b"[{},\n {x}]"), "key must be a string at line 2 column 3");
        assert_eq!(place(b"{\n\"a\xff\"}"), "not UTF-8 at line 2 column 3");
        let deep = format!("[{{}},\n{{\"a\":{}1{}}}]", "[".repeat(300), "]".repeat(300));
        assert_eq!(place(deep.as_bytes()), "nested too deeply at line 2 column 6");
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
