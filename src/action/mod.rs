//! The controller's actions: THE TABLE, one row per action.
//!
//! Answers for: name, description, input, payload, lane and scope of every action of `/nodeworx/mail/smtp2`, and what
//! it does on this machine. Registration, schema documents, OpenRPC, the tables for people and the completeness tests are
//! read off the rows. Does not know: JSON-RPC, validation, other nodes; the permission is checked by the host.

pub mod history;
pub mod input;
pub mod listing;
pub mod payload;
pub mod plan;
pub mod probe;
pub mod running;
pub mod settings;
pub mod status;

use std::fmt;

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

pub use payload::PERMISSION;

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
}

/// Every action there is, in the page's order, ours after it.
pub static TABLE: [Row; 21] = [
    Row {
        name: "isRunning",
        about: "Checks if the service is running or not.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::running,
        run: running::is_running,
    },
    Row {
        name: "isRunningOnNode",
        about: "Checks if the service is running on a specific node (Clustering only).",
        since: Since::Panel("4.3.0-290"),
        lane: Lane::Read,
        scope: Scope::OneNode("isRunning"),
        inputs: &["node_id"],
        input: input::schema::<input::OnNode>,
        payload: payload::running,
        run: running::is_running,
    },
    Row {
        name: "listGeneralName",
        about: "Lists the \"normal\" name - ie \"web server\" instead of \"httpd\".",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Constant,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::general_name,
        run: listing::general_name,
    },
    Row {
        name: "listPortNumbers",
        about: "Lists a string of the port numbers that this service uses, comma-separated.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::ports,
        run: listing::port_numbers,
    },
    Row {
        name: "listPortNumbersArray",
        about: "Lists array of port numbers and ranges that this service uses.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::ports_array,
        run: listing::port_numbers_array,
    },
    Row {
        name: "listRequiredPermissions",
        about: "Lists an array of permissions required to control the service.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Constant,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::permissions,
        run: listing::required_permissions,
    },
    Row {
        name: "listServiceInfo",
        about: "Lists the service name, ports, page, and status.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::service_info,
        run: listing::service_info,
    },
    Row {
        name: "listServiceName",
        about: "Lists the service name - ie \"httpd\" instead of \"web server\".",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Constant,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::service_name,
        run: listing::service_name,
    },
    Row {
        name: "listServicePage",
        about: "Lists the page that controls the service.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Constant,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::service_page,
        run: listing::service_page,
    },
    Row {
        name: "restart",
        about: "Restarts the service.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Change,
        scope: Scope::EveryNodeIfAsked,
        inputs: &["cascade_to_nodes"],
        input: input::schema::<input::Cascade>,
        payload: payload::success,
        run: settings::restart,
    },
    Row {
        name: "restartOnNode",
        about: "Restarts the service on a specific node (Clustering only).",
        since: Since::Panel("4.3.0-290"),
        lane: Lane::Change,
        scope: Scope::OneNode("restart"),
        inputs: &["node_id"],
        input: input::schema::<input::OnNode>,
        payload: payload::success,
        run: settings::restart,
    },
    Row {
        name: "start",
        about: "Starts the service.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Change,
        scope: Scope::EveryNodeIfAsked,
        inputs: &["cascade_to_nodes"],
        input: input::schema::<input::Cascade>,
        payload: payload::success,
        run: settings::start,
    },
    Row {
        name: "startOnNode",
        about: "Starts the service on a specific node (Clustering only).",
        since: Since::Panel("4.3.0-290"),
        lane: Lane::Change,
        scope: Scope::OneNode("start"),
        inputs: &["node_id"],
        input: input::schema::<input::OnNode>,
        payload: payload::success,
        run: settings::start,
    },
    Row {
        name: "stop",
        about: "Stops the service.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Change,
        scope: Scope::EveryNodeIfAsked,
        inputs: &["cascade_to_nodes"],
        input: input::schema::<input::Cascade>,
        payload: payload::success,
        run: settings::stop,
    },
    Row {
        name: "stopOnNode",
        about: "Stops the service on a specific node (Clustering only).",
        since: Since::Panel("4.3.0-290"),
        lane: Lane::Change,
        scope: Scope::OneNode("stop"),
        inputs: &["node_id"],
        input: input::schema::<input::OnNode>,
        payload: payload::success,
        run: settings::stop,
    },
    Row {
        name: "update",
        about: "Change the auth settings for the alternate port SMTP server.",
        since: Since::Panel("4.2.0-260"),
        lane: Lane::Change,
        scope: Scope::EveryNodeIfAsked,
        inputs: &["alternate_smtp_port", "auth_mode", "cascade_to_nodes"],
        input: input::schema::<input::Update>,
        payload: payload::success,
        run: settings::update,
    },
    Row {
        name: "queryUpdate",
        about: "Answers what update would start from: the settings as they are.",
        since: Since::Ours("1.0.0"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::query_update,
        run: listing::query_update,
    },
    Row {
        name: "queryNodes",
        about: "Answers what runs on every node of the cluster, and whether it differs from what runs here.",
        since: Since::Ours("1.0.0"),
        lane: Lane::Read,
        scope: Scope::EveryNode,
        inputs: &[],
        input: input::schema::<input::Nothing>,
        payload: payload::query_nodes,
        run: listing::query_node,
    },
    Row {
        name: "queryStatus",
        about: "Answers what is, and why: whether it runs, the reason, the mail server, the last change.",
        since: Since::Ours("1.1.0"),
        lane: Lane::Read,
        scope: Scope::Named,
        inputs: &["probe"],
        input: input::schema::<input::Status>,
        payload: status::payload,
        run: status::status,
    },
    Row {
        name: "queryHistory",
        about: "Answers the latest changes, the newest first.",
        since: Since::Ours("1.1.0"),
        lane: Lane::Read,
        scope: Scope::Here,
        inputs: &["limit", "failed"],
        input: input::schema::<history::History>,
        payload: history::payload,
        run: history::history,
    },
    Row {
        name: "queryPlan",
        about: "Answers what an action would do here, and all that would refuse it, without doing it.",
        since: Since::Ours("1.1.0"),
        lane: Lane::Remote,
        scope: Scope::Here,
        inputs: &["action", "alternate_smtp_port", "auth_mode", "cascade_to_nodes"],
        input: input::schema::<plan::PlanInput>,
        payload: plan::payload,
        run: plan::plan,
    },
];

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

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}
