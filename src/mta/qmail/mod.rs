//! qmail under supervise: a second service directory, `smtp2`, whose `env/` holds port and mode.
//!
//! This file says how qmail is recognised and which processes and files are its own. `service` finds the service directory,
//! `alternate` says what makes a listener of it, `run` whether its script may be relied on. Nothing is written or waited for
//! here, and what `run` serves is proven by `change`. What cannot be seen is an [`MtaError`].

mod alternate;
mod family;
mod log;
pub mod run;
mod service;
pub mod status;
pub mod template;
pub mod variables;

use std::path::{Path, PathBuf};

use self::alternate::QmailAlternate;
use self::run::SUPERVISE;
pub use self::service::Qmail;
use self::service::{CONTROL, DAEMON, senders, users};
pub use self::variables::Variables;
use super::machine::is_there;
use super::sheet::{Alternate, Context, KeptBy, Kind, Listener, Mta, MtaError, Presence, Tell};
use crate::sys::{EntryKind, Process, View};

/// What it is called.
const KIND: Kind = Kind::new("qmail", "qmail");

impl Mta for Qmail {
    fn kind(&self) -> Kind {
        KIND
    }

    fn looked_for(&self) -> String {
        format!("{DAEMON} with {CONTROL}")
    }

    fn presence(&self, host: &dyn View) -> Presence {
        if !is_there(host, Path::new(DAEMON)) || !is_there(host, Path::new(CONTROL)) {
            Presence::Missing
        } else if matches!(senders(host).as_deref(), Ok([])) {
            Presence::Installed
        } else {
            Presence::Runs
        }
    }

    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError> {
        let Some(dir) = self.dir(host) else { return Ok(Vec::new()) };
        let Some(pid) = self.service(host, dir)?.and_then(|service| service.pid) else {
            return Ok(Vec::new());
        };
        // A script that does not exec has what listens for a child, or for a child of its child.
        let started = host.process(pid).map(|process| family::started_by(host, &process)).unwrap_or_default();
        let family = family::children(host, pid).into_iter().chain(started.iter().map(|process| process.pid));
        Ok(std::iter::once(pid).chain(family).collect())
    }

    fn view(&self) -> &Path {
        Path::new(CONTROL)
    }

    fn still_owns(&self, host: &dyn View, pid: i32) -> bool {
        // It outlives whoever supervises it.
        let supervised = self.dir(host).and_then(|dir| self.service(host, dir).ok().flatten());
        supervised.is_some_and(|service| service.pid == Some(pid))
            || self.owners(host).is_ok_and(|owners| owners.contains(&pid))
    }

    fn is_own(&self, host: &dyn View, process: &Process) -> bool {
        let Some(dir) = self.dir(host) else { return false };
        // What a supervisor starts begins in the service directory, and stays there when the supervisor is gone. People
        // may work there, too.
        if !host.is_of(process.pid, &users(host)) {
            return false;
        }
        let works_in = host.stamp(&PathBuf::from(format!("/proc/{}/cwd", process.pid)));
        matches!((works_in, host.stamp(dir)), (Ok(Some(here)), Ok(Some(there))) if here == there)
    }

    fn manual(&self) -> Option<&'static str> {
        Some(include_str!("../../manual/mail-smtp2-qmail.7.md"))
    }

    fn blocks(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn listener_in(&self, _: &str) -> Option<Listener> {
        None
    }

    fn kept_by(&self, host: &dyn View, _: Option<i32>) -> Option<KeptBy> {
        let dir = self.dir(host)?;
        self.service(host, dir).ok()??;
        Some(KeptBy::Supervisor(dir.to_owned()))
    }

    fn comes_back(&self, _: &dyn View) -> bool {
        // What supervises at boot starts it, unless there is a file `down`.
        true
    }

    fn belongings(&self, made: &[&Path]) -> Vec<PathBuf> {
        let runs = made.iter().filter(|path| path.file_name().is_some_and(|name| name == "run"));
        let dirs = runs.filter_map(|run| run.parent());
        self.places()
            .into_iter()
            .filter(|place| dirs.clone().any(|dir| dir == *place))
            .map(Path::to_owned)
            .collect()
    }

    fn strangers(&self, host: &dyn View, made: &[&Path]) -> Result<Vec<PathBuf>, MtaError> {
        let mut strangers = Vec::new();
        let mut folders = self.belongings(made);
        while let Some(folder) = folders.pop() {
            let entries = host.list(&folder)?;
            let is_logs = log::is_logs(&entries);
            for entry in entries {
                let path = folder.join(&entry.name);
                match entry.kind {
                    EntryKind::Folder if entry.name == SUPERVISE => {}
                    EntryKind::Folder => folders.push(path),
                    EntryKind::File if is_logs && log::is_loggers(&entry.name) => {}
                    _ if made.contains(&path.as_path()) => {}
                    _ => strangers.push(path),
                }
            }
        }
        Ok(strangers)
    }

    fn dismissal(&self, aside: &Path) -> Vec<Tell> {
        let control = |dir: &Path| Tell::Dismiss { control: dir.join(SUPERVISE).join("control") };
        vec![control(aside), control(&aside.join("log"))]
    }

    fn alternate<'a>(&'a self, context: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        Ok(Box::new(QmailAlternate::new(self, context)))
    }
}
