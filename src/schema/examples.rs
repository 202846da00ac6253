//! One request and its reply for every action, out of the golden conversations.
//!
//! Answers for: examples in the documents that the plugin has been seen to answer: they are lines of `fixtures/`,
//! compiled in. Does not know: whether they still hold; the golden tests do. An action without one has no example, and
//! a test that fails.

use serde_json::Value;

use crate::action::Row;

/// A conversation of one action with the recorded sandbox.
#[derive(Debug)]
pub struct Example {
    action: &'static str,
    /// The name of the case.
    pub case: &'static str,
    request: &'static str,
    response: &'static str,
}

macro_rules! taken {
    ($($action:literal / $case:literal,)*) => {
        &[$(Example {
            action: $action,
            case: $case,
            request: include_str!(concat!("../../fixtures/sandbox/", $action, "/", $case, "/request.jsonl")),
            response: include_str!(concat!("../../fixtures/sandbox/", $action, "/", $case, "/response.jsonl")),
        }),*]
    };
}

static EXAMPLES: &[Example] = taken![
    "isRunning" / "while-it-runs",
    "isRunningOnNode" / "this-node",
    "listGeneralName" / "while-it-runs",
    "listPortNumbers" / "configured",
    "listPortNumbersArray" / "configured",
    "listRequiredPermissions" / "while-it-runs",
    "listServiceInfo" / "while-it-runs",
    "listServiceName" / "while-it-runs",
    "listServicePage" / "while-it-runs",
    "restart" / "while-it-runs",
    "restartOnNode" / "this-node",
    "start" / "first",
    "startOnNode" / "this-node",
    "stop" / "while-it-runs",
    "stopOnNode" / "this-node",
    "update" / "first",
    "queryUpdate" / "configured",
    "queryNodes" / "stopped",
    "queryStatus" / "while-it-runs",
    "queryHistory" / "after-changes",
    "queryPlan" / "start",
];

/// Examples of envelopes: one of success, and failures of several kinds.
static ENVELOPES: &[Example] = taken![
    "start" / "first",
    "start" / "never-configured",
    "start" / "port-held",
    "start" / "lock-held",
    "start" / "proof-fails",
    "update" / "refused-all-at-once",
];

/// The envelopes of these.
pub fn envelopes() -> impl Iterator<Item = Value> {
    ENVELOPES.iter().map(Example::envelope)
}

/// The examples of an action.
pub fn of(row: &Row) -> impl Iterator<Item = &'static Example> {
    EXAMPLES.iter().filter(|example| example.action == row.name)
}

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
fn first(lines: &str) -> Value {
    lines.lines().next().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::TABLE;

    #[test]
    fn every_action_has_an_example_that_went_well() {
        for row in &TABLE {
            let example = of(row).next().unwrap_or_else(|| panic!("{} has no example", row.name));
            assert_eq!(first(example.request)["method"], row.name);
            assert_eq!(first(example.request)["id"], first(example.response)["id"], "{}", row.name);
            assert_eq!(example.envelope()["status"], 0, "{}", row.name);
        }
    }

    #[test]
    fn every_example_is_of_an_action() {
        let strays = EXAMPLES.iter().filter(|example| crate::action::find(example.action).is_none());
        assert_eq!(strays.map(|example| example.action).collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
