//! A listener of qmail's, as answers: what its service directory has to hold, and what its supervisor is told.
//!
//! Where that directory is stands in `service`, what may be relied on in its `run` script in `run`. No command is ever run:
//! a supervisor is asked and told through its FIFOs. The address is bound by `run`, not by us. What keeps a listener from
//! being made is an [`MtaError`] that says what to write where.
//! Source: supervise(8), svc(8), runsv(8), and how daemontools 0.76 and runit 2.1.2 were seen to behave.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::run::{self, SUPERVISE};
use super::service::{CONTROL, Qmail, senders};
use super::{family, log, template};
use crate::mta::machine::{is_there, or_loopback};
use crate::mta::sheet::{
    Alternate, Claim, Claimant, Content, Context, Doubt, Edit, Goal, Listener, Log, Mta, MtaError, Objection,
    SMTP, Staged, Tell,
};
use crate::sys::{Command, Process, SocketError};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// How long a service that runs may take to listen; and one that listens, to do so where the primary server does, which may
/// just be starting itself.
const START_TIME: Duration = Duration::from_secs(6);

const SETTLED: Duration = Duration::from_secs(3);

/// Where the TLS patches of qmail-smtpd keep certificate and key, in one file.
const CERTIFICATE: &str = "/var/qmail/control/servercert.pem";

/// How often a service that ends is started before it is given up; a supervisor does so once a second.
const STARTS: usize = 3;

/// Where supervisors look for services.
const SCANNED: [&str; 3] = ["/service", "/etc/service", "/var/service"];

/// qmail on a machine.
pub(super) struct QmailAlternate<'a> {
    qmail: &'a Qmail,
    context: Context<'a>,
    /// Since when the service was seen to be down, one for each time that it ended.
    downs: RefCell<BTreeSet<u64>>,
    /// Its log when it was asked whether it is ready.
    logged: RefCell<Option<Log>>,
}

impl<'a> QmailAlternate<'a> {
    /// On this machine, of which nothing has been seen yet.
    pub(super) fn new(qmail: &'a Qmail, context: Context<'a>) -> Self {
        Self { qmail, context, downs: RefCell::default(), logged: RefCell::default() }
    }

    /// The service directory, if it is one.
    fn service_dir(&self) -> Option<&Path> {
        let host = self.context.view;
        self.qmail.dir(host).filter(|dir| is_there(host, &dir.join("run")))
    }

    /// Somewhere to make or find the service directory.
    fn dir(&self) -> Result<&Path, MtaError> {
        self.qmail.dir(self.context.view).ok_or_else(|| unsupported(self.nowhere()))
    }

    fn nowhere(&self) -> String {
        let places: Vec<String> =
            self.qmail.places().iter().map(|place| place.display().to_string()).collect();
        format!(
            "there is no service directory for a second listener; looked for {}. Name one as service_dir in \
             [mta.qmail], or a folder as template to make it from",
            places.join(", ")
        )
    }

    /// The service directory's own `run` has to read what we write.
    fn relies_on(&self, dir: &Path) -> Result<(), MtaError> {
        let (host, path) = (self.context.view, dir.join("run"));
        run::trusted(host, &path)?;
        if let Some(meta) = host.meta(&path)?.filter(|meta| !run::is_executable(meta.mode)) {
            let (path, mode) = (path.display(), meta.mode);
            return Err(unsupported(format!(
                "{path} cannot be executed, its mode is {mode:o}: chmod 755 {path}"
            )));
        }
        let bytes = host.read(&path)?.unwrap_or_default();
        if self.qmail.template.as_ref().is_some_and(
            |template| matches!(host.read(&template.join("run")), Ok(Some(made)) if made == bytes),
        ) {
            return Ok(());
        }
        let same = |word: &Path| {
            let stamp = |path: &Path| host.stamp(path).ok().flatten();
            word.parent().and_then(stamp).is_some_and(|parent| Some(parent) == stamp(dir))
        };
        run::reads(&String::from_utf8_lossy(&bytes), &self.qmail.variables.port, &same).map_err(|lacks| {
            unsupported(format!(
                "{} is not relied on: it {lacks}; have it read its variables from env/ (exec envdir ./env sh -c 'exec \
                 tcpserver … \"${}\" …'), or name a template in [mta.qmail]",
                path.display(),
                self.qmail.variables.port
            ))
        })
    }

    /// The variables of this listener, a file for each.
    fn values(&self, dir: &Path, listener: &Listener) -> Vec<Edit> {
        let variables = &self.qmail.variables;
        let port = listener.port.to_string();
        let all = std::iter::once((variables.port.as_str(), port.as_str()));
        let all = all.chain(variables.mode(listener.auth_mode));
        all.map(|(name, value)| {
            // An empty file unsets the variable, an empty line sets it (envdir(8), chpst(8)).
            let line = if value.is_empty() { String::new() } else { format!("{value}\n") };
            whole(dir.join("env").join(name), Some(line.into_bytes()))
        })
        .collect()
    }

    /// The addresses on which the service itself listens on this port.
    fn bound(&self, port: u16) -> Result<Vec<IpAddr>, MtaError> {
        let host = self.context.view;
        let owners = self.qmail.owners(host)?;
        let mut bound = Vec::new();
        for socket in host.listening(port)? {
            if host.holder_among(&socket, &owners)?.is_some() {
                bound.push(socket.address.ip());
            }
        }
        Ok(bound)
    }

    /// Why nobody is there who could be told: not started, not asked to look here, or somebody whom we do not know.
    fn unsupervised(&self, dir: &Path) -> Result<MtaError, MtaError> {
        let host = self.context.view;
        let shown = dir.display();
        // s6-supervise(8) reads the same FIFO, but has no other.
        if host.is_read(&dir.join(SUPERVISE).join("control"))? {
            return Ok(MtaError::Cannot(
                Reason::SupervisorUnsupported,
                format!(
                    "{shown} is not supervised by daemontools or runit, which are all that is known here; s6 is not supported"
                ),
            ));
        }
        let stamp = |path: &Path| host.stamp(path).ok().flatten();
        let is_linked = |folder: &&Path| {
            let link = dir.file_name().map(|name| folder.join(name));
            dir.parent() == Some(*folder) || link.and_then(|link| stamp(&link)) == stamp(dir)
        };
        let scanned: Vec<&Path> = SCANNED.iter().map(Path::new).filter(|path| is_there(host, path)).collect();
        Ok(MtaError::Cannot(
            Reason::Unsupervised,
            match scanned.first() {
                Some(folder) if !scanned.iter().any(is_linked) => format!(
                    "nobody supervises {shown}, since no link to it is where services are looked for: ln -s {shown} {}/",
                    folder.display()
                ),
                _ => format!(
                    "nobody supervises {shown}; start svscan or runsvdir, which run supervise or runsv for it"
                ),
            },
        ))
    }

    fn control(&self, dir: &Path, letters: &'static str, ends: Option<Process>) -> Vec<Tell> {
        let control = dir.join(SUPERVISE).join("control");
        vec![Tell::Supervise { control, letters, ends }]
    }

    /// Ends what is supervised, and `started`, which it has started and nobody else would end.
    fn down(&self, dir: &Path, process: Option<Process>, started: Vec<Process>) -> Vec<Tell> {
        if started.is_empty() {
            return self.control(dir, "d", process);
        }
        // One that waits for its children ends only after them.
        let children = started.into_iter().map(Tell::End).collect();
        [self.control(dir, "d", None), children, self.control(dir, "", process)].concat()
    }
}

/// A service directory that leaves no room for the listener.
fn unsupported(what: String) -> MtaError {
    MtaError::Cannot(Reason::SetupUnsupported, what)
}

/// Addresses, as a sentence names them.
fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
}

/// An edit of a file that is wholly ours and that everybody may read, as the rest of a service directory.
fn whole(path: PathBuf, bytes: Option<Vec<u8>>) -> Edit {
    Edit { path, content: Content::Whole(bytes), mode: 0o644, lock: None }
}

impl Alternate for QmailAlternate<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        let host = self.context.view;
        senders(host)?.iter().try_for_each(|sender| host.together(sender.pid, Path::new(CONTROL)))?;
        let primary = host.listening(SMTP)?;
        for socket in &primary {
            if host.holders(socket)?.is_empty() && host.listening(SMTP)?.contains(socket) {
                return Err(SocketError::Elsewhere { address: socket.address }.into());
            }
        }
        let mut addresses: Vec<IpAddr> = primary.iter().map(|socket| socket.address.ip()).collect();
        addresses.dedup();
        Ok(or_loopback(addresses))
    }

    fn claims(&self, _: &[Staged]) -> Result<Vec<Claim>, MtaError> {
        Ok(vec![Claim { port: SMTP, claimant: Claimant::Primary }])
    }

    fn found(&self) -> Result<Option<u16>, MtaError> {
        let (host, Some(dir)) = (self.context.view, self.service_dir()) else { return Ok(None) };
        let value = host.read(&dir.join("env").join(&self.qmail.variables.port))?.unwrap_or_default();
        // envdir(8): the first line.
        let line = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let Ok(port) = String::from_utf8_lossy(line).trim().parse() else { return Ok(None) };
        Ok((!self.bound(port)?.is_empty()).then_some(port))
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let host = self.context.view;
        match (goal, self.service_dir()) {
            (Goal::Running(listener), Some(dir)) => {
                self.relies_on(dir)?;
                Ok([self.values(dir, listener), vec![whole(dir.join("down"), None)]].concat())
            }
            (Goal::Running(listener), None) => {
                let dir = self.dir()?;
                let template = self.qmail.template.as_ref();
                let template = template.ok_or_else(|| unsupported(self.nowhere()))?;
                let files = template::read(host, template)?;
                let (run, others): (Vec<_>, Vec<_>) =
                    files.into_iter().partition(|file| file.path == Path::new("run"));
                let edit = |file: template::File| Edit {
                    mode: file.mode,
                    ..whole(dir.join(file.path), Some(file.bytes))
                };
                let mut edits: Vec<Edit> = others.into_iter().map(edit).collect();
                let values = self.values(dir, listener);
                edits.retain(|edit| values.iter().all(|value| value.path != edit.path));
                edits.extend(values);
                // A supervisor starts it as soon as it is there.
                edits.extend(run.into_iter().map(edit));
                Ok(edits)
            }
            (Goal::Stopped, Some(dir)) if !is_there(host, &dir.join("down")) => {
                Ok(vec![whole(dir.join("down"), Some(Vec::new()))])
            }
            // What is ours, and `down` if it was there before us, becomes what it was.
            (Goal::Stopped | Goal::Removed, _) => Ok(Vec::new()),
        }
    }

    fn formerly(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let (Some(listener), Some(dir)) = (goal.listener(), self.service_dir()) else {
            return Ok(Vec::new());
        };
        let [nothing, line] = [Vec::new(), b"\n".to_vec()].map(|bytes| Content::Whole(Some(bytes)));
        let empty = self.values(dir, listener).into_iter().filter(|value| value.content == nothing);
        Ok(empty.map(|value| Edit { content: line.clone(), ..value }).collect())
    }

    fn ready(&self, _: &Listener, object: &mut Objection<'_>) -> Result<(), MtaError> {
        let (host, dir) = (self.context.view, self.dir()?);
        if senders(host)?.is_empty() {
            object(MtaError::Cannot(
                Reason::MtaDown,
                "qmail does not run (no qmail-send); start it first".to_owned(),
            ))?;
        }
        if host.listening(SMTP)?.is_empty() {
            object(MtaError::Cannot(
                Reason::MtaDown,
                "nobody listens on port 25; start qmail's SMTP server first".to_owned(),
            ))?;
        }
        if self.service_dir().is_some() && self.qmail.service(host, dir)?.is_none() {
            object(self.unsupervised(dir)?)?;
        }
        *self.logged.borrow_mut() = log::end(host, dir);
        Ok(())
    }

    fn cannot_start(&self, listener: &Listener) -> Result<Option<String>, MtaError> {
        let (host, Some(dir)) = (self.context.view, self.service_dir()) else { return Ok(None) };
        let Some(service) = self.qmail.service(host, dir)? else { return Ok(None) };
        let run = dir.join("run");
        let run = run.display();
        let Some(process) = service.pid.and_then(|pid| host.process(pid)) else {
            let mut downs = self.downs.borrow_mut();
            downs.insert(service.since);
            // It was down before it was told, too.
            let ends = format!("{run} ends at once, however often it is started");
            return Ok((downs.len() > STARTS).then_some(ends));
        };
        let now = host.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let runs_for = now.saturating_sub(Duration::from_secs(service.since));
        let who = format!("{} (pid {})", printable(&process.name), process.pid);
        let bound = self.bound(listener.port)?;
        Ok(if bound.is_empty() {
            let port = &self.qmail.variables.port;
            let deaf = format!(
                "{who} runs, but does not listen on port {}: {run} does not act on {port}",
                listener.port
            );
            (runs_for >= START_TIME).then_some(deaf)
        } else {
            let primary = self.addresses()?;
            let elsewhere = format!(
                "{who} listens on {}, the primary server on {}: {run} names the address, which has to be the same",
                listed(&bound),
                listed(&primary)
            );
            // It may have begun to listen since it was found absent.
            let same =
                bound.iter().all(|it| primary.contains(it)) && primary.iter().all(|it| bound.contains(it));
            (runs_for >= SETTLED && !same).then_some(elsewhere)
        })
    }

    fn advice(&self, listener: &Listener, doubt: Doubt) -> Result<Option<String>, MtaError> {
        let (host, Some(dir)) = (self.context.view, self.service_dir()) else { return Ok(None) };
        let run = dir.join("run");
        Ok(match doubt {
            Doubt::Unfit => {
                let mode = self.qmail.variables.mode(listener.auth_mode).into_iter();
                let written = mode.map(|(name, value)| {
                    let file = dir.join("env").join(name);
                    match value {
                        "" => format!("{name} is unset by {}", file.display()),
                        value => format!("{name} is {value} in {}", file.display()),
                    }
                });
                let written: Vec<String> = written.collect();
                Some(format!("{}, which the program in {} has to act on", written.join(", "), run.display()))
            }
            Doubt::Slow => {
                let script = host.read(&run)?.unwrap_or_default();
                let asks = run::asks_first(&String::from_utf8_lossy(&script));
                (!asks.is_empty()).then(|| format!("{} {}", run.display(), asks.join("; it ")))
            }
        })
    }

    fn log(&self) -> Option<Log> {
        let dir = self.service_dir()?;
        log::end(self.context.view, dir).filter(|log| self.logged.borrow().as_ref() != Some(log))
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        let (host, dir) = (self.context.view, self.service_dir()?);
        let script = host.read(&dir.join("run")).ok()??;
        if run::does_its_own_tls(&String::from_utf8_lossy(&script)) {
            return Some(PathBuf::from(CERTIFICATE)).filter(|path| is_there(host, path));
        }
        None
    }

    fn check(&self, _: &[Staged], _: &Goal) -> Result<Option<Command>, MtaError> {
        Ok(None)
    }

    fn has_heard(&self) -> Result<bool, MtaError> {
        // What a plugin that was killed has said is still to be acted on, and may replace whom the status names now:
        // supervise listens to nobody in the second after a start.
        let (host, Some(dir)) = (self.context.view, self.qmail.dir(self.context.view)) else {
            return Ok(true);
        };
        Ok(!host.unread(&dir.join(SUPERVISE).join("control"))?)
    }

    fn tell(&self, goal: &Goal, _: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        let (host, Some(dir)) = (self.context.view, self.qmail.dir(self.context.view)) else {
            return Ok(Vec::new());
        };
        let service = self.qmail.service(host, dir)?;
        let process = service.as_ref().and_then(|service| service.pid).and_then(|pid| host.process(pid));
        let started = process.as_ref().map(|process| family::started_by(host, process)).unwrap_or_default();
        Ok(match (goal.listener(), service) {
            // Nobody is there who could be told; who comes later reads `down` first.
            (None, None) => Vec::new(),
            (None, Some(_)) => self.down(dir, process, started),
            // What it has started has to be gone before it is started anew.
            (Some(_), Some(_)) if !started.is_empty() => {
                [self.down(dir, process, started), self.control(dir, "u", None)].concat()
            }
            // TERM reaches a process that is paused only when it goes on.
            (Some(_), Some(_)) if process.is_some() => self.control(dir, "tcu", process),
            // Never `t` here: it would hit what `u` has just started, which then waits out its second.
            (Some(_), _) => self.control(dir, "u", None),
        })
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        let host = self.context.view;
        Ok(!senders(host)?.is_empty() && !host.listening(SMTP)?.is_empty())
    }

    fn start_primary(&self) -> Vec<Tell> {
        // Nothing of ours can end it, and its own supervisor starts it again.
        Vec::new()
    }
}
