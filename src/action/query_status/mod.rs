//! `queryStatus`: what is, and why.
//!
//! The change floor looks; here it becomes a payload that a program can read: a reason out of a closed set beside the
//! sentence, numbers and names in members of their own. What could not be seen or does not apply is absent;
//! only a change under way, which a host waits to be over, is null where there is none.

mod probe;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::answer::read;
use super::example::example;
use super::input;
use super::query_history::Change;
use super::row::{Lane, Row, Scope, Since};
use super::service::MODES;
use crate::change::Service;
use crate::change::drift::Otherwise;
use crate::change::probe::Probe;
use crate::change::status::{self, Reason};
use crate::mta::{KeptBy, Kind};
use crate::wire::envelope::Envelope;
use crate::wire::text::printable;
pub use probe::{Certificate, Place};

pub(super) const ROW: Row = Row {
    name: "queryStatus",
    about: "Answers what is, and why: whether it runs, the reason, the mail server, the last change.",
    since: Since::Ours("1.1.0"),
    lane: Lane::Read,
    scope: Scope::Named,
    inputs: &["probe"],
    input: input::schema::<StatusInput>,
    payload,
    run,
    example: example!("queryStatus" / "while-it-runs"),
};

/// For `queryStatus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StatusInput {
    /// Selecting this option (1) also asks the listener itself, as the proof of a change does, and the mail server's own
    /// programs: what is offered on each address, and the certificate as it is served. That takes seconds. Absent is 0.
    #[schemars(extend("enum" = [0, 1], "examples" = [1]))]
    pub probe: Option<u8>,
}

/// The answer of `queryStatus`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("examples" = [{
    "version": "1.0.0", "configured": 1, "is_running": 0, "reason": "stopped",
    "sentence": "it was stopped by an action: call start", "mta": { "kind": "postfix", "is_changeable": 1 },
    "addresses": [], "drift": [], "changing": null
}]))]
pub struct StatusPayload {
    /// The version of the plugin.
    pub version: &'static str,
    /// 1 if the service was ever configured, else 0; absent if that may not be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub configured: Option<u8>,
    /// 1 if the mail server itself listens on the configured port, else 0; absent if that cannot be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub is_running: Option<u8>,
    /// Why it is so.
    #[schemars(extend("enum" = Reason::NAMES))]
    pub reason: &'static str,
    /// The same in words, with names and pids.
    pub sentence: String,
    /// What an action has last asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["running", "stopped"]))]
    pub wanted: Option<&'static str>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub alternate_smtp_port: Option<u16>,
    /// The mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = MODES))]
    pub auth_mode: Option<&'static str>,
    /// The mail server that changes act on.
    pub mta: MailServer,
    /// The addresses that are bound; while it cannot be seen by whom, those that anybody listens on.
    pub addresses: Vec<String>,
    /// The process that holds the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Holder>,
    /// How many clients are connected, while it runs and where the kernel tells; at most a second old.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 4_294_967_295_u32))]
    pub sessions: Option<u32>,
    /// Where the mail server's configuration is not as this plugin wrote it: without probe as far as the port and the mode
    /// tell, with it byte by byte.
    pub drift: Vec<Drift>,
    /// The change that is under way, or that nobody has ended yet; null if there is none.
    #[schemars(schema_with = "changing")]
    pub changing: Option<Changing>,
    /// The last change that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Change>,
    /// With probe, while anybody listens: what clients are answered in each place where it is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probe: Option<Vec<Place>>,
    /// Why there is no probe, though it was asked for and the service runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_probe: Option<String>,
    /// This machine's own id in the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The ids of the other nodes, in the order of the configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
}

/// A file that is not as this plugin wrote it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Drift {
    /// The file.
    pub path: String,
    /// What is otherwise: our entry is missing, stands there though the service was stopped, or says something else.
    #[schemars(extend("enum" = Otherwise::NAMES))]
    pub what: &'static str,
}

/// A mail server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailServer {
    /// Which one, as in the configuration; absent where none, or more than one, is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Its version, with probe and where its own program tells it (qmail's do not).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The unit of systemd's by which the listener is kept up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The service directory by which the listener is kept up, where somebody supervises it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_dir: Option<String>,
    /// 1 if its listener can be changed here, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_changeable: u8,
    /// Why not, for programs: the reason that a change would fail with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z_]+$"))]
    pub reason: Option<&'static str>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// A process.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Holder {
    /// Its pid.
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pid: i32,
    /// The name of its program.
    pub name: String,
}

/// A change under way.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changing {
    /// Which action.
    pub action: String,
    /// Since when, RFC 3339, UTC; absent where that was not written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Who makes it; absent where its plugin has died, and the next one ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pid: Option<i32>,
}

/// A change, or none: of all members the one that is null, because it comes and goes.
fn changing(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [generator.subschema_for::<Changing>(), { "type": "null" }] })
}

fn payload(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<StatusPayload>()
}

fn run(service: &Service, input: &Value) -> Envelope {
    read(|| match input["probe"] == 1 {
        false => Ok(StatusPayload::from(service.status()?)),
        true => {
            let (status, probe) = service.probe()?;
            Ok(StatusPayload::from(status).with(probe))
        }
    })
}

impl StatusPayload {
    /// With what a probe has found.
    pub fn with(mut self, probe: Probe) -> Self {
        self.mta.version = probe.mta_version;
        self.no_probe = probe.why_not;
        if !self.addresses.is_empty() && self.no_probe.is_none() {
            self.probe = Some(probe.places.into_iter().map(|place| Place::heard(place, probe.at)).collect());
        }
        self
    }
}

impl From<status::Status> for StatusPayload {
    fn from(status: status::Status) -> Self {
        let settings = status.settings.as_ref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            configured: status.configured.map(u8::from),
            is_running: status.is_running.map(u8::from),
            reason: status.reason.name(),
            wanted: settings.map(|settings| if settings.target().is_some() { "running" } else { "stopped" }),
            alternate_smtp_port: settings.map(|settings| settings.listener.port),
            auth_mode: settings.map(|settings| settings.listener.auth_mode.name()),
            sentence: status.sentence,
            mta: status.mta.into(),
            addresses: status.addresses.iter().map(ToString::to_string).collect(),
            process: status.process.map(|(pid, name)| Holder { pid, name }),
            sessions: status.sessions.and_then(|count| u32::try_from(count).ok()),
            drift: status.drift.iter().map(Drift::from).collect(),
            changing: status.changing.map(Changing::from),
            last_change: status.last.map(Change::from),
            probe: None,
            no_probe: None,
            node: None,
            nodes: None,
        }
    }
}

impl From<status::MailServer> for MailServer {
    fn from(mta: status::MailServer) -> Self {
        let (unit, service_dir) = match mta.kept_by {
            Some(KeptBy::Unit(unit)) => (Some(unit), None),
            Some(KeptBy::Supervisor(dir)) => (None, Some(printable(dir.as_os_str().as_encoded_bytes()))),
            None => (None, None),
        };
        let (reason, why_not) = mta.why_not.map(|it| (it.reason.row().name, it.sentence)).unzip();
        let (kind, is_changeable) = (mta.kind.map(Kind::name), why_not.is_none().into());
        Self { kind, version: None, unit, service_dir, is_changeable, reason, why_not }
    }
}

impl From<status::Changing> for Changing {
    fn from(status::Changing { action, since, pid }: status::Changing) -> Self {
        Self { action, since, pid }
    }
}

impl From<&crate::change::drift::Drift> for Drift {
    fn from(drift: &crate::change::drift::Drift) -> Self {
        Self { path: printable(drift.path.as_os_str().as_encoded_bytes()), what: drift.what.name() }
    }
}
