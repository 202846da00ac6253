//! Every state-changing system call of every change in the sandbox fails once, and is the last one once; and the power fails.
//!
//! What happens at each call stands in `support::faults`. Here are the machines: a sandbox for each case. The same is done to
//! whoever recovers from a death. What a power cut leaves is worked out from the recorded writes: everything up to some call,
//! without what was not synced by then, is put into a state directory, and a new plugin has to find the old state or the new
//! one there; the new one, once Success was said. `MAIL_SMTP2_EVERY` says that every nth case is tried (1 in the soak).

use super::support::faults::{
    CALLS, Change, Fault, Ground, Hit, Initially, Ports, changes, clear, has_strace, prepare, recorded,
    recovered, shared, spaced, strike, traced, truth, undisturbed,
};
use super::support::plugin::Launch;
use super::support::process::{alive, as_pid, listeners};
use super::support::sandbox::Sandbox;
use super::support::smtp::is_closed;
use super::support::{PATIENCE, collect, eventually, repetitions, skip, success};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

impl Ground for Sandbox {
    fn launch_by(&self, words: &[&str]) -> Launch {
        self.launch().under(words)
    }

    fn trace_log(&self) -> (String, PathBuf) {
        let path = self.base().join("strace");
        (path.to_string_lossy().into_owned(), path)
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        ["intent", ".intent.mail-smtp2", ".settings.json.mail-smtp2", ".boot.mail-smtp2", "staged"]
            .map(|name| self.state().join(name))
            .into()
    }

    fn is_as_it_was(&self, story: &str) {
        assert!(!self.state().join("settings.json").exists(), "{story}");
    }
}

fn sandbox() -> (Sandbox, Ports) {
    let sandbox = Sandbox::new();
    let ports = [sandbox.port(), sandbox.port()];
    (sandbox, ports)
}

/// A figure of the soak, and a line that is seen.
fn say(held: usize, what: &str, all: usize) {
    eprintln!("{held} of {held} {what}, out of {all}");
    collect("MAIL_SMTP2_FIGURES", &format!("{held} {what}"));
}

/// Whether the faults of a test can be made here.
fn can_trace() -> bool {
    has_strace() || {
        skip("the faults of every system call: this machine has no strace");
        false
    }
}

#[test]
fn every_call_of_a_change_may_fail_or_be_the_last() {
    if !can_trace() {
        return;
    }
    let each = repetitions("MAIL_SMTP2_EVERY", 40, 1);
    let changes = changes();
    let known = shared(&changes, |change| {
        let (sandbox, ports) = sandbox();
        undisturbed(&sandbox, change, ports)
    });
    let cases: Vec<_> = changes
        .iter()
        .zip(&known)
        .flat_map(|(change, known)| Hit::all(&known.log).into_iter().map(move |hit| (change, known, hit)))
        .collect();
    let all = cases.len();
    let chosen = spaced(cases, each);
    shared(&chosen, |(change, known, hit)| {
        let (sandbox, ports) = sandbox();
        strike(&sandbox, change, ports, known, *hit, None);
    });
    say(chosen.len(), "crash states of system calls in the sandbox", all);
}

#[test]
fn every_call_of_a_recovery_may_fail_or_be_the_last() {
    if !can_trace() {
        return;
    }
    let each = repetitions("MAIL_SMTP2_EVERY", 200, 1);
    // Where a name changes hands, the state does.
    let deaths =
        |log: &str| Hit::all(log).into_iter().filter(|hit| hit.fault == Fault::Death && hit.call == "rename");
    let changes = changes();
    let changes: Vec<_> = changes.iter().filter(|change| change.from != Initially::Nothing).collect();
    let known = shared(&changes, |change| {
        let (sandbox, ports) = sandbox();
        undisturbed(&sandbox, change, ports)
    });
    let died: Vec<_> = changes
        .iter()
        .zip(&known)
        .flat_map(|(change, known)| deaths(&known.log).map(move |hit| (*change, known, hit)))
        .collect();
    // In the gate a few deaths are enough.
    let died = spaced(died, each.div_ceil(40));
    let logs = shared(&died, |(change, _, hit)| {
        let (sandbox, ports) = sandbox();
        recovered(&sandbox, change, ports, *hit)
    });
    let cases: Vec<_> = died
        .iter()
        .zip(&logs)
        .flat_map(|((change, known, hit), log)| {
            Hit::all(log).into_iter().map(move |second| (*change, *known, *hit, second))
        })
        .collect();
    let all = cases.len();
    let chosen = spaced(cases, (each / 8).max(1));
    shared(&chosen, |(change, known, hit, second)| {
        let (sandbox, ports) = sandbox();
        strike(&sandbox, change, ports, known, *hit, Some(*second));
    });
    say(chosen.len(), "double faults in the sandbox", all);
}

/// A call of strace's log: its name, its arguments with their texts decoded, and what it returned.
struct Call<'l> {
    name: &'l str,
    texts: Vec<Vec<u8>>,
    flags: &'l str,
    returned: &'l str,
}

/// The bytes of a text of strace's, `\x61\x62`; paths of descriptors are plain in older ones.
fn unhex(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.into();
    }
    text.split("\\x").skip(1).map(|digits| u8::from_str_radix(&digits[..2], 16).unwrap()).collect()
}

impl<'l> Call<'l> {
    /// In the order of the line: what stands in quotes, and the paths of descriptors in angles.
    fn of(line: &'l str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        let (arguments, returned) = rest.rsplit_once(" = ")?;
        let mut texts = Vec::new();
        let mut left = arguments;
        while let Some(at) = left.find(['"', '<']) {
            let end = if left[at..].starts_with('"') { '"' } else { '>' };
            let text = &left[at + 1..];
            let length = text.find(end)?;
            texts.push(unhex(&text[..length]));
            left = &text[length + 1..];
        }
        Some(Self { name, texts, flags: arguments, returned })
    }

    fn path(&self, nth: usize) -> PathBuf {
        String::from_utf8_lossy(&self.texts[nth]).into_owned().into()
    }
}

/// What stands under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// A state directory as its file system has it: what is in memory, and what is on the disk.
#[derive(Clone, Debug, Default)]
struct Disk {
    names: BTreeMap<PathBuf, Entry>,
    synced_names: BTreeMap<PathBuf, Entry>,
    /// Each file's bytes, and those that were synced.
    files: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A state directory as a power cut leaves it: folders, and files with their bytes.
type Left = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What of the things that were not synced a power cut takes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    NamesAndBytes,
    Bytes,
    Nothing,
}

impl Disk {
    /// What is there before anything is recorded has been there for long.
    fn of(root: &Path) -> Self {
        let mut disk = Self::default();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            disk.names.insert(folder, Entry::Folder);
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else if path.is_file() {
                    let bytes = fs::read(&path).unwrap();
                    disk.names.insert(path, Entry::File(disk.files.len()));
                    disk.files.push((bytes.clone(), bytes));
                }
            }
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    fn file(&mut self, path: &Path) -> Option<&mut (Vec<u8>, Vec<u8>)> {
        match self.names.get(path) {
            Some(Entry::File(number)) => self.files.get_mut(*number),
            _ => None,
        }
    }

    /// Does what a call has done; calls on other files do nothing.
    fn apply(&mut self, call: &Call<'_>, root: &Path) {
        let of_ours = |path: &Path| path.starts_with(root);
        match call.name {
            "openat" if call.flags.contains("O_CREAT") => {
                // The first text is the folder that a relative path would begin in.
                let path = call.path(call.texts.len() - 1);
                if of_ours(&path) && !self.names.contains_key(&path) {
                    self.names.insert(path.clone(), Entry::File(self.files.len()));
                    self.files.push(Default::default());
                }
                if call.flags.contains("O_TRUNC")
                    && let Some((bytes, _)) = self.file(&path)
                {
                    bytes.clear();
                }
            }
            "write" => {
                let written: usize = call.returned.trim().parse().unwrap_or_default();
                if let Some((bytes, _)) = self.file(&call.path(0)) {
                    bytes.extend_from_slice(&call.texts[1][..written]);
                }
            }
            "ftruncate" => {
                if let Some((bytes, _)) = self.file(&call.path(0)) {
                    bytes.clear();
                }
            }
            "fsync" => self.sync(&call.path(0)),
            "rename" => {
                let (old, new) = (call.path(0), call.path(1));
                if let Some(entry) = self.names.remove(&old) {
                    self.names.insert(new, entry);
                }
            }
            "mkdir" if of_ours(&call.path(0)) => drop(self.names.insert(call.path(0), Entry::Folder)),
            "unlink" | "rmdir" => drop(self.names.remove(&call.path(0))),
            "unlinkat" => drop(self.names.remove(&call.path(0).join(call.path(call.texts.len() - 1)))),
            _ => {}
        }
    }

    /// The bytes of a file, or the names in a folder, are on the disk from now on.
    fn sync(&mut self, path: &Path) {
        if let Some((bytes, synced)) = self.file(path) {
            synced.clone_from(bytes);
            return;
        }
        let here = |name: &Path| name.parent() == Some(path);
        self.synced_names.retain(|name, _| !here(name));
        let now = self.names.iter().filter(|(name, _)| here(name));
        self.synced_names.extend(now.map(|(name, entry)| (name.clone(), *entry)));
    }

    /// What is left when the power fails now.
    fn cut(&self, cut: Cut, root: &Path) -> Left {
        let names = if matches!(cut, Cut::NamesAndBytes) { &self.synced_names } else { &self.names };
        let is_folder = |path: &Path| names.get(path) == Some(&Entry::Folder);
        let is_there =
            |path: &Path| path.ancestors().skip(1).take_while(|above| above.starts_with(root)).all(is_folder);
        let bytes = |number: usize| {
            let (bytes, synced) = &self.files[number];
            if matches!(cut, Cut::Nothing) { bytes.clone() } else { synced.clone() }
        };
        let left = names.iter().filter(|(path, _)| is_there(path)).map(|(path, entry)| match entry {
            Entry::Folder => (path.clone(), None),
            Entry::File(number) => (path.clone(), Some(bytes(*number))),
        });
        left.collect()
    }
}

/// The machine is off: whoever listens is gone, and the state directory is what is left.
fn restore(sandbox: &Sandbox, ports: Ports, left: &Left) {
    for pid in ports.into_iter().flat_map(listeners) {
        let _ = nix::sys::signal::kill(as_pid(pid), Signal::SIGKILL);
        eventually(PATIENCE, "the listener is gone", || !alive(pid));
    }
    eventually(PATIENCE, "the ports are free", || ports.into_iter().all(is_closed));
    if sandbox.state().exists() {
        fs::remove_dir_all(sandbox.state()).unwrap();
    }
    for (path, bytes) in left {
        let mode = match bytes {
            None => fs::create_dir(path).map(|()| 0o700),
            Some(bytes) => fs::write(path, bytes).map(|()| 0o600),
        };
        fs::set_permissions(path, fs::Permissions::from_mode(mode.unwrap())).unwrap();
    }
}

/// Replays the power cuts of one change; how many there were.
fn replay(change: &Change, each: usize) -> (usize, usize) {
    let (sandbox, ports) = sandbox();
    let root = sandbox.state();
    prepare(&sandbox, change.from, ports);
    let old = truth(&sandbox, ports, "before");
    let mut disk = Disk::of(&root);
    let (run, log) = traced(&sandbox, change, ports, &recorded());
    let new = truth(&sandbox, ports, "after");
    let succeeded = run.code == Some(0);
    let answered = |call: &Call<'_>| call.name == "write" && call.flags.starts_with("1<");
    let (mut cases, mut seen, mut is_told) = (Vec::new(), BTreeSet::new(), false);
    for (at, line) in log.lines().enumerate() {
        let Some(call) = Call::of(line).filter(|call| !call.returned.starts_with('-')) else { continue };
        disk.apply(&call, &root);
        is_told |= succeeded && answered(&call);
        for cut in [Cut::NamesAndBytes, Cut::Bytes, Cut::Nothing] {
            let left = disk.cut(cut, &root);
            if seen.insert((left.clone(), is_told)) {
                cases.push((format!("{change:?}, after call {at} ({}), {cut:?}", call.name), left, is_told));
            }
        }
    }
    let all = cases.len();
    let chosen = spaced(cases, each);
    for (story, left, is_told) in &chosen {
        restore(&sandbox, ports, left);
        let now = truth(&sandbox, ports, story);
        // A listener that a power cut ends is brought back where there is a boot; here is none.
        let is = |known: &super::support::faults::Truth| now.is_like(known);
        assert!(
            is(&old) || is(&new),
            "{story}: neither old nor new: {now:?} of {old:?} and {new:?}, of {left:?}"
        );
        if *is_told {
            assert!(is(&new), "{story}: Success was said, and lost: {now:?} of {new:?}");
        }
        clear(&sandbox, ports, story);
    }
    (chosen.len(), all)
}

#[test]
fn a_power_cut_after_any_call_leaves_the_old_state_or_the_new_one() {
    if !can_trace() {
        return;
    }
    let each = repetitions("MAIL_SMTP2_EVERY", 5, 1);
    let done = shared(&changes(), |change| replay(change, each));
    let (held, all) = done.into_iter().fold((0, 0), |(held, all), (h, a)| (held + h, all + a));
    say(held, "power cuts replayed", all);
}

#[test]
fn what_was_recorded_is_read_as_it_was_written() {
    let line = r#"write(5<\x2f\x61>, "\x62\x22\x0a", 3) = 3"#;
    let call = Call::of(line).unwrap();
    assert_eq!((call.name, call.path(0), &*call.texts[1]), ("write", PathBuf::from("/a"), &b"b\"\n"[..]));
    assert!(CALLS.iter().any(|(name, _)| *name == call.name) && call.returned == "3");
}

/// The first fault, at the settings: they are written and cannot be synced. The second one: whoever then puts them back dies.
#[test]
fn a_second_fault_in_a_rollback_never_declares_the_change_made() {
    if !can_trace() {
        return;
    }
    let change = Change { action: "update", from: Initially::Running };
    let (sandbox, ports) = sandbox();
    let known = undisturbed(&sandbox, &change, ports);
    let settings = |line: &&str| {
        Call::of(line).is_some_and(|call| call.name == "rename" && call.path(1).ends_with("settings.json"))
    };
    let lines: Vec<&str> = known.log.lines().collect();
    let renamed = lines.iter().position(settings).expect("the settings are renamed into their place");
    let synced = |line: &&&str| line.starts_with("fsync(");
    let nth = lines[..renamed].iter().filter(synced).count() + 1;
    let renames = lines[..=renamed].iter().filter(|line| line.starts_with("rename(")).count();
    let mut rolled_back = 0;
    for later in 1..=4 {
        let (sandbox, ports) = self::sandbox();
        prepare(&sandbox, change.from, ports);
        let words = [
            "trace=fsync,rename".to_owned(),
            format!("inject=fsync:error=EIO:when={nth}"),
            format!("inject=rename:signal=KILL:when={}", renames + later),
            "signal=none".to_owned(),
        ];
        let (run, log) = traced(&sandbox, &change, ports, &words);
        let story = format!("killed at rename {later} of the rollback: {} {log}", run.stdout);
        let now = truth(&sandbox, ports, &story);
        // Before the record says that the rollback has begun, all of the new state stands, and nothing else was said.
        let is_begun = later > 1;
        assert!(now == known.old || !is_begun && now == known.new, "{story}: {now:?} of {known:?}");
        assert_ne!(serde_json::from_str::<Value>(&run.stdout).unwrap_or_default(), success(), "{story}");
        rolled_back += usize::from(run.code.is_none_or(|code| code > 1));
        clear(&sandbox, ports, &story);
    }
    assert!(rolled_back > 1, "no rollback was cut short");
}
