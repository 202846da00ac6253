//! How an action answers: with a payload, with "Success", or with why not.
//!
//! An error of the change floor brings its own status number and reason; for a read the sentence adds that nothing could be
//! seen.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::json;

use crate::change::ChangeError;
use crate::wire::envelope::Envelope;
use crate::wire::text::chain;

/// Everything that changes something.
pub(super) fn success(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Success"], "description": "Done, and proven from outside." })
}

/// The envelope of something that only looks.
pub(super) fn read<T: Serialize>(look: impl FnOnce() -> Result<T, ChangeError>) -> Envelope {
    match look() {
        Ok(payload) => Envelope::done(json!(payload)),
        Err(error) => {
            let sentence =
                format!("{}; the state of the alternate SMTP server cannot be seen", chain(&error));
            Envelope::failed(error.status(), sentence, error.problem())
        }
    }
}
