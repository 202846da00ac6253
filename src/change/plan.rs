//! What a change is going to do, decided before the first byte is written; and doing it.
//!
//! Answers for: settings after, files after, the order of phases, everything that can be found out beforehand, then
//! stage, check, intent, apply, tell, prove and settings. Does not know: how to undo; a failure after the intent is
//! handed to `undo` with what the intent says. Settings are the last thing written: with them the change is made.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Failure, Undone};
use super::journal::{self, Intent, OldBlock, OldFile, Planned, Was, hash};
use super::settings::{self, Settings, Wanted};
use super::{ChangeError, Service, Verb, block, boot, live, prove, refuse, undo};
use crate::mta::{Alternate, AuthMode, By, Content, Desk, Edit, Goal, Listener, Meant, Mta, Staged, Tell};
use crate::sys::{Command, CommandError, Deadline, EditLock, Ended, Host, Output, Process, Signal};
use crate::wire::status::Status;
use crate::wire::text::foreign;

/// The port of an unconfigured machine (page of the panel).
const DEFAULT_PORT: u16 = 587;
/// How long an MTA that keeps a socket is given to be rid of the processes that still serve it as before; one that is
/// asked too early answers as it was (a Postfix whose helpers are just being replaced takes two seconds for it). It saves
/// time and nothing else: Postfix starts a process only when no earlier one is idle, so that a new one heard in the proof
/// means that none is left to answer otherwise.
const SETTLE: Duration = Duration::from_millis(40);
/// How long a daemon that was asked to end is waited for before it is made to.
const GRACE: Duration = Duration::from_secs(2);
/// How long a supervisor may take to notice a new folder: both kinds look every five seconds.
const SUPERVISOR: Duration = Duration::from_secs(8);
/// How often is looked whether it has.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a primary server may take to show all of its addresses, and how often is looked.
const SETTLED: Duration = Duration::from_secs(5);
const GLIMPSE: Duration = Duration::from_millis(25);
/// How long a listener is heard out before a change, at most.
const HEARING: Duration = Duration::from_secs(6);
/// Where blocks are kept that somebody else had edited, below the state directory.
pub const EDITED: &str = "edited";

/// A change that is worth carrying out.
pub struct Plan<'s> {
    mta: &'s dyn Mta,
    alternate: Box<dyn Alternate + 's>,
    addresses: Vec<IpAddr>,
    meant: Vec<Meant>,
    after: Option<Settings>,
    /// What is to become of the service, one after the other.
    phases: Vec<Goal>,
    files: Vec<File>,
    intent: Intent,
    /// Whether only the settings change.
    settings_only: bool,
}

/// A file of the configuration, before and after each phase.
struct File {
    path: PathBuf,
    mode: u32,
    lock: Option<PathBuf>,
    /// Whether all of it is ours, or a marked block.
    whole: bool,
    old: Option<Vec<u8>>,
    new: Vec<Option<Vec<u8>>>,
}

impl<'s> Plan<'s> {
    /// Decides what there is to do; `None` is nothing.
    pub fn make(service: &'s Service, verb: Verb, desk: Desk<'s>) -> Result<Option<Self>, ChangeError> {
        let Desk { host, deadline, .. } = desk;
        let before = service.settings()?;
        if let Some(theirs) =
            before.as_ref().map(|settings| settings.format).filter(|f| *f > settings::FORMAT)
        {
            return Err(ChangeError::Newer { theirs, ours: settings::FORMAT });
        }
        if before.is_none() && verb.ends() {
            return Ok(None);
        }
        if before.is_none() && matches!(verb, Verb::Start | Verb::Restart) {
            return Err(ChangeError::Unconfigured);
        }
        let mta = service.acting(before.as_ref(), verb)?;
        let alternate = service.alternate(mta, desk)?;
        let mut after = after(verb, before.as_ref(), mta)?;
        let aim = after.as_ref().map_or(Goal::Removed, Settings::goal);
        let goal = aim.listener().copied();
        let was = before.as_ref().and_then(Settings::target).copied();
        let addresses = settled(host, mta, &*alternate, was.as_ref().or(goal.as_ref()), deadline)?;

        let found = match &was {
            Some(was) => match prove::glance(host, mta, was, &addresses, hearing(deadline))? {
                prove::Glance::Up => Was::Up,
                prove::Glance::Odd(_) | prove::Glance::PutOff(_) => Was::Odd,
                prove::Glance::Absent => Was::Absent,
            },
            None => Was::Absent,
        };
        let phases = match (verb, goal) {
            (Verb::Restart, Some(_)) if found != Was::Absent => vec![Goal::Stopped, aim],
            // Only our settings change.
            (Verb::Update { .. }, None) => Vec::new(),
            _ => vec![aim],
        };
        let files = files(host, &*alternate, &phases, before.as_ref(), mta.is_ours())?;
        let dirty = files.iter().any(File::changes);
        if let Some(after) = &mut after {
            for file in files.iter().filter(|file| file.whole && file.changes()) {
                let old = || file.old.as_deref().map(journal::encode);
                after.saved.entry(file.path.clone()).or_insert_with(old);
            }
        }
        let meant = meant(host, &*alternate, mta.is_ours())?;
        let as_wanted = match goal {
            Some(_) => found == Was::Up && goal == was,
            None => match before.as_ref().map(|settings| settings.listener.port) {
                Some(port) => {
                    is_theirs(&meant, port) || prove::is_down(host, mta, port, &addresses, deadline)?
                }
                None => true,
            },
        };
        let settings_only = phases.is_empty() || !dirty && as_wanted && verb != Verb::Restart;
        if settings_only
            && before == after
            && host.stamp(&settings::path(&service.options.state_dir))?.is_some()
        {
            return Ok(None);
        }
        if let Some(after) = &after
            && (goal.is_some() || matches!(verb, Verb::Update { .. }))
        {
            port_is_unmeant(&meant, verb, after.listener.port)?;
            port_is_ours(host, mta, after.listener.port, &addresses)?;
            let is_known = was.as_ref().is_some_and(|was| was.port == after.listener.port);
            if mta.shares_its_process() && !is_known {
                port_is_nobodys_entry(host, mta, after.listener.port)?;
            }
        }
        if let Some(goal) = &goal {
            alternate.ready(goal)?;
        }
        if let (Verb::Remove, Some(before)) = (verb, &before)
            && let Some(path) = mta.strangers(host, &before.made())?.into_iter().next()
        {
            return Err(ChangeError::Stranger { path });
        }
        let made: Vec<&Path> =
            files.iter().filter(|file| file.is_made()).map(|file| file.path.as_path()).collect();
        let mut folders = if made.is_empty() { Vec::new() } else { mta.belongings(&made) };
        folders.retain(|folder| matches!(host.meta(folder), Ok(None)));
        let planned = files.iter().map(|file| file.planned(mta.is_ours())).collect::<Result<_, _>>()?;
        let primary_ran = alternate.primary_runs()?;
        let port = before.as_ref().map(|before| before.listener.port);
        let orphaned = match port.filter(|_| found == Was::Absent) {
            Some(port) => live::orphaned(host, mta, port)? && live::owned(host, mta, port)?.is_empty(),
            None => false,
        };
        let intent = Intent {
            format: journal::FORMAT,
            action: verb.name().to_owned(),
            before,
            after: after.clone(),
            was: found,
            found: if found == Was::Absent { alternate.found()? } else { None },
            orphaned,
            bound: match &was {
                Some(was) => {
                    live::owned(host, mta, was.port)?.iter().map(|held| held.socket.address.ip()).collect()
                }
                None => Vec::new(),
            },
            primary: if settings_only {
                Vec::new()
            } else {
                prove::greeting_now(host, mta, &addresses, deadline)
            },
            primary_ran,
            folders,
            files: planned,
            tried: None,
        };
        Ok(Some(Self { mta, alternate, addresses, meant, after, phases, files, intent, settings_only }))
    }

    /// Does it. After a failure the old state is proven, or the failure says that it is not.
    pub fn carry_out(self, service: &Service, verb: Verb, deadline: Deadline) -> Result<(), Failure> {
        let host = &*service.host;
        let state_dir = &service.options.state_dir;
        if self.settings_only {
            return Ok(self.settle(service)?);
        }
        self.check(host, deadline)?;
        self.keep_edited(host, state_dir)?;
        self.intent.write(host, state_dir)?;
        let mut wrote = Wrote::Nothing;
        let result = self.run_phases(host, deadline, &mut wrote).and_then(|()| self.settle(service));
        let Err(error) = result else {
            if self.after.is_none() {
                undo::clear(service, &self.intent).map_err(|error| ChangeError::Left(Box::new(error)))?;
            }
            if let Err(error) = Intent::remove(host, state_dir) {
                tracing::warn!(%error, action = verb.name(), "the intent of an ended change is left");
            }
            return Ok(());
        };
        if matches!(wrote, Wrote::Nothing) {
            Intent::remove(host, state_dir)?;
            return Err(error.into());
        }
        let undone = match undo::take_back(service, &self.intent) {
            Ok(()) => Undone::All,
            Err(stuck) => Undone::Stuck(Box::new(stuck)),
        };
        Err(Failure { error: Box::new(error), undone })
    }

    fn run_phases(&self, host: &dyn Host, deadline: Deadline, wrote: &mut Wrote) -> Result<(), ChangeError> {
        for (phase, goal) in self.phases.iter().enumerate() {
            let first = self.alternate.tell_before(goal)?;
            if !first.is_empty() {
                *wrote = Wrote::Something;
                tell(host, &first, deadline)?;
            }
            for file in &self.files {
                file.apply(host, phase, wrote, deadline)?;
            }
            let listener = goal.listener();
            if let Some(listener) = listener {
                // Somebody may have taken the port since we looked, and some MTAs die of that.
                port_is_ours(host, self.mta, listener.port, &self.addresses)?;
            }
            *wrote = Wrote::Something;
            tell(host, &self.alternate.tell(goal, &self.addresses)?, deadline)?;
            if self.keeps_socket(listener) {
                host.sleep(SETTLE);
            }
            self.prove(host, listener, deadline)?;
        }
        prove::greets(host, &self.intent.primary, deadline)
    }

    /// Whether the listener goes on listening where it does, so that no socket shows when it has changed.
    fn keeps_socket(&self, goal: Option<&Listener>) -> bool {
        let was =
            self.intent.before.as_ref().and_then(Settings::target).filter(|_| self.intent.was != Was::Absent);
        self.phases.len() == 1 && was.map(|was| was.port) == goal.map(|goal| goal.port) && goal.is_some()
    }

    fn prove(&self, host: &dyn Host, goal: Option<&Listener>, deadline: Deadline) -> Result<(), ChangeError> {
        if let Some(goal) = goal {
            let alive = || prove::alive(&*self.alternate, goal, self.intent.primary_ran);
            let addresses = || Ok(self.alternate.addresses()?);
            prove::up(host, self.mta, goal, &addresses, &alive, deadline)?;
        }
        let old = self.intent.before.as_ref().map(|before| before.listener.port);
        let ours = |port: &u16| goal.is_none_or(|goal| goal.port != *port) && !is_theirs(&self.meant, *port);
        match old.filter(ours) {
            Some(old) => prove::down(host, self.mta, old, &self.addresses, deadline),
            None => Ok(()),
        }
    }

    /// The settings are written, or gone: from here on the change is made.
    fn settle(&self, service: &Service) -> Result<(), ChangeError> {
        let host = &*service.host;
        let path = settings::path(&service.options.state_dir);
        boot::note(service, self.after.as_ref())?;
        match &self.after {
            Some(after) => settings::write(host, &path, after),
            None => Ok(host.remove(&path)?),
        }
    }

    /// The MTA's own check of the configuration as it will be.
    fn check(&self, host: &dyn Host, deadline: Deadline) -> Result<(), ChangeError> {
        let staged = self.files.iter().map(|file| {
            let bytes = file.new.last().cloned().flatten();
            Staged { path: file.path.clone(), bytes }
        });
        let Some(goal) = self.phases.last() else { return Ok(()) };
        let Some(command) = self.alternate.check(&staged.collect::<Vec<_>>(), goal)? else { return Ok(()) };
        let output = run(host, &command, deadline)?;
        if output.ended != Ended::Exited(0) {
            return Err(ChangeError::Check { message: message(&output) });
        }
        Ok(self.alternate.nothing_pending()?)
    }

    /// What is ours and was edited by somebody else is rewritten, but not lost.
    fn keep_edited(&self, host: &dyn Host, state_dir: &Path) -> Result<(), ChangeError> {
        let Some(before) = &self.intent.before else { return Ok(()) };
        let expected = match self.alternate.edits(&before.goal()) {
            Err(error) if error.status() == Status::Deadline => return Err(error.into()),
            // What cannot be compared is kept, too.
            expected => expected.unwrap_or_default(),
        };
        for file in &self.files {
            let old = file.old.as_deref().unwrap_or_default();
            let ours = expected.iter().find(|edit| edit.path == file.path).map(|edit| &edit.content);
            let (now, kept) = if file.whole {
                if !before.saved.contains_key(&file.path) || file.old.is_none() {
                    continue;
                }
                (old.to_vec(), old.to_vec())
            } else {
                let found = block::find(old, self.mta.is_ours()).map_err(|source| file.marks(source))?;
                let Some(found) = found else { continue };
                (found.text(old).into_bytes(), found.bytes(old))
            };
            let as_written = match ours {
                Some(Content::Block(Some(lines))) => lines.as_bytes() == now,
                Some(Content::Whole(Some(bytes))) => *bytes == now,
                // A value that this state of the service does not ask for is as it was left.
                None => file.whole,
                Some(_) => false,
            };
            if !as_written {
                let folder = state_dir.join(EDITED);
                host.make_dir(&folder)?;
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                let stamp = humantime::format_rfc3339_millis(host.now()).to_string().replace(':', "");
                host.write(&folder.join(format!("{stamp}-{name}")), &kept, 0o600)?;
            }
        }
        Ok(())
    }
}

/// The addresses of the primary server, once they stay the same: one that is just being reloaded or restarted shows a part
/// of them. A listener that runs is bound as the primary was.
fn settled(
    host: &dyn Host,
    mta: &dyn Mta,
    alternate: &dyn Alternate,
    listener: Option<&Listener>,
    deadline: Deadline,
) -> Result<Vec<IpAddr>, ChangeError> {
    let sorted = |mut addresses: Vec<IpAddr>| {
        addresses.sort();
        addresses
    };
    let mut last = sorted(alternate.addresses()?);
    let Some(listener) = listener else { return Ok(last) };
    let held = live::owned(host, mta, listener.port)?;
    let held = sorted(held.iter().map(|held| held.socket.address.ip()).collect());
    let patience = deadline.within(SETTLED);
    while last != held {
        // Two looks that show the same show what stays.
        host.sleep(GLIMPSE);
        // Asked first: what is settled only by then may have shown nothing when its addresses were read.
        let is_settled = alternate.is_settled()?;
        let now = sorted(alternate.addresses()?);
        if now == last && (held.is_empty() && is_settled || patience.passed()) {
            break;
        }
        last = now;
    }
    Ok(last)
}

/// Whether anything outside the state directory was written or told.
enum Wrote {
    Nothing,
    Something,
}

impl File {
    /// Leaves it as it is in the phases before this one that have not been decided.
    fn keep(&mut self, phase: usize) {
        while self.new.len() < phase {
            let now = self.new.last().unwrap_or(&self.old).clone();
            self.new.push(now);
        }
    }

    /// Whether it is going to be written at all.
    fn changes(&self) -> bool {
        self.new.iter().any(|new| *new != self.old)
    }

    /// Whether it was not there and is going to be wholly ours.
    fn is_made(&self) -> bool {
        self.whole && self.old.is_none() && self.changes()
    }

    fn planned(&self, is_ours: Option<block::IsOurs>) -> Result<Planned, ChangeError> {
        let old = self.old.as_deref();
        let (path, lock, mode) = (self.path.clone(), self.lock.clone(), self.mode);
        let new = self.new.iter().map(|new| hash(new.as_deref())).collect();
        if self.whole {
            let whole = Some(OldFile::new(old));
            return Ok(Planned { path, lock, old: hash(old), new, blocks: Vec::new(), whole, mode });
        }
        let bytes = old.unwrap_or_default();
        let found = block::find(bytes, is_ours).map_err(|source| self.marks(source))?;
        let pieces = found.into_iter().flat_map(|found| found.pieces);
        let blocks = pieces.map(|piece| OldBlock::new(piece.start, &bytes[piece])).collect();
        Ok(Planned { path, lock, old: hash(old), new, blocks, whole: None, mode })
    }

    fn marks(&self, source: block::Unpaired) -> ChangeError {
        ChangeError::Marks { path: self.path.clone(), source }
    }

    /// Writes the file as it is to be in this phase, if it still is as we believe.
    fn apply(
        &self,
        host: &dyn Host,
        phase: usize,
        wrote: &mut Wrote,
        deadline: Deadline,
    ) -> Result<(), ChangeError> {
        let believed = if phase == 0 { &self.old } else { &self.new[phase - 1] };
        let new = &self.new[phase];
        if new == believed {
            return Ok(());
        }
        let _lock = edit_lock(host, self.lock.as_deref(), deadline)?;
        if host.read(&self.path)? != *believed {
            return Err(ChangeError::Moved { path: self.path.clone() });
        }
        let result = put(host, &self.path, new.as_deref(), self.mode);
        // A write that failed before the file was replaced has changed nothing.
        if result.is_ok() || host.read(&self.path)? != *believed {
            *wrote = Wrote::Something;
        }
        result
    }
}

/// The lock that the MTA's own tools take before they write a file.
pub fn edit_lock(
    host: &dyn Host,
    path: Option<&Path>,
    deadline: Deadline,
) -> Result<Option<EditLock>, ChangeError> {
    match path {
        None => Ok(None),
        Some(path) if deadline.passed() => Err(ChangeError::EditLock { path: path.to_owned() }),
        Some(path) => match host.edit_lock(path, deadline.left())? {
            Some(lock) => Ok(Some(lock)),
            None => Err(ChangeError::EditLock { path: path.to_owned() }),
        },
    }
}

/// Writes a file, or removes it.
pub fn put(host: &dyn Host, path: &Path, bytes: Option<&[u8]>, mode: u32) -> Result<(), ChangeError> {
    match bytes {
        Some(bytes) => {
            host.make_room(path, mode)?;
            Ok(host.write(path, bytes, mode)?)
        }
        None => Ok(host.remove(path)?),
    }
}

/// Tells the MTA, and waits for its control commands to say that it was heard.
pub fn tell(host: &dyn Host, tells: &[Tell], deadline: Deadline) -> Result<(), ChangeError> {
    for tell in tells {
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
                    |source| ChangeError::Signal { name: foreign(&process.name), pid: process.pid, source };
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

/// Writes to whoever supervises, who may only just be coming.
fn supervise(host: &dyn Host, control: &Path, letters: &str, deadline: Deadline) -> Result<(), ChangeError> {
    let patience = deadline.within(SUPERVISOR);
    while !host.feed(control, letters.as_bytes())? {
        if patience.passed() {
            let (command, message) = (control.display().to_string(), "nobody supervises it".to_owned());
            return Err(ChangeError::Tell { command, message });
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
        there = host.feed(control, b"")?;
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
            let step = format!("waiting for {} (pid {}) to end", foreign(&process.name), process.pid);
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
            Err(ChangeError::Signal { name: foreign(&process.name), pid: process.pid, source })
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

/// Until when a listener is heard out before a change: one that does not speak is to be changed in spite of it, and that
/// takes time, too.
fn hearing(deadline: Deadline) -> Deadline {
    deadline.within(HEARING.min(deadline.left() / 3))
}

/// Runs a control command; one that hangs is a step that the deadline passed in.
fn run(host: &dyn Host, command: &Command, deadline: Deadline) -> Result<Output, ChangeError> {
    host.run(command, deadline).map_err(|error| match error {
        CommandError::TimedOut { .. } => {
            ChangeError::Deadline { step: format!("waiting for {} to end", named(command)) }
        }
        error => error.into(),
    })
}

fn message(output: &Output) -> String {
    let text = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    match foreign(text.trim_ascii()) {
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
        command.argv().iter().take(3).map(|word| foreign(word.as_encoded_bytes())).collect();
    words.join(" ")
}

/// The settings that the verb leads to; `None` is none.
fn after(verb: Verb, before: Option<&Settings>, mta: &dyn Mta) -> Result<Option<Settings>, ChangeError> {
    let wanting = |wanted| before.map(|before| Settings { wanted, ..before.clone() });
    Ok(match verb {
        Verb::Remove => None,
        Verb::Stop => wanting(Wanted::Stopped),
        Verb::Start | Verb::Restart => wanting(Wanted::Running),
        Verb::Update { port, auth_mode } => {
            let Some(auth_mode) = auth_mode.or(before.map(|before| before.listener.auth_mode)) else {
                let modes = [AuthMode::TlsYes, AuthMode::TlsOptional].map(AuthMode::name).join(" or ");
                return Err(refuse("auth_mode", format!("must be given once, {modes}: it was never set")));
            };
            let port = port.or(before.map(|before| before.listener.port)).unwrap_or(DEFAULT_PORT);
            Some(Settings {
                format: settings::FORMAT,
                mta: mta.kind(),
                listener: Listener { port, auth_mode },
                wanted: before.map_or(Wanted::Stopped, |before| before.wanted),
                saved: before.map(|before| before.saved.clone()).unwrap_or_default(),
            })
        }
    })
}

/// Each file of the configuration as it is and as it will be in each phase.
fn files(
    host: &dyn Host,
    alternate: &dyn Alternate,
    phases: &[Goal],
    before: Option<&Settings>,
    is_ours: Option<block::IsOurs>,
) -> Result<Vec<File>, ChangeError> {
    let mut files: Vec<File> = Vec::new();
    for (phase, goal) in phases.iter().enumerate() {
        let mut edits = alternate.edits(goal)?;
        if *goal == Goal::Removed {
            edits.extend(originals(host, before, &edits)?);
        }
        for Edit { path, content, mode, lock } in edits {
            let at = match files.iter().position(|file| file.path == path) {
                Some(at) => at,
                None => {
                    let old = host.read(&path)?;
                    let whole = !matches!(content, Content::Block(_));
                    files.push(File { path, mode, lock, whole, old, new: Vec::new() });
                    files.len() - 1
                }
            };
            let file = &mut files[at];
            // A phase that did not name it has left it as it was.
            file.keep(phase);
            let from = file.new.last().unwrap_or(&file.old);
            let new = match content {
                Content::Block(lines) => block::set(from.as_deref(), lines.as_deref(), is_ours)
                    .map_err(|source| file.marks(source))?,
                Content::Whole(bytes) => bytes,
                Content::Original => match before.and_then(|before| before.saved.get(&file.path)) {
                    Some(saved) => saved.as_deref().and_then(journal::decode),
                    None => from.clone(),
                },
            };
            file.new.push(new);
        }
    }
    files.iter_mut().for_each(|file| file.keep(phases.len()));
    Ok(files)
}

/// What has become ours and is not among `edits` goes back to what it was.
fn originals(host: &dyn Host, before: Option<&Settings>, edits: &[Edit]) -> Result<Vec<Edit>, ChangeError> {
    let saved = before.into_iter().flat_map(|before| before.saved.keys());
    let others = saved.filter(|path| edits.iter().all(|edit| edit.path != **path));
    others
        .map(|path| {
            let mode = host.meta(path)?.map_or(0o600, |meta| meta.mode);
            Ok(Edit { path: path.clone(), content: Content::Original, mode, lock: None })
        })
        .collect()
}

/// The ports that the MTA's configuration without our block speaks of.
pub fn meant(
    host: &dyn Host,
    alternate: &dyn Alternate,
    is_ours: Option<block::IsOurs>,
) -> Result<Vec<Meant>, ChangeError> {
    let staged = |mut file: File| Staged { path: file.path, bytes: file.new.pop().flatten() };
    let foreign: Vec<Staged> =
        files(host, alternate, &[Goal::Stopped], None, is_ours)?.into_iter().map(staged).collect();
    Ok(alternate.meant(&foreign)?)
}

/// Whether `port` is somebody else's in the MTA's configuration: it may be open, and that is none of our business.
pub fn is_theirs(meant: &[Meant], port: u16) -> bool {
    meant.iter().any(|meant| meant.port == port)
}

/// Whether nothing else in the MTA's configuration speaks of the port.
fn port_is_unmeant(meant: &[Meant], verb: Verb, port: u16) -> Result<(), ChangeError> {
    match meant.iter().find(|meant| meant.port == port) {
        None => Ok(()),
        Some(Meant { by: By::Entry(by), .. }) => Err(ChangeError::PortMeant { port, by: by.clone() }),
        Some(Meant { by: By::Primary, .. }) if matches!(verb, Verb::Update { port: Some(_), .. }) => {
            Err(refuse("alternate_smtp_port", format!("{port} is the primary server's own port")))
        }
        Some(Meant { by: By::Primary, .. }) => {
            Err(ChangeError::PortMeant { port, by: "the primary server".to_owned() })
        }
    }
}

/// Whether the mail server does not hold the port already, for an entry that its configuration does not have any more, or
/// has by a name that we do not know.
fn port_is_nobodys_entry(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<(), ChangeError> {
    let Some(held) = live::owned(host, mta, port)?.into_iter().next() else { return Ok(()) };
    let holder = format!(
        "{} itself (pid {}), for an entry that is not, or not by that number, in its configuration: reload it, or take \
         the entry out",
        mta.kind(),
        held.pid
    );
    Err(ChangeError::PortHeld { port, holder })
}

/// Whether the port is free, or the MTA's own already.
fn port_is_ours(host: &dyn Host, mta: &dyn Mta, port: u16, addresses: &[IpAddr]) -> Result<(), ChangeError> {
    if let Some(holders) = live::stranger(host, mta, port)? {
        return Err(ChangeError::PortHeld { port, holder: live::name(host, mta, &holders) });
    }
    if live::listened(host, port)? {
        return Ok(());
    }
    for address in addresses {
        use std::io::ErrorKind;
        match host.try_bind(*address, port).map_err(|source| (source.kind(), source)) {
            Ok(()) | Err((ErrorKind::AddrNotAvailable, _)) => {}
            Err((ErrorKind::PermissionDenied, _)) => return Err(ChangeError::PortDenied { port }),
            Err((ErrorKind::AddrInUse, _)) => {
                let holder = "another program that does not listen on it".to_owned();
                return Err(ChangeError::PortHeld { port, holder });
            }
            Err((_, source)) => return Err(ChangeError::PortOdd { port, source }),
        }
    }
    Ok(())
}
