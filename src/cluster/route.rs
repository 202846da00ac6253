//! The router.
//!
//! Answers for: an action of one node is the base action there; an unknown node is refused input that lists the known
//! ones; a cascade is done here first, and if it fails here no node is contacted. Does not know: how a node is reached,
//! how the nodes' answers become one. Nothing is undone elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::fanout::{Tick, each, merged};
use super::node::{Ask, Node};
use super::query;
use crate::action::{Lane, Row, Scope};
use crate::change::Service;
use crate::sys::Deadline;
use crate::wire::envelope::{Envelope, FieldFault};
use crate::wire::status::Status;
use crate::wire::text::foreign;

/// How long all channels together may take to close when the plugin ends.
const FAREWELL: Duration = Duration::from_millis(300);

/// What the configuration says of the cluster.
#[derive(Debug)]
pub struct Settings {
    /// This machine's own id.
    pub own: String,
    /// Id and ssh destination of the others, in the order of the configuration; an entry that is this machine is skipped.
    pub nodes: Vec<(String, String)>,
    /// The ssh to call.
    pub ssh_program: PathBuf,
    /// What it is given of our environment.
    pub environment: Vec<(OsString, OsString)>,
    /// How long a node may take.
    pub patience: Duration,
    /// Who is told of the progress of a cascade.
    pub tick: Tick,
}

/// The cluster as this machine knows it.
#[derive(Debug)]
pub struct Cluster {
    /// This machine's own id.
    pub own: String,
    /// The others, in the order of the configuration.
    pub nodes: Vec<Node>,
    pub(super) tick: Tick,
    environment: Vec<(OsString, OsString)>,
    patience: Duration,
}

impl Cluster {
    /// The cluster of these settings; no node is contacted yet.
    pub fn new(settings: Settings) -> Self {
        let Settings { own, nodes, ssh_program, environment, patience, tick } = settings;
        let others = nodes.into_iter().filter(|(id, _)| *id != own);
        let nodes = others.map(|(id, destination)| Node::new(id, &ssh_program, &destination)).collect();
        Self { own, nodes, tick, environment, patience }
    }

    /// Of this machine only.
    pub fn alone(own: impl Into<String>) -> Self {
        let (nodes, environment) = (Vec::new(), Vec::new());
        Self { own: own.into(), nodes, tick: |_| {}, environment, patience: Duration::ZERO }
    }

    /// Whether there is an input with which the answer of `row` comes from another machine.
    pub fn may_leave(&self, row: &Row) -> bool {
        !self.nodes.is_empty() && matches!(row.scope, Scope::OneNode(_) | Scope::EveryNode)
    }

    /// Whether the answer comes from another machine with this input.
    pub fn leaves(&self, row: &Row, input: &Value) -> bool {
        match row.scope {
            Scope::OneNode(_) => input["node_id"].as_str().is_some_and(|id| self.node(id).is_some()),
            Scope::EveryNode => !self.nodes.is_empty(),
            Scope::Here | Scope::EveryNodeIfAsked => false,
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
            (Scope::EveryNode, _) => query::nodes(self, service, row),
            (Scope::EveryNodeIfAsked, _) if cascade == Some(1.into()) && !self.nodes.is_empty() => {
                let here = (row.run)(service, &input);
                if here.status == Status::Done { self.replay(row, input) } else { here }
            }
            _ => (row.run)(service, &input),
        }
    }

    /// Ends all channels; returns when no ssh is left.
    pub fn hang_up(&self) {
        let open: Vec<_> = self.nodes.iter().flat_map(Node::shut).collect();
        let deadline = Deadline::after(FAREWELL);
        open.iter().for_each(|channel| channel.await_end(deadline));
    }

    /// What is asked of a node.
    pub(super) fn ask<'a>(&'a self, action: &'a str, input: &'a Value, lane: Lane) -> Ask<'a> {
        Ask { action, input, lane, patience: self.patience, environment: &self.environment }
    }

    /// The deadline of a node that is asked now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.patience)
    }

    fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
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

    fn unknown(&self, id: &str) -> Envelope {
        let others = self.nodes.iter().map(|node| &*node.id);
        let known: Vec<&str> = std::iter::once(&*self.own).chain(others).collect();
        let message = format!("{} is no node of this cluster; known: {}", foreign(id), known.join(", "));
        Envelope::refused(&[FieldFault::new("node_id", message)])
    }
}
