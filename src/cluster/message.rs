//! The lines on a channel: requests, replies, and the answer that compares versions.
//!
//! It writes a request as a line of JSON-RPC 2.0, takes a line for a reply or for none, and tells which versions
//! understand each other (those of one major number). Who waits for a reply is `channel`'s, what a result means is for
//! whoever asked. Nothing in a line is trusted; whether one that is no reply is a fault depends on when it comes, which
//! `channel` knows.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use crate::wire::text::printable;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What came back.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A result.
    Result(Box<RawValue>),
    /// An error object.
    Error {
        /// Its number.
        code: i64,
        /// Its text, as the node wrote it.
        message: String,
    },
}

/// A line from the node; what else stands in it is of no interest.
#[derive(Deserialize)]
struct Line<'a> {
    id: u64,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    // A struct of members would be read from an array, too.
    error: Option<Map<String, Value>>,
}

/// A request as it goes to the node, from the one that is called so.
pub fn request(id: u64, method: &str, params: &Value, from: &str) -> Vec<u8> {
    let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params, "from": from });
    format!("{request}\n").into_bytes()
}

/// A line from the node: the request that it answers, and the answer. `None` is no reply of ours.
pub fn read(line: &[u8]) -> Option<(u64, Reply)> {
    // As a slice, what is skipped would not have to be text; and members would be read from an array, too.
    let line = str::from_utf8(line).ok().filter(|line| line.trim_ascii_start().starts_with('{'))?;
    let Line { id, result, error } = serde_json::from_str(line).ok()?;
    match (result, error) {
        (Some(result), None) => Some((id, Reply::Result(result.to_owned()))),
        (None, Some(error)) => {
            let (code, message) = (error.get("code")?.as_i64()?, error.get("message")?.as_str()?.to_owned());
            Some((id, Reply::Error { code, message }))
        }
        _ => None,
    }
}

/// The version in the answer to the greeting.
///
/// # Errors
/// It is another major version, or none.
pub fn version(reply: Reply) -> Result<String, Fault> {
    let document = match reply {
        Reply::Result(document) => document,
        Reply::Error { code, message } => return Err(Fault::Error { code, message: printable(message) }),
    };
    let read: Value = serde_json::from_str(document.get()).unwrap_or_default();
    let Some(there) = read["info"]["version"].as_str() else {
        return Err(Fault::Garbled(printable(document.get())));
    };
    let major = |version: &str| version.split('.').next().map(str::to_owned);
    if major(there) == major(VERSION) {
        Ok(printable(there))
    } else {
        Err(Fault::Version { there: printable(there), here: VERSION })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &str) -> Result<String, Fault> {
        let document = json!({ "openrpc": "1.2.6", "info": { "title": "mail-smtp2", "version": version } });
        super::version(Reply::Result(serde_json::value::to_raw_value(&document).unwrap()))
    }

    #[test]
    fn versions_of_one_major_number_understand_each_other() {
        let major = VERSION.split('.').next().unwrap();
        assert_eq!(greeting(&format!("{major}.99.7-beta")), Ok(format!("{major}.99.7-beta")));
        for other in ["0.9.1", "2.0.0", "10.0.0", "", "x"] {
            assert!(matches!(greeting(other), Err(Fault::Version { .. })), "{other}");
        }
    }

    #[test]
    fn a_document_without_a_version_is_no_greeting() {
        let reply = Reply::Result(RawValue::from_string("{\"info\":{}}".into()).unwrap());
        assert!(matches!(super::version(reply), Err(Fault::Garbled(_))));
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for line in [
            "Welcome",
            "{}",
            "[]",
            "null",
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":"1","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":1} trailing"#,
            r#"[1,{"status":0,"payload":"Success"},null]"#,
            r#"{"jsonrpc":"2.0","id":1,"error":[-32601,"no such method"]}"#,
        ] {
            assert!(read(line.as_bytes()).is_none(), "{line}");
        }
        for line in [&b"\xff"[..], b"{\"id\":1,\"result\":1,\"x\":\"\xff\"}"] {
            assert!(read(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn a_request_is_one_line() {
        let line = request(7, "update", &json!({ "auth_mode": "a\nb" }), "node1");
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert!(line.ends_with(b"\n"));
    }
}
