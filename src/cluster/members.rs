//! The machines of the cluster, as the configuration names them.
//!
//! Who they are, this machine among them, and how one is asked. A node that is not known is refused input that lists those
//! that are. Which of them an action goes to is decided in `route`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::fanout::Tick;
use super::node::{Ask, Node};
use crate::action::Lane;
use crate::sys::Deadline;
use crate::wire::envelope::Envelope;
use crate::wire::problem::FieldFault;
use crate::wire::text::printable;

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
    pub node_time: Duration,
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
    node_time: Duration,
}

impl Cluster {
    /// The cluster of these settings; no node is contacted yet.
    pub fn new(settings: Settings) -> Self {
        let Settings { own, nodes, ssh_program, environment, node_time, tick } = settings;
        let others = nodes.into_iter().filter(|(id, _)| *id != own);
        let nodes = others.map(|(id, destination)| Node::new(id, &ssh_program, &destination)).collect();
        Self { own, nodes, tick, environment, node_time }
    }

    /// Of this machine only.
    pub fn alone(own: impl Into<String>) -> Self {
        let (nodes, environment) = (Vec::new(), Vec::new());
        Self { own: own.into(), nodes, tick: |_| {}, environment, node_time: Duration::ZERO }
    }

    /// Ends all channels; returns when no ssh is left.
    pub fn hang_up(&self) {
        let open: Vec<_> = self.nodes.iter().flat_map(Node::shut).collect();
        let deadline = Deadline::after(FAREWELL);
        open.iter().for_each(|channel| channel.await_end(deadline));
    }

    /// What is asked of a node.
    pub(super) fn ask<'a>(&'a self, action: &'a str, input: &'a Value, lane: Lane) -> Ask<'a> {
        Ask {
            action,
            input,
            lane,
            from: &self.own,
            node_time: self.node_time,
            environment: &self.environment,
        }
    }

    /// The deadline of a node that is asked now.
    pub(super) fn deadline(&self) -> Deadline {
        Deadline::after(self.node_time)
    }

    /// The node with this id.
    pub(super) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// What is said of an id that no node has.
    pub(super) fn unknown(&self, id: &str) -> Envelope {
        let others = self.nodes.iter().map(|node| &*node.id);
        let known: Vec<&str> = std::iter::once(&*self.own).chain(others).collect();
        let message = format!("{} is no node of this cluster; known: {}", printable(id), known.join(", "));
        Envelope::refused(&[FieldFault::new("node_id", "unknown_node", message)])
    }
}
