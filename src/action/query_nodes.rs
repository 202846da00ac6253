//! `queryNodes`: what runs on every node of the cluster, and what differs from this machine.
//!
//! Here stands what one machine says of itself and what an entry looks like; asking the nodes and comparing is
//! `cluster::query`'s. A node that cannot be reached is an entry that says why.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing};
use super::query_update::{Current, current};
use super::row::{Lane, Row, Scope, Since};
use super::service::MODES;
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "queryNodes",
    about: "Answers what runs on every node of the cluster, and whether it differs from what runs here.",
    since: Since::Ours("1.0.0"),
    lane: Lane::Read,
    scope: Scope::EveryNode,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("queryNodes" / "stopped"),
};

/// One entry of `queryNodes`. What could not be seen is absent.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct NodeState {
    /// The node's id.
    pub id: String,
    /// 1 if the plugin there answered, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_reachable: u8,
    /// The version of the plugin there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// 1 if the service is running there, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub is_running: Option<u8>,
    /// The port; 587 when unconfigured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub alternate_smtp_port: Option<u16>,
    /// The mode; the string 0 when unconfigured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = MODES))]
    pub auth_mode: Option<String>,
    /// Which of is_running, alternate_smtp_port and auth_mode are not as on this machine; empty, too, where that is not
    /// known.
    #[schemars(extend("items" = { "type": "string", "enum": DIFFER }))]
    pub differs: Vec<&'static str>,
    /// Why something is absent: the status number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub status: Option<u16>,
    /// The same finer, for programs: a reason as the member error of a failure has it. A node older than 1.1.0 says none of
    /// its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z_]+$"))]
    pub reason: Option<String>,
    /// The same in words: the status number and its sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What may differ between nodes.
pub const DIFFER: [&str; 3] = ["is_running", "alternate_smtp_port", "auth_mode"];

fn payload(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "One entry per node, this machine first, then in the order of the configuration.",
        "items": generator.subschema_for::<NodeState>(),
        "minItems": 1,
        "examples": [[
            {
                "id": "node1.example.com", "is_reachable": 1, "version": "1.0.0", "is_running": 1,
                "alternate_smtp_port": 587, "auth_mode": "auth_yes/tls_yes", "differs": []
            },
            {
                "id": "node2.example.com", "is_reachable": 0, "differs": [], "status": 502, "reason": "node_unreachable",
                "message": "502 no ssh server answers there: ..."
            },
        ]],
    })
}

/// As far as it is about this machine.
fn run(service: &Service, _: &Value) -> Envelope {
    read(|| {
        let Current { alternate_smtp_port, auth_mode } = current(service)?;
        let is_running = u8::from(service.running()?);
        Ok(json!({
            "is_running": is_running, "alternate_smtp_port": alternate_smtp_port, "auth_mode": auth_mode
        }))
    })
}
