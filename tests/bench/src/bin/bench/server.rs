//! A server as a program with its arguments: how it is started, and one action by a process of its own.
//!
//! It is started in a process group of its own, so that ctrl-C reaches the harness alone, which then ends
//! everything in order. Its stderr goes to a file, of which a fault quotes the end. Talking with it is the
//! session's.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::fault::Fault;
use crate::reply::Ask;
use crate::watchdog::Watchdog;

#[derive(Clone)]
pub struct Server {
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub stderr: PathBuf,
}

impl Server {
    pub fn command(&self) -> Result<Command, Fault> {
        let stderr = File::options().create(true).append(true).open(&self.stderr);
        let stderr = stderr.map_err(Fault::machine(format!("opening {}", self.stderr.display())))?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_remove("RUST_LOG").stderr(stderr).process_group(0);
        Ok(command)
    }

    /// The last words on stderr, for a fault's sentence.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(600)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(3)..].join(" | ")
    }
}

/// One action by a process of its own, its envelope judged.
pub fn call(server: &Server, ask: &Ask, dog: &Watchdog) -> Result<(), Fault> {
    let mut command = server.command()?;
    command.arg("call").arg(ask.action).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut spawned =
        command.spawn().map_err(|source| Fault::Spawn { program: server.program.clone(), source })?;
    let watch = dog.watch(&mut spawned)?;
    let output = spawned.wait_with_output().map_err(Fault::machine("waiting for `call`"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && ask.payload.fits(printed.trim()) {
        return Ok(());
    }
    Err(watch.explain(Fault::Call {
        action: ask.action.into(),
        status: output.status,
        printed: printed.trim().chars().take(300).collect(),
        stderr: server.last_words(),
    }))
}
