//! The panel's envelope: `{"status": <integer>, "payload": <any>}`, in that order (schema/README.md, "The envelope").
//!
//! Answers for: an empty payload is the string `Success`; a failure's payload is plain text, its first line one
//! sentence, then one line per field. Does not know: which action it is the answer of.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::status::Status;
use super::text::printable;

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// How it ended.
    pub status: Status,
    /// What it answers; on failure the text.
    pub payload: Value,
}

/// One thing that is wrong with an input: which field, and what about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldFault {
    /// The member's name as it came.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Envelope {
    /// The payload of an action that went well; nothing and `""` become `Success`.
    pub fn done(payload: Value) -> Self {
        let empty = payload.is_null() || payload.as_str() == Some("");
        Self { status: Status::Done, payload: if empty { "Success".into() } else { payload } }
    }

    /// A failure: its sentence, which our own code has made safe.
    pub fn failed(status: Status, sentence: impl Into<String>) -> Self {
        Self { status, payload: Value::String(sentence.into()) }
    }

    /// Refused input: a line per field, all at once.
    pub fn refused(faults: &[FieldFault]) -> Self {
        let mut text = String::from("the input was refused and nothing was changed");
        for fault in faults {
            text.push('\n');
            text.push_str(&printable(&fault.field));
            text.push_str(": ");
            text.push_str(&printable(&fault.message));
        }
        Self::failed(Status::Refused, text)
    }
}

impl FieldFault {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn status_stands_before_payload() {
        let text = serde_json::to_string(&Envelope::done(json!(true))).unwrap();
        assert_eq!(text, r#"{"status":0,"payload":true}"#);
    }

    #[test]
    fn an_empty_payload_is_success() {
        assert_eq!(Envelope::done(json!("")).payload, "Success");
        assert_eq!(Envelope::done(Value::Null).payload, "Success");
    }

    #[test]
    fn false_is_no_empty_payload() {
        assert_eq!(Envelope::done(json!(false)).payload, false);
    }

    #[test]
    fn refused_input_has_a_line_per_field() {
        let text = Envelope::refused(&[FieldFault::new("a\n", "is odd"), FieldFault::new("b", "is missing")]);
        assert_eq!(text.payload, "the input was refused and nothing was changed\na: is odd\nb: is missing");
    }
}
