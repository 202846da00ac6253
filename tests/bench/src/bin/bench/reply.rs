//! What is asked and what must come back: every reply of a run is judged here, after the clock has stopped.
//!
//! A reply is right if it is JSON-RPC 2.0 with a result, an id that was asked and not yet answered, and the
//! envelope that the question expects. Bytes are compared first and JSON only where they differ, once per
//! spelling. A reply that is wrong in any way is a fault that quotes it.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::fault::Fault;

const QUOTED: usize = 300;

/// An action, its input as JSON, and the payload of its success.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub action: &'a str,
    pub params: Option<&'a str>,
    pub payload: Expected<'a>,
}

/// A payload, as JSON.
#[derive(Clone, Copy)]
pub enum Expected<'a> {
    /// This one.
    Exactly(&'a str),
    /// An object that has these members, whatever else it has.
    Object(&'a str),
}

impl Expected<'_> {
    /// Whether this is the result of a success with such a payload.
    pub fn fits(&self, result: &str) -> bool {
        let parse = |text| serde_json::from_str::<Value>(text).ok();
        let Some(result) = parse(result) else { return false };
        match self {
            Self::Exactly(payload) => parse(&enveloped(payload)) == Some(result),
            Self::Object(members) => {
                let members = parse(members);
                let mut members = members.iter().filter_map(Value::as_object).flatten();
                result["status"] == 0 && members.all(|(name, value)| result["payload"][name] == *value)
            }
        }
    }

    /// At least how many bytes a result of it has, or a guess.
    pub fn room(&self) -> usize {
        match self {
            Self::Exactly(payload) => enveloped(payload).len(),
            Self::Object(_) => ROOM,
        }
    }

    /// A result of such a payload, as it is expected to be spelt.
    fn spelt(&self) -> String {
        let (Self::Exactly(payload) | Self::Object(payload)) = self;
        enveloped(payload)
    }
}

/// What is made room for, where it is not known how long a payload is.
const ROOM: usize = 4 << 10;

fn enveloped(payload: &str) -> String {
    format!("{{\"status\":0,\"payload\":{payload}}}")
}

impl Ask<'_> {
    pub fn write(&self, id: u64, out: &mut Vec<u8>) {
        let Ask { action, params, .. } = self;
        let params = params.map(|params| format!(",\"params\":{params}")).unwrap_or_default();
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{action}\"{params}}}\n");
        out.extend_from_slice(line.as_bytes());
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    jsonrpc: &'a str,
    id: u64,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

pub struct Judge<'a> {
    ids: Range<u64>,
    answered: Vec<bool>,
    expected: Expected<'a>,
    /// The spelling that was right the last time.
    right: String,
}

impl<'a> Judge<'a> {
    pub fn new(ask: &Ask<'a>, ids: Range<u64>) -> Judge<'a> {
        let answered = ids.clone().map(|_| false).collect();
        Judge { ids, answered, expected: ask.payload, right: ask.payload.spelt() }
    }

    /// The place of the request that this line answers.
    pub fn judge(&mut self, line: &[u8]) -> Result<usize, Fault> {
        let wrong = |why: String| {
            let reply = String::from_utf8_lossy(&line[..line.len().min(QUOTED)]).into_owned();
            Fault::Reply { why, reply }
        };
        let reply: Reply = serde_json::from_slice(line).map_err(|e| wrong(e.to_string()))?;
        let (Some(result), None, "2.0") = (reply.result, reply.error, reply.jsonrpc) else {
            return Err(wrong("no result".into()));
        };
        if !self.ids.contains(&reply.id) {
            return Err(wrong(format!("ids {} to {} were asked", self.ids.start, self.ids.end - 1)));
        }
        let place = (reply.id - self.ids.start) as usize;
        if std::mem::replace(&mut self.answered[place], true) {
            return Err(wrong("answered twice".into()));
        }
        if result.get() != self.right {
            let differs = || wrong(format!("expected {}", self.right));
            self.expected.fits(result.get()).then_some(()).ok_or_else(differs)?;
            self.right = result.get().to_owned();
        }
        Ok(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASK: Ask = Ask { action: "isRunning", params: None, payload: Expected::Exactly("true") };

    fn judge(lines: &[&str]) -> Result<Vec<usize>, Fault> {
        judged(&ASK, lines)
    }

    fn judged(ask: &Ask, lines: &[&str]) -> Result<Vec<usize>, Fault> {
        let mut judge = Judge::new(ask, 7..9);
        lines.iter().map(|line| judge.judge(line.as_bytes())).collect()
    }

    #[test]
    fn replies_may_overtake_each_other_and_be_spelt_with_blanks() {
        let lines = [
            r#"{"jsonrpc":"2.0","id":8,"result":{"status":0,"payload":true}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{ "payload":true, "status":0 }}"#,
        ];
        assert_eq!(judge(&lines).unwrap(), [1, 0]);
    }

    #[test]
    fn of_an_object_what_is_not_expected_may_be_otherwise_each_time() {
        let ask =
            Ask { action: "queryStatus", params: None, payload: Expected::Object(r#"{"is_running":1}"#) };
        let reply = |id: u64, runs: u8| {
            format!(
                r#"{{"jsonrpc":"2.0","id":{id},"result":{{"status":0,"payload":{{"is_running":{runs},"at":{id}}}}}}}"#
            )
        };
        assert_eq!(judged(&ask, &[&reply(7, 1), &reply(8, 1)]).unwrap(), [0, 1]);
        assert!(judged(&ask, &[&reply(7, 0)]).is_err());
    }

    #[test]
    fn every_kind_of_wrong_reply_is_told() {
        for (line, why) in [
            ("{", "EOF"),
            (r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":""}}"#, "no result"),
            (r#"{"jsonrpc":"2.0","id":9,"result":{"status":0,"payload":true}}"#, "ids 7 to 8"),
            (r#"{"jsonrpc":"2.0","id":7,"result":{"status":0,"payload":false}}"#, "expected"),
        ] {
            let fault = judge(&[line]).unwrap_err().to_string();
            assert!(fault.contains(why), "{fault}");
        }
        let line = r#"{"jsonrpc":"2.0","id":7,"result":{"status":0,"payload":true}}"#;
        assert!(judge(&[line, line]).unwrap_err().to_string().contains("answered twice"));
    }
}
