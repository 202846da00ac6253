//! The sandbox's commands, as a mail server has them: one checks a configuration, one starts the server, one ends it.
//!
//! `daemon` takes the lock and gives it to the server as its standard input, so that it is held as long as either lives; the
//! server's own life is `serve`'s. A command says on stderr why it failed, in one line, and exits with 1.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{self, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getppid};

use super::configuration;
use super::error::{DaemonError, LOCK_WAIT, conf_words};
use super::lock::{LOCK_PAUSE, holder, take_lock, take_turn, try_lock};
use super::serve::{Companion, READY};
use crate::mta::sandbox::LOCK;

/// The first process, which orphans belong to.
const INIT: Pid = Pid::from_raw(1);
/// How much of what the server says is read, in bytes.
const LONGEST_REASON: u64 = 4096;

fn exit(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// The command `sandbox check FILE`: exit 0 if `file` is a configuration, else exit 1 and `FILE: line N: message` on
/// stderr.
pub fn check(file: &Path) -> ExitCode {
    exit(configuration::read_file(file).map(drop).map_err(|error| conf_words(&error)))
}

/// The command `sandbox daemon DIR [--with PID [--and-remove PATH]]`: exit 0 once the server accepts connections, else
/// exit 1 and the reason on stderr, and there is no server. Waits 5 s for a previous one that is ending.
pub fn daemon(dir: &Path, with: Option<&Companion>) -> ExitCode {
    exit(start(dir, with).map_err(|error| error.to_string()))
}

#[expect(
    clippy::disallowed_types,
    reason = "the control command's own child, which outlives it; not the plugin's"
)]
fn start(dir: &Path, with: Option<&Companion>) -> Result<(), DaemonError> {
    let caller = Caller::now();
    let dir = std::path::absolute(dir).map_err(DaemonError::Spawn)?;
    let _turn = take_turn(&dir)?;
    let lock = take_lock(&dir.join(LOCK), LOCK_WAIT)?;
    caller.still_asks()?;
    let mut command = process::Command::new(std::env::current_exe().map_err(DaemonError::Spawn)?);
    command.args(["sandbox", "serve"]).arg(&dir);
    if let Some(companion) = with {
        command.arg("--with").arg(companion.pid.to_string());
        if let Some(path) = &companion.and_remove {
            command.arg("--and-remove").arg(std::path::absolute(path).map_err(DaemonError::Spawn)?);
        }
    }
    command.stdin(lock).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut server = command.spawn().map_err(DaemonError::Spawn)?;
    let mut line = Vec::new();
    if let Some(output) = server.stdout.take() {
        BufReader::new(output.take(LONGEST_REASON))
            .read_until(b'\n', &mut line)
            .map_err(DaemonError::Spawn)?;
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    if line == READY {
        return Ok(());
    }
    // It has said why; being gone with its lock and port is part of the answer.
    let _ = server.kill();
    let _ = server.wait();
    Err(if line.is_empty() { DaemonError::Mute } else { DaemonError::Refused(line) })
}

/// The command `sandbox end DIR`: exit 0 once no server holds the lock of `dir` (so its port is free), else exit 1 after
/// 5 s and the reason on stderr. The holder gets SIGTERM; no holder, no file and no directory are nothing to end.
pub fn end(dir: &Path) -> ExitCode {
    let caller = Caller::now();
    let stopped = take_turn(dir).and_then(|_turn| {
        caller.still_asks()?;
        stop(&dir.join(LOCK), LOCK_WAIT)
    });
    exit(stopped.map_err(|error| error.to_string()))
}

fn stop(path: &Path, wait: Duration) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::Lock { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        if try_lock(&file).map_err(failed)? {
            return Ok(());
        }
        if begun.elapsed() >= wait {
            return Err(DaemonError::Held { path: path.to_path_buf(), holder: told });
        }
        // A server that is just starting takes the lock over from its `daemon`, and signs: then it is its turn.
        let holder = holder(&file).map_err(failed)?;
        if holder != told {
            let pid = holder.parse().ok().filter(|pid| *pid > 1).map(Pid::from_raw);
            let _ = pid.map(|pid| kill(pid, Signal::SIGTERM));
            told = holder;
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// Who has run this command. What a plugin wanted that was killed meanwhile is not wanted any more: the next one may
/// have taken it back before this process was first scheduled.
struct Caller(Pid);

impl Caller {
    fn now() -> Self {
        Self(getppid())
    }

    fn still_asks(&self) -> Result<(), DaemonError> {
        let now = getppid();
        // An orphan is the first process's, unless that is the plugin itself.
        let adopted = || now == INIT && fs::read_link("/proc/1/exe").ok() != std::env::current_exe().ok();
        if now == self.0 && !adopted() { Ok(()) } else { Err(DaemonError::Unasked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_what_is_not_there_is_done() {
        assert!(stop(Path::new("/nonexistent/sandbox/daemon.lock"), Duration::ZERO).is_ok());
    }

    #[test]
    fn ending_what_has_ended_is_done() {
        let dir = tempfile::tempdir().unwrap();
        // By name: what another test just forks has the file for a moment longer, and with it the lock.
        take_lock(&dir.path().join(LOCK), Duration::ZERO).unwrap().unlock().unwrap();
        assert!(stop(&dir.path().join(LOCK), Duration::ZERO).is_ok());
    }
}
