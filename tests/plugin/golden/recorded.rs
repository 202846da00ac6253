//! The recorded machine: files in memory, and for everything else what was seen on a real one.
//!
//! It is the [`Host`] of a conversation, with a clock that stands still; it notes which effects there were, in order,
//! and plays the faults that a case lays over it. What a command does is asked of [`Outcomes`]: the recording, or the
//! real thing while it is being recorded. A question that has no recorded answer is noted, and ends the request that
//! asked it with a panic.

use super::faults::{At, Faults, Then};
use super::recording::{
    Content, Deed, Differing, End, Entry, Holder, Listening, Recording, STATE, Said, Scene, Somebody, Spoken,
    Stored, Survey, difference, is_status, status_bytes,
};
use mail_smtp2::sys::smtp::{Heard, Upgrade};
use mail_smtp2::sys::{
    Asked, Command, CommandError, Deadline, Dialogue, EditLock, Ended, FileError, Held, Host, Layer, Lock,
    LockError, Meta, Output, Process, Question, Reply, SightError, Signal, SmtpError, Socket, SocketError,
    Stamp, View, Who,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// When everything happens: 2026-01-01T00:00:00Z.
const NOW: Duration = Duration::from_secs(1_767_225_600);
/// Who we are.
const OURSELVES: i32 = 700;
/// When every process started.
const STARTED: u64 = 1;

/// What a deed leads to.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) after: Scene,
}

/// Where the outcomes of deeds come from.
pub(super) trait Outcomes: Debug + Send {
    /// The files that are there at first.
    fn root(&self) -> BTreeMap<PathBuf, Stored>;
    /// A file that is there at first and has not been spoken of yet.
    fn file(&mut self, path: &Path) -> Option<Stored>;
    /// What is looked at.
    fn survey(&self) -> Survey;
    /// The scene before the first deed.
    fn first(&mut self) -> Scene;
    /// Does it, or says what it did then; `None` if that was never seen.
    fn of(&mut self, deed: &Deed, before: &Scene, files: &Differing) -> Option<Outcome>;
}

/// The outcomes as recorded.
#[derive(Debug)]
pub(super) struct Replay(pub(super) Arc<Recording>);

impl Outcomes for Replay {
    fn root(&self) -> BTreeMap<PathBuf, Stored> {
        self.0.root.clone()
    }

    fn file(&mut self, _: &Path) -> Option<Stored> {
        None
    }

    fn survey(&self) -> Survey {
        self.0.survey.clone()
    }

    fn first(&mut self) -> Scene {
        self.0.scenes.first().expect("a recording has a first scene").clone()
    }

    fn of(&mut self, deed: &Deed, before: &Scene, files: &Differing) -> Option<Outcome> {
        let files = self.0.shown(files);
        let known = |entry: &&Entry| {
            let here = entry.before.as_ref().is_none_or(|scene| *scene == before.name);
            here && entry.deed == *deed && entry.files == files
        };
        let entry = self.0.entries.iter().find(known)?;
        let after = match &entry.after {
            Some(name) => self.0.scenes.iter().find(|scene| scene.name == *name)?,
            None => before,
        };
        let after = after.clone();
        Some(Outcome { end: entry.end, stdout: entry.stdout.clone(), stderr: entry.stderr.clone(), after })
    }
}

/// The machine.
#[derive(Debug)]
pub(super) struct Recorded(Mutex<Machine>);

#[derive(Debug)]
struct Machine {
    outcomes: Box<dyn Outcomes>,
    survey: Survey,
    root: BTreeMap<PathBuf, Stored>,
    files: BTreeMap<PathBuf, File>,
    /// Symbolic links, and what they name.
    links: BTreeMap<PathBuf, PathBuf>,
    folders: BTreeSet<PathBuf>,
    /// Files that the outcomes have been asked for.
    sought: BTreeSet<PathBuf>,
    scene: Scene,
    faults: Faults,
    writes: u64,
    effects: Vec<String>,
    trouble: Vec<String>,
}

#[derive(Debug, Clone)]
struct File {
    stored: Stored,
    /// Which write made it.
    write: u64,
    /// Whether it belongs to the scene, and not to the plugin or an administrator.
    of_scene: bool,
}

impl Recorded {
    /// The machine as it is at first, with these files over those that are there.
    pub(super) fn new(mut outcomes: Box<dyn Outcomes>, over: &BTreeMap<PathBuf, Stored>) -> Self {
        let (root, survey, scene) = (outcomes.root(), outcomes.survey(), outcomes.first());
        let mut machine = Machine {
            outcomes,
            survey,
            root: root.clone(),
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            folders: BTreeSet::new(),
            sought: BTreeSet::new(),
            scene: scene.clone(),
            faults: Faults::default(),
            writes: 0,
            effects: Vec::new(),
            trouble: Vec::new(),
        };
        for (path, stored) in &root {
            machine.store(path, stored.clone(), false);
        }
        for (path, stored) in over {
            // What it hides belongs to `root/` all the same.
            machine.file(path);
            machine.store(path, stored.clone(), false);
        }
        machine.enter(scene);
        Self(Mutex::new(machine))
    }

    /// Something is done to the machine, not by us.
    pub(super) fn by_another(&self, deed: &Deed) {
        self.lock().deed(deed);
    }

    /// An administrator writes a file, knowing what stands in it.
    pub(super) fn edit(&self, path: &Path, edit: impl FnOnce(String) -> String) {
        let mut machine = self.lock();
        let old = machine.file(path).map(|file| file.stored);
        let mode = old.as_ref().map_or(0o644, |old| old.mode);
        let text = String::from_utf8(old.map(|old| old.bytes).unwrap_or_default()).unwrap();
        machine.store(path, Stored { bytes: edit(text).into_bytes(), mode }, false);
    }

    /// An administrator takes a file away.
    pub(super) fn take_away(&self, path: &Path) {
        let mut machine = self.lock();
        machine.file(path);
        machine.files.remove(path);
    }

    /// From now on these faults happen.
    pub(super) fn lay(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// What was done since this was asked last.
    pub(super) fn take_effects(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().effects)
    }

    /// What was asked and is not known.
    pub(super) fn trouble(&self) -> Vec<String> {
        self.lock().trouble.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // A panic of ours has left a note, and nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine {
    fn unknown(&mut self, question: String) -> ! {
        self.trouble.push(format!("never recorded: {question}"));
        panic!("never recorded: {question}");
    }

    fn store(&mut self, path: &Path, stored: Stored, of_scene: bool) {
        self.writes += 1;
        self.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
        self.files.insert(path.to_owned(), File { stored, write: self.writes, of_scene });
    }

    /// The file that a name stands for.
    fn file(&mut self, path: &Path) -> Option<File> {
        let path = self.links.get(path).cloned().unwrap_or_else(|| path.to_owned());
        let path = path.as_path();
        // Processes are the scene's.
        if !is_of_a_process(path)
            && !self.scene.files.contains_key(path)
            && self.sought.insert(path.to_owned())
            && !self.files.contains_key(path)
        {
            self.outcomes.file(path);
            // Of a folder it is what stands in it.
            for (path, stored) in self.outcomes.root() {
                if !self.root.contains_key(&path) {
                    self.sought.insert(path.clone());
                    self.root.insert(path.clone(), stored.clone());
                    self.store(&path, stored, false);
                }
            }
        }
        self.files.get(path).cloned()
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.folders.contains(path)
    }

    /// The scene changes, and with it the files that are the mail server's own.
    fn enter(&mut self, scene: Scene) {
        self.files.retain(|path, file| !file.of_scene || scene.files.contains_key(path));
        for (path, text) in &scene.files {
            let bytes = if is_status(path) { status_bytes(text) } else { text.clone().into_bytes() };
            if self.files.get(path).is_none_or(|file| file.stored.bytes != bytes) {
                self.store(path, Stored { bytes, mode: 0o600 }, true);
            }
        }
        self.scene = scene;
    }

    /// What a deed meets otherwise than it is in `root/`.
    fn differing(&self, deed: &Deed) -> Differing {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("files of fixtures are text");
        let theirs = self.files.iter().filter(|(path, file)| !file.of_scene && deed.meets(path));
        let mut differing: Differing = theirs
            .filter(|(path, file)| {
                self.root.get(*path).is_none_or(|stored| stored.bytes != file.stored.bytes)
            })
            .map(|(path, file)| (path.clone(), Some(Content::Text(text(&file.stored.bytes)))))
            .collect();
        let links = self.links.iter().filter(|(path, _)| deed.meets(path));
        differing
            .extend(links.map(|(path, link)| (path.clone(), Some(Content::Link { link: link.clone() }))));
        let gone = self.root.keys().filter(|path| !self.files.contains_key(*path));
        differing.extend(gone.map(|path| (path.clone(), None)));
        differing
    }

    fn deed(&mut self, deed: &Deed) -> Outcome {
        let (before, files) = (self.scene.clone(), self.differing(deed));
        let Some(outcome) = self.outcomes.of(deed, &before, &files) else {
            self.unknown(format!("{deed:?} in the scene {:?} with {files:#?}", before.name))
        };
        self.enter(outcome.after.clone());
        outcome
    }

    fn strike(&mut self, met: impl Fn(&At, &Then) -> bool) -> Option<(Then, String)> {
        self.faults.strike(met)
    }

    fn effect(&mut self, text: String) {
        self.effects.push(text);
    }

    /// What was written: all of it, or how it differs from what stood there.
    fn wrote(&mut self, head: &str, old: Option<File>, bytes: &[u8]) {
        let mut text = head.to_owned();
        let new = String::from_utf8_lossy(bytes);
        let lines: Vec<String> = match old {
            Some(old) if old.stored.bytes == bytes => vec!["(the same bytes)".to_owned()],
            Some(old) => difference(&String::from_utf8_lossy(&old.stored.bytes), &new),
            None if bytes.ends_with(b"\n") => new.lines().map(str::to_owned).collect(),
            None => new.lines().chain(["(no end of line)"]).map(str::to_owned).collect(),
        };
        for line in lines {
            text += "\n    ";
            text += &line;
        }
        self.effect(text);
    }

    /// The only file of this name that is not ours.
    fn namesake(&self, path: &Path) -> Option<(PathBuf, File)> {
        let theirs = |other: &Path| other.file_name() == path.file_name() && !other.starts_with(STATE);
        let mut found = self.files.iter().filter(|(other, _)| theirs(other));
        found.next().filter(|_| found.next().is_none()).map(|(path, file)| (path.clone(), file.clone()))
    }

    /// A place that was looked at.
    fn place(&mut self, address: SocketAddr) {
        if !self.survey.addresses.contains(&address.ip()) {
            self.unknown(format!("anything about {}", address.ip()));
        }
        self.port(address.port());
    }

    /// A place that was looked at and spoken to.
    fn peer(&mut self, address: SocketAddr) {
        self.place(address);
        if address.ip().is_unspecified() || !self.survey.ports.contains(&address.port()) {
            self.unknown(format!("what {address} says"));
        }
    }

    fn port(&mut self, port: u16) {
        if port != 0 && !self.survey.ports.contains(&port) && !self.survey.others.contains(&port) {
            self.unknown(format!("anything about port {port}"));
        }
    }

    fn listening(&self, socket: &Socket) -> Option<&Listening> {
        self.scene.sockets.iter().find(|listening| listening.socket == *socket)
    }

    fn somebody(&self, pid: i32) -> Option<&Somebody> {
        self.scene.processes.iter().find(|process| process.pid == pid)
    }

    fn process(&self, pid: i32) -> Option<Process> {
        let found = self.somebody(pid)?;
        Some(Process { pid, started: STARTED, exe: found.exe.clone(), name: found.name.clone() })
    }

    /// The folder of `path` has to be there.
    fn room(&self, path: &Path) -> Result<(), FileError> {
        match path.parent() {
            Some(parent) if self.is_folder(parent) => Ok(()),
            _ => Err(writing(path, io::ErrorKind::NotFound.into())),
        }
    }
}

impl View for Recorded {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + NOW
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        if let Some(pid) = started_with(path) {
            return Ok(self.lock().somebody(pid).map(|process| process.words.join("\0").into_bytes()));
        }
        Ok(self.lock().file(path).map(|file| file.stored.bytes))
    }

    fn stamp(&self, path: &Path) -> Result<Option<Stamp>, FileError> {
        let mut machine = self.lock();
        let works_in = |path: &Path| {
            let pid: i32 = path.strip_prefix("/proc").ok()?.parent()?.to_str()?.parse().ok()?;
            path.ends_with("cwd").then_some(())?;
            machine.scene.processes.iter().find(|process| process.pid == pid)?.works_in.clone()
        };
        let path = works_in(path).unwrap_or_else(|| path.to_owned());
        if let Some(file) = machine.file(&path) {
            return Ok(Some(Stamp::counted(file.write)));
        }
        // A service directory stays the one that it is.
        let service = machine.survey.services.iter().position(|service| *service == path);
        Ok(service.map(|at| Stamp::counted(u64::MAX - at as u64)))
    }

    fn meta(&self, path: &Path) -> Result<Option<Meta>, FileError> {
        let mut machine = self.lock();
        let folder = Meta { uid: 0, gid: 0, mode: 0o755 };
        let found = machine.file(path).map(|file| Meta { uid: 0, gid: 0, mode: file.stored.mode });
        Ok(found.or_else(|| machine.is_folder(path).then_some(folder)))
    }

    fn list(&self, path: &Path) -> Result<Vec<mail_smtp2::sys::Entry>, FileError> {
        self.lock().unknown(format!("what stands in {}", path.display()))
    }

    fn is_read(&self, fifo: &Path) -> Result<bool, FileError> {
        self.feed(fifo, b"")
    }

    fn unread(&self, _: &Path) -> Result<bool, FileError> {
        // A supervisor's deeds are done as soon as it was told.
        Ok(false)
    }

    fn listening(&self, port: u16) -> Result<Vec<Socket>, SocketError> {
        let mut machine = self.lock();
        machine.port(port);
        let sockets = machine.scene.sockets.iter().map(|listening| listening.socket.clone());
        Ok(sockets.filter(|socket| socket.address.port() == port).collect())
    }

    fn still_held(&self, held: &Held) -> bool {
        let machine = self.lock();
        let seen = Holder { pid: held.pid, fd: held.fd };
        machine.listening(&held.socket).is_some_and(|listening| listening.holders.contains(&seen))
    }

    fn holder_among(&self, socket: &Socket, pids: &[i32]) -> Result<Option<Held>, SocketError> {
        let mut machine = self.lock();
        let port = socket.address.port();
        if machine.strike(|at, _| *at == At::Holder(port)).is_some() {
            let pid = pids.first().copied().unwrap_or_default();
            return Err(SocketError::Denied { address: socket.address, pid });
        }
        let Some(listening) = machine.listening(socket) else { return Ok(None) };
        let found = pids.iter().find_map(|pid| listening.holders.iter().find(|holder| holder.pid == *pid));
        Ok(found.map(|holder| Held { socket: socket.clone(), pid: holder.pid, fd: holder.fd }))
    }

    fn holders(&self, socket: &Socket) -> Result<Vec<Process>, SocketError> {
        let machine = self.lock();
        let holders = machine.listening(socket).into_iter().flat_map(|listening| &listening.holders);
        Ok(holders.filter_map(|holder| machine.process(holder.pid)).collect())
    }

    fn try_bind(&self, address: IpAddr, port: u16) -> io::Result<()> {
        let mut machine = self.lock();
        let place = SocketAddr::new(address, port);
        machine.place(place);
        if machine.strike(|at, _| *at == At::Bind(place)).is_some() {
            return Err(io::Error::from_raw_os_error(nix::libc::EACCES));
        }
        match machine.scene.unbindable.get(&place) {
            Some(number) => Err(io::Error::from_raw_os_error(*number)),
            None => Ok(()),
        }
    }

    fn process(&self, pid: i32) -> Option<Process> {
        self.lock().process(pid)
    }

    fn is_of(&self, _: i32, _: &[u32]) -> bool {
        // Nobody else works on a machine that is being recorded.
        true
    }

    fn ourselves(&self) -> Option<Who> {
        Some(Who { pid: OURSELVES, uid: 0, program: "mail-smtp2".to_owned() })
    }

    fn starter(&self) -> Option<Who> {
        None
    }

    fn parent(&self, _: i32) -> Option<i32> {
        None
    }

    fn together(&self, _: i32, _: &Path) -> Result<(), SightError> {
        Ok(())
    }

    fn processes(&self, exes: &[&Path], _: &[&Path]) -> Result<Vec<Process>, SightError> {
        let mut machine = self.lock();
        if let Some(exe) = exes.iter().find(|exe| !machine.survey.programs.iter().any(|known| known == **exe))
        {
            machine.unknown(format!("which processes run {}", exe.display()));
        }
        let ours = |pid: &i32| {
            machine.process(*pid).filter(|p| p.exe.as_deref().is_some_and(|exe| exes.contains(&exe)))
        };
        Ok(machine.scene.processes.iter().filter_map(|process| ours(&process.pid)).collect())
    }

    fn reaches(&self, path: &Path, _: Deadline) -> io::Result<()> {
        let mut machine = self.lock();
        if !machine.survey.unix.iter().any(|known| known == path) {
            machine.unknown(format!("whether somebody listens at {}", path.display()));
        }
        match machine.scene.unix.contains(path) {
            true => Ok(()),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    fn refuses(&self, address: SocketAddr, _: Deadline) -> io::Result<bool> {
        let mut machine = self.lock();
        machine.peer(address);
        Ok(machine.scene.refusing.contains(&address))
    }

    fn own_addresses(&self) -> io::Result<Vec<IpAddr>> {
        // Every machine is recorded in a network of its own, with the loopback interface alone.
        Ok(Vec::new())
    }
}

impl Host for Recorded {
    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }

    fn give(&self, path: &Path, meta: Meta) -> Result<(), FileError> {
        let mut machine = self.lock();
        let Some(file) = machine.file(path) else {
            return Err(writing(path, io::ErrorKind::NotFound.into()));
        };
        // All that is recorded is root's.
        assert_eq!((meta.uid, meta.gid), (0, 0), "{}", path.display());
        machine.effect(format!("mode {} {:04o}", path.display(), meta.mode));
        machine.store(path, Stored { mode: meta.mode, ..file.stored }, false);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        let mut machine = self.lock();
        let old = machine.file(path);
        let mode = old.as_ref().map_or(mode, |old| old.stored.mode);
        let head = format!("write {} {mode:04o}", path.display());
        if machine.strike(|at, _| matches!(at, At::Write(struck) if struck == path)).is_some() {
            machine.effect(format!("{head}: permission denied (a fault)"));
            return Err(writing(path, io::Error::from_raw_os_error(nix::libc::EACCES)));
        }
        machine.room(path)?;
        machine.wrote(&head, old, bytes);
        machine.store(path, Stored { bytes: bytes.to_vec(), mode }, false);
        Ok(())
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let mut machine = self.lock();
        machine.room(path)?;
        machine.wrote(&format!("append {}", path.display()), None, bytes);
        let mut stored =
            machine.file(path).map_or(Stored { bytes: Vec::new(), mode: 0o600 }, |file| file.stored);
        stored.bytes.extend(bytes);
        machine.store(path, stored, false);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        let Some(file) = machine.file(from) else {
            return Err(writing(to, io::ErrorKind::NotFound.into()));
        };
        machine.effect(format!("rename {} {}", from.display(), to.display()));
        machine.files.remove(from);
        machine.store(to, file.stored, false);
        Ok(())
    }

    fn scratch(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        let mut machine = self.lock();
        machine.room(path)?;
        let mut head = format!("scratch {}", path.display());
        let like = machine.namesake(path).map(|(like, file)| {
            head += &format!(", like {}", like.display());
            file
        });
        machine.wrote(&head, like, bytes);
        machine.store(path, Stored { bytes: bytes.to_vec(), mode: 0o600 }, false);
        Ok(())
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        machine.room(path)?;
        if machine.links.get(path).is_none_or(|known| known != target) {
            machine.effect(format!("link {} to {}", path.display(), target.display()));
            machine.links.insert(path.to_owned(), target.to_owned());
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        if machine.links.remove(path).is_some() {
            machine.effect(format!("remove {}", path.display()));
        } else if machine.file(path).is_some() {
            machine.effect(format!("remove {}", path.display()));
            machine.files.remove(path);
        }
        Ok(())
    }

    fn make_dir(&self, path: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        if !machine.is_folder(path) {
            machine.effect(format!("make {}/", path.display()));
            machine.folders.extend(path.ancestors().map(Path::to_owned));
        }
        Ok(())
    }

    fn make_room(&self, path: &Path, _: u32) -> Result<(), FileError> {
        path.parent().map_or(Ok(()), |folder| self.make_dir(folder))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        if machine.is_folder(path) {
            machine.effect(format!("remove {}/", path.display()));
            machine.files.retain(|other, _| !other.starts_with(path));
            machine.links.retain(|other, _| !other.starts_with(path));
            machine.folders.retain(|other| !other.starts_with(path));
        }
        Ok(())
    }

    fn remove_empty_dir(&self, path: &Path) -> Result<(), FileError> {
        let mut machine = self.lock();
        let within = |other: &PathBuf| other.starts_with(path) && other != path;
        if machine.files.keys().any(within) || machine.folders.iter().any(within) {
            return Err(writing(path, io::ErrorKind::DirectoryNotEmpty.into()));
        }
        if machine.folders.remove(path) {
            machine.effect(format!("remove {}/", path.display()));
        }
        Ok(())
    }

    fn lock(&self, path: &Path, _: Duration) -> Result<Lock, LockError> {
        path.parent().map_or(Ok(()), |folder| self.make_dir(folder))?;
        let mut machine = self.lock();
        let head = format!("lock {}", path.display());
        let held = machine.strike(|at, _| matches!(at, At::Lock(struck) if struck == path));
        if let Some((Then::HeldBy(pid), _)) = held {
            machine.effect(format!("{head}: held by process {pid} (a fault)"));
            return Err(LockError::Held { holder: Some(pid), note: None });
        }
        machine.room(path)?;
        machine.effect(head);
        machine.store(path, Stored { bytes: format!("{OURSELVES}\n").into_bytes(), mode: 0o600 }, false);
        Ok(Lock::unneeded())
    }

    fn edit_lock(&self, path: &Path, _: Duration) -> Result<Option<EditLock>, FileError> {
        let mut machine = self.lock();
        let head = format!("lock {}", path.display());
        if machine.strike(|at, _| matches!(at, At::Lock(struck) if struck == path)).is_some() {
            machine.effect(format!("{head}: held by somebody else (a fault)"));
            return Ok(None);
        }
        machine.room(path)?;
        machine.effect(head);
        Ok(Some(EditLock::unneeded()))
    }

    fn feed(&self, fifo: &Path, bytes: &[u8]) -> Result<bool, FileError> {
        let mut machine = self.lock();
        if !machine.survey.fifos.iter().any(|known| known == fifo) {
            machine.unknown(format!("whether somebody reads {}", fifo.display()));
        }
        let read = machine.scene.fifos.contains(fifo);
        if read && !bytes.is_empty() {
            let letters = String::from_utf8_lossy(bytes).into_owned();
            let head = format!("feed {} {letters}", fifo.display());
            if machine.strike(|at, _| matches!(at, At::Feed(struck) if struck == fifo)).is_some() {
                machine.effect(format!("{head}: it changes nothing (a fault)"));
                return Ok(read);
            }
            machine.effect(head);
            machine.deed(&Deed::Feed(fifo.to_owned(), letters));
        }
        Ok(read)
    }

    fn run(&self, command: &Command, _: Deadline) -> Result<Output, CommandError> {
        let mut machine = self.lock();
        let argv: Vec<String> =
            command.argv().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let words = argv.join(" ");
        let struck = machine.strike(|at, _| matches!(at, At::Run(beginning) if words.starts_with(beginning)));
        let (end, stdout, stderr, mark) = match struck {
            Some((Then::Hangs(seconds), stderr)) => {
                machine.effect(format!("run {words}: killed after {seconds} s (a fault)"));
                let (argv0, after) = (command.argv()[0].clone(), Duration::from_secs_f64(seconds));
                return Err(CommandError::TimedOut { argv0, after, stderr: stderr.into_bytes() });
            }
            Some((Then::Exit(status), stderr)) => (End::Exit(status), String::new(), stderr, " (a fault)"),
            Some((Then::Killed(signal), stderr)) => {
                (End::Killed(signal), String::new(), stderr, " (a fault)")
            }
            _ => {
                let outcome = machine.deed(&Deed::Argv(argv));
                (outcome.end, outcome.stdout, outcome.stderr, "")
            }
        };
        let (ended, how) = match end {
            End::Exit(0) if mark.is_empty() => (Ended::Exited(0), String::new()),
            End::Exit(status) => (Ended::Exited(status), format!(": exit {status}")),
            End::Killed(signal) => (Ended::Signalled(signal), format!(": killed by signal {signal}")),
        };
        machine.effect(format!("run {words}{how}{mark}"));
        Ok(Output { ended, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() })
    }

    fn signal(&self, process: &Process, signal: Signal) -> io::Result<()> {
        let mut machine = self.lock();
        if machine.process(process.pid).is_none() {
            return Err(io::Error::from_raw_os_error(nix::libc::ESRCH));
        }
        let name = match signal {
            Signal::Hangup => "HUP",
            Signal::Terminate => "TERM",
            Signal::Kill => "KILL",
        };
        let head = format!("signal {name} {} ({})", process.pid, process.name);
        let deed = match machine.strike(|at, _| matches!(at, At::Signal(to) if *to == process.name)) {
            Some((Then::Lost(_), _)) => {
                machine.effect(format!("{head}: it changes nothing (a fault)"));
                return Ok(());
            }
            Some((Then::Instead(argv), _)) => {
                machine.effect(format!("{head}: as after {} (a fault)", argv.join(" ")));
                Deed::Argv(argv)
            }
            _ => {
                machine.effect(head);
                let called = machine.somebody(process.pid).map(|known| machine.scene.called(known));
                Deed::Signal(name.to_owned(), called.unwrap_or_else(|| process.name.clone()))
            }
        };
        machine.deed(&deed);
        Ok(())
    }

    fn greeting(&self, address: SocketAddr, _: Deadline) -> Result<Reply, SmtpError> {
        let mut machine = self.lock();
        machine.place(address);
        let mut spoken = machine.scene.dialogues.iter().filter(|spoken| spoken.at == address);
        if let Some(said) = spoken.find_map(|spoken| spoken.said.all()) {
            return Ok(said.greeting.clone());
        }
        let ip = address.ip();
        let hears = |at: &SocketAddr| {
            at.port() == address.port()
                && (at.ip() == ip || at.ip().is_unspecified() && at.is_ipv4() == ip.is_ipv4())
        };
        if machine.scene.sockets.iter().any(|listening| hears(&listening.socket.address)) {
            let scene = machine.scene.name.clone();
            machine.unknown(format!("how {address} greets in the scene {scene:?}"));
        }
        let source = io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        Err(SmtpError::Connect { address, source })
    }

    fn dialogue(&self, address: SocketAddr, question: &Question, _: Deadline) -> Result<Dialogue, SmtpError> {
        let mut machine = self.lock();
        machine.place(address);
        if machine.scene.refusing.contains(&address) {
            let source = io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
            return Err(SmtpError::Connect { address, source });
        }
        let is_it = |spoken: &&Spoken| spoken.at == address && spoken.question == *question;
        let said = machine.scene.dialogues.iter().find(is_it).map(|spoken| spoken.said.clone());
        let Some(said) = said else {
            let scene = machine.scene.name.clone();
            machine.unknown(format!("a dialogue with {address} ({question:?}) in the scene {scene:?}"))
        };
        let mut said = match said {
            Said::All(said) => *said,
            Said::HungUp { hung_up: step } => return Err(SmtpError::Closed { address, step }),
        };
        // What is laid over a dialogue comes where it shows.
        let strikes = |at: &At, then: &Then| match then {
            Then::NoAuth(_) => *at == At::Dialogue(address) && question.layer == Layer::Tls,
            _ => *at == At::Dialogue(address) && matches!(question.command, Asked::Mail(_)),
        };
        match machine.strike(strikes) {
            Some((Then::NoAuth(_), _)) => match &mut said.upgrade {
                Upgrade::Done(offer) => offer.auth.clear(),
                _ => said.clear.auth.clear(),
            },
            Some(_) => {
                let ok = |text: &str| Reply { code: 250, text: text.to_owned() };
                said.heard = Heard::Mail(ok("2.1.0 Ok"), Some(ok("2.1.5 Ok")));
            }
            None => {}
        }
        Ok(said)
    }
}

/// Whether a file below `/proc` is a process's.
fn is_of_a_process(path: &Path) -> bool {
    let first = path.strip_prefix("/proc").ok().and_then(|path| path.iter().next());
    first.and_then(|name| name.to_str()).is_some_and(|name| name.parse::<i32>().is_ok())
}

/// Whose words stand in this file (proc_pid_cmdline(5)).
fn started_with(path: &Path) -> Option<i32> {
    path.to_str()?.strip_prefix("/proc/")?.strip_suffix("/cmdline")?.parse().ok()
}

fn writing(path: &Path, source: io::Error) -> FileError {
    FileError::Write { path: path.to_owned(), source }
}
