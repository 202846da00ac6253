//! The lanes: reads are answered at once, changes one after the other, what looks at other machines on workers (`remote`).
//!
//! Which lane a message takes is read off its requests (`dispatch`); here are the queue, its bounds, and what becomes of it
//! when the session ends. A reply of the change lane goes to `send`; replies may overtake each other. What cannot wait is
//! answered "busy" or "shutting down". A change that a dead plugin has left is ended first, whenever it is met; whatever is
//! not constant waits for that.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::dispatch::{Dispatch, Message, Refusal, SHUTTING_DOWN, error, kept};
use super::remote::{self, Rejected, RemotePool};
use crate::action::Lane;
use crate::wire::call;
use crate::wire::framing::{Framing, encode};
use crate::wire::text::printable;

/// How many changes may wait.
const QUEUE_LIMIT: usize = 64;
/// How many bytes of requests may wait.
const QUEUE_BYTES: usize = 8 << 20;

/// Where the change lane's replies go.
pub type Send = Box<dyn Fn(&[u8]) + std::marker::Send + Sync>;

/// What is to be done besides answering.
pub struct Upkeep {
    /// Whether there is something to recover before the first request; asked once.
    pub at_start: bool,
    /// Whether a change of a plugin that is gone is to be ended now; asked before each read that is not constant.
    pub is_due: Box<dyn Fn() -> bool + std::marker::Send + Sync>,
    /// Ends it.
    pub recover: Box<dyn Fn() + std::marker::Send + Sync>,
    /// Looks after what was changed, and says when it is to be called again, if at all; called between changes.
    pub look_after: Box<dyn Fn() -> Option<Duration> + std::marker::Send + Sync>,
}

/// The lanes of one session.
pub struct Lanes {
    dispatch: Dispatch,
    send: Send,
    state: Mutex<State>,
    news: Condvar,
    remote: Arc<RemotePool>,
    upkeep: Upkeep,
    /// An interrupted change is still to be ended.
    recovering: AtomicBool,
    /// Nothing more is begun.
    closing: AtomicBool,
}

struct State {
    jobs: VecDeque<Job>,
    /// Bytes of the messages that wait.
    bytes: usize,
    /// The changes in them.
    changes: usize,
    recover: bool,
    worker: Worker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// Not started yet.
    Absent,
    Idle,
    Running,
    /// Done, but the host has not taken the reply yet.
    Sending,
}

struct Job {
    message: Message<'static>,
    /// What it takes while it waits, in bytes.
    size: usize,
    /// How many changes it asks for; what waits for a recovery counts as one.
    changes: usize,
    framing: Framing,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lanes").field("dispatch", &self.dispatch).finish_non_exhaustive()
    }
}

impl Lanes {
    /// Lanes whose change lane begins with a recovery, if there is something to recover.
    pub fn new(dispatch: Dispatch, send: Send, upkeep: Upkeep) -> Arc<Self> {
        let recovering = upkeep.at_start;
        let lanes = Arc::new(Self {
            dispatch,
            send,
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                bytes: 0,
                changes: 0,
                recover: recovering,
                worker: Worker::Absent,
            }),
            news: Condvar::new(),
            remote: Arc::default(),
            upkeep,
            recovering: AtomicBool::new(recovering),
            closing: AtomicBool::new(false),
        });
        if recovering {
            lanes.start_worker(&mut lanes.state.lock());
        }
        lanes
    }

    /// Takes one message; what can be answered at once is appended to `out`.
    pub fn accept(self: &Arc<Self>, bytes: &[u8], framing: Framing, out: &mut Vec<u8>) {
        let message = match call::parse(bytes) {
            Ok(message) => self.dispatch.prepare(message),
            Err(e) => {
                let why = format!("Parse error: {}", printable(e.to_string()));
                return encode(out, framing, |out| error(out, None, Refusal::NotJson, &why));
            }
        };
        let size = bytes.len().max(size_of_val(message.items()));
        let waits = match Dispatch::lane(&message) {
            Lane::Remote => {
                self.begins_recovery();
                return self.send_remote(message, size, framing, out);
            }
            Lane::Constant => false,
            Lane::Read => self.recovering.load(Ordering::Acquire) || self.begins_recovery(),
            Lane::Change => true,
        };
        let refusal = if !waits {
            self.closing().then_some(SHUTTING_DOWN)
        } else {
            let changes = Dispatch::changes(&message).max(1);
            let mut state = self.state.lock();
            // Under the lock: a queue that has been emptied for good must not be filled again.
            if self.closing() {
                Some(SHUTTING_DOWN)
            } else if state.changes + changes > QUEUE_LIMIT || state.bytes + size > QUEUE_BYTES {
                Some((Refusal::Busy, "too many changes are waiting (64 at the most); try again later"))
            } else if !self.start_worker(&mut state) {
                Some((Refusal::Internal, "the change lane cannot be started; nothing was changed"))
            } else {
                state.bytes += size;
                state.changes += changes;
                state.jobs.push_back(Job { message: kept(message), size, changes, framing });
                self.news.notify_all();
                return;
            }
        };
        encode(out, framing, |out| match refusal {
            Some((refusal, why)) => Dispatch::refuse(&message, refusal, why, out),
            None => self.dispatch.answer(&message, &self.closing, out),
        });
    }

    /// Whether a plugin that is gone has left a change that is to be ended now; the change lane then begins with that.
    fn begins_recovery(self: &Arc<Self>) -> bool {
        if self.closing() || !(self.upkeep.is_due)() {
            return false;
        }
        let mut state = self.state.lock();
        state.recover = true;
        self.recovering.store(true, Ordering::Release);
        self.news.notify_all();
        self.start_worker(&mut state)
    }

    /// Leaves a message to a worker.
    fn send_remote(self: &Arc<Self>, message: Message<'_>, size: usize, framing: Framing, out: &mut Vec<u8>) {
        let (lanes, sender) = (Arc::clone(self), Arc::clone(self));
        let request = remote::Request { message: kept(message), size, framing };
        let run = move |request: &remote::Request| lanes.run_remote(request);
        let taken = self.remote.take(request, run, move |reply| (sender.send)(reply));
        let Err((why, request)) = taken else { return };
        let (refusal, why) = match why {
            Rejected::Closed => SHUTTING_DOWN,
            Rejected::Busy => {
                (Refusal::Busy, "too much is asked at once that takes its time; try again later")
            }
            Rejected::NoWorker => (Refusal::Internal, "no worker can be started; nothing was asked"),
        };
        encode(out, framing, |out| Dispatch::refuse(&request.message, refusal, why, out));
    }

    fn run_remote(&self, request: &remote::Request) -> Vec<u8> {
        let mut state = self.state.lock();
        while self.recovering.load(Ordering::Acquire) && !self.closing() {
            self.news.wait(&mut state);
        }
        drop(state);
        let mut out = Vec::new();
        encode(&mut out, request.framing, |out| self.dispatch.answer(&request.message, &self.closing, out));
        out
    }

    fn closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Everything that waits is carried out; returns when nothing is left.
    pub fn drain(&self) {
        let mut state = self.state.lock();
        let idle = |state: &State| matches!(state.worker, Worker::Absent | Worker::Idle);
        while !state.jobs.is_empty() || !idle(&state) || self.recovering.load(Ordering::Acquire) {
            self.news.wait(&mut state);
        }
        drop(state);
        self.remote.drain();
    }

    /// Nothing more is begun; what waits is answered "shutting down". Returns when what had begun has ended, and its
    /// reply has been taken or could not be delivered within `within`; with the replies that are left to deliver.
    pub fn close(&self, within: Duration) -> Vec<u8> {
        let waiting = self.shut();
        let remote = self.remote.close();
        let waiting = waiting.iter().map(|job| (&job.message, job.framing));
        let remote = remote.iter().map(|request| (&request.message, request.framing));
        let mut out = Vec::new();
        for (message, framing) in waiting.chain(remote) {
            let (refusal, why) = SHUTTING_DOWN;
            encode(&mut out, framing, |out| Dispatch::refuse(message, refusal, why, out));
        }
        self.wait_for_the_running_one(within);
        out
    }

    /// Nothing more is begun, what waits is dropped; returns when what had begun has ended.
    pub fn abandon(&self) {
        self.shut();
        self.remote.close();
        self.wait_for_the_running_one(Duration::ZERO);
    }

    fn shut(&self) -> VecDeque<Job> {
        let mut state = self.state.lock();
        self.closing.store(true, Ordering::Release);
        (state.bytes, state.changes) = (0, 0);
        let waiting = std::mem::take(&mut state.jobs);
        drop(state);
        tracing::info!(waiting = waiting.len(), "the session ends; no further change is begun");
        waiting
    }

    fn wait_for_the_running_one(&self, within: Duration) {
        let mut state = self.state.lock();
        while state.worker == Worker::Running {
            self.news.wait(&mut state);
        }
        let until = Instant::now() + within;
        while state.worker == Worker::Sending && Instant::now() < until {
            self.news.wait_until(&mut state, until);
        }
        drop(state);
        self.remote.settle(until);
    }

    /// Whether there is a worker now.
    fn start_worker(self: &Arc<Self>, state: &mut State) -> bool {
        if state.worker != Worker::Absent {
            return true;
        }
        let lanes = Arc::clone(self);
        match std::thread::Builder::new().name("changes".into()).spawn(move || lanes.work()) {
            Ok(_) => state.worker = Worker::Idle,
            Err(error) => {
                tracing::error!(%error, "the change lane cannot be started");
                self.recovering.store(false, Ordering::Release);
            }
        }
        state.worker != Worker::Absent
    }

    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if std::mem::take(&mut state.recover) {
                self.busy(&mut state, || (self.upkeep.recover)());
                self.recovering.store(false, Ordering::Release);
                self.news.notify_all();
                continue;
            }
            let Some(job) = state.jobs.pop_front() else {
                let mut again = None;
                self.busy(&mut state, || again = (self.upkeep.look_after)());
                if state.jobs.is_empty() && !state.recover {
                    state.worker = Worker::Idle;
                    self.news.notify_all();
                    match again {
                        Some(span) => {
                            self.news.wait_for(&mut state, span);
                        }
                        None => self.news.wait(&mut state),
                    }
                }
                continue;
            };
            state.bytes = state.bytes.saturating_sub(job.size);
            state.changes = state.changes.saturating_sub(job.changes);
            let mut out = Vec::new();
            self.busy(&mut state, || {
                encode(&mut out, job.framing, |out| self.dispatch.answer(&job.message, &self.closing, out));
            });
            state.worker = Worker::Sending;
            self.news.notify_all();
            MutexGuard::unlocked(&mut state, || (self.send)(&out));
        }
    }

    /// Does something without holding the lock.
    fn busy(&self, state: &mut MutexGuard<'_, State>, work: impl FnOnce()) {
        state.worker = Worker::Running;
        let work = || catch_unwind(AssertUnwindSafe(work));
        if MutexGuard::unlocked(state, work).is_err() {
            // The hook has logged it; a lane whose worker is gone would keep the session from ending.
            tracing::error!("the change lane goes on after a fault of ours");
        }
    }
}
