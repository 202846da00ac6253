//! `listGeneralName`: what people call the service.
//!
//! A token of the panel's, which it translates. It is a constant and waits for nothing.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use super::service::GENERAL_NAME;
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listGeneralName",
    about: "Lists the \"normal\" name - ie \"web server\" instead of \"httpd\".",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Constant,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listGeneralName" / "while-it-runs"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [GENERAL_NAME], "description": "A token that the panel translates." })
}

fn run(_: &Service, _: &Value) -> Envelope {
    Envelope::done(GENERAL_NAME.into())
}
