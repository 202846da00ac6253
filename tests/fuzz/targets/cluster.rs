//! What a node answers: a line is a reply if and only if its value is one, and nobody is taken for another version.

use serde_json::Value;

use super::json::{doubled, is_inside_serde};
use crate::cluster::message::{Reply, VERSION, read, version};

/// A line from a node.
pub(super) fn node(data: &[u8]) {
    let seen = read(data);
    let Ok(text) = std::str::from_utf8(data) else { return assert!(seen.is_none()) };
    if is_inside_serde(text) {
        return;
    }
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        // A result is kept as it came, and judged by who asked.
        return assert!(seen.is_none() || text.contains(['\\', 'e', 'E']) || text.len() > 300, "{text}");
    };
    let result = value.get("result").filter(|result| !result.is_null());
    let error = value.get("error").filter(|error| !error.is_null());
    let expected = match (value.get("id").and_then(Value::as_u64), result, error) {
        (Some(id), Some(result), None) => Some((id, Ok(result.clone()))),
        (Some(id), None, Some(error)) => {
            let fault = error["code"].as_i64().zip(error["message"].as_str());
            fault.map(|(code, message)| (id, Err((code, message.to_owned()))))
        }
        _ => None,
    };
    let told = seen.clone().map(|(id, reply)| match reply {
        Reply::Result(result) => (id, Ok(serde_json::from_str::<Value>(result.get()).unwrap())),
        Reply::Error { code, message } => (id, Err((code, message))),
    });
    if !doubled(text) {
        assert_eq!(told, expected, "{text}");
    }
    let Some((_, reply)) = seen else { return };
    if let (Ok(there), Some(result)) = (version(reply), result) {
        let said = result["info"]["version"].as_str().unwrap_or_else(|| panic!("{text}: no version"));
        assert_eq!(said.split('.').next(), VERSION.split('.').next(), "{text}");
        assert!(there.bytes().all(|byte| byte >= b' '), "{there:?}");
    }
}
