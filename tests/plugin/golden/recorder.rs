//! The real thing behind a conversation while it is recorded: commands are run on this machine, by [`Local`], and after
//! each one everything that the survey names is looked at.
//!
//! It lays the conversation's files where the commands find them, and makes a recording that is the same whenever and
//! wherever it is made: the state directory and our program stand under their usual paths, pids, inodes and descriptors
//! are counted, this machine's name is `node1.example.com`, and of keys and certificates only their marks are kept.
//! What is started here ends with it, and what was changed is put back, for the next conversation. A command that
//! cannot be run ends the recording.

use super::recorded::{Outcome, Outcomes};
use super::recording::{
    Content, Deed, Differing, End, Entry, Holder, Listening, PROGRAM, Recording, STATE, Said, Scene,
    Somebody, Spoken, Stored, Survey, is_status, status_shown,
};
use crate::support::{PATIENCE, within};
use mail_smtp2::sys::smtp::Heard;
use mail_smtp2::sys::{
    Asked, Command, Deadline, Ended, EntryKind, Host, Layer, Local, Output, Process, Question, Recipient,
    Signal, SmtpError, Socket, View,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// The first pid that is given out.
const FIRST_PID: i32 = 800;
/// The first inode that is given out.
const FIRST_INODE: u32 = 9000;
/// The first descriptor that is given out, to each process.
const FIRST_FD: i32 = 4;
/// What this machine is called.
const NAME: &str = "node1.example.com";
/// How long a mail server is given to be rid of processes that answer as before.
const SETTLE: Duration = Duration::from_secs(1);

/// The commands after which a machine is as it was before the conversation, and its files are.
fn put_back(host: &str) -> &'static [&'static [&'static str]] {
    match host {
        "postfix-debian" => {
            &[&["postfix", "stop"], &["postfix", "start"], &["doveadm", "stop"], &["dovecot"]]
        }
        "exim-debian" => &[
            &["start-stop-daemon", "--stop", "--oknodo", "--retry", "5", "--exec", "/usr/sbin/exim4"],
            &["exim4", "-bd"],
        ],
        // What the machine is set up with.
        "qmail-daemontools" => &[&["/usr/local/sbin/put-back"]],
        _ => &[],
    }
}

/// The machine that is recorded, for one conversation.
#[derive(Debug)]
pub(super) struct Recorder {
    recording: Arc<Mutex<Recording>>,
    local: Local,
    base: TempDir,
    /// Files that lie there because of the conversation, and what was there before.
    laid: BTreeMap<PathBuf, Option<Vec<u8>>>,
    /// Real pids, and the ones given out for them.
    pids: RefCell<BTreeMap<i32, i32>>,
    /// The numbers that stand in the last scene, where a number tells one start of a service from the next.
    last: BTreeSet<i32>,
    /// The service directories that are looked at.
    services: Vec<PathBuf>,
    /// What is run at the end, if anything was done to the machine.
    put_back: &'static [&'static [&'static str]],
    touched: bool,
}

impl Recorder {
    /// For a conversation on this host whose outcomes are to be kept in `recording`.
    pub(super) fn new(host: &str, recording: Arc<Mutex<Recording>>) -> Self {
        let base = tempfile::Builder::new().prefix("mail-smtp2-record-").tempdir().unwrap();
        let (laid, pids) = (BTreeMap::new(), RefCell::default());
        let services = recording.lock().unwrap().survey.services.clone();
        Self {
            recording,
            last: BTreeSet::new(),
            services,
            local: Local::default(),
            base,
            laid,
            pids,
            put_back: put_back(host),
            touched: false,
        }
    }

    /// What stands on the machine of the recording, and where that is here.
    fn places(&self) -> [(String, String); 2] {
        let state = self.base.path().join("state").display().to_string();
        [(STATE.to_owned(), state), (PROGRAM.to_owned(), env!("CARGO_BIN_EXE_mail-smtp2").to_owned())]
    }

    fn real(&self, text: &str) -> String {
        self.places().iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        self.real(path.to_str().unwrap()).into()
    }

    /// Paths and names as they are on the machine of the recording.
    fn told(&self, text: &str) -> String {
        let text =
            self.places().iter().fold(text.to_owned(), |text, (there, here)| text.replace(here, there));
        let own = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
        let is_name = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
        let words = text.split_inclusive(|c| !is_name(c)).map(|word| match word.strip_prefix(&own) {
            Some(rest) if !rest.starts_with(is_name) => format!("{NAME}{rest}"),
            _ => word.to_owned(),
        });
        words.collect()
    }

    /// The pid that is given out for a real one: the lowest that nobody has who lives.
    fn pid(&self, real: i32) -> i32 {
        let mut pids = self.pids.borrow_mut();
        if let Some(known) = pids.get(&real) {
            return *known;
        }
        let taken = |number: &i32| {
            let given = |(real, given): (&i32, &i32)| given == number && self.local.process(*real).is_some();
            pids.iter().any(given) || self.last.contains(number)
        };
        let free = (FIRST_PID..).find(|number| !taken(number)).unwrap();
        pids.insert(real, free);
        free
    }

    fn somebody(&self, process: &Process) -> Somebody {
        let exe = process.exe.as_ref().map(|exe| PathBuf::from(self.told(exe.to_str().unwrap())));
        let works_in = |dir: &&PathBuf| {
            let stamp = |path: &Path| self.local.stamp(path).ok().flatten();
            let cwd = stamp(Path::new(&format!("/proc/{}/cwd", process.pid)));
            cwd.is_some() && cwd == stamp(dir)
        };
        let works_in = self.services.iter().find(works_in).cloned();
        Somebody { pid: self.pid(process.pid), exe, name: process.name.clone(), words: Vec::new(), works_in }
    }

    /// What a process was started with.
    fn words(&self, pid: i32) -> Vec<String> {
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.trim_end_matches('\0').split('\0').map(|word| self.told(word)).collect()
    }

    /// Lets the real files be as the conversation has them, as far as the deed meets them.
    fn lay(&mut self, deed: &Deed, files: &Differing) {
        let unwanted = |path: &&PathBuf| deed.meets(path) && !files.contains_key(*path);
        for path in self.laid.keys().filter(unwanted).cloned().collect::<Vec<_>>() {
            self.take_up(&path);
        }
        for (path, content) in files {
            let real = self.real_path(path);
            if !self.laid.contains_key(path) {
                self.laid.insert(path.clone(), self.local.read(&real).unwrap());
            }
            self.local.make_dir(real.parent().unwrap()).unwrap();
            match content {
                None => self.local.remove(&real).unwrap(),
                Some(Content::Link { link }) => self.local.link(&real, &self.real_path(link)).unwrap(),
                Some(Content::Text(text))
                    if self.local.read(&real).unwrap().as_deref() == Some(text.as_bytes()) => {}
                Some(Content::Text(text)) => self.local.write(&real, text.as_bytes(), 0o644).unwrap(),
                Some(Content::Difference { .. }) => unreachable!("a machine has whole files"),
            }
        }
        self.local.make_dir(&self.real_path(Path::new(STATE))).unwrap();
    }

    /// The real file is again as it was before the conversation.
    fn take_up(&mut self, path: &Path) {
        let real = self.real_path(path);
        match self.laid.remove(path).flatten() {
            // One that went comes back as a checkout has it.
            Some(bytes) => self.local.write(&real, &bytes, 0o644).unwrap(),
            None => self.local.remove(&real).unwrap(),
        }
    }

    fn perform(&self, deed: &Deed, before: &Scene) -> Output {
        let silent = Output { ended: Ended::Exited(0), stdout: Vec::new(), stderr: Vec::new() };
        match deed {
            Deed::Argv(argv) => self.run(&argv.iter().map(|word| self.real(word)).collect::<Vec<_>>()),
            Deed::Signal(signal, name) => {
                let given =
                    before.processes.iter().find(|process| before.called(process) == *name).unwrap().pid;
                let alive = |real: &i32| self.local.process(*real).is_some();
                let pids = self.pids.borrow();
                let real = *pids.iter().find(|(real, known)| **known == given && alive(real)).unwrap().0;
                let signal = match signal.as_str() {
                    "HUP" => Signal::Hangup,
                    "TERM" => Signal::Terminate,
                    _ => Signal::Kill,
                };
                self.local.signal(&self.local.process(real).unwrap(), signal).unwrap();
                silent
            }
            Deed::Feed(fifo, letters) => {
                assert!(self.local.feed(&self.real_path(fifo), letters.as_bytes()).unwrap());
                silent
            }
            Deed::Neighbour(port) => {
                // Another sandbox of another folder is as strange to us as any program.
                let folder = self.neighbour();
                self.local.make_dir(&folder).unwrap();
                let conf = format!("[listener]\nport = {port}\nauth_mode = \"auth_yes/tls_optional\"\n");
                self.local.write(&folder.join("sandbox.toml"), conf.as_bytes(), 0o600).unwrap();
                let output = self.sandbox("daemon", &folder);
                assert!(output.success(), "no neighbour: {}", String::from_utf8_lossy(&output.stderr));
                silent
            }
        }
    }

    fn neighbour(&self) -> PathBuf {
        self.base.path().join("neighbour")
    }

    fn sandbox(&self, verb: &str, folder: &Path) -> Output {
        self.run(&[
            self.real(PROGRAM),
            "sandbox".to_owned(),
            verb.to_owned(),
            folder.to_str().unwrap().to_owned(),
        ])
    }

    fn run(&self, argv: &[String]) -> Output {
        let command = Command::new(&argv[0]).args(&argv[1..]);
        self.local.run(&command, Deadline::after(PATIENCE)).unwrap_or_else(|e| panic!("{argv:?}: {e}"))
    }

    /// What there is to see once it has settled.
    fn look(&self, survey: &Survey) -> Scene {
        let mut last = self.glance(survey);
        let settled = within(PATIENCE, || {
            std::thread::sleep(Duration::from_millis(20));
            let now = self.glance(survey);
            std::mem::replace(&mut last, now.clone()) == now
        });
        assert!(settled, "the machine does not settle: {last:?}");
        last
    }

    fn glance(&self, survey: &Survey) -> Scene {
        let mut scene = Scene {
            name: String::new(),
            sockets: Vec::new(),
            processes: Vec::new(),
            refusing: BTreeSet::new(),
            unbindable: BTreeMap::new(),
            unix: survey
                .unix
                .iter()
                .filter(|path| self.local.reaches(path, Deadline::after(PATIENCE)).is_ok())
                .cloned()
                .collect(),
            fifos: survey
                .fifos
                .iter()
                .filter(|path| self.local.feed(path, b"").unwrap_or(false))
                .cloned()
                .collect(),
            files: BTreeMap::new(),
            dialogues: Vec::new(),
        };
        let mut there: Vec<Process> = Vec::new();
        let programs: Vec<&Path> = survey.programs.iter().map(PathBuf::as_path).collect();
        if !programs.is_empty() {
            there.extend(self.local.processes(&programs, &[Path::new("/var/spool/exim4")]).unwrap());
        }
        for path in &survey.files {
            let Some(bytes) = self.local.read(&self.real_path(path)).unwrap() else { continue };
            if is_status(path) {
                let shown = status_shown(&bytes, |pid| {
                    there.extend(self.local.process(pid));
                    self.pid(pid)
                });
                scene.files.insert(path.clone(), shown);
                continue;
            }
            let text = String::from_utf8(bytes).unwrap();
            // The mail server's own files hold a pid, as far as anybody reads them.
            let text = match text.trim().parse::<i32>() {
                Ok(pid) => {
                    there.extend(self.local.process(pid));
                    format!("{}\n", self.pid(pid))
                }
                Err(_) => self.told(&text),
            };
            scene.files.insert(path.clone(), text);
        }
        let ports = survey.others.iter().chain(&survey.ports);
        for socket in ports.flat_map(|port| self.local.listening(*port).unwrap()) {
            let mut holders = self.local.holders(&socket).unwrap();
            let known = |p: &Process| p.exe.as_ref().is_some_and(|exe| survey.programs.contains(exe));
            if holders.iter().any(known) {
                // The others are its helpers, who come and go.
                holders.retain(known);
            }
            if !survey.services.is_empty() {
                // A server that forks for a client holds it twice for a moment.
                holders.sort_by_key(|holder| holder.pid);
                holders.truncate(1);
            }
            let inode = FIRST_INODE + u32::try_from(scene.sockets.len()).unwrap();
            let held = holders.iter().map(|holder| self.held(&scene, holder.pid)).collect();
            there.extend(holders);
            scene.sockets.push(Listening { socket: Socket { inode, ..socket }, holders: held });
        }
        for process in &there {
            let mut somebody = self.somebody(process);
            if somebody.exe.as_ref().is_some_and(|exe| survey.programs.contains(exe)) {
                somebody.words = self.words(process.pid);
            }
            if !scene.processes.contains(&somebody) {
                scene.processes.push(somebody);
            }
        }
        scene.processes.sort_by_key(|process| process.pid);
        for place in survey.places() {
            self.visit(place, &mut scene);
        }
        for place in survey.neighbours() {
            if !self.local.refuses(place, Deadline::after(PATIENCE)).unwrap_or(true) {
                self.ask_for_mail(place, Layer::Clear, &mut scene);
            }
        }
        for any in survey.addresses.iter().map(|address| SocketAddr::new(*address, 0)) {
            self.bind(any, &mut scene);
        }
        scene
    }

    /// A process as the holder of one more socket of the scene.
    fn held(&self, scene: &Scene, pid: i32) -> Holder {
        let pid = self.pid(pid);
        let holders = scene.sockets.iter().flat_map(|listening| &listening.holders);
        let others = holders.filter(|holder| holder.pid == pid).count();
        Holder { pid, fd: FIRST_FD + i32::try_from(others).unwrap() }
    }

    fn bind(&self, place: SocketAddr, scene: &mut Scene) {
        if let Err(error) = self.local.try_bind(place.ip(), place.port()) {
            let number = error.raw_os_error().unwrap();
            assert_ne!(number, nix::libc::EACCES, "{place} cannot be bound; record as root of a namespace");
            scene.unbindable.insert(place, number);
        }
    }

    fn visit(&self, place: SocketAddr, scene: &mut Scene) {
        self.bind(place, scene);
        if place.ip().is_unspecified() {
            return;
        }
        if self.local.refuses(place, Deadline::after(PATIENCE)).unwrap_or(true) {
            scene.refusing.insert(place);
            return;
        }
        // In the order in which a proof asks.
        self.speak(place, Question { layer: Layer::Clear, command: Asked::Auth }, scene);
        self.ask_for_mail(place, Layer::Clear, scene);
        self.ask_for_mail(place, Layer::Tls, scene);
        self.speak(place, Question { layer: Layer::Tls, command: Asked::Auth }, scene);
    }

    /// What is said to mail of somebody who has not logged in; to another recipient only where the first is refused.
    fn ask_for_mail(&self, place: SocketAddr, layer: Layer, scene: &mut Scene) {
        for recipient in [Recipient::Postmaster, Recipient::PostmasterThere] {
            let heard = self.speak(place, Question { layer, command: Asked::Mail(recipient) }, scene);
            if !matches!(heard, Some(Heard::Mail(_, Some(rcpt))) if !rcpt.accepted()) {
                return;
            }
        }
    }

    /// Holds a dialogue and keeps it; what the question was answered.
    fn speak(&self, place: SocketAddr, question: Question, scene: &mut Scene) -> Option<Heard> {
        let said = match self.local.dialogue(place, &question, Deadline::after(PATIENCE)) {
            Ok(said) => {
                // Every text of it, wherever it stands.
                let said = undated(&self.told(&serde_json::to_string(&said).unwrap()));
                Said::All(serde_json::from_str(&said).unwrap())
            }
            Err(SmtpError::Closed { step, .. }) => Said::HungUp { hung_up: step },
            Err(error) => panic!("no dialogue with {place}: {error}"),
        };
        let heard = said.all().map(|dialogue| dialogue.heard.clone());
        scene.dialogues.push(Spoken { scene: String::new(), at: place, question, said });
        heard
    }
}

impl Outcomes for Recorder {
    fn root(&self) -> BTreeMap<PathBuf, Stored> {
        self.recording.lock().unwrap().root.clone()
    }

    fn file(&mut self, path: &Path) -> Option<Stored> {
        // Of the paths that stand for others here nothing is there at first.
        if self.real_path(path) != path {
            return None;
        }
        let mode = self.local.meta(path).unwrap()?.mode;
        if path.is_dir() {
            // It is there by what stands in it.
            let files = self.local.list(path).unwrap().into_iter().filter(|e| e.kind == EntryKind::File);
            files.for_each(|entry| drop(self.file(&path.join(entry.name))));
            return None;
        }
        let mut bytes = self.local.read(path).unwrap()?;
        if mode & 0o111 != 0 && !bytes.starts_with(b"#!") {
            // Of a program that is no script it is enough that it is there.
            bytes.clear();
        }
        let stored = Stored { bytes: without_secrets(bytes), mode };
        self.recording.lock().unwrap().root.insert(path.to_owned(), stored.clone());
        Some(stored)
    }

    fn survey(&self) -> Survey {
        self.recording.lock().unwrap().survey.clone()
    }

    fn first(&mut self) -> Scene {
        self.look(&self.survey());
        // Whoever was only passing by has no number.
        self.pids.borrow_mut().clear();
        let scene = self.look(&self.survey());
        let mut recording = self.recording.lock().unwrap();
        let scene = recording.named(scene);
        assert_eq!(scene, recording.scenes[0], "every conversation begins on the same machine");
        scene
    }

    fn of(&mut self, deed: &Deed, before: &Scene, files: &Differing) -> Option<Outcome> {
        self.lay(deed, files);
        let output = self.perform(deed, before);
        let after = if deed.asks() {
            before.clone()
        } else {
            self.touched = true;
            let survey = self.survey();
            if !survey.programs.is_empty() {
                std::thread::sleep(SETTLE);
            }
            if !survey.services.is_empty() {
                // A supervisor waits out its second before it starts a service again.
                std::thread::sleep(SETTLE);
                self.last = before.processes.iter().map(|process| process.pid).collect();
            }
            let after = self.look(&survey);
            self.recording.lock().unwrap().named(after)
        };
        let mut recording = self.recording.lock().unwrap();
        let text = |bytes: &[u8]| undated(&self.told(&String::from_utf8_lossy(bytes)));
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let end = match output.ended {
            Ended::Exited(status) => End::Exit(status),
            Ended::Signalled(signal) => End::Killed(signal),
        };
        let entry = Entry {
            deed: deed.clone(),
            before: (!deed.asks()).then(|| before.name.clone()),
            files: recording.shown(files),
            end,
            stdout: stdout.clone(),
            stderr: stderr.clone(),
            after: (!deed.asks()).then(|| after.name.clone()),
        };
        let same = |known: &&Entry| {
            (&known.deed, &known.before, &known.files) == (deed, &entry.before, &entry.files)
        };
        // postconf(1) warns of several parameters in any order.
        let told = |entry: &Entry| {
            let mut lines: Vec<String> = entry.stderr.lines().map(str::to_owned).collect();
            lines.sort();
            (lines, entry.end, entry.stdout.clone(), entry.after.clone())
        };
        match recording.entries.iter().find(same) {
            Some(known) => assert_eq!(told(known), told(&entry), "once it went so, and once so"),
            None => recording.entries.push(entry),
        }
        Some(Outcome { end, stdout, stderr, after })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        for folder in [self.real_path(&Path::new(STATE).join("sandbox")), self.neighbour()] {
            if folder.exists() {
                self.sandbox("end", &folder);
            }
        }
        for path in self.laid.keys().cloned().collect::<Vec<_>>() {
            self.take_up(&path);
        }
        for argv in self.put_back.iter().filter(|_| self.touched) {
            // What does not run cannot be stopped.
            self.run(&argv.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        }
    }
}

/// Times as mail servers write them (`0` is a digit, `A` a letter), and the one that stands for all.
const TIMES: [(&str, &str); 2] = [
    ("0000-00-00 00:00:00", "2026-01-01 00:00:00"),
    ("AAA, 00 AAA 0000 00:00:00 +0000", "Thu, 01 Jan 2026 00:00:00 +0000"),
];

/// What a program says, whenever and as which process it says it.
fn undated(text: &str) -> String {
    let fits = |(mask, c): (char, char)| match mask {
        '0' => c.is_ascii_digit(),
        'A' => c.is_ascii_alphabetic(),
        mark => mark == c,
    };
    let (mut told, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let time = TIMES
            .iter()
            .find(|(mask, _)| rest.len() >= mask.len() && mask.chars().zip(rest.chars()).all(fits));
        let length = time.map_or(next.len_utf8(), |(mask, _)| mask.len());
        told += time.map_or(&rest[..length], |(_, instead)| instead);
        rest = &rest[length..];
    }
    let mut parts = told.split("pid=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + "pid=1" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

/// A file of keys or certificates with nothing between its marks.
fn without_secrets(bytes: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8(bytes).expect("files of fixtures are text");
    if !text.contains("-----BEGIN ") {
        return text.into_bytes();
    }
    let marks = text.lines().filter(|line| line.starts_with("-----"));
    marks.fold(String::new(), |all, mark| all + mark + "\n").into_bytes()
}
