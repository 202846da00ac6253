//! The panel's envelope: `{"status": <integer>, "payload": <any>}`, in that order, and behind them what a program is told of
//! a failure (schema/README.md, "The envelope").
//!
//! An empty payload is the string `Success`. A failure's payload is plain text: one sentence on the first line, then one
//! line per field. Payloads are the actions' own.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::{FieldFault, Problem};
use super::status::Status;
use super::text::printable;

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// How it ended.
    pub status: Status,
    /// What it answers; on failure the text.
    pub payload: Value,
    /// On failure the same for a program; a node of 1.0.0 sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<Problem>>,
}

impl Envelope {
    /// The payload of an action that went well; nothing and `""` become `Success`.
    pub fn done(payload: Value) -> Self {
        let empty = payload.is_null() || payload.as_str() == Some("");
        Self { status: Status::Done, payload: if empty { "Success".into() } else { payload }, error: None }
    }

    /// A failure: its sentence, which our own code has made safe, and what a program is told of it.
    pub fn failed(status: Status, sentence: impl Into<String>, problem: impl Into<Problem>) -> Self {
        let error = Some(Box::new(problem.into()));
        Self { status, payload: Value::String(sentence.into()), error }
    }

    /// Refused input: a line per field, all at once.
    pub fn refused(faults: &[FieldFault]) -> Self {
        let mut text = String::from("the input was refused and nothing was changed");
        for fault in faults {
            text.push('\n');
            text.push_str(&printable(&fault.name));
            text.push_str(": ");
            text.push_str(&printable(&fault.message));
        }
        Self::failed(Status::Refused, text, Problem::of_fields(faults))
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
        let faults =
            [FieldFault::new("a\n", "type", "is odd"), FieldFault::new("b", "required", "is missing")];
        let refused = Envelope::refused(&faults);
        assert_eq!(
            refused.payload,
            "the input was refused and nothing was changed\na: is odd\nb: is missing"
        );
        let error = refused.error.unwrap();
        assert_eq!((&*error.reason, error.retry, error.fields.len()), ("input_refused", false, 2));
        assert_eq!(error.fields[0], FieldFault::new("a", "type", "is odd"));
    }
}
