//! One open connection to the plugin on a node, shared by several threads.
//!
//! Each request has its own id and its own deadline. The versions are compared before anything is asked, and a channel
//! that was idle for a minute is closed. Which node it leads to, and whether something may be asked again, is `node`'s;
//! what is written on it is `message`'s. Once a fault is known nothing more is sent, and all who wait are told of it; a
//! thread that reads owns the ssh process and reaps it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde_json::{Value, json};

use super::fault::{Fault, Lost};
use super::message::{self, Reply};
use super::ssh::{self, Heard};
use crate::sys::talk::{self, Input, Output, Received, Unsent};
use crate::sys::{Command, Deadline};
use crate::wire::call::DISCOVER;
use crate::wire::text::{chain, printable};

/// The longest line that is read, in bytes.
const LINE_LIMIT: usize = 1 << 20;
/// How long a channel stays open that nobody uses.
const IDLE: Duration = Duration::from_secs(60);
/// How long ssh may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);
/// How long somebody's text before the plugin's first word may be followed by nothing, until it counts for itself.
const PAUSE: Duration = Duration::from_secs(5);
/// The id of the greeting.
const GREETING: u64 = 0;

/// The variables that ssh gets beside the fixed ones.
pub type Environment = [(std::ffi::OsString, std::ffi::OsString)];

/// A channel.
#[derive(Debug)]
pub struct Channel {
    input: Input,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug)]
struct State {
    /// The version of the plugin there, once it has said it.
    version: Option<String>,
    /// What is on its way, and what came back.
    asked: HashMap<u64, Option<Reply>>,
    last: u64,
    /// Why nothing more is sent.
    fault: Option<Fault>,
    /// Somebody's deadline has passed, or the end was heard: nothing new is sent, and the last who waits closes.
    stale: bool,
    /// The process is gone.
    over: bool,
    used: Instant,
}

impl Channel {
    /// Starts ssh and greets; returns before anything has been answered.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn open(command: &Command, environment: &Environment) -> Result<Arc<Self>, Fault> {
        let start = |error: std::io::Error| Fault::Start(chain(&error));
        let (input, output) = talk::start(command, environment).map_err(start)?;
        let state = State {
            version: None,
            asked: HashMap::new(),
            last: GREETING,
            fault: None,
            stale: false,
            over: false,
            used: Instant::now(),
        };
        let channel = Arc::new(Self { input, state: Mutex::new(state), news: Condvar::new() });
        // An empty pipe takes it at once; if ssh is gone already, the listener learns why.
        let _ =
            channel.input.send(&message::request(GREETING, DISCOVER, &json!({}), ""), Deadline::after(GRACE));
        let listener = Arc::clone(&channel);
        std::thread::Builder::new()
            .name("node".into())
            .spawn(move || listener.listen(output))
            .map_err(start)?;
        Ok(channel)
    }

    /// The version of the plugin there, if it is known.
    pub fn version(&self) -> Option<String> {
        self.state.lock().version.clone()
    }

    /// The version that the plugin there has said, be it one that is not understood here.
    pub fn said_version(&self) -> Option<String> {
        let state = self.state.lock();
        let other = match &state.fault {
            Some(Fault::Version { there, .. }) => Some(there.clone()),
            _ => None,
        };
        state.version.clone().or(other)
    }

    /// Whether something new may be sent.
    pub fn is_usable(&self) -> bool {
        let state = self.state.lock();
        state.fault.is_none() && !state.stale
    }

    /// Whether the process is gone and reaped.
    pub fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// Asks as the node `from`, and waits for the answer; `node_time` is the span that `deadline` came from.
    ///
    /// # Errors
    /// No answer, why, and whether the request may have been carried out.
    pub fn ask(
        &self,
        method: &str,
        params: &Value,
        from: &str,
        deadline: Deadline,
        node_time: Duration,
    ) -> Result<Reply, Lost> {
        let silent = || Fault::Silent(node_time);
        let mut state = self.wait(self.state.lock(), deadline, |state| state.version.is_some());
        if state.version.is_none() || state.fault.is_some() {
            return Err(Lost::unsent(self.given_up(state, silent())));
        }
        if state.stale {
            return Err(Lost::unsent(Fault::Closed));
        }
        state.last += 1;
        let id = state.last;
        state.asked.insert(id, None);
        drop(state);
        let said = self.input.send(&message::request(id, method, params, from), deadline);
        // A line that was not taken whole is not answered: what counts is why.
        let until = if said.is_ok() { deadline } else { deadline.within(GRACE) };
        let answered = |state: &State| state.asked.get(&id).is_none_or(Option::is_some);
        let mut state = self.wait(self.state.lock(), until, answered);
        state.used = Instant::now();
        match (state.asked.remove(&id).flatten(), said) {
            (Some(reply), _) => {
                if state.stale {
                    self.close_if_unused(state);
                }
                Ok(reply)
            }
            (None, Err(Unsent::Nothing(_))) => Err(Lost::unsent(self.given_up(state, Fault::Broke))),
            (None, Err(Unsent::Partly(_))) => Err(Lost::unanswered(self.given_up(state, Fault::Broke))),
            (None, Ok(())) => Err(Lost::unanswered(self.given_up(state, silent()))),
        }
    }

    /// The channel's fault; without one, `fault`, and then nothing more is sent here.
    fn given_up(&self, mut state: MutexGuard<'_, State>, fault: Fault) -> Fault {
        if let Some(fault) = &state.fault {
            return fault.clone();
        }
        state.stale = true;
        if state.asked.is_empty() {
            state.fault = Some(fault.clone());
            self.input.kill();
        }
        fault
    }

    /// Says nothing more, if nobody waits for anything; whether it is so. The plugin there sees the end of its input.
    pub fn hang_up_if_unused(&self) -> bool {
        self.close_if_unused(self.state.lock())
    }

    fn close_if_unused(&self, mut state: MutexGuard<'_, State>) -> bool {
        let unused = state.asked.is_empty();
        if unused {
            // Under the lock: who comes now sees it before anything is sent.
            state.fault.get_or_insert(Fault::Closed);
            self.input.close();
        }
        unused
    }

    /// Says nothing more, whoever waits.
    pub fn hang_up(&self) {
        self.state.lock().fault.get_or_insert(Fault::Closed);
        self.news.notify_all();
        self.input.close();
    }

    /// Waits until ssh is gone, and kills it at the deadline.
    pub fn await_end(&self, deadline: Deadline) {
        let over = |mut state: MutexGuard<'_, State>, deadline: Deadline| loop {
            if state.over || deadline.passed() {
                return state.over;
            }
            self.news.wait_for(&mut state, deadline.left());
        };
        if !over(self.state.lock(), deadline) {
            self.input.kill();
            over(self.state.lock(), Deadline::after(GRACE));
        }
    }

    /// Hears what comes until nothing more does.
    fn listen(&self, mut output: Output) {
        let (mut text, mut pause) = (None, None);
        let fault = loop {
            let until = pause.unwrap_or_else(|| Deadline::after(self.idle_left()));
            let (line, is_last) = match output.receive(LINE_LIMIT, until) {
                Ok(Received::Line(line)) => (line, false),
                Ok(Received::End(rest)) => (rest, true),
                Ok(Received::Nothing) if pause.is_some() => break text.clone().map(Fault::Rubbish),
                Ok(Received::Nothing) if self.idle_left().is_zero() && self.hang_up_if_unused() => {
                    break None;
                }
                Ok(Received::Nothing) => continue,
                Ok(Received::TooLong) => break Some(Fault::TooLong(LINE_LIMIT)),
                Err(error) => break Some(Fault::Start(chain(&error))),
            };
            if self.is_text(&line) {
                // Whether the plugin follows or the end tells a shell that greets from a login that ends.
                text.get_or_insert_with(|| printable(&line));
                pause.get_or_insert_with(|| Deadline::after(PAUSE));
            } else if text.is_some() && !line.trim_ascii().is_empty() {
                break text.clone().map(Fault::Rubbish);
            } else if let Err(fault) = self.take(&line) {
                break Some(fault);
            }
            if is_last {
                break None;
            }
        };
        {
            let mut state = self.state.lock();
            state.stale = true;
            // Whoever waits learns of it at once; what ssh itself has to say comes when it has ended.
            state.fault = state.fault.take().or(fault);
            self.news.notify_all();
        }
        self.input.close();
        let (ended, stderr) = output.end(Deadline::after(GRACE));
        let mut state = self.state.lock();
        let heard = match text {
            _ if state.version.is_some() => Heard::Plugin,
            Some(text) => Heard::Text(text),
            None => Heard::Nothing,
        };
        state.fault.get_or_insert_with(|| ssh::reason(ended, &stderr, &heard));
        state.over = true;
        self.news.notify_all();
    }

    /// How long the channel may go on without being used; never zero while somebody waits.
    fn idle_left(&self) -> Duration {
        let state = self.state.lock();
        if state.asked.is_empty() && state.version.is_some() {
            IDLE.saturating_sub(state.used.elapsed())
        } else {
            IDLE
        }
    }

    /// Whether a line is somebody else's, before the plugin has said anything.
    fn is_text(&self, line: &[u8]) -> bool {
        !line.trim_ascii().is_empty() && message::read(line).is_none() && self.state.lock().version.is_none()
    }

    /// Takes one line from the node.
    ///
    /// # Errors
    /// It is not what a plugin of our version says.
    fn take(&self, line: &[u8]) -> Result<(), Fault> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock();
        let (id, reply) = message::read(line).ok_or_else(|| Fault::Garbled(printable(line)))?;
        if id == GREETING {
            state.version = Some(message::version(reply)?);
        } else if let Some(place) = state.asked.get_mut(&id) {
            *place = Some(reply);
        }
        state.used = Instant::now();
        self.news.notify_all();
        Ok(())
    }

    /// Waits until it has come, or nothing more can come, or the deadline.
    fn wait<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        deadline: Deadline,
        come: impl Fn(&State) -> bool,
    ) -> MutexGuard<'s, State> {
        while !come(&state) && state.fault.is_none() && !deadline.passed() {
            self.news.wait_for(&mut state, deadline.left());
        }
        state
    }
}
