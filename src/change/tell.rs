//! Telling a mail server, and waiting until it was heard.
//!
//! One function for each kind of telling that a sheet can ask for: a command, a unit of systemd, a signal, a supervisor's
//! FIFO. Which of them, and in what order, says the sheet. Every wait ends at the deadline. Fails with the command's own
//! words, or with what was waited for.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use super::error::ChangeError;
use super::told::{self, Told};
use crate::mta::{Alternate, Goal, Tell};
use crate::sys::{Command, CommandError, Deadline, Ended, Host, Output, Process, Signal};
use crate::wire::text::printable;

/// How long a daemon that was asked to end is waited for before it is made to.
const GRACE: Duration = Duration::from_secs(2);
/// How long a supervisor may take to notice a new folder: both kinds look every five seconds.
const SUPERVISOR: Duration = Duration::from_secs(8);
/// How often is looked whether it has.
const PAUSE: Duration = Duration::from_millis(3);

/// Tells the MTA, and waits for its control commands to say that it was heard.
pub(super) fn tell(host: &dyn Host, tells: &[Tell], deadline: Deadline) -> Result<(), ChangeError> {
    for tell in tells {
        if let Some(Told { who, what }) = told::words(tell) {
            tracing::debug!(who, what, "tell");
        }
        let command = match tell {
            Tell::Daemon(command) => command.clone(),
            Tell::Unit { verb, unit } => Command::new("systemctl").arg(verb).arg("--").arg(unit),
            Tell::End(process) => {
                end(host, process, deadline)?;
                continue;
            }
            Tell::Supervise { control, letters, ends } => {
                supervise(host, control, letters, deadline)?;
                if let Some(process) = ends {
                    ended(host, process, deadline)?;
                }
                continue;
            }
            Tell::Dismiss { control } => {
                dismiss(host, control, deadline)?;
                continue;
            }
            Tell::Signal(process, signal) => {
                let failed =
                    |source| ChangeError::Signal { name: printable(&process.name), pid: process.pid, source };
                host.signal(process, *signal).map_err(failed)?;
                continue;
            }
        };
        let output = run(host, &command, deadline)?;
        if output.ended != Ended::Exited(0) {
            return Err(ChangeError::Tell { command: named(&command), message: message(&output) });
        }
    }
    Ok(())
}

/// Tells the MTA what this goal asks for, once it has acted on what it was told before.
pub(super) fn tell_goal(
    host: &dyn Host,
    alternate: &dyn Alternate,
    goal: &Goal,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    while !alternate.has_heard()? && !deadline.passed() {
        host.sleep(PAUSE);
    }
    tell(host, &alternate.tell(goal, addresses)?, deadline)
}

/// Writes to whoever supervises, who may only just be coming.
fn supervise(host: &dyn Host, control: &Path, letters: &str, deadline: Deadline) -> Result<(), ChangeError> {
    let until = deadline.within(SUPERVISOR);
    while !host.feed(control, letters.as_bytes())? {
        if deadline.passed() {
            let step = format!("waiting for a supervisor at {}", control.display());
            return Err(ChangeError::Deadline { step });
        }
        if until.passed() {
            let (command, message) = (control.display().to_string(), "nobody supervises it".to_owned());
            return Err(ChangeError::Tell { command, message });
        }
        host.sleep(PAUSE);
    }
    // What is done next may depend on it: what ends before `d` was read would be started anew.
    while host.unread(control)? {
        if deadline.passed() {
            let step = format!("waiting for the supervisor at {} to read", control.display());
            return Err(ChangeError::Deadline { step });
        }
        host.sleep(PAUSE);
    }
    Ok(())
}

/// Ends whoever supervises, and waits for it.
fn dismiss(host: &dyn Host, control: &Path, deadline: Deadline) -> Result<(), ChangeError> {
    let mut there = host.feed(control, b"dx")?;
    while there {
        if deadline.passed() {
            let step = format!("waiting for the supervisor at {} to end", control.display());
            return Err(ChangeError::Deadline { step });
        }
        host.sleep(PAUSE);
        there = host.is_read(control)?;
    }
    Ok(())
}

fn lives(host: &dyn Host, process: &Process) -> bool {
    host.process(process.pid).is_some_and(|now| now.started == process.started)
}

/// Waits until a process has ended.
fn ended(host: &dyn Host, process: &Process, deadline: Deadline) -> Result<(), ChangeError> {
    while lives(host, process) {
        if deadline.passed() {
            let step = format!("waiting for {} (pid {}) to end", printable(&process.name), process.pid);
            return Err(ChangeError::Deadline { step });
        }
        host.sleep(PAUSE);
    }
    Ok(())
}

/// Waits until a process of the MTA's has ended: it is asked, then made to.
fn end(host: &dyn Host, process: &Process, deadline: Deadline) -> Result<(), ChangeError> {
    let tell = |signal| match host.signal(process, signal) {
        Err(source) if lives(host, process) => {
            Err(ChangeError::Signal { name: printable(&process.name), pid: process.pid, source })
        }
        _ => Ok(()),
    };
    tell(Signal::Terminate)?;
    if ended(host, process, deadline.within(GRACE)).is_ok() {
        return Ok(());
    }
    // What cannot be refused takes as long as it takes: on a busy machine longer than what can.
    tell(Signal::Kill)?;
    ended(host, process, deadline)
}

/// Runs a control command; one that hangs is a step that the deadline passed in.
pub(super) fn run(host: &dyn Host, command: &Command, deadline: Deadline) -> Result<Output, ChangeError> {
    host.run(command, deadline).map_err(|error| match error {
        CommandError::TimedOut { .. } => {
            ChangeError::Deadline { step: format!("waiting for {} to end", named(command)) }
        }
        error => error.into(),
    })
}

/// What a command that failed has said, or how it ended.
pub(super) fn message(output: &Output) -> String {
    let text = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    match printable(text.trim_ascii()) {
        empty if empty.is_empty() => match output.ended {
            Ended::Exited(status) => format!("it ended with status {status}"),
            Ended::Signalled(signal) => format!("it was ended by signal {signal}"),
        },
        text => text,
    }
}

/// Program and verb of a command, for a sentence.
fn named(command: &Command) -> String {
    let words: Vec<String> =
        command.argv().iter().take(3).map(|word| printable(word.as_encoded_bytes())).collect();
    words.join(" ")
}
