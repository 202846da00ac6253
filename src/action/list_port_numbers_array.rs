//! `listPortNumbersArray`: the port in a list.
//!
//! It is read from the settings, so that a machine without a mail server answers it, too. The list holds an empty string
//! where the service was never configured.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listPortNumbersArray",
    about: "Lists array of port numbers and ranges that this service uses.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listPortNumbersArray" / "configured"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "The port, or an empty string when unconfigured.",
        // Without a title of its own, typify has no name for its type.
        "items": { "title": "PortNumber", "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            // As an enum of the empty string, generators of OpenRPC would have a name of nothing to write.
            { "type": "string", "maxLength": 0 },
        ] },
        "minItems": 1,
        "maxItems": 1,
        "examples": [[587], [""]],
    })
}

fn run(service: &Service, _: &Value) -> Envelope {
    read(|| {
        Ok(match service.settings()? {
            Some(settings) => json!([settings.listener.port]),
            None => json!([""]),
        })
    })
}
