//! `isRunning` and `isRunningOnNode`: the truth, or why it cannot be seen.
//!
//! `true` or `false` as the kernel's socket table has it (`change::live`); units, pid files and exit statuses are not asked.
//! What cannot be seen for want of privilege is 403, never `false`.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing, OnNode};
use super::row::{Lane, Row, Scope, Since};
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "isRunning",
    about: "Checks if the service is running or not.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("isRunning" / "while-it-runs"),
};

pub(super) const ON_NODE: Row = Row {
    name: "isRunningOnNode",
    about: "Checks if the service is running on a specific node (Clustering only).",
    since: Since::Panel("4.3.0-290"),
    scope: Scope::OneNode(ROW.name),
    inputs: &["node_id"],
    input: input::schema::<OnNode>,
    example: example!("isRunningOnNode" / "this-node"),
    ..ROW
};

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "boolean",
        "description": "Whether the MTA itself listens on the configured port.",
        "examples": [true, false],
    })
}

fn run(service: &Service, _: &Value) -> Envelope {
    read(|| service.running())
}
