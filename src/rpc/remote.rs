//! Workers for requests to other nodes, so that a node that hangs is in nobody's way.
//!
//! At most 16 work at once, and what waits is bounded; a request that cannot be taken comes back with the reason. What is
//! asked is `dispatch`'s. When the session ends, whoever waits is told so at once, even while a node keeps a worker waiting;
//! what a worker has to say after that is not said any more.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::dispatch::Message;
use crate::wire::framing::Framing;

/// How many work at once.
const WORKERS: usize = 16;
/// How many messages may be on their way, those that wait included.
const LIMIT: usize = 80;
/// How many bytes of requests they may have.
const BYTES: usize = 8 << 20;

/// A message that waits for a worker.
#[derive(Debug)]
pub struct Request {
    /// What is asked for.
    pub message: Message<'static>,
    /// What it takes, in bytes.
    pub size: usize,
    /// How its reply is framed.
    pub framing: Framing,
}

/// All that is on its way.
#[derive(Debug, Default)]
pub struct RemotePool {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Without an answer yet, by number.
    requests: BTreeMap<u64, Arc<Request>>,
    /// The numbers of those that nobody works on.
    waiting: VecDeque<u64>,
    last: u64,
    bytes: usize,
    workers: usize,
    /// Replies that the host has not taken yet.
    sending: usize,
    closed: bool,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejected {
    /// The session ends.
    Closed,
    /// Too many are on their way.
    Busy,
    /// No worker can be had.
    NoWorker,
}

impl RemotePool {
    /// Takes a request; `run` answers one, `send` delivers what it answered.
    ///
    /// # Errors
    /// It was not taken, and comes back.
    pub fn take(
        self: &Arc<Self>,
        request: Request,
        run: impl Fn(&Request) -> Vec<u8> + Send + 'static,
        send: impl Fn(&[u8]) + Send + 'static,
    ) -> Result<(), (Rejected, Box<Request>)> {
        let mut state = self.state.lock();
        if state.closed {
            return Err((Rejected::Closed, request.into()));
        }
        if state.requests.len() >= LIMIT || state.bytes + request.size > BYTES {
            return Err((Rejected::Busy, request.into()));
        }
        if state.workers < WORKERS {
            let pool = Arc::clone(self);
            let worker = std::thread::Builder::new().name("remote".into());
            match worker.spawn(move || pool.work(&run, &send)) {
                Ok(_) => state.workers += 1,
                Err(_) if state.workers > 0 => {}
                Err(error) => {
                    tracing::error!(%error, "no worker can be started");
                    return Err((Rejected::NoWorker, request.into()));
                }
            }
        }
        state.last += 1;
        let number = state.last;
        state.bytes += request.size;
        state.waiting.push_back(number);
        state.requests.insert(number, Arc::new(request));
        Ok(())
    }

    fn work(&self, run: &impl Fn(&Request) -> Vec<u8>, send: &impl Fn(&[u8])) {
        let mut state = self.state.lock();
        while let Some(number) = state.waiting.pop_front() {
            let Some(request) = state.requests.get(&number).cloned() else { continue };
            drop(state);
            // The hook has logged it; a worker that is gone would keep the session from ending.
            let reply = catch_unwind(AssertUnwindSafe(|| run(&request))).unwrap_or_default();
            state = self.state.lock();
            if state.requests.remove(&number).is_some() {
                state.bytes = state.bytes.saturating_sub(request.size);
                state.sending += 1;
                drop(state);
                send(&reply);
                state = self.state.lock();
                state.sending -= 1;
                self.news.notify_all();
            }
        }
        state.workers -= 1;
        self.news.notify_all();
    }

    /// Returns when nothing is on its way.
    pub fn drain(&self) {
        let mut state = self.state.lock();
        while !state.requests.is_empty() || state.sending > 0 {
            self.news.wait(&mut state);
        }
    }

    /// Takes nothing more; what has no answer yet, to be told so.
    pub fn close(&self) -> Vec<Arc<Request>> {
        let mut state = self.state.lock();
        state.closed = true;
        state.waiting.clear();
        std::mem::take(&mut state.requests).into_values().collect()
    }

    /// Waits until no reply is being delivered any more.
    pub fn settle(&self, until: Instant) {
        let mut state = self.state.lock();
        while state.sending > 0 && Instant::now() < until {
            self.news.wait_until(&mut state, until);
        }
    }
}
