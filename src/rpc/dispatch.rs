//! One message in, its reply out.
//!
//! Answers for: what JSON-RPC 2.0 asks of single requests, notifications and batches, and the error objects for the
//! conversation's own faults. Does not know: when or on which thread. A panic below is an internal error of that one
//! request and of no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jsonrpsee::core::RegisterMethodError;
use jsonrpsee::core::server::{MethodCallback, MethodResponse};
use jsonrpsee::{Extensions, Methods};
use jsonrpsee_types::error::{
    INTERNAL_ERROR_CODE, INVALID_REQUEST_CODE, METHOD_NOT_FOUND_CODE, OVERSIZED_REQUEST_CODE,
    PARSE_ERROR_CODE, SERVER_IS_BUSY_CODE,
};
use jsonrpsee_types::{ErrorObject, Id, Params};

use super::module::{Plugin, module};
use crate::action::{self, Lane, Row};
use crate::change::history::Origin;
use crate::schema::admit::admit;
use crate::wire::call::{Call, DISCOVER, Item, Message};
use crate::wire::reply;
use crate::wire::text::printable;

/// What the replies of one batch may come to, in bytes, before the rest of it is answered "busy".
const BATCH_REPLY_LIMIT: usize = 8 << 20;
/// Ours, for a plugin that is about to end (schema/README.md, "Errors of the conversation").
const SHUTTING_DOWN_CODE: i32 = -32099;
/// What jsonrpsee puts before the part of a reply that is not the id's.
const HEAD: &str = r#"{"jsonrpc":"2.0","id":null,"#;

/// What a session that is about to end answers.
pub const SHUTTING_DOWN: (Refusal, &str) =
    (Refusal::ShuttingDown, "the plugin is shutting down; this request was not carried out");

/// A fault of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not JSON.
    NotJson,
    /// No valid request.
    Invalid,
    /// No such method.
    Unknown,
    /// A fault of ours.
    Internal,
    /// Over the size limit.
    TooBig,
    /// Too many changes wait, or too much is asked for at once.
    Busy,
    /// The plugin is about to end.
    ShuttingDown,
}

impl Refusal {
    fn code(self) -> i32 {
        match self {
            Self::NotJson => PARSE_ERROR_CODE,
            Self::Invalid => INVALID_REQUEST_CODE,
            Self::Unknown => METHOD_NOT_FOUND_CODE,
            Self::Internal => INTERNAL_ERROR_CODE,
            Self::TooBig => OVERSIZED_REQUEST_CODE,
            Self::Busy => SERVER_IS_BUSY_CODE,
            Self::ShuttingDown => SHUTTING_DOWN_CODE,
        }
    }
}

/// The methods, ready to be called.
#[derive(Debug)]
pub struct Dispatch {
    methods: Methods,
    plugin: Arc<Plugin>,
}

impl Dispatch {
    /// With all methods, on `plugin`.
    ///
    /// # Errors
    /// Two rows of one name.
    pub fn new(plugin: Arc<Plugin>) -> Result<Self, RegisterMethodError> {
        Ok(Self { methods: module(Arc::clone(&plugin))?.into(), plugin })
    }

    /// The lane of a message: that of its most demanding request.
    pub fn lane(&self, message: &Message<'_>) -> Lane {
        match message {
            Message::One(item) => self.lane_of(item),
            Message::Batch(items) => {
                let lanes = || items.iter().map(|item| self.lane_of(item));
                [Lane::Change, Lane::Remote, Lane::Read]
                    .into_iter()
                    .find(|lane| lanes().any(|l| l == *lane))
                    .unwrap_or(Lane::Constant)
            }
            Message::BadBatch(_) => Lane::Constant,
        }
    }

    fn lane_of(&self, item: &Item<'_>) -> Lane {
        match item {
            Item::Call(call) => match action::find(&call.method) {
                Some(row) if row.lane == Lane::Read && self.leaves(row, call.params) => Lane::Remote,
                Some(row) => row.lane,
                None => Lane::Constant,
            },
            Item::Reply | Item::Invalid(..) => Lane::Constant,
        }
    }

    /// Whether what is asked for has to be looked at elsewhere. Refused input has not.
    fn leaves(&self, row: &Row, params: Option<&str>) -> bool {
        let elsewhere = |input| self.plugin.cluster.leaves(row, &input);
        self.plugin.cluster.may_leave(row) && admit(row, params).is_ok_and(elsewhere)
    }

    /// How many changes a message asks for.
    pub fn changes(&self, message: &Message<'_>) -> usize {
        let is_change = |item: &&Item<'_>| self.lane_of(item) == Lane::Change;
        match message {
            Message::One(item) => usize::from(is_change(&item)),
            Message::Batch(items) => items.iter().filter(is_change).count(),
            Message::BadBatch(_) => 0,
        }
    }

    /// Carries out a message and appends its reply, if it has one. What a batch has not begun when `closing` says that
    /// the session ends is not begun any more.
    pub fn answer(&self, message: &Message<'_>, closing: &AtomicBool, out: &mut Vec<u8>) {
        let start = out.len();
        self.each(message, out, |call, out| {
            if closing.load(Ordering::Acquire) {
                let (refusal, why) = SHUTTING_DOWN;
                error(out, call.id, refusal, why);
            } else if out.len() - start > BATCH_REPLY_LIMIT {
                error(
                    out,
                    call.id,
                    Refusal::Busy,
                    "the replies of this batch grow too large; send the rest again",
                );
            } else {
                self.call(call, out);
            }
        });
    }

    /// Appends the reply to a message that is not carried out.
    pub fn refuse(&self, message: &Message<'_>, refusal: Refusal, why: &str, out: &mut Vec<u8>) {
        self.each(message, out, |call, out| error(out, call.id, refusal, why));
    }

    /// Goes through a message's requests; `reply` appends one reply each, and nothing for a notification.
    fn each(&self, message: &Message<'_>, out: &mut Vec<u8>, mut reply: impl FnMut(&Call<'_>, &mut Vec<u8>)) {
        let mut one = |item: &Item<'_>, out: &mut Vec<u8>| match item {
            Item::Call(call) => {
                let start = out.len();
                reply(call, out);
                if call.id.is_none() {
                    out.truncate(start);
                }
            }
            Item::Reply => {}
            Item::Invalid(id, fault) => {
                error(out, *id, Refusal::Invalid, &format!("Invalid request: {fault}"))
            }
        };
        match message {
            Message::One(item) => one(item, out),
            Message::BadBatch(fault) => {
                error(out, None, Refusal::Invalid, &format!("Invalid request: {fault}"))
            }
            Message::Batch(items) => {
                let start = out.len();
                for item in items {
                    out.push(if out.len() == start { b'[' } else { b',' });
                    let before = out.len();
                    one(item, out);
                    if out.len() == before {
                        out.pop();
                    }
                }
                if out.len() > start {
                    out.push(b']');
                }
            }
        }
    }

    fn call(&self, call: &Call<'_>, out: &mut Vec<u8>) {
        // Nobody waits for the answer of a notification that only looks.
        if call.id.is_none() && action::find(&call.method).is_none_or(|row| row.lane != Lane::Change) {
            return;
        }
        let Some(MethodCallback::Sync(callback)) = self.methods.method(&call.method) else {
            let known = format!("Method not found: {}; there are {}", printable(&*call.method), methods());
            return error(out, call.id, Refusal::Unknown, &known);
        };
        let mut asked = Extensions::new();
        if action::find(&call.method).is_some_and(|row| row.lane == Lane::Change) {
            // Of what only looks nothing is written down.
            asked.insert(origin(call));
        }
        let run = || callback(Id::Null, Params::new(call.params), usize::MAX, asked.clone());
        let response = catch_unwind(AssertUnwindSafe(run));
        match response.as_ref().ok().and_then(tail) {
            Some(tail) => reply::write(out, call.id, tail),
            None => error(out, call.id, Refusal::Internal, "Internal error"),
        }
    }
}

/// On whose behalf a request is.
fn origin(call: &Call<'_>) -> Origin {
    let text = |id: &str| serde_json::from_str::<String>(id).unwrap_or_else(|_| id.to_owned());
    let request = call.id.map(|id| printable(text(id)));
    Origin { request, from: call.from.as_deref().map(printable), ..Origin::default() }
}

/// The names of all methods, for a sentence.
fn methods() -> String {
    let names: Vec<&str> = action::TABLE.iter().map(|row| row.name).collect();
    format!("{} and {DISCOVER}", names.join(", "))
}

/// The part of jsonrpsee's response that stands behind its id.
fn tail(response: &MethodResponse) -> Option<&str> {
    response.as_ref().strip_prefix(HEAD)?.strip_suffix('}')
}

/// Appends an error object.
pub fn error(out: &mut Vec<u8>, id: Option<&str>, refusal: Refusal, message: &str) {
    let response = MethodResponse::error(Id::Null, ErrorObject::borrowed(refusal.code(), message, None));
    reply::write(out, id, tail(&response).unwrap_or(r#""error":{"code":-32603,"message":"Internal error"}"#));
}
