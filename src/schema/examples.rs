//! Envelopes out of the golden conversations, as examples in the documents.
//!
//! One of success, and failures of several kinds; the examples of an action stand in its row. They are lines of `fixtures/`,
//! compiled in; whether they still hold the golden tests say.

use serde_json::Value;

use crate::action::example::{Example, example};

/// Examples of envelopes: one of success, and failures of several kinds.
static ENVELOPES: [Example; 6] = [
    example!("start" / "first"),
    example!("start" / "never-configured"),
    example!("start" / "port-held"),
    example!("start" / "lock-held"),
    example!("start" / "proof-fails"),
    example!("update" / "refused-all-at-once"),
];

/// The envelopes of these.
pub fn envelopes() -> impl Iterator<Item = Value> {
    ENVELOPES.iter().map(Example::envelope)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::TABLE;
    use crate::action::example::first;

    #[test]
    fn every_action_has_an_example_that_went_well() {
        for row in &TABLE {
            let Example { request, response, .. } = row.example;
            assert_eq!(first(request)["method"], row.name);
            assert_eq!(first(request)["id"], first(response)["id"], "{}", row.name);
            assert_eq!(row.example.envelope()["status"], 0, "{}", row.name);
        }
    }
}
