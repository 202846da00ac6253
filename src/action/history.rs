//! `queryHistory`: the latest changes, whoever asked for them and however they ended.
//!
//! Reads the history and the file that was put aside before it. Lines that a full disk cut short are skipped. Input that was
//! refused is not in it, and `remove` takes it away.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::listing::read;
use crate::change::Service;
use crate::change::history::Record;
use crate::wire::envelope::Envelope;

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
    /// The sentence of a failure, or what was done; empty where Success says it all.
    pub sentence: String,
    /// How long it took, in milliseconds.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_u64))]
    pub duration_ms: u64,
    /// Its input.
    pub input: Map<String, Value>,
}

impl From<Record> for Change {
    fn from(record: Record) -> Self {
        let input = match record.input {
            Value::Object(input) => input,
            // Of an interrupted change the history has the name alone.
            Value::Null => Map::new(),
            other => Map::from_iter([("action".to_owned(), other)]),
        };
        let (time, action, sentence) = (record.time, record.action, record.outcome);
        Self { time, action, status: record.status, sentence, duration_ms: record.duration_ms, input }
    }
}

/// The schema of the payload.
pub fn payload(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "The latest changes, the newest first.",
        "items": generator.subschema_for::<Change>(),
        "examples": [[{
            "time": "2026-11-28T09:30:12.345Z", "action": "start", "status": 409,
            "sentence": "port 587 is held by nginx (pid 812); nothing was changed, the alternate SMTP server is not running",
            "duration_ms": 41, "input": {}
        }]],
    })
}

/// `queryHistory`.
pub fn history(service: &Service, input: &Value) -> Envelope {
    let asked = History::deserialize(input).unwrap_or(History { limit: None, failed: None });
    let limit = asked.limit.unwrap_or(LIMIT).into();
    read(|| {
        let records = service.history(limit, asked.failed == Some(1))?;
        Ok(records.into_iter().map(Change::from).collect::<Vec<_>>())
    })
}
