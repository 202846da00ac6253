//! `stop` and `stopOnNode`: connections to the port are refused, and still are after a reboot.
//!
//! Turns the request into a change (`change::transaction`), which says how it ended. `cascade_to_nodes` and `node_id` have
//! been dealt with by then (`cluster::route`).

use serde_json::Value;

use super::answer::success;
use super::example::example;
use super::input::{self, Cascade, OnNode};
use super::row::{Lane, Row, Scope, Since};
use crate::change::{Service, Verb};
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "stop",
    about: "Stops the service.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Change,
    scope: Scope::EveryNodeIfAsked,
    inputs: &["cascade_to_nodes"],
    input: input::schema::<Cascade>,
    payload: success,
    run,
    example: example!("stop" / "while-it-runs"),
};

pub(super) const ON_NODE: Row = Row {
    name: "stopOnNode",
    about: "Stops the service on a specific node (Clustering only).",
    since: Since::Panel("4.3.0-290"),
    scope: Scope::OneNode(ROW.name),
    inputs: &["node_id"],
    input: input::schema::<OnNode>,
    example: example!("stopOnNode" / "this-node"),
    ..ROW
};

fn run(service: &Service, input: &Value) -> Envelope {
    service.change(Verb::Stop, input)
}
