//! One node: the way to it, and what it answers.
//!
//! A channel is opened at first use, and again when it broke. A read is asked a second time once, on a fresh channel; a
//! change never, unless not a byte of it was sent. What comes back becomes an envelope, or a failure with the node's words;
//! it is hostile until it is parsed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::channel::{Channel, Environment};
use super::fault::{Fate, Fault, Lost};
use super::message::Reply;
use super::ssh;
use crate::action::Lane;
use crate::sys::{Command, Deadline};
use crate::wire::envelope::Envelope;
use crate::wire::problem::{NodeProblem, Problem};
use crate::wire::reason::Reason;
use crate::wire::status::{self, Status};
use crate::wire::text::printable;

/// JSON-RPC's number for a fault inside the other side.
const INTERNAL_ERROR: i64 = -32603;
/// How long a channel may take to close.
const GRACE: Duration = Duration::from_secs(1);
/// The most lines of a node's answer that are passed on: its sentence, and one for each input of `update`.
const LINES: usize = 4;

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// How an ssh is called that knows so many groups of newer options.
    commands: [Command; ssh::AGES],
    lines: Mutex<Lines>,
}

/// The channels of a node.
#[derive(Debug)]
struct Lines {
    /// The last one is in use; those before it have failed somebody, and others still wait on them.
    channels: Vec<Arc<Channel>>,
    /// How many groups of newer options ssh knows, as far as it has turned out.
    known: usize,
    /// The plugin ends: no channel is opened any more.
    shut: bool,
}

/// What is asked of a node.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The base action.
    pub action: &'a str,
    /// Its input.
    pub input: &'a Value,
    /// Whether it changes something there.
    pub lane: Lane,
    /// The node that asks.
    pub from: &'a str,
    /// How long the node may take, opening included; the deadline is made of it.
    pub node_time: Duration,
    /// What ssh is given of our environment.
    pub environment: &'a Environment,
}

/// A node that did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The status number, which need not be one of ours.
    pub number: u16,
    /// The sentence, its fields behind it line by line.
    pub text: String,
    /// The same for a program; a node of 1.0.0 sends none.
    pub problem: Option<Box<Problem>>,
}

#[derive(Deserialize)]
struct Told {
    status: u16,
    payload: Value,
    #[serde(default)]
    error: Value,
}

impl Node {
    /// The node `id` at `destination`.
    pub fn new(id: String, program: &Path, destination: &str) -> Self {
        let commands = std::array::from_fn(|known| ssh::command(known, program, destination));
        let lines = Lines { channels: Vec::new(), known: ssh::AGES - 1, shut: false };
        Self { id, commands, lines: Mutex::new(lines) }
    }

    /// Does the action there.
    ///
    /// # Errors
    /// The node's own failure, or that no envelope came.
    pub fn ask(&self, ask: &Ask<'_>, deadline: Deadline) -> Result<Value, Failure> {
        let told = self.exchange(ask, deadline).and_then(|reply| envelope(ask, reply));
        let Told { status: number, payload, error } = told.map_err(|lost| {
            tracing::info!(node = self.id, action = ask.action, fault = %lost.fault, "a node did not answer");
            let problem = Some(Box::new(lost.problem(ask.lane)));
            Failure { number: Status::Node.number(), text: lost.sentence(ask.lane), problem }
        })?;
        let text = match (number, payload) {
            (0, payload) => return Ok(payload),
            (_, Value::String(text)) => several(&text),
            (_, other) => printable(other.to_string()),
        };
        Err(Failure { number, text, problem: Problem::from_outside(error).map(Box::new) })
    }

    fn exchange(&self, ask: &Ask<'_>, deadline: Deadline) -> Result<Reply, Lost> {
        let on = |channel: &Channel| channel.ask(ask.action, ask.input, ask.from, deadline, ask.node_time);
        let mut channel = self.channel(ask.environment).map_err(Lost::unsent)?;
        let in_use = channel.version().is_some();
        let mut answered = on(&channel);
        for _ in 1..ssh::AGES {
            // It has ended before it reached the node.
            let Err(Lost { fault: Fault::Older { known, .. }, .. }) = answered else { break };
            self.know(known);
            channel = self.channel(ask.environment).map_err(Lost::unsent)?;
            answered = on(&channel);
        }
        match answered {
            Err(lost) if may_be_repeated(&lost, in_use, ask.lane) => {
                on(&*self.channel(ask.environment).map_err(Lost::unsent)?)
            }
            answered => answered,
        }
    }

    /// ssh is so old.
    fn know(&self, known: usize) {
        let mut lines = self.lines.lock();
        lines.known = lines.known.min(known);
    }

    /// The open channel, or a new one.
    fn channel(&self, environment: &Environment) -> Result<Arc<Channel>, Fault> {
        let mut lines = self.lines.lock();
        if lines.shut {
            return Err(Fault::Closed);
        }
        if let Some(channel) = lines.channels.last().filter(|channel| channel.is_usable()) {
            return Ok(Arc::clone(channel));
        }
        let channel = Channel::open(&self.commands[lines.known], environment)?;
        lines.channels.retain(|channel| !channel.is_over());
        lines.channels.push(Arc::clone(&channel));
        Ok(channel)
    }

    /// The version of the plugin there, as it said last.
    pub fn version(&self) -> Option<String> {
        self.lines.lock().channels.last()?.said_version()
    }

    /// Whether an ssh runs for this node.
    pub fn is_open(&self) -> bool {
        self.lines.lock().channels.iter().any(|channel| !channel.is_over())
    }

    /// Closes what nobody waits on; the next who asks opens another channel.
    pub fn release(&self) {
        let channels = self.lines.lock().channels.clone();
        let unused: Vec<_> = channels.into_iter().filter(|channel| channel.hang_up_if_unused()).collect();
        unused.iter().for_each(|channel| channel.await_end(Deadline::after(GRACE)));
    }

    /// Says goodbye for good; what is still open is to be waited for.
    pub fn shut(&self) -> Vec<Arc<Channel>> {
        let mut lines = self.lines.lock();
        lines.shut = true;
        lines.channels.iter().for_each(|channel| channel.hang_up());
        std::mem::take(&mut lines.channels)
    }
}

/// Whether it may be asked once more, on a fresh channel; `in_use` is whether this one had worked before. A passed
/// deadline leaves no time for it, and what fails at once fails again.
fn may_be_repeated(lost: &Lost, in_use: bool, lane: Lane) -> bool {
    let stale = in_use || lost.fault == Fault::Closed;
    let harmless = lost.fate == Fate::NotBegun || lane != Lane::Change;
    stale && harmless && !matches!(lost.fault, Fault::Silent(_))
}

/// The envelope in a reply.
fn envelope(ask: &Ask<'_>, reply: Reply) -> Result<Told, Lost> {
    let result = match reply {
        Reply::Result(result) => result,
        Reply::Error { code, message } => {
            let fault = Fault::Error { code, message: printable(message) };
            // Only a fault inside the plugin there leaves it open how far it came.
            let begun = code == INTERNAL_ERROR;
            return Err(if begun { Lost::unanswered(fault) } else { Lost::unsent(fault) });
        }
    };
    let told: Option<Told> = serde_json::from_str(result.get()).ok();
    let fits = |told: &Told| match ask.lane {
        _ if told.status != 0 => true,
        Lane::Change => told.payload == "Success",
        // What is read of a node is a yes or a no (`isRunning`), or has members that are read one by one.
        _ if ask.action == "isRunning" => told.payload.is_boolean(),
        _ => told.payload.is_object(),
    };
    told.filter(fits).ok_or_else(|| Lost::unanswered(Fault::Garbled(printable(result.get()))))
}

/// A node's sentence with its fields, each line fit to be shown.
fn several(text: &str) -> String {
    text.lines().take(LINES).map(printable).collect::<Vec<_>>().join("\n")
}

impl Failure {
    /// One of our own making.
    pub fn new(reason: Reason, text: impl Into<String>) -> Self {
        Self { number: reason.status().number(), text: text.into(), problem: Some(Box::new(reason.into())) }
    }

    /// As one line: the number and the sentence.
    pub fn line(&self) -> String {
        format!("{} {}", self.number, self.text.replace('\n', "; "))
    }

    /// As the envelope of an action on that node; a number that this version does not know is a failed node.
    pub fn envelope(&self, id: &str) -> Envelope {
        let (status, sentence) = match status::TABLE.iter().find(|row| row.number == self.number) {
            Some(row) => (row.status, format!("{id}: {}", self.text)),
            None => (Status::Node, format!("{id}: {}", self.line())),
        };
        Envelope { status, payload: sentence.into(), error: self.problem.clone() }
    }

    /// As an entry of a cascade's answer.
    pub fn of_node(&self, id: &str) -> NodeProblem {
        let reason = self.problem.as_ref().map(|problem| problem.reason.clone());
        NodeProblem { id: id.to_owned(), status: self.number, reason, sentence: self.text.clone() }
    }
}
