//! What a host sends: messages in any portions, requests, JSON with doubled members.
//!
//! Messages are found again by splitting at line ends, requests and doubled members by serde_json's own values.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{doubled, is_inside_serde};
use crate::wire::call::{BATCH_LIMIT, Call, Fault, Item, Message, parse};
use crate::wire::framing::{Decoder, Frame, Framing, encode};
use crate::wire::strict as read;

/// The limit of the sessions here: small, so that it is met.
const LIMIT: usize = 64;

/// A frame that has lost its bytes' place.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Message(Vec<u8>),
    TooBig,
    BadHeader,
    CutShort,
}

impl From<Frame<'_>> for Found {
    fn from(frame: Frame<'_>) -> Self {
        match frame {
            Frame::Message(message) => Self::Message(message.to_vec()),
            Frame::TooBig => Self::TooBig,
            Frame::BadHeader => Self::BadHeader,
            Frame::CutShort => Self::CutShort,
        }
    }
}

/// All that is found in bytes that arrive in these portions.
fn found(bytes: &[u8], limit: usize, portion: usize) -> Vec<(Found, Framing)> {
    let mut decoder = Decoder::new(limit);
    let mut all = Vec::new();
    for part in bytes.chunks(portion) {
        decoder.room()[..part.len()].copy_from_slice(part);
        decoder.filled(part.len());
        while let Some((frame, framing)) = decoder.frame() {
            all.push((frame.into(), framing));
        }
    }
    all.extend(decoder.finish().map(|(frame, framing)| (frame.into(), framing)));
    all
}

/// A session from its first message on: before that, blanks and one byte order mark mean nothing.
fn begun(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii_start();
    bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start()
}

/// The messages of a session of lines, by splitting it.
fn lines(bytes: &[u8]) -> Vec<(Found, Framing)> {
    let lines = begun(bytes).split(|byte| *byte == b'\n').filter_map(|line| {
        let message = line.trim_ascii();
        let too_big = message.len() > LIMIT || line.len() > LIMIT + 2;
        let frame = if too_big { Found::TooBig } else { Found::Message(message.to_vec()) };
        (too_big || !message.is_empty()).then_some((frame, Framing::Lines))
    });
    lines.collect()
}

/// Messages are the same in whatever portions they arrive; lines are what stands between line ends, and what is encoded
/// behind headers is found again.
pub(super) fn framing(data: &[u8]) {
    // A header block without an end is given up after 8 KiB, wherever a portion ends by then.
    let data = &data[..data.len().min(4000)];
    let whole = found(data, LIMIT, 4000);
    for portion in [1, 2, 3, 7, 63, 64, 65] {
        assert_eq!(found(data, LIMIT, portion), whole, "in portions of {portion}");
    }
    let head = begun(data);
    if !head.get(..8).is_some_and(|head| head.eq_ignore_ascii_case(b"content-")) {
        assert_eq!(whole, lines(data));
    }
    let mut framed = Vec::new();
    let messages: Vec<&[u8]> = data.split(|byte| *byte == 0).filter(|message| !message.is_empty()).collect();
    for message in &messages {
        encode(&mut framed, Framing::Headers, |out| out.extend_from_slice(message));
    }
    let back: Vec<Vec<u8>> = found(&framed, data.len(), 61)
        .into_iter()
        .map(|(frame, _)| match frame {
            Found::Message(message) => message,
            other => panic!("{other:?} of what was encoded"),
        })
        .collect();
    assert_eq!(back, messages);
}

/// What is JSON to serde_json is a message, and each of its elements is judged as its value says.
pub(super) fn call(data: &[u8]) {
    let message = parse(data);
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(message.is_err(), "{message:?}");
        return;
    };
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        // What cannot be held by a value may be understood all the same, as far as it is needed.
        assert!(message.is_err() || text.contains(['\\', 'e', 'E']) || text.len() > 300, "{text}");
        return;
    };
    let message = message.unwrap_or_else(|error| panic!("{text}: {error}"));
    match (value, message) {
        (Value::Array(elements), Message::BadBatch(fault)) => {
            let expected = if elements.is_empty() { Fault::EmptyBatch } else { Fault::LongBatch };
            assert_eq!(fault, expected);
            assert!(elements.is_empty() || elements.len() > BATCH_LIMIT);
        }
        (Value::Array(_), Message::Batch(items)) => {
            let raw: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            assert_eq!(raw.len(), items.len());
            raw.iter().zip(items).for_each(|(raw, item)| judged(raw.get(), &item));
        }
        (_, Message::One(item)) => judged(text, &item),
        (value, message) => panic!("{value} is {message:?}"),
    }
}

/// Whether an element is what its value says.
fn judged(text: &str, item: &Item<'_>) {
    let value: Value = serde_json::from_str(text).unwrap();
    let Value::Object(members) = &value else {
        return assert_eq!(*item, Item::Invalid(None, Fault::NotAnObject), "{text}");
    };
    if is_inside_serde(text) {
        return;
    }
    let is_reply = members.contains_key("result") || members.contains_key("error");
    if is_reply && !members.contains_key("method") {
        return assert_eq!(*item, Item::Reply, "{text}");
    }
    if doubled(text) {
        let is_so = matches!(item, Item::Invalid(_, Fault::Doubled) | Item::Invalid(None, Fault::Id));
        return assert!(is_so, "{text}: {item:?}");
    }
    let is_id = |id: &Value| id.is_string() || id.is_number() || id.is_null();
    let has_good_id = members.get("id").is_none_or(is_id);
    let method = members.get("method").and_then(Value::as_str);
    let expected = match members.get("params") {
        _ if !has_good_id => Err(Fault::Id),
        _ if members.get("jsonrpc") != Some(&"2.0".into()) => Err(Fault::Version),
        _ if method.is_none() => Err(Fault::Method),
        None | Some(Value::Null) => Ok(None),
        Some(params @ (Value::Array(_) | Value::Object(_))) => Ok(Some(params.clone())),
        Some(_) => Err(Fault::Params),
    };
    let value_of = |raw: Option<&str>| raw.map(|raw| serde_json::from_str::<Value>(raw).unwrap());
    let id = members.get("id").filter(|_| has_good_id).cloned();
    match (item, expected) {
        (Item::Invalid(seen, fault), Err(expected)) => {
            assert_eq!((value_of(seen.as_deref()), *fault), (id, expected), "{text}");
        }
        (Item::Call(Call { id: seen, method: name, params, from }), Ok(expected)) => {
            assert_eq!(value_of(seen.as_deref()), id, "{text}");
            assert_eq!(Some(&**name), method, "{text}");
            assert_eq!(
                params.as_ref().map(|params| params.value.as_ref()),
                expected.as_ref().map(Some),
                "{text}"
            );
            assert_eq!(from.as_deref(), members.get("from").and_then(Value::as_str), "{text}");
            assert!(seen.as_ref().is_none_or(|seen| text.contains(&**seen)), "{text}: an id of other bytes");
        }
        (item, expected) => panic!("{text}: {item:?} instead of {expected:?}"),
    }
}

/// A text is a value if and only if serde_json says so, and the same one; doubled members are those that are counted.
pub(super) fn strict(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if is_inside_serde(text) {
        return;
    }
    match (read::parse(text), serde_json::from_str::<Value>(text)) {
        (Ok(strict), Ok(value)) => {
            assert_eq!(strict.value, value, "{text}");
            assert_eq!(strict.doubled, doubled(text), "{text}");
        }
        (Err(_), Err(_)) => {}
        (strict, value) => panic!("{text}: {strict:?}, {value:?}"),
    }
}
