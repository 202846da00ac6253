//! The router.
//!
//! Answers for: an action of one node is the base action there; an unknown node is refused input that lists the known
//! ones. Does not know: how other nodes are reached, which is still to be built: what is for them is 501, before
//! anything is done here.

use serde_json::Value;

use crate::action::{Row, Scope};
use crate::change::Service;
use crate::wire::envelope::{Envelope, FieldFault};
use crate::wire::status::Status;
use crate::wire::text::foreign;

/// The cluster as this machine knows it.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// This machine's own id.
    pub own: String,
    /// The ids of the others, in the order of the configuration.
    pub others: Vec<String>,
}

impl Cluster {
    /// Does the action of `row` where it belongs.
    pub fn run(&self, service: &Service, row: &Row, mut input: Value) -> Envelope {
        let mut take = |name| input.as_object_mut().and_then(|members| members.shift_remove(name));
        let (node, cascade) = (take("node_id"), take("cascade_to_nodes"));
        let node = node.as_ref().and_then(Value::as_str).filter(|node| *node != self.own);
        match (row.scope, node) {
            (Scope::OneNode(_), Some(node)) if self.others.iter().any(|other| other == node) => unreachable(),
            (Scope::OneNode(_), Some(node)) => {
                let known: Vec<&str> =
                    std::iter::once(&self.own).chain(&self.others).map(String::as_str).collect();
                let message =
                    format!("{} is no node of this cluster; known: {}", foreign(node), known.join(", "));
                Envelope::refused(&[FieldFault::new("node_id", message)])
            }
            (Scope::EveryNodeIfAsked, _) if cascade == Some(1.into()) && !self.others.is_empty() => {
                unreachable()
            }
            _ => (row.run)(service, &input),
        }
    }
}

fn unreachable() -> Envelope {
    let sentence = "this version cannot reach other nodes yet; nothing was changed, neither here nor there";
    Envelope::failed(Status::Unsupported, sentence)
}
