//! `listPortNumbers`: the port as the panel's string.
//!
//! It is read from the settings, so that a machine without a mail server answers it, too. The panel's word for the empty
//! string of a service that was never configured is Success.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use crate::change::Service;
use crate::change::settings::Settings;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listPortNumbers",
    about: "Lists a string of the port numbers that this service uses, comma-separated.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listPortNumbers" / "configured"),
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "The port, or Success when unconfigured: the panel's word for an empty payload.",
        "pattern": "^([1-9][0-9]{0,4}|Success)$",
        "examples": ["587", "Success"],
    })
}

fn run(service: &Service, _: &Value) -> Envelope {
    read(|| Ok(ports(service.settings()?)))
}

/// The panel's string of ports, empty when unconfigured.
pub(super) fn ports(settings: Option<Settings>) -> String {
    settings.map(|settings| settings.listener.port.to_string()).unwrap_or_default()
}
