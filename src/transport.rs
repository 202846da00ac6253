//! Bytes in, bytes out: the session on stdin and stdout.
//!
//! Reads in portions, writes once per portion, and lets a host that stops reading block our writing, then our reading. Every
//! way in which a session ends is here (schema/README.md, "The end"); what is in a message is `rpc`'s. The only holder of
//! stdout: what anything else prints there goes to stderr.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;
use nix::unistd::{dup2_stdout, read, write};
use parking_lot::Mutex;

use crate::rpc::dispatch::{Dispatch, Refusal, error};
use crate::rpc::lanes::{Lanes, Upkeep};
use crate::sys::watch::{Ending, Watch};
use crate::wire::framing::{Decoder, Frame, Framing, encode};

/// Replies are written when this much has come together, or the portion is worked off.
const FLUSH: usize = 64 * 1024;
/// What a pipe takes at once, in bytes (pipe(7)).
const PIPE_BUF: usize = 4096;
/// How long a host may take to accept the last bytes of a session that is asked to end.
const DELIVERY_TIME: Duration = Duration::from_millis(400);
/// How long after the end of input the news of a dead parent may come, in milliseconds.
const NEWS: u8 = 10;

/// What is done once, at the end of the session, whichever way it comes.
pub type Farewell = Box<dyn FnOnce() + Send>;

/// The session's two ends.
#[derive(Debug)]
pub struct Pipes {
    input: OwnedFd,
    output: OwnedFd,
    watch: Watch,
}

impl Pipes {
    /// Takes stdin and stdout, and begins to watch for the end. To be called before any other thread exists.
    ///
    /// # Errors
    /// A descriptor cannot be duplicated, or the kernel refuses to watch.
    #[expect(clippy::disallowed_methods, reason = "transport is who holds stdout")]
    pub fn take() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = io::stdout().as_fd().try_clone_to_owned()?;
        let watch = Watch::start(output.as_fd())?;
        dup2_stdout(io::stderr())?;
        Ok(Self { input, output, watch })
    }
}

/// The session while it lasts.
struct Session {
    pipes: Pipes,
    lanes: OnceLock<Arc<Lanes>>,
    /// Held while bytes go out.
    writing: Mutex<()>,
    /// Held while a portion is worked off, so that an end does not fall into the middle of one.
    turn: Mutex<()>,
    farewell: Mutex<Option<Farewell>>,
    /// Whether a thread watches for the other ends.
    watching: AtomicBool,
}

/// Serves until the session ends; `limit` is the greatest length of a message, in bytes.
pub fn serve(pipes: Pipes, dispatch: Dispatch, upkeep: Upkeep, limit: usize, farewell: Farewell) -> ExitCode {
    let session = Arc::new(Session {
        pipes,
        lanes: OnceLock::new(),
        writing: Mutex::new(()),
        turn: Mutex::new(()),
        farewell: Mutex::new(Some(farewell)),
        watching: AtomicBool::new(false),
    });
    let sender = Arc::clone(&session);
    let send = Box::new(move |bytes: &[u8]| sender.send(bytes));
    let lanes = session.lanes.get_or_init(|| Lanes::new(dispatch, send, upkeep));
    session.read(lanes, limit);
    if session.pipes.watch.hung_up_within(NEWS) {
        session.end(Ending::HungUp);
    }
    lanes.drain();
    session.leave(0, DELIVERY_TIME)
}

impl Session {
    /// Reads and answers until the end of input.
    fn read(self: &Arc<Self>, lanes: &Arc<Lanes>, limit: usize) {
        let mut decoder = Decoder::new(limit);
        let mut out = Vec::new();
        loop {
            // Until something arrives there is nothing that an end could interrupt: one thread waits for both. It does so
            // for good where no other can be had.
            if !self.watching.load(Ordering::Relaxed)
                && let Some(ending) = self.pipes.watch.wait_or_input(self.pipes.input.as_fd())
            {
                self.end(ending);
            }
            let count = match self.receive(decoder.room()) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    tracing::warn!(%error, "reading the input failed; taken for its end");
                    break;
                }
            };
            let _turn = self.turn.lock();
            decoder.filled(count);
            while let Some((frame, framing)) = decoder.frame() {
                self.take(lanes, &frame, framing, &mut out);
            }
            self.flush(&mut out);
            self.watch();
        }
        let _turn = self.turn.lock();
        if let Some((frame, framing)) = decoder.finish() {
            self.take(lanes, &frame, framing, &mut out);
        }
        self.flush(&mut out);
        self.watch();
    }

    /// From now on a thread waits for the ends that do not come through the input, if one can be had.
    fn watch(self: &Arc<Self>) {
        if self.watching.swap(true, Ordering::Relaxed) {
            return;
        }
        let session = Arc::clone(self);
        let wait = move || {
            let ending = session.pipes.watch.wait();
            session.end(ending)
        };
        if let Err(error) = std::thread::Builder::new().name("watch".into()).spawn(wait) {
            self.watching.store(false, Ordering::Relaxed);
            tracing::info!(%error, "no thread watches for the end of the session; it is looked for between messages");
        }
    }

    fn take(self: &Arc<Self>, lanes: &Arc<Lanes>, frame: &Frame<'_>, framing: Framing, out: &mut Vec<u8>) {
        let fault = |out: &mut Vec<u8>, refusal, why: &str| {
            encode(out, framing, |out| error(out, None, refusal, why))
        };
        match frame {
            Frame::Message(bytes) => lanes.accept(bytes, framing, out),
            Frame::TooBig => fault(out, Refusal::TooBig, "Request is too big"),
            Frame::BadHeader => {
                fault(out, Refusal::NotJson, "Parse error: a header block without Content-Length")
            }
            Frame::CutShort => {
                fault(out, Refusal::NotJson, "Parse error: the input ended before the message did")
            }
        }
        if out.len() > FLUSH {
            self.flush(out);
        }
    }

    fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        loop {
            match read(&self.pipes.input, room) {
                Ok(count) => return Ok(count),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => wait_for(&self.pipes.input, PollFlags::POLLIN),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn flush(self: &Arc<Self>, out: &mut Vec<u8>) {
        if !out.is_empty() {
            // Nobody watches during the first portion: fine as long as writing its replies cannot block.
            let blocks =
                || out.len() > PIPE_BUF || !ready(&self.pipes.output, PollFlags::POLLOUT, Duration::ZERO);
            if !self.watching.load(Ordering::Relaxed) && blocks() {
                self.watch();
            }
            self.send(out);
            out.clear();
            // One large reply must not be paid for in memory for ever.
            out.shrink_to(2 * FLUSH);
        }
    }

    /// Writes all of it, however long the host takes. A host that takes nothing any more ends the session.
    fn send(&self, mut bytes: &[u8]) {
        let writing = self.writing.lock();
        while !bytes.is_empty() {
            match write(&self.pipes.output, bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => wait_for(&self.pipes.output, PollFlags::POLLOUT),
                Err(error) => {
                    drop(writing);
                    tracing::info!(%error, "stdout takes nothing any more");
                    self.end(Ending::HungUp);
                }
            }
        }
    }

    /// Writes what the host takes in time; what it does not take is lost.
    fn deliver(&self, bytes: &[u8], until: Instant) {
        let Some(_writing) = self.writing.try_lock_until(until) else { return };
        // A pipe that is ready takes this much without blocking (pipe(7)).
        for piece in bytes.chunks(PIPE_BUF) {
            let left = until.saturating_duration_since(Instant::now());
            if !ready(&self.pipes.output, PollFlags::POLLOUT, left)
                || write(&self.pipes.output, piece) != Ok(piece.len())
            {
                return;
            }
        }
    }

    /// Ends the session, from the thread that learned of it.
    fn end(&self, ending: Ending) -> ! {
        let lanes = self.lanes.wait();
        match ending {
            Ending::Asked => {
                let left = lanes.close(DELIVERY_TIME);
                self.deliver(&left, Instant::now() + DELIVERY_TIME);
                self.leave(0, DELIVERY_TIME)
            }
            Ending::HungUp => {
                lanes.abandon();
                // Nobody hears the rest of what is being said.
                self.leave(1, Duration::ZERO)
            }
        }
    }

    /// The last step: nobody is in the middle of anything that can still be finished within `within`.
    fn leave(&self, status: i32, within: Duration) -> ! {
        let until = Instant::now() + within;
        let _turn = self.turn.try_lock_until(until);
        let _writing = self.writing.try_lock_until(until);
        let farewell = self.farewell.lock().take();
        match farewell {
            Some(farewell) => farewell(),
            // Another thread is saying it, and will end the process.
            None => loop {
                std::thread::park();
            },
        }
        std::process::exit(status)
    }
}

/// Whether the descriptor is ready within `within`.
fn ready(fd: &OwnedFd, what: PollFlags, within: Duration) -> bool {
    let within = TimeSpec::from_duration(within);
    matches!(ppoll(&mut [PollFd::new(fd.as_fd(), what)], Some(within), None), Ok(count) if count > 0)
}

/// A descriptor that the host has set to non-blocking is waited for all the same.
fn wait_for(fd: &OwnedFd, what: PollFlags) {
    let _ = poll(&mut [PollFd::new(fd.as_fd(), what)], PollTimeout::NONE);
}
