//! Changes whose system calls fail or are the last ones, on any machine on which the program can be started.
//!
//! strace(1) records the state-changing calls of an undisturbed change; then, each time from the same state, it makes one of
//! them an error or kills the program at it, or does so with what another plugin does to recover from such a death. Afterwards
//! the machine has to be in the old state or in the new one, as the answer said, a new plugin tells the truth, the next change
//! succeeds, and `remove` leaves nothing. Every change of the program's own table is meant, from every state of the service:
//! a new action is among them by being in the table. strace follows the main thread, on which `call` changes.

use super::plugin::{Launch, Run};
use super::smtp::{is_closed, is_open};
use super::{PATIENCE, TLS_YES, eventually, settings, success};
use mail_smtp2::action::{Lane, TABLE};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The calls, each with the errors that are plausible for it.
pub(crate) const CALLS: [(&str, &[&str]); 17] = [
    ("openat", &["EACCES", "EMFILE"]),
    ("write", &["ENOSPC", "EIO"]),
    ("rename", &["EIO"]),
    ("unlink", &["EROFS"]),
    ("unlinkat", &["EIO"]),
    ("mkdir", &["ENOSPC"]),
    ("rmdir", &["EBUSY"]),
    ("fsync", &["EIO"]),
    ("fchmod", &["EPERM"]),
    ("ftruncate", &["EIO"]),
    ("flock", &["ENOLCK"]),
    ("fchown", &["EPERM"]),
    ("chmod", &["EPERM"]),
    ("clone", &["EAGAIN"]),
    ("clone3", &["EAGAIN"]),
    ("kill", &["EPERM"]),
    ("pidfd_send_signal", &["EPERM"]),
];

/// What the service is when a change begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initially {
    Nothing,
    Stopped,
    Running,
}

/// A change, and what it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) action: &'static str,
    pub(crate) from: Initially,
}

/// Every change there is. What is asked of a node is the same action, here.
pub(crate) fn changes() -> Vec<Change> {
    let actions = TABLE.iter().filter(|row| row.lane == Lane::Change && !row.name.ends_with("OnNode"));
    let actions = actions.map(|row| row.name).chain(["remove"]);
    let from = [Initially::Nothing, Initially::Stopped, Initially::Running];
    actions.flat_map(|action| from.map(|from| Change { action, from })).collect()
}

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Error(&'static str),
    Death,
}

/// A call by its name, and which of those of this name it is; what happens at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) call: &'static str,
    pub(crate) nth: usize,
    pub(crate) fault: Fault,
}

/// A machine on which the program can be started.
pub(crate) trait Ground {
    /// The program with its flags, started by these words.
    fn launch_by(&self, words: &[&str]) -> Launch;

    /// Where strace writes, as it sees it and as we do.
    fn trace_log(&self) -> (String, PathBuf);

    /// The files that nobody may find after a change.
    fn leftovers(&self) -> Vec<PathBuf>;

    /// Whatever else has to hold once the service is removed.
    fn is_as_it_was(&self, story: &str);
}

/// What is true of the service; ports as their places among those of the case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    port: Option<usize>,
    mode: Value,
    wanted: Value,
    pub(crate) runs: bool,
}

/// The port now, and the one that an update asks for.
pub(crate) type Ports = [u16; 2];

/// Whether this machine can do it.
pub(crate) fn has_strace() -> bool {
    Command::new("strace").arg("-V").output().is_ok_and(|run| run.status.success())
}

/// Puts the service into the state that a change begins with.
#[track_caller]
pub(crate) fn prepare(ground: &impl Ground, from: Initially, ports: Ports) {
    let mut plugin = ground.launch_by(&[]).spawn();
    if from != Initially::Nothing {
        plugin.succeed("update", settings(ports[0], TLS_YES));
    }
    if from == Initially::Running {
        plugin.succeed("start", Value::Null);
    }
    plugin.end();
}

/// Makes the change, its calls traced with these expressions: what it said, and what strace wrote down.
pub(crate) fn traced(
    ground: &impl Ground,
    change: &Change,
    ports: Ports,
    expressions: &[String],
) -> (Run, String) {
    let value = |name: &str| match name {
        "alternate_smtp_port" => json!(ports[if change.from == Initially::Nothing { 0 } else { 1 }]),
        "auth_mode" => json!(TLS_YES),
        // Another machine's, or whatever is not needed.
        _ => Value::Null,
    };
    let row = TABLE.iter().find(|row| row.name == change.action);
    let input: Map<String, Value> = row
        .into_iter()
        .flat_map(|row| row.inputs)
        .map(|name| ((*name).to_owned(), value(name)))
        .filter(|(_, value)| !value.is_null())
        .collect();
    match row {
        Some(row) => run(ground, &["call", row.name, &Value::from(input).to_string()], expressions),
        None => run(ground, &[change.action], expressions),
    }
}

/// Runs a subcommand, its calls traced with these expressions.
fn run(ground: &impl Ground, arguments: &[&str], expressions: &[String]) -> (Run, String) {
    let (inside, outside) = ground.trace_log();
    let _ = fs::remove_file(&outside);
    let mut words = vec!["strace", "-qq", "-y", "-xx", "-s", "1000000", "-o", &inside];
    expressions.iter().for_each(|expression| words.extend(["-e", expression]));
    let run = ground.launch_by(&words).args(arguments).run();
    (run, fs::read_to_string(outside).unwrap_or_default())
}

/// The recovery, traced: whoever asks first does it.
fn recovery(ground: &impl Ground, expressions: &[String]) -> (Run, String) {
    run(ground, &["call", "isRunning"], expressions)
}

/// All calls of interest are recorded and left alone.
pub(crate) fn recorded() -> Vec<String> {
    let names = CALLS.map(|(name, _)| name).join(",");
    vec![format!("trace={names}"), "signal=none".to_owned()]
}

impl Hit {
    /// All that can happen at the calls in what strace wrote down.
    pub(crate) fn all(log: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for (call, errors) in CALLS {
            let made = log.lines().filter(|line| line.split('(').next() == Some(call)).count();
            let faults = || errors.iter().map(|errno| Fault::Error(errno)).chain([Fault::Death]);
            all.extend((1..=made).flat_map(|nth| faults().map(move |fault| Self { call, nth, fault })));
        }
        all
    }

    fn expressions(&self) -> Vec<String> {
        let how = match self.fault {
            Fault::Error(errno) => format!("error={errno}"),
            Fault::Death => "signal=KILL".to_owned(),
        };
        let (call, nth) = (self.call, self.nth);
        vec![format!("trace={call}"), format!("inject={call}:{how}:when={nth}"), "signal=none".to_owned()]
    }
}

/// What a new plugin says of the service, which has to be so.
#[track_caller]
pub(crate) fn truth(ground: &impl Ground, ports: Ports, story: &str) -> Truth {
    let mut plugin = ground.launch_by(&[]).spawn();
    let now = plugin.payload("queryStatus", Value::Null);
    plugin.end();
    let port = now["alternate_smtp_port"].as_u64();
    let runs = now["is_running"] == 1;
    assert!(now["changing"].is_null(), "{story}: {now}");
    for candidate in ports {
        let expected = runs && port == Some(candidate.into());
        let shown = || if expected { is_open(candidate) } else { is_closed(candidate) };
        eventually(PATIENCE, &format!("{story}: {candidate} is as {now} says"), shown);
    }
    let port = port.map(|port| ports.iter().position(|known| u64::from(*known) == port).unwrap_or(9));
    Truth { port, mode: now["auth_mode"].clone(), wanted: now["wanted"].clone(), runs }
}

/// What is true before an undisturbed change and after it.
#[derive(Clone, Debug)]
pub(crate) struct Undisturbed {
    pub(crate) old: Truth,
    pub(crate) new: Truth,
    pub(crate) log: String,
}

/// Makes a change without any disturbance.
#[track_caller]
pub(crate) fn undisturbed(ground: &impl Ground, change: &Change, ports: Ports) -> Undisturbed {
    prepare(ground, change.from, ports);
    let old = truth(ground, ports, "before");
    let (said, log) = traced(ground, change, ports, &recorded());
    let is_done = said.code == Some(0) || said.stdout.contains("never_configured");
    assert!(is_done, "{change:?}, undisturbed: {} {}", said.stdout.trim(), said.stderr.trim());
    let new = truth(ground, ports, "after");
    clear(ground, ports, &format!("{change:?}, undisturbed"));
    Undisturbed { old, new, log }
}

/// Strikes a change, and whoever recovers from that if there is to be a second fault; judges what comes of it.
#[track_caller]
pub(crate) fn strike(
    ground: &impl Ground,
    change: &Change,
    ports: Ports,
    known: &Undisturbed,
    hit: Hit,
    second: Option<Hit>,
) {
    prepare(ground, change.from, ports);
    let (mut said, _) = traced(ground, change, ports, &hit.expressions());
    let mut story = format!("{change:?}, {hit:?}: {} {}", said.stdout.trim(), said.stderr.trim());
    if let Some(second) = second {
        said = recovery(ground, &second.expressions()).0;
        story += &format!("\nand then {second:?}: {} {}", said.stdout.trim(), said.stderr.trim());
    }
    if second.is_some() && said.stderr.contains("an interrupted change could not be ended") {
        // It is told, and the next change ends it; reads let a minute pass before they try again.
        return clear(ground, ports, &story);
    }
    let now = truth(ground, ports, &story);
    assert!(now == known.old || now == known.new, "{story}: neither old nor new: {now:?} of {known:?}");
    let said = serde_json::from_str::<Value>(&said.stdout).unwrap_or_default();
    if said == success() {
        assert_eq!(now, known.new, "{story}: a false Success");
    }
    if said["payload"].as_str().is_some_and(|text| text.contains("nothing was changed")) {
        assert_eq!(now, known.old, "{story}: something was changed");
    }
    clear(ground, ports, &story);
}

/// What recovers from a death at this call, undisturbed: its own calls.
#[track_caller]
pub(crate) fn recovered(ground: &impl Ground, change: &Change, ports: Ports, hit: Hit) -> String {
    prepare(ground, change.from, ports);
    traced(ground, change, ports, &hit.expressions());
    let (_, log) = recovery(ground, &recorded());
    clear(ground, ports, &format!("{change:?}, {hit:?}, recovered"));
    log
}

/// The next change succeeds, and what is removed leaves nothing.
#[track_caller]
pub(crate) fn clear(ground: &impl Ground, ports: Ports, story: &str) {
    let mut plugin = ground.launch_by(&[]).spawn();
    let now = plugin.payload("queryStatus", Value::Null);
    if now["alternate_smtp_port"].is_null() {
        plugin.succeed("update", settings(ports[0], TLS_YES));
    }
    plugin.succeed("start", Value::Null);
    for left in ground.leftovers() {
        assert!(!left.exists(), "{story}: {} is left", left.display());
    }
    plugin.end();
    let run = ground.launch_by(&[]).arg("remove").run();
    assert_eq!(run.code, Some(0), "{story}: {}", run.stderr);
    for port in ports {
        eventually(PATIENCE, &format!("{story}: {port} is closed"), || is_closed(port));
    }
    ground.is_as_it_was(story);
}

/// Every `each`th of some cases, from a random one on.
pub(crate) fn spaced<T>(cases: Vec<T>, each: usize) -> Vec<T> {
    cases.into_iter().skip(fastrand::usize(..each)).step_by(each).collect()
}

/// Does something with each of some things, four at a time.
pub(crate) fn shared<T: Sync, R: Send>(things: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let share = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(thing) = things.get(at) else { return done };
                done.push((at, work(thing)));
            }
        };
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(share)).collect();
        let done = workers.into_iter().map(|worker| worker.join());
        done.collect::<Vec<_>>()
            .into_iter()
            .flat_map(|done| match done {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

impl Truth {
    /// Whether it is the same but for what runs.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.port, &self.mode, &self.wanted) == (other.port, &other.mode, &other.wanted)
    }
}
