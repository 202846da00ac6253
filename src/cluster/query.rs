//! `queryNodes`: what runs on every node, and whether it differs from what runs here.
//!
//! One entry per node, this machine first, then in the order of the configuration. That one differs from another is all that
//! is said; which is right is not judged. A node that cannot be reached is an entry that says why, so that the answer never
//! fails as a whole.

use serde::Deserialize;
use serde_json::{Value, json};

use super::fanout::each;
use super::members::Cluster;
use super::message::VERSION;
use super::node::{Failure, Node};
use crate::action::query_nodes::NodeState;
use crate::action::service::MODES;
use crate::action::{Lane, Row};
use crate::change::Service;
use crate::wire::envelope::Envelope;
use crate::wire::reason::Reason;
use crate::wire::status::Status;
use crate::wire::text::printable;

/// What a node is set to.
#[derive(Debug, Deserialize)]
struct Settings {
    alternate_smtp_port: u16,
    auth_mode: String,
}

/// What is seen of one node: what it is set to, whether it runs.
type Seen = (Settings, bool);

/// The answer of `queryNodes`; `row` says what is seen here.
pub fn nodes(cluster: &Cluster, service: &Service, row: &Row) -> Envelope {
    let here = own(&(row.run)(service, &json!({})));
    let mut entries = vec![entry(&cluster.own, Some(VERSION.into()), &here, here.as_ref().ok())];
    let answers = each(&cluster.nodes, cluster.tick, |node| look(cluster, node));
    for (node, answer) in cluster.nodes.iter().zip(answers) {
        let seen = answer.unwrap_or_else(|| Err(ours()));
        entries.push(entry(&node.id, node.version(), &seen, here.as_ref().ok()));
    }
    Envelope::done(json!(entries))
}

/// What is seen here, out of the row's own answer.
fn own(envelope: &Envelope) -> Result<Seen, Failure> {
    let sentence = || envelope.payload.as_str().unwrap_or_default().to_owned();
    if envelope.status != Status::Done {
        let problem = envelope.error.clone();
        return Err(Failure { number: envelope.status.number(), text: sentence(), problem });
    }
    let running = envelope.payload["is_running"] == 1;
    settings(&envelope.payload).map(|settings| (settings, running))
}

/// Asks a node what it is set to and whether it runs.
fn look(cluster: &Cluster, node: &Node) -> Result<Seen, Failure> {
    let (nothing, deadline) = (json!({}), cluster.deadline());
    let ask = |action| node.ask(&cluster.ask(action, &nothing, Lane::Read), deadline);
    let settings = settings(&ask("queryUpdate")?)?;
    let running = ask("isRunning")?;
    Ok((settings, running.as_bool().ok_or_else(|| odd(&running))?))
}

fn settings(payload: &Value) -> Result<Settings, Failure> {
    let settings = Settings::deserialize(payload).ok();
    settings.filter(|settings| MODES.contains(&&*settings.auth_mode)).ok_or_else(|| odd(payload))
}

fn odd(payload: &Value) -> Failure {
    let text = format!("what it answers is not understood here: {}", printable(payload.to_string()));
    Failure::new(Reason::NodeGarbled, text)
}

fn ours() -> Failure {
    Failure::new(Reason::Internal, "a fault of ours; the log knows more")
}

fn entry(id: &str, version: Option<String>, seen: &Result<Seen, Failure>, here: Option<&Seen>) -> NodeState {
    // A failure of its own, with an envelope, is an answer too.
    let reachable = seen.as_ref().err().is_none_or(|failure| failure.number != Status::Node.number());
    let mut entry =
        NodeState { id: id.into(), is_reachable: reachable.into(), version, ..Default::default() };
    match seen {
        Err(failure) => {
            entry.status = Some(failure.number);
            entry.reason = failure.problem.as_ref().map(|problem| problem.reason.to_string());
            entry.message = Some(failure.line());
        }
        Ok((settings, running)) => {
            entry.is_running = Some(u8::from(*running));
            entry.alternate_smtp_port = Some(settings.alternate_smtp_port);
            entry.auth_mode = Some(settings.auth_mode.clone());
            entry.differs = here.map(|here| differences(here, settings, *running)).unwrap_or_default();
        }
    }
    entry
}

/// The members that differ.
fn differences(here: &Seen, there: &Settings, running: bool) -> Vec<&'static str> {
    [
        ("is_running", here.1 != running),
        ("alternate_smtp_port", here.0.alternate_smtp_port != there.alternate_smtp_port),
        ("auth_mode", here.0.auth_mode != there.auth_mode),
    ]
    .into_iter()
    .filter_map(|(name, differs)| differs.then_some(name))
    .collect()
}
