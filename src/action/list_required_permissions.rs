//! `listRequiredPermissions`: what the host has to check of its caller.
//!
//! It is a constant and waits for nothing; nothing is checked here.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use super::service::PERMISSION;
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listRequiredPermissions",
    about: "Lists an array of permissions required to control the service.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Constant,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listRequiredPermissions" / "while-it-runs"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What the host has to check of its caller.",
        "items": { "type": "string", "enum": [PERMISSION] },
        "examples": [[PERMISSION]],
    })
}

fn run(_: &Service, _: &Value) -> Envelope {
    Envelope::done(json!([PERMISSION]))
}
