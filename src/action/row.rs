//! What is to be said of an action: a row of the table.
//!
//! Registration, documents, OpenRPC, the tables for people and the tests of completeness read these members and nothing
//! else. What an action does is a function in its row; it is called with input that the row's schema has admitted.

use std::fmt;

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use super::example::Example;
use crate::change::Service;
use crate::wire::envelope::Envelope;

/// Where an action waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Its answer never changes: it waits for nothing.
    Constant,
    /// It looks: answered while a change runs, but not before an interrupted change is ended.
    Read,
    /// It looks at another machine, or takes its time over it: on a worker, in nobody's way. A read takes it, too, where its
    /// input says so.
    Remote,
    /// It changes something: one after the other, in the order of arrival.
    Change,
}

/// Whom an action is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// This machine.
    Here,
    /// This machine; the answer names it and the other nodes.
    Named,
    /// The node that `node_id` names: the action of this name is done there.
    OneNode(&'static str),
    /// This machine, and every node of the cluster if `cascade_to_nodes` is 1.
    EveryNodeIfAsked,
    /// Every node of the cluster; the row says what is answered for this machine, and the answers are merged.
    EveryNode,
}

/// The version that introduced an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// The panel's.
    Panel(&'static str),
    /// That of this plugin, for those that it adds.
    Ours(&'static str),
}

impl fmt::Display for Since {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panel(version) => to.write_str(version),
            Self::Ours(version) => write!(to, "mail-smtp2 {version}"),
        }
    }
}

/// One action.
#[derive(Debug)]
pub struct Row {
    /// The method's name.
    pub name: &'static str,
    /// What it does, in the page's words.
    pub about: &'static str,
    /// Which version introduced it.
    pub since: Since,
    /// Where it waits.
    pub lane: Lane,
    /// Whom it is for.
    pub scope: Scope,
    /// Its inputs, in the order of the page.
    pub inputs: &'static [&'static str],
    /// The schema of its input.
    pub input: fn(&mut SchemaGenerator) -> Schema,
    /// The schema of its payload when it went well.
    pub payload: fn(&mut SchemaGenerator) -> Schema,
    /// What it does here, with input that its schema has admitted.
    pub run: fn(&Service, &Value) -> Envelope,
    /// A conversation that went well.
    pub example: Example,
}

impl Row {
    /// Whether there is an input with which a read takes its time here.
    pub fn may_take_time(&self) -> bool {
        self.inputs.contains(&PROBE)
    }

    /// Whether it takes its time with this input.
    pub fn takes_time(&self, input: &Value) -> bool {
        self.may_take_time() && input[PROBE] == 1
    }
}

/// The input that asks for dialogues.
const PROBE: &str = "probe";
