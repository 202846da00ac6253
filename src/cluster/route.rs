//! Which machine an action is done on: this one, another node, or every node.
//!
//! An action of one node is the base action there. A cascade is done here first; if it fails here, no node is contacted,
//! and nothing is undone elsewhere. A purely local action takes this way, too: it is the one that ends here.

use serde_json::{Value, json};

use super::fanout::{each, merged};
use super::members::Cluster;
use super::node::Node;
use super::query;
use crate::action::{Lane, Row, Scope};
use crate::change::Service;
use crate::wire::envelope::Envelope;
use crate::wire::status::Status;

impl Cluster {
    /// Whether there is an input with which the answer of `row` comes from another machine, or takes its time.
    pub fn may_leave(&self, row: &Row) -> bool {
        row.may_take_time()
            || !self.nodes.is_empty() && matches!(row.scope, Scope::OneNode(_) | Scope::EveryNode)
    }

    /// Whether the answer comes from another machine with this input, or takes its time.
    pub fn leaves(&self, row: &Row, input: &Value) -> bool {
        match row.scope {
            Scope::OneNode(_) => input["node_id"].as_str().is_some_and(|id| self.node(id).is_some()),
            Scope::EveryNode => !self.nodes.is_empty(),
            Scope::Here | Scope::Named | Scope::EveryNodeIfAsked => row.takes_time(input),
        }
    }

    /// Does the action of `row` where it belongs.
    pub fn run(&self, service: &Service, row: &Row, mut input: Value) -> Envelope {
        let mut take = |name| input.as_object_mut().and_then(|members| members.shift_remove(name));
        let (node, cascade) = (take("node_id"), take("cascade_to_nodes"));
        let node = node.as_ref().and_then(Value::as_str).filter(|node| *node != self.own);
        match (row.scope, node) {
            (Scope::OneNode(base), Some(id)) => match self.node(id) {
                Some(node) => self.on(node, base, row.lane, &input),
                None => self.unknown(id),
            },
            (Scope::Named, _) => self.named((row.run)(service, &input)),
            (Scope::EveryNode, _) => query::nodes(self, service, row),
            (Scope::EveryNodeIfAsked, _) if cascade == Some(1.into()) && !self.nodes.is_empty() => {
                let here = (row.run)(service, &input);
                if here.status == Status::Done { self.replay(row, input) } else { here }
            }
            _ => (row.run)(service, &input),
        }
    }

    /// The answer of this machine, with who it is and who the others are.
    fn named(&self, mut envelope: Envelope) -> Envelope {
        if let Some(members) = envelope.payload.as_object_mut() {
            members.insert("node".to_owned(), json!(self.own));
            let others: Vec<&str> = self.nodes.iter().map(|node| &*node.id).collect();
            members.insert("nodes".to_owned(), json!(others));
        }
        envelope
    }

    fn on(&self, node: &Node, base: &str, lane: Lane, input: &Value) -> Envelope {
        match node.ask(&self.ask(base, input, lane), self.deadline()) {
            Ok(payload) => Envelope::done(payload),
            Err(failure) => failure.envelope(&node.id),
        }
    }

    /// The same on every other node, as it came, each for itself.
    fn replay(&self, row: &Row, mut input: Value) -> Envelope {
        input["cascade_to_nodes"] = json!(0);
        let ask = self.ask(row.name, &input, row.lane);
        merged(&self.nodes, each(&self.nodes, self.tick, |node| node.ask(&ask, self.deadline())))
    }
}
