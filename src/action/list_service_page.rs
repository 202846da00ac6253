//! `listServicePage`: the page of the panel that controls the service.
//!
//! It is a constant and waits for nothing.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use super::service::PAGE;
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listServicePage",
    about: "Lists the page that controls the service.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Constant,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listServicePage" / "while-it-runs"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [PAGE], "description": "The page that controls the service." })
}

fn run(_: &Service, _: &Value) -> Envelope {
    Envelope::done(PAGE.into())
}
