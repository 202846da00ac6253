//! One message in, its reply out.
//!
//! A message that has been parsed is prepared first: each request finds its row and its input is admitted, once, wherever it
//! is then carried out. What JSON-RPC 2.0 asks of single requests, notifications and batches is done here, with the error
//! objects for the conversation's own faults; when, and on which thread, is `lanes`'s. A panic below is an internal error of
//! that one request and of no other.

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
use serde_json::json;

use super::module::{Admitted, Plugin, module};
use crate::action::{self, Lane, Row};
use crate::change::history::Origin;
use crate::schema::admit::{admit, admit_value};
use crate::wire::call::{self, Call, DISCOVER, Item};
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

/// A message whose requests are ready to be carried out.
pub type Message<'a> = call::Message<'a, Request<'a>>;

/// A request, with what is known of it before it is carried out.
#[derive(Debug)]
pub struct Request<'a> {
    call: Call<'a>,
    row: Option<&'static Row>,
    /// Its input, where there are parameters; of a refused one that was kept, the text is read again.
    input: Option<Admitted>,
    lane: Lane,
}

impl Request<'_> {
    fn into_owned(self) -> Request<'static> {
        let Self { mut call, row, input, lane } = self;
        // The faults may take many times as much as the text that they are about.
        let input = input.filter(|input| input.0.is_ok());
        call.params = call.params.filter(|_| input.is_none());
        Request { call: call.into_owned(), row, input, lane }
    }
}

/// The same without the bytes that it came in, to wait in a queue.
pub fn kept(message: Message<'_>) -> Message<'static> {
    message.map(Request::into_owned).into_owned()
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

    /// Finds out what is asked for.
    pub fn prepare<'a>(&self, message: call::Message<'a>) -> Message<'a> {
        message.map(|mut call| {
            let row = action::find(&call.method);
            let input = row.zip(call.params.as_mut()).and_then(|(row, params)| {
                let admitted = || match params.value.take() {
                    Some(value) => admit_value(row, Some(value)),
                    None => admit(row, Some(&params.text)),
                };
                // A fault of ours is met again where it is that one request's.
                catch_unwind(AssertUnwindSafe(admitted)).ok().map(Admitted::new)
            });
            let lane = row.map_or(Lane::Constant, |row| self.lane_of(row, &call, input.as_ref()));
            Request { call, row, input, lane }
        })
    }

    /// Where a request waits. What has to be looked at elsewhere is on a worker; refused input has not.
    fn lane_of(&self, row: &Row, call: &Call<'_>, input: Option<&Admitted>) -> Lane {
        let cluster = &self.plugin.cluster;
        let leaves = || match input {
            Some(Admitted(input)) => input.as_ref().as_ref().is_ok_and(|input| cluster.leaves(row, input)),
            None => call.params.is_none() && cluster.leaves(row, &json!({})),
        };
        match row.lane {
            Lane::Read if cluster.may_leave(row) && leaves() => Lane::Remote,
            lane => lane,
        }
    }

    /// The lane of a message: that of its most demanding request.
    pub fn lane(message: &Message<'_>) -> Lane {
        let is_there = |lane: &Lane| message.calls().any(|request| request.lane == *lane);
        [Lane::Change, Lane::Remote, Lane::Read].into_iter().find(is_there).unwrap_or(Lane::Constant)
    }

    /// How many changes a message asks for.
    pub fn changes(message: &Message<'_>) -> usize {
        message.calls().filter(|request| request.lane == Lane::Change).count()
    }

    /// Carries out a message and appends its reply, if it has one. What a batch has not begun when `closing` says that
    /// the session ends is not begun any more.
    pub fn answer(&self, message: &Message<'_>, closing: &AtomicBool, out: &mut Vec<u8>) {
        let start = out.len();
        each(message, out, |request, out| {
            let id = request.call.id.as_deref();
            if closing.load(Ordering::Acquire) {
                let (refusal, why) = SHUTTING_DOWN;
                error(out, id, refusal, why);
            } else if out.len() - start > BATCH_REPLY_LIMIT {
                error(
                    out,
                    id,
                    Refusal::Busy,
                    "the replies of this batch grow too large; send the rest again",
                );
            } else {
                self.call(request, out);
            }
        });
    }

    /// Appends the reply to a message that is not carried out.
    pub fn refuse(message: &Message<'_>, refusal: Refusal, why: &str, out: &mut Vec<u8>) {
        each(message, out, |request, out| error(out, request.call.id.as_deref(), refusal, why));
    }

    fn call(&self, request: &Request<'_>, out: &mut Vec<u8>) {
        let Request { call, row, input, .. } = request;
        let (id, changes) = (call.id.as_deref(), row.is_some_and(|row| row.lane == Lane::Change));
        // Nobody waits for the answer of a notification that only looks.
        if id.is_none() && !changes {
            return;
        }
        let Some(MethodCallback::Sync(callback)) = self.methods.method(&call.method) else {
            let known = format!("Method not found: {}; there are {}", printable(&*call.method), methods());
            return error(out, id, Refusal::Unknown, &known);
        };
        let mut asked = Extensions::new();
        if let Some(input) = input {
            asked.insert(input.clone());
        }
        if changes {
            // Of what only looks nothing is written down.
            asked.insert(origin(call));
        }
        let params = call.params.as_ref().map(|params| &*params.text);
        let run = || callback(Id::Null, Params::new(params), usize::MAX, asked.clone());
        let response = catch_unwind(AssertUnwindSafe(run));
        match response.as_ref().ok().and_then(tail) {
            Some(tail) => reply::write(out, id, tail),
            None => error(out, id, Refusal::Internal, "Internal error"),
        }
    }
}

/// Goes through a message's requests; `reply` appends one reply each, and nothing for a notification.
fn each(message: &Message<'_>, out: &mut Vec<u8>, mut reply: impl FnMut(&Request<'_>, &mut Vec<u8>)) {
    let mut one = |item: &Item<'_, Request<'_>>, out: &mut Vec<u8>| match item {
        Item::Call(request) => {
            let start = out.len();
            reply(request, out);
            if request.call.id.is_none() {
                out.truncate(start);
            }
        }
        Item::Reply => {}
        Item::Invalid(id, fault) => {
            error(out, id.as_deref(), Refusal::Invalid, &format!("Invalid request: {fault}"))
        }
    };
    match message {
        call::Message::One(item) => one(item, out),
        call::Message::BadBatch(fault) => {
            error(out, None, Refusal::Invalid, &format!("Invalid request: {fault}"))
        }
        call::Message::Batch(items) => {
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

/// On whose behalf a request is.
fn origin(call: &Call<'_>) -> Origin {
    let text = |id: &str| serde_json::from_str::<String>(id).unwrap_or_else(|_| id.to_owned());
    let request = call.id.as_deref().map(|id| printable(text(id)));
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
