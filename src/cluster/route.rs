//! The router.
//!
//! Answers for: an action of one node is the base action there; an unknown node is refused input that lists the known
//! ones. Does not know: how other nodes are reached; none can be configured yet, so that this machine is the cluster.

use serde_json::Value;

use crate::action::{Row, Scope};
use crate::change::Service;
use crate::wire::envelope::{Envelope, FieldFault};

/// The cluster as this machine knows it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// This machine's own id.
    pub own: String,
}

impl Cluster {
    /// Does the action of `row` where it belongs.
    pub fn run(&self, service: &Service, row: &Row, mut input: Value) -> Envelope {
        let node = input.as_object_mut().and_then(|members| members.remove("node_id"));
        match (row.scope, node.as_ref().and_then(Value::as_str)) {
            (Scope::OneNode(_), Some(node)) if node != self.own => {
                let message = format!("{node} is no node of this cluster; known: {}", self.own);
                Envelope::refused(&[FieldFault::new("node_id", message)])
            }
            // Without other nodes a cascade is this machine alone.
            _ => (row.run)(service, &input),
        }
    }
}
