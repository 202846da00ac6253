//! One plugin that is spoken to, and what the kernel says of it.
//!
//! It tells for one request at a time how long its reply took; an answer that is no success is a fault that quotes it.
//! What is measured is the caller's. Dropping it kills the plugin.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Fault;

pub struct Session {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub fn spawn(mut command: Command) -> Result<Self, Fault> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("the plugin cannot be started: {e}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new).ok_or("the plugin has no stdout")?;
        Ok(Self { child, input, output })
    }

    /// The reply, and how long it took.
    pub fn ask(&mut self, action: &str, params: &str) -> Result<(String, Duration), Fault> {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{action}\",\"params\":{params}}}\n");
        let mut reply = String::new();
        let begun = Instant::now();
        let input = self.input.as_mut().ok_or("the session is over")?;
        input.write_all(line.as_bytes()).map_err(|e| format!("{action}: {e}"))?;
        self.output.read_line(&mut reply).map_err(|e| format!("{action}: {e}"))?;
        Ok((reply, begun.elapsed()))
    }

    /// Does something that must succeed; how long it took.
    pub fn succeed(&mut self, action: &str, params: &str) -> Result<Duration, Fault> {
        let (reply, span) = self.ask(action, params)?;
        let good = reply.contains(r#""result":{"status":0,"#);
        good.then_some(span).ok_or_else(|| format!("{action}: {}", reply.trim()))
    }

    /// The most memory that it has had resident, in KiB.
    pub fn memory(&self) -> Result<u64, Fault> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.map_err(|e| format!("the plugin's memory: {e}"))?;
        let figure = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let figure = figure.and_then(|figure| figure.split_whitespace().next()?.parse().ok());
        figure.ok_or_else(|| "the kernel does not tell the plugin's memory".into())
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> Result<usize, Fault> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        entries.map(Iterator::count).map_err(|e| format!("the plugin's descriptors: {e}"))
    }

    /// Ends the input and waits for the end.
    pub fn end(mut self) -> Result<(), Fault> {
        self.input = None;
        let status = self.child.wait().map_err(|e| format!("waiting for the plugin: {e}"))?;
        status.success().then_some(()).ok_or_else(|| format!("the plugin ended with {status}"))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both do nothing to a process that was already reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
