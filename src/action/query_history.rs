//! `queryHistory`: the latest changes, whoever asked for them and however they ended.
//!
//! Reads the history and the file that was put aside before it. Lines that a full disk cut short are skipped. Input that was
//! refused is not in it, and `remove` takes it away.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::answer::read;
use super::example::example;
use super::input;
use super::row::{Lane, Row, Scope, Since};
use crate::change::Service;
use crate::change::history::{Origin, Record};
use crate::sys::Who;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "queryHistory",
    about: "Answers the latest changes, the newest first.",
    since: Since::Ours("1.1.0"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &["limit", "failed"],
    input: input::schema::<History>,
    payload,
    run,
    example: example!("queryHistory" / "after-changes"),
};

/// How many are answered, unless told otherwise.
const LIMIT: u16 = 20;

/// For `queryHistory`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How many changes are answered at the most. Absent is 20.
    #[schemars(range(min = 1, max = 1000), extend("examples" = [20]))]
    pub limit: Option<u16>,
    /// Selecting this option (1) leaves out what went well. Absent is 0.
    #[schemars(extend("enum" = [0, 1], "examples" = [1]))]
    pub failed: Option<u8>,
}

/// One change.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Change {
    /// When it ended, RFC 3339, UTC.
    pub time: String,
    /// Which action; `recover` for an interrupted change that was ended, `watch` for a listener that ended by itself.
    pub action: String,
    /// The status number.
    #[schemars(range(min = 0, max = 999))]
    pub status: u16,
    /// Of a failure, why, for programs: a reason as the member error of a failure has it. Versions before 1.1.0 wrote none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z_]+$"))]
    pub reason: Option<String>,
    /// The sentence of a failure, or what was done; empty where Success says it all.
    pub sentence: String,
    /// How long it took, in milliseconds.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub duration_ms: u64,
    /// Its input.
    pub input: Map<String, Value>,
    /// The id of its request: a string as it is, a number as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The node that asked for it, as it calls itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The node that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The plugin that did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Process>,
    /// The host, which had started that plugin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Process>,
    /// How often that plugin had refused input since its line before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 9_007_199_254_740_991_u64))]
    pub refused: Option<u64>,
}

/// A process, as it was then.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Process {
    /// Its id.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub pid: i32,
    /// Its user.
    #[schemars(range(min = 0, max = 4_294_967_295_u64))]
    pub uid: u32,
    /// The name of its program.
    pub program: String,
}

impl From<Who> for Process {
    fn from(Who { pid, uid, program }: Who) -> Self {
        Self { pid, uid, program }
    }
}

impl From<Record> for Change {
    fn from(record: Record) -> Self {
        let input = match record.input {
            Value::Object(input) => input,
            // Of an interrupted change the history has the name alone.
            Value::Null => Map::new(),
            other => Map::from_iter([("action".to_owned(), other)]),
        };
        let (time, action, reason) = (record.time, record.action, record.reason);
        let sentence = record.outcome;
        let Origin { request, from, node, plugin, host, refused } = record.origin;
        let (plugin, host) = (plugin.map(Process::from), host.map(Process::from));
        Self {
            time,
            action,
            status: record.status,
            reason,
            sentence,
            duration_ms: record.duration_ms,
            input,
            request,
            from,
            node,
            plugin,
            host,
            refused: Some(refused).filter(|count| *count > 0),
        }
    }
}

fn payload(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "The latest changes, the newest first.",
        "items": generator.subschema_for::<Change>(),
        "examples": [[{
            "time": "2026-11-28T09:30:12.345Z", "action": "start", "status": 409, "reason": "port_held",
            "sentence": "port 587 is held by nginx (pid 812); nothing was changed, the alternate SMTP server is not running",
            "duration_ms": 41, "input": {}, "request": "7", "node": "node1.example.com",
            "plugin": { "pid": 4711, "uid": 0, "program": "mail-smtp2" },
            "host": { "pid": 4650, "uid": 0, "program": "php-fpm" }
        }]],
    })
}

fn run(service: &Service, input: &Value) -> Envelope {
    let asked = History::deserialize(input).unwrap_or(History { limit: None, failed: None });
    let limit = asked.limit.unwrap_or(LIMIT).into();
    read(|| {
        let records = service.history(limit, asked.failed == Some(1))?;
        Ok(records.into_iter().map(Change::from).collect::<Vec<_>>())
    })
}
