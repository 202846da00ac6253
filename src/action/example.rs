//! A request and its reply, out of the golden conversations with the sandbox.
//!
//! What the documents show has been seen: it is lines of `fixtures/sandbox`, compiled in. Whether they still hold the
//! golden tests say. A conversation that does not exist does not compile.

use serde_json::Value;

/// One conversation.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The name of the case.
    pub case: &'static str,
    /// The lines that the host wrote.
    pub request: &'static str,
    /// The lines that it was answered.
    pub response: &'static str,
}

/// The conversation of this action and case.
macro_rules! example {
    ($action:literal / $case:literal) => {
        $crate::action::example::Example {
            case: $case,
            request: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/fixtures/sandbox/",
                $action,
                "/",
                $case,
                "/request.jsonl"
            )),
            response: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/fixtures/sandbox/",
                $action,
                "/",
                $case,
                "/response.jsonl"
            )),
        }
    };
}

pub(crate) use example;

impl Example {
    /// The input, by name.
    pub fn params(&self) -> Value {
        match first(self.request)["params"].take() {
            Value::Null => Value::Object(serde_json::Map::new()),
            params => params,
        }
    }

    /// The answer.
    pub fn envelope(&self) -> Value {
        first(self.response)["result"].take()
    }
}

/// The first message of a conversation.
pub(crate) fn first(lines: &str) -> Value {
    lines.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}
