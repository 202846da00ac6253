//! `queryStatus`: what is, and why.
//!
//! The change floor looks; here it becomes a payload that a program can read: a reason out of a closed set beside the
//! sentence, numbers and names in members of their own. What could not be seen or does not apply is absent.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::history::Change;
use super::listing::read;
use super::payload::MODES;
use crate::change::Service;
use crate::change::status::{Reason, Status};
use crate::wire::envelope::Envelope;

/// The answer of `queryStatus`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("examples" = [{
    "reason": "stopped", "sentence": "it was stopped by an action: call start", "version": "1.0.0",
    "configured": 1, "is_running": 0, "addresses": []
}]))]
pub struct StatusPayload {
    /// The version of the plugin.
    pub version: &'static str,
    /// 1 if the service was ever configured, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub configured: u8,
    /// 1 if the mail server itself listens on the configured port, else 0; absent if that cannot be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub is_running: Option<u8>,
    /// Why it is so.
    #[schemars(extend("enum" = REASONS))]
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
    /// The mail server that changes act on; absent where none, or more than one, is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mta: Option<MailServer>,
    /// The addresses that are bound.
    pub addresses: Vec<String>,
    /// The process that holds the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Holder>,
    /// The change that is under way, or that nobody has ended yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changing: Option<Changing>,
    /// The last change that is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_change: Option<Change>,
}

/// Every reason there is.
const REASONS: [&str; Reason::ALL.len()] = {
    let mut names = [""; Reason::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Reason::ALL[at].1;
        at += 1;
    }
    names
};

/// A mail server.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MailServer {
    /// Which one, as in the configuration.
    pub kind: &'static str,
    /// 1 if its listener can be changed here, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_changeable: u8,
    /// Why not.
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
    /// Who makes it; absent where its plugin has died, and the next one ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_194_304))]
    pub pid: Option<i32>,
}

/// The schema of the payload.
pub fn payload(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<StatusPayload>()
}

/// `queryStatus`.
pub fn status(service: &Service, _: &Value) -> Envelope {
    read(|| Ok(StatusPayload::from(service.status()?)))
}

impl From<Status> for StatusPayload {
    fn from(status: Status) -> Self {
        let settings = status.settings.as_ref();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            configured: settings.is_some().into(),
            is_running: status.is_running.map(u8::from),
            reason: status.reason.name(),
            wanted: settings.map(|settings| if settings.target().is_some() { "running" } else { "stopped" }),
            alternate_smtp_port: settings.map(|settings| settings.listener.port),
            auth_mode: settings.map(|settings| settings.listener.auth_mode.name()),
            sentence: status.sentence,
            mta: status.mta.map(|(kind, why_not)| MailServer {
                kind: kind.name(),
                is_changeable: why_not.is_none().into(),
                why_not,
            }),
            addresses: status.addresses.iter().map(ToString::to_string).collect(),
            process: status.process.map(|(pid, name)| Holder { pid, name }),
            changing: status.changing.map(|changing| Changing { action: changing.action, pid: changing.pid }),
            last_change: status.last.map(Change::from),
        }
    }
}
