//! What a program is told of a failure: the member `error` of its envelope (schema/README.md, "The envelope").
//!
//! Here are its members, each text in it made fit to be shown. Which reason a failure has is said by `change` and
//! `mta`; the sentence is the payload. One that came from a node is taken as far as it can be understood; what it names
//! that this version does not know is passed on.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::named;
use super::reason::Reason;
use super::text::printable;

/// How many entries of a list from elsewhere are passed on.
const ENTRIES: usize = 16;
/// How long a name from elsewhere may be, in bytes.
const NAME: usize = 64;

/// Why an action failed, for a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The name of the reason; from a newer node one that this version does not know.
    pub reason: Cow<'static, str>,
    /// Whether the same request may work later without anybody's doing.
    #[serde(default)]
    pub retry: bool,
    /// What is wrong with which input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldFault>,
    /// Who has what is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// In which step of the change it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Cow<'static, str>>,
    /// Another program's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
    /// The nodes that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeProblem>,
}

/// One thing that is wrong with an input: which field, and what about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldFault {
    /// The member's name as it came.
    pub name: String,
    /// The keyword of JSON Schema that refuses it, or a word of ours.
    pub keyword: Cow<'static, str>,
    /// What is wrong with it.
    pub message: String,
}

/// Who has a port or the lock. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its program's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Of a port: address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Of the lock: which action is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Of the lock: since when, RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A node that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeProblem {
    /// Its id.
    pub id: String,
    /// Its status number, which need not be one of ours.
    pub status: u16,
    /// The name of its reason; a node of 1.0.0 says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'static, str>>,
    /// What it says.
    pub sentence: String,
}

named! {
    /// The steps of a change, as `step` names them (schema/README.md, "How a change is made").
    pub enum Step {
        Lock "lock": "the lock is waited for",
        Recover "recover": "a change that was interrupted is ended",
        Plan "plan": "what there is to do is found out",
        Check "check": "the mail server checks the new configuration",
        Record "record": "what is about to happen is written down",
        Apply "apply": "the files are written",
        Tell "tell": "the mail server is told",
        Prove "prove": "what came of it is proven",
        Settle "settle": "the settings are written",
    }
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Self {
        let (name, retry) = (reason.row().name, reason.row().retry);
        let (fields, nodes) = Default::default();
        Self { reason: name.into(), retry, fields, holder: None, step: None, said: None, nodes }
    }
}

impl Problem {
    /// Of input that is refused.
    pub fn of_fields(faults: &[FieldFault]) -> Self {
        Self { fields: faults.to_vec(), ..Reason::Input.into() }.printable()
    }

    /// As a node has sent it, if it is one: what came is hostile, and nodes of a node are none of ours.
    pub fn from_outside(value: Value) -> Option<Self> {
        let mut problem = Self { nodes: Vec::new(), ..serde_json::from_value(value).ok()? };
        problem.fields.truncate(ENTRIES);
        is_name(&problem.reason).then(|| problem.printable())
    }

    /// With every text as it may be shown, and no more of it than that.
    fn printable(mut self) -> Self {
        let tidy = |text: &mut String| *text = printable(&*text);
        self.step = self.step.filter(|step| is_name(step));
        for fault in &mut self.fields {
            tidy(&mut fault.name);
            tidy(&mut fault.message);
            if !is_keyword(&fault.keyword) {
                fault.keyword = "unknown".into();
            }
        }
        let holder = self.holder.iter_mut();
        let texts = holder.flat_map(|it| [&mut it.program, &mut it.address, &mut it.action, &mut it.since]);
        texts.chain([&mut self.said]).flatten().for_each(tidy);
        self
    }
}

/// Whether a text may be the name of a reason or a step.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Whether a text may be a keyword.
fn is_keyword(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

impl FieldFault {
    /// A fault of the field `name`.
    pub fn new(
        name: impl Into<String>,
        keyword: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), keyword: keyword.into(), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_steps_are_in_their_order() {
        assert!(Step::ALL.iter().enumerate().all(|(at, (step, ..))| *step as usize == at));
    }

    #[test]
    fn a_reason_of_a_newer_node_is_passed_on() {
        let sent = json!({ "reason": "moon_phase", "retry": true, "colour": 1, "said": "a\u{1b}[31m" });
        let got = Problem::from_outside(sent).unwrap();
        assert_eq!(
            (&*got.reason, got.retry, got.said.as_deref()),
            ("moon_phase", true, Some("a\u{FFFD}[31m"))
        );
    }

    #[test]
    fn what_is_no_problem_of_a_node_is_none() {
        for sent in [json!(null), json!({}), json!({ "reason": "<b>" }), json!({ "reason": "a".repeat(65) })]
        {
            assert_eq!(Problem::from_outside(sent.clone()), None, "{sent}");
        }
    }

    #[test]
    fn a_node_cannot_send_more_than_is_shown() {
        let fault = json!({ "name": "n".repeat(5000), "keyword": "a b", "message": "m\n" });
        let sent = json!({ "reason": "x", "fields": vec![fault; 99], "nodes": [] });
        let got = Problem::from_outside(sent).unwrap();
        assert_eq!((got.fields.len(), got.fields[0].name.len() <= 1024), (16, true));
        assert_eq!((&*got.fields[0].keyword, &*got.fields[0].message), ("unknown", "m"));
    }
}
