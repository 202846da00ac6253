//! Every state-changing system call of a change fails once, and is the last one once.
//!
//! strace(1) counts the calls of an undisturbed change in the sandbox and then, each time on a machine of its own, makes the
//! nth of them an error or kills the plugin at it. Afterwards the machine has to be in the old state or in the new one, as
//! the answer said, a new plugin tells the truth, the next change succeeds, and `remove` leaves nothing.
//! `MAIL_SMTP2_FAULTS` says that every nth case is tried (15 in the gate, 1 in the soak); a new action is in here by its name.

use super::support::plugin::Run;
use super::support::sandbox::Sandbox;
use super::support::smtp::{is_closed, is_open};
use super::support::{PATIENCE, TLS_YES, eventually, repetitions, settings, skip, success};
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The calls, each with the error that is plausible for it.
const CALLS: [(&str, &str); 12] = [
    ("openat", "EACCES"),
    ("write", "ENOSPC"),
    ("rename", "EIO"),
    ("unlink", "EROFS"),
    ("unlinkat", "EIO"),
    ("mkdir", "ENOSPC"),
    ("rmdir", "EBUSY"),
    ("fsync", "EIO"),
    ("fchmod", "EPERM"),
    ("ftruncate", "EIO"),
    ("flock", "ENOLCK"),
    ("fchown", "EPERM"),
];

/// A change, from a machine in a certain state.
#[derive(Clone, Copy, Debug)]
enum Change {
    FirstUpdate,
    Start,
    Stop,
    UpdateOfTheRunning,
    Restart,
    Remove,
}

const CHANGES: [Change; 6] = [
    Change::FirstUpdate,
    Change::Start,
    Change::Stop,
    Change::UpdateOfTheRunning,
    Change::Restart,
    Change::Remove,
];

/// What happens at the call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Error(&'static str),
    Death,
}

/// A machine in the state that a change starts from.
struct Before {
    sandbox: Sandbox,
    /// The port now, and the one that an update asks for.
    ports: (u16, u16),
}

impl Change {
    fn before(self) -> Before {
        let sandbox = Sandbox::new();
        let ports = (sandbox.port(), sandbox.port());
        let mut plugin = sandbox.plugin();
        if !matches!(self, Self::FirstUpdate) {
            plugin.succeed("update", settings(ports.0, TLS_YES));
        }
        if matches!(self, Self::Stop | Self::UpdateOfTheRunning | Self::Restart | Self::Remove) {
            plugin.succeed("start", Value::Null);
        }
        plugin.end();
        Before { sandbox, ports }
    }

    fn words(self, (old, new): (u16, u16)) -> Vec<String> {
        let call =
            |action: &str, params: Value| vec!["call".to_owned(), action.to_owned(), params.to_string()];
        match self {
            Self::FirstUpdate => call("update", settings(old, TLS_YES)),
            Self::UpdateOfTheRunning => call("update", settings(new, TLS_YES)),
            Self::Start => call("start", json!({})),
            Self::Stop => call("stop", json!({})),
            Self::Restart => call("restart", json!({})),
            Self::Remove => vec!["remove".to_owned()],
        }
    }
}

/// Makes the change below strace; what it said, and what strace wrote down.
fn traced(before: &Before, change: Change, expressions: &[&str]) -> (Run, String) {
    let log = before.sandbox.base().join("strace");
    let mut words = vec!["strace", "-qq", "-o", log.to_str().unwrap()];
    expressions.iter().for_each(|expression| words.extend(["-e", expression]));
    let arguments = change.words(before.ports);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = before.sandbox.launch().under(&words).args(&arguments).run();
    (run, fs::read_to_string(log).unwrap_or_default())
}

/// How often each of the calls is made in an undisturbed change.
fn counted(change: Change) -> Vec<usize> {
    let names = CALLS.map(|(name, _)| name).join(",");
    let (_, log) = traced(&change.before(), change, &[&format!("trace={names}"), "signal=none"]);
    let made = |name: &str| log.lines().filter(|line| line.split('(').next() == Some(name)).count();
    CALLS.iter().map(|(name, _)| made(name)).collect()
}

#[track_caller]
fn strike(change: Change, call: &str, nth: usize, fault: Fault) {
    let before = change.before();
    let how = match fault {
        Fault::Error(errno) => format!("error={errno}"),
        Fault::Death => "signal=KILL".to_owned(),
    };
    let trace = format!("trace={call}");
    let (run, _) =
        traced(&before, change, &[&trace, &format!("inject={call}:{how}:when={nth}"), "signal=none"]);
    let story = format!("{change:?}, {call} {nth} {fault:?}: {} {}", run.stdout.trim(), run.stderr.trim());
    let Before { sandbox, ports: (old, new) } = &before;

    let mut plugin = sandbox.plugin();
    let now = plugin.payload("queryStatus", Value::Null);
    let running = now["is_running"] == 1;
    let port = now["alternate_smtp_port"].as_u64();
    for candidate in [*old, *new] {
        let expected = running && port == Some(candidate.into());
        let shown = if expected { is_open(candidate) } else { is_closed(candidate) };
        assert!(shown, "{story}: {candidate} is not as {now} says");
    }
    assert!(now["changing"].is_null(), "{story}: {now}");
    let made = match change {
        Change::FirstUpdate => port == Some((*old).into()),
        Change::UpdateOfTheRunning => running && port == Some((*new).into()),
        Change::Start | Change::Restart => running,
        Change::Stop => !running,
        Change::Remove => port.is_none(),
    };
    let said = serde_json::from_str::<Value>(&run.stdout).unwrap_or_default();
    if said == success() {
        assert!(made, "{story}: a false Success: {now}");
    }
    if said["payload"].as_str().is_some_and(|text| text.contains("nothing was changed")) {
        let is_as_before = match change {
            Change::FirstUpdate => port.is_none(),
            Change::Start => !running,
            Change::Stop | Change::Restart | Change::Remove => running,
            Change::UpdateOfTheRunning => running && port == Some((*old).into()),
        };
        assert!(is_as_before, "{story}: something was changed: {now}");
    }
    if port.is_none() {
        plugin.succeed("update", settings(*old, TLS_YES));
    }
    plugin.succeed("start", Value::Null);
    for left in ["intent", ".intent.mail-smtp2", ".settings.json.mail-smtp2", ".boot.mail-smtp2", "staged"] {
        assert!(!sandbox.state().join(left).exists(), "{story}: {left} is left");
    }
    plugin.end();
    let run = sandbox.launch().arg("remove").run();
    assert_eq!(run.code, Some(0), "{story}: {}", run.stderr);
    eventually(PATIENCE, "both ports are closed", || is_closed(*old) && is_closed(*new));
    assert!(!sandbox.state().join("settings.json").exists(), "{story}");
}

#[test]
fn every_call_of_a_change_may_fail_or_be_the_last() {
    if !Command::new("strace").arg("-V").output().is_ok_and(|run| run.status.success()) {
        return skip("the faults of every system call: this machine has no strace");
    }
    let each = repetitions("MAIL_SMTP2_FAULTS", 15, 1);
    let mut cases = Vec::new();
    for change in CHANGES {
        for ((call, errno), made) in CALLS.iter().zip(counted(change)) {
            for nth in 1..=made {
                cases.extend([Fault::Error(errno), Fault::Death].map(|fault| (change, *call, nth, fault)));
            }
        }
    }
    let chosen: Vec<_> = cases.iter().skip(fastrand::usize(..each)).step_by(each).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((change, call, nth, fault)) =
                    chosen.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    strike(*change, call, *nth, *fault);
                }
            });
        }
    });
    eprintln!("{0} of {0} crash states of system calls, out of {1}", chosen.len(), cases.len());
}
