//! One case: a folder, what stands in it, and the conversation that it asks for.
//!
//! It finds the cases and holds a conversation as the program does (parse, dispatch, frame; an interrupted change is
//! ended first). Whether what came out is right is judged in `golden.rs`. A folder that is no case fails the test.

use super::faults::Faults;
use super::recorded::{Outcomes, Recorded};
use super::recording::{Deed, PROGRAM, STATE, Stored, tree};
use mail_smtp2::change::rehearsal::Rehearsal;
use mail_smtp2::change::{Choice, Options, Service};
use mail_smtp2::cluster::members::Cluster;
use mail_smtp2::mta::{self, qmail::Qmail, sandbox::Sandbox};
use mail_smtp2::rpc::dispatch::{Dispatch, Refusal, error};
use mail_smtp2::rpc::module::Plugin;
use mail_smtp2::sys::Host;
use mail_smtp2::wire::call;
use mail_smtp2::wire::framing::{Framing, encode};
use mail_smtp2::wire::text::printable;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// All that may stand in the folder of a case.
const CONTENTS: [&str; 7] = [
    "request.jsonl",
    "response.jsonl",
    "effects.txt",
    "given.jsonl",
    "faults.jsonl",
    "refused.jsonl",
    "root",
];

/// A case.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) host: String,
    pub(super) action: String,
    folder: PathBuf,
    /// What went before.
    given: Vec<u8>,
    /// What is asked.
    pub(super) request: Vec<u8>,
    /// Files over those of the host.
    files: BTreeMap<PathBuf, Stored>,
    /// What is not as recorded; `None` is nothing.
    pub(super) faults: Option<Faults>,
}

impl Case {
    /// Every case below the folder of the fixtures, in the order of their names.
    pub(super) fn all(fixtures: &Path) -> Vec<Self> {
        let mut all = Vec::new();
        for host in folders(fixtures) {
            for action in folders(&host).into_iter().filter(|action| name(action) != "root") {
                all.extend(folders(&action).iter().map(|folder| Self::load(&host, &action, folder)));
            }
        }
        all
    }

    fn load(host: &Path, action: &Path, folder: &Path) -> Self {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            assert!(CONTENTS.contains(&name(&path).as_str()), "{} has no meaning", path.display());
        }
        let request = folder.join("request.jsonl");
        Self {
            host: name(host),
            action: name(action),
            folder: folder.to_owned(),
            given: fs::read(folder.join("given.jsonl")).unwrap_or_default(),
            request: fs::read(&request).unwrap_or_else(|error| panic!("{}: {error}", request.display())),
            files: tree(&folder.join("root")),
            faults: Faults::load(&folder.join("faults.jsonl")),
        }
    }

    /// Host, action and case.
    pub(super) fn name(&self) -> String {
        format!("{}/{}/{}", self.host, self.action, name(&self.folder))
    }

    /// Where the replies stand.
    pub(super) fn replies(&self) -> PathBuf {
        self.folder.join("response.jsonl")
    }

    /// Where the effects stand.
    pub(super) fn effects(&self) -> PathBuf {
        self.folder.join("effects.txt")
    }

    fn options(&self) -> Options {
        let sandbox = self.host == "sandbox";
        let deadline = self.faults.as_ref().and_then(|faults| faults.deadline).unwrap_or(20.0);
        Options {
            state_dir: STATE.into(),
            lock: if sandbox { Path::new(STATE).join("lock") } else { "/run/mail-smtp2/lock".into() },
            choice: if sandbox { Choice::Only(mta::sandbox::KIND) } else { Choice::Auto },
            lock_wait: Duration::from_secs(10),
            change: Duration::from_secs_f64(deadline),
            node: "node1.example.com".to_owned(),
            rehearsal: Rehearsal::default(),
            warnings: None,
        }
    }
}

/// What came of a conversation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Played {
    /// The reply lines.
    pub(super) replies: Vec<u8>,
    /// What was done, under each request.
    pub(super) effects: String,
    /// Why none of it counts: what was asked and never recorded, or what went wrong before the first request.
    pub(super) trouble: Vec<String>,
}

impl Played {
    /// Of a conversation that cannot be held.
    pub(super) fn not(why: &str) -> Self {
        Self { replies: Vec::new(), effects: String::new(), trouble: vec![why.to_owned()] }
    }
}

/// Holds a case's conversation.
pub(super) fn play(case: &Case, outcomes: Box<dyn Outcomes>) -> Played {
    let host = Arc::new(Recorded::new(outcomes, &case.files));
    let sandbox = Sandbox { program: PROGRAM.into(), dir: Path::new(STATE).join("sandbox"), with: None };
    let service =
        Service::new(Arc::clone(&host) as Arc<dyn Host>, mta::all(Qmail::default(), sandbox), case.options());
    let cluster = Cluster::alone("node1.example.com");
    let plugin = Arc::new(Plugin { service, cluster });
    let dispatch = Dispatch::new(Arc::clone(&plugin)).unwrap();

    let mut trouble = Vec::new();
    for line in lines(&case.given) {
        match serde_json::from_slice(line) {
            // What is not recorded has left its note before it panics.
            Ok(Given::Deed(deed)) => {
                let _ = catch_unwind(AssertUnwindSafe(|| host.by_another(&deed)));
                continue;
            }
            Ok(Given::Edit { edit, text }) => {
                host.edit(&edit, |_| text);
                continue;
            }
            Ok(Given::Remove { remove }) => {
                host.take_away(&remove);
                continue;
            }
            Ok(Given::Append { append, text }) => {
                host.edit(&append, |old| old + &text);
                continue;
            }
            Ok(Given::Change { change, from, to }) => {
                host.edit(&change, |old| {
                    assert!(old.contains(&from), "{}: {} has no {from:?}", case.name(), change.display());
                    old.replace(&from, &to)
                });
                continue;
            }
            Err(_) => {}
        }
        let reply = reply(&dispatch, line);
        if !String::from_utf8_lossy(&reply).contains("\"result\":{\"status\":0,") {
            trouble.push(format!("what is given was answered {}", String::from_utf8_lossy(&reply)));
        }
    }
    host.take_effects();
    host.lay(case.faults.clone().unwrap_or_default());

    let mut played = Played { replies: Vec::new(), effects: String::new(), trouble };
    if plugin.service.awaits_recovery() {
        let _ = catch_unwind(AssertUnwindSafe(|| plugin.service.recover()));
        tell(&mut played.effects, "at the start", &host.take_effects());
    }
    for line in lines(&case.request) {
        played.replies.extend(reply(&dispatch, line));
        tell(&mut played.effects, &String::from_utf8_lossy(line), &host.take_effects());
    }
    played.trouble.extend(host.trouble());
    played
}

/// What others do before the conversation; any other line is a request.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Given {
    /// A command or signal of the administrator's; another program begins to listen on a port.
    Deed(Deed),
    /// An administrator writes a file,
    Edit { edit: PathBuf, text: String },
    /// takes one away,
    Remove { remove: PathBuf },
    /// adds to it,
    Append { append: PathBuf, text: String },
    /// or changes something in it.
    Change { change: PathBuf, from: String, to: String },
}

/// The reply to one line, as the lanes have it made.
fn reply(dispatch: &Dispatch, line: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out, Framing::Lines, |out| match call::parse(line) {
        Ok(message) => {
            dispatch.answer(&dispatch.prepare(message), &std::sync::atomic::AtomicBool::new(false), out)
        }
        Err(why) => {
            error(out, None, Refusal::NotJson, &format!("Parse error: {}", printable(why.to_string())))
        }
    });
    out
}

fn tell(text: &mut String, request: &str, effects: &[String]) {
    writeln!(text, "{request}").unwrap();
    if effects.is_empty() {
        writeln!(text, "  nothing").unwrap();
    }
    for line in effects.iter().flat_map(|effect| effect.lines()) {
        writeln!(text, "  {line}").unwrap();
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}
