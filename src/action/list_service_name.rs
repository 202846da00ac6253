//! `listServiceName`: the service's own id.
//!
//! It is a constant and waits for nothing.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use super::service::SERVICE;
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listServiceName",
    about: "Lists the service name - ie \"httpd\" instead of \"web server\".",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Constant,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listServiceName" / "while-it-runs"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [SERVICE], "description": "The service's own id." })
}

fn run(_: &Service, _: &Value) -> Envelope {
    Envelope::done(SERVICE.into())
}
