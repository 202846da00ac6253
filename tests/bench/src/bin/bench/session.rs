//! A session: one server started on pipes, the bytes to and from it, and its end.
//!
//! It finds the lines in what arrives and keeps them whole until they are dropped; what they mean it does not
//! know. A server that ends early, hangs, or does not leave with 0 after the end of its input is a fault;
//! however a session is dropped, its process is gone afterwards.

use std::fs;
use std::ops::Range;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;

use crate::fault::Fault;
use crate::server::Server;
use crate::watchdog::{Watch, Watchdog};

const CHUNK: usize = 256 * 1024;
const ENDS_WITHIN: Duration = Duration::from_secs(2);

pub struct Session {
    server: Server,
    child: Child,
    watch: Watch,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    log: Vec<u8>,
    filled: usize,
    lines: Vec<Range<usize>>,
    line_start: usize,
    pub next_id: u64,
}

impl Session {
    pub fn spawn(server: &Server, dog: &Watchdog) -> Result<Session, Fault> {
        dog.interrupted()?;
        let mut command = server.command()?;
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|source| Fault::Spawn { program: server.program.clone(), source })?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Fault::NotNow("a child without pipes".into()));
        };
        let watch = dog.watch(&mut child)?;
        // Only our end: the server's own end of the pipe stays as it expects it.
        let unblocked = fcntl_setfl(&stdin, OFlags::NONBLOCK);
        let session = Session {
            server: server.clone(),
            child,
            watch,
            stdin: Some(stdin),
            stdout,
            log: vec![0; 2 * CHUNK],
            filled: 0,
            lines: Vec::new(),
            line_start: 0,
            next_id: 1,
        };
        unblocked?;
        Ok(session)
    }

    /// Makes room for what a segment will bring, so that no page is touched for the first time under the clock.
    pub fn prepare(&mut self, bytes: usize) {
        self.watch.renew();
        self.log.copy_within(self.line_start..self.filled, 0);
        self.filled -= self.line_start;
        self.line_start = 0;
        self.lines.clear();
        if self.log.len() < bytes + 2 * CHUNK {
            self.log.resize(bytes + 2 * CHUNK, 0);
        }
    }

    /// Writes what the pipe takes now; 0 when it is full.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Fault> {
        let Some(stdin) = &self.stdin else { return Ok(0) };
        match rustix::io::write(stdin, bytes) {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(Errno::PIPE) => Err(self.explain(Fault::Ended(self.server.last_words()))),
            Err(fault) => Err(self.explain(fault.into())),
        }
    }

    /// Waits until the server takes or gives something; true when it gives.
    pub fn wait(&self) -> Result<bool, Fault> {
        let Some(stdin) = &self.stdin else { return Ok(true) };
        let mut ends = [PollFd::new(&self.stdout, PollFlags::IN), PollFd::new(stdin, PollFlags::OUT)];
        match poll(&mut ends, None) {
            Ok(_) => Ok(!ends[0].revents().is_empty()),
            Err(Errno::INTR) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Waits for bytes; returns how many lines they completed.
    pub fn receive(&mut self) -> Result<usize, Fault> {
        if self.log.len() - self.filled < CHUNK {
            self.log.resize(2 * self.log.len(), 0);
        }
        let count = match rustix::io::read(&self.stdout, &mut self.log[self.filled..]) {
            Ok(0) => return Err(self.explain(Fault::Ended(self.server.last_words()))),
            Ok(count) => count,
            Err(Errno::INTR) => return Ok(0),
            Err(fault) => return Err(self.explain(fault.into())),
        };
        let before = self.lines.len();
        for newline in memchr::memchr_iter(b'\n', &self.log[self.filled..self.filled + count]) {
            let end = self.filled + newline;
            self.lines.push(self.line_start..end);
            self.line_start = end + 1;
        }
        self.filled += count;
        Ok(self.lines.len() - before)
    }

    pub fn lines(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.lines.iter().map(|line| &self.log[line.clone()])
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> Result<f64, Fault> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(&path).map_err(Fault::machine(format!("reading {path}")))?;
        let value = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = value.and_then(|value| value.trim().trim_end_matches(" kB").parse::<f64>().ok());
        kilobytes.map(|kb| kb * 1024.0).ok_or(Fault::NotNow(format!("{path} names no VmRSS")))
    }

    /// Ends the server's input and sees it leave.
    pub fn finish(mut self) -> Result<(), Fault> {
        self.stdin = None;
        let started = Instant::now();
        while started.elapsed() < ENDS_WITHIN {
            match self.child.try_wait().map_err(Fault::machine("waiting for the server"))? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.explain(Fault::End(status))),
                None => thread::sleep(Duration::from_micros(200)),
            }
        }
        Err(self.explain(Fault::Lingers { seconds: ENDS_WITHIN.as_secs() }))
    }

    fn explain(&self, fault: Fault) -> Fault {
        self.watch.explain(fault)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both do nothing to a process that was already reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
