//! What is, and why: the answer to "is it up, and if not, why not".
//!
//! Looks at the settings, the sockets, the mail server's processes, our entries in its configuration, the record of a change
//! under way and the last line of the history. It runs no command and holds no dialogue. What cannot be seen is a reason
//! of its own, never "down"; who may not read the settings is told what everybody can see.

use std::net::IpAddr;

use super::drift::Drift;
use super::error::ChangeError;
use super::history::Record;
use super::journal::Intent;
use super::memory::Memory;
use super::preview::PLAN;
use super::settings::{Settings, Wanted};
use super::site::{Choice, Site, keeper};
use super::verb::Verb;
use super::{block, live};
use crate::mta::{self, KeptBy, Kind, Mta, Presence};
use crate::sys::{Host, Socket};
use crate::wire::named;
use crate::wire::problem::Holder;
use crate::wire::reason;
use crate::wire::text::{chain, printable};

named! {
    /// Why the listener is as it is, and what that says to a person; a closed set.
    pub enum Reason {
        Running "running": "it runs",
        NeverConfigured "never_configured": "it was never configured: call update",
        Stopped "stopped": "it was stopped by an action: call start",
        MtaMissing "mta_missing": "its mail server is not installed any more",
        MtaDown "mta_down": "its mail server does not run: start that, then call start",
        EntryMissing "entry_missing": "its entry was taken out of the mail server's configuration: call start",
        PortHeld "port_held": "another program holds its port",
        Ended "ended": "nobody listens, though all of it is configured: its process has ended, or the mail server was not \
                        reloaded; call start",
        NotSeen "not_seen": "it cannot be seen",
    }
}

impl Reason {
    fn sentence(self) -> String {
        Self::ALL[self as usize].2.to_owned()
    }
}

/// A change that is under way, or that nobody has ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changing {
    /// Which action.
    pub action: String,
    /// Since when, RFC 3339, UTC; `None` where that was not written down.
    pub since: Option<String>,
    /// Who makes it; `None` if nobody does any more.
    pub pid: Option<i32>,
}

/// Why nothing can be changed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Why, for a program.
    pub reason: reason::Reason,
    /// The same in words.
    pub sentence: String,
}

impl From<ChangeError> for Hindrance {
    fn from(error: ChangeError) -> Self {
        Self { reason: error.reason(), sentence: chain(&error) }
    }
}

/// The mail server that changes act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// Which; `None` where none, or more than one, is found.
    pub kind: Option<Kind>,
    /// By whom the listener is kept up.
    pub kept_by: Option<KeptBy>,
    /// Why its listener cannot be changed here; `None` if it can.
    pub why_not: Option<Hindrance>,
}

/// What there is to be said of the service.
#[derive(Debug)]
pub struct Status {
    /// Whether it was ever configured; `None` if that may not be seen.
    pub configured: Option<bool>,
    /// The settings; `None` on a machine that was never configured. Where they may not be read, those that our entry tells.
    pub settings: Option<Settings>,
    /// Whether it runs; `None` if that cannot be seen.
    pub is_running: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// The reason in words, with names and pids.
    pub sentence: String,
    /// The mail server that is acted on.
    pub mta: MailServer,
    /// The addresses that are bound; while it cannot be seen by whom, those that anybody listens on.
    pub addresses: Vec<IpAddr>,
    /// The process that holds the socket, by pid and name.
    pub process: Option<(i32, String)>,
    /// How many clients are connected, while it runs; at most a second old.
    pub sessions: Option<usize>,
    /// What stands in the mail server's configuration otherwise than we wrote it.
    pub drift: Vec<Drift>,
    /// The change under way.
    pub changing: Option<Changing>,
    /// The last change that is over.
    pub last: Option<Record>,
}

/// What is, now.
///
/// # Errors
/// The settings cannot be read, though they might be.
pub(super) fn look(site: &Site, memory: &Memory) -> Result<Status, ChangeError> {
    let (settings, hidden) = known(site)?;
    let mut status = Status {
        configured: if hidden.is_some() {
            settings.is_some().then_some(true)
        } else {
            Some(settings.is_some())
        },
        is_running: Some(false),
        reason: Reason::NeverConfigured,
        sentence: Reason::NeverConfigured.sentence(),
        mta: MailServer { kind: None, kept_by: None, why_not: None },
        addresses: Vec::new(),
        process: None,
        sessions: None,
        drift: Vec::new(),
        changing: changing(site),
        last: memory.last_change(site),
        settings,
    };
    let settings = status.settings.clone();
    match (&settings, &hidden) {
        (settings, Some(error)) => from_outside(site, settings.as_ref(), &chain(error), &mut status),
        (Some(settings), None) => {
            why(site, memory, settings, &mut status);
            status.drift = memory.drift(&*site.host, site.mta(settings.mta), settings);
        }
        (None, None) => {}
    }
    let (runs, holder) = (status.is_running == Some(true), status.process.as_ref().map(|(pid, _)| *pid));
    status.mta = mail_server(site, settings.as_ref(), hidden, runs, holder);
    Ok(status)
}

/// The mail server that is acted on, and nothing else of the status.
pub(super) fn acted_on(site: &Site, memory: &Memory) -> MailServer {
    let (settings, hidden) = match known(site) {
        Ok(known) => known,
        Err(error) => return MailServer { kind: None, kept_by: None, why_not: Some(error.into()) },
    };
    let listener = |settings: &Settings| {
        memory.listener(&*site.host, site.mta(settings.mta), settings.listener.port).ok()
    };
    let seen = settings.as_ref().filter(|_| hidden.is_none()).and_then(listener);
    let runs = seen.as_ref().is_some_and(|seen| !seen.held.is_empty());
    let holder = seen.and_then(|seen| seen.process).map(|(pid, _)| pid);
    mail_server(site, settings.as_ref(), hidden, runs, holder)
}

/// The settings; or why they may not be read, and what our entry tells of them.
fn known(site: &Site) -> Result<(Option<Settings>, Option<ChangeError>), ChangeError> {
    match site.settings() {
        Ok(settings) => Ok((settings, None)),
        Err(error) if error.reason() == reason::Reason::FileDenied && !site.host.is_root() => {
            // What anybody may read of the mail server's own configuration.
            Ok((site.lost_settings().ok().flatten(), Some(error)))
        }
        Err(error) => Err(error),
    }
}

/// The mail server that is acted on; whether the listener runs, and as which process, has been seen.
fn mail_server(
    site: &Site,
    settings: Option<&Settings>,
    hidden: Option<ChangeError>,
    runs: bool,
    holder: Option<i32>,
) -> MailServer {
    let found = match settings {
        Some(settings) => Ok(site.mta(settings.mta)),
        None => site.choose(),
    };
    let mta = match found {
        Ok(mta) => mta,
        Err(error) => return MailServer { kind: None, kept_by: None, why_not: Some(error.into()) },
    };
    let (kind, host) = (mta.kind(), &*site.host);
    let is_there = match settings {
        Some(_) => runs && site.is_asked_for(kind),
        None => site.options.choice == Choice::Auto,
    };
    let acting = match is_there {
        true => mta::changeable(mta, &site.mtas).map_err(ChangeError::from),
        false => site.acting(settings, Verb::Start).map(drop),
    };
    let why_not = acting.err().map(Hindrance::from).or_else(|| powerless(host, mta));
    let why_not = why_not.or_else(|| hidden.map(Hindrance::from));
    let kept_by = mta.kept_by(host, holder);
    MailServer { kind: Some(kind), kept_by, why_not }
}

/// What only root may do, and who asks is not root.
fn powerless(host: &dyn Host, mta: &dyn Mta) -> Option<Hindrance> {
    let sentence = format!("only root may change {}: run the plugin as root", mta.kind());
    let may = host.is_root() || mta.runs_as_we_do();
    (!may).then_some(Hindrance { reason: reason::Reason::FileDenied, sentence })
}

/// Whether it runs, and why or why not.
fn why(site: &Site, memory: &Memory, settings: &Settings, status: &mut Status) {
    let (host, mta) = (&*site.host, site.mta(settings.mta));
    let seen = match memory.listener(host, mta, settings.listener.port) {
        Ok(seen) => seen,
        Err(error) => return from_outside(site, Some(settings), &chain(&error), status),
    };
    status.is_running = Some(!seen.held.is_empty());
    status.addresses = addresses(seen.held.iter().map(|held| &held.socket));
    (status.process, status.sessions) = (seen.process, seen.sessions);
    (status.reason, status.sentence) = match seen.held.is_empty() {
        false => (Reason::Running, Reason::Running.sentence()),
        true => why_not(site, mta, settings),
    };
}

/// What everybody can see, where it cannot be seen whose listener that is.
fn from_outside(site: &Site, settings: Option<&Settings>, why: &str, status: &mut Status) {
    (status.is_running, status.reason) = (None, Reason::NotSeen);
    status.sentence = format!("it cannot be seen: {why}");
    let Some(port) = settings.map(|settings| settings.listener.port) else { return };
    let Ok(sockets) = site.host.listening(port) else { return };
    let who = if sockets.is_empty() { "nobody" } else { "somebody" };
    status.sentence += &format!("; {who} listens on port {port} here");
    status.addresses = addresses(sockets.iter());
    status.sessions = if sockets.is_empty() { None } else { site.host.sessions(port) };
}

fn why_not(site: &Site, mta: &dyn Mta, settings: &Settings) -> (Reason, String) {
    let (host, port) = (&*site.host, settings.listener.port);
    let said = |reason: Reason| (reason, reason.sentence());
    if settings.wanted == Wanted::Stopped {
        return said(Reason::Stopped);
    }
    let presence = mta.presence(host);
    if presence == Presence::Missing {
        return said(Reason::MtaMissing);
    }
    match live::stranger(host, mta, port, live::ENDING) {
        Ok(Some(holder)) => {
            return (Reason::PortHeld, format!("another program holds port {port}: {}", holder.name));
        }
        Ok(None) => {}
        Err(error) => return (Reason::NotSeen, format!("it cannot be seen: {}", chain(&error))),
    }
    // One without a primary server is never up but for its listener.
    if presence == Presence::Installed && mta.primary_port().is_some() {
        return said(Reason::MtaDown);
    }
    let stands = |path: std::path::PathBuf| {
        let bytes = host.read(&path).ok().flatten().unwrap_or_default();
        // Marks that do not pair up are something of ours, too.
        !matches!(block::find(&bytes, mta.is_ours()), Ok(None))
    };
    let blocks = mta.blocks();
    match blocks.is_empty() || blocks.into_iter().any(stands) {
        true => said(Reason::Ended),
        false => said(Reason::EntryMissing),
    }
}

fn addresses<'s>(sockets: impl Iterator<Item = &'s Socket>) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = sockets.map(|socket| socket.address.ip()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

/// The change under way: whoever has the lock has written down what for. What a dead plugin has left is told by its record.
fn changing(site: &Site) -> Option<Changing> {
    let (host, state_dir) = (&*site.host, &site.options.state_dir);
    let held = host.lock_holder(&site.options.lock).ok()?;
    let Holder { pid, action, since, .. } = held.map(|it| keeper(host, it.pid, it.note)).unwrap_or_default();
    if pid.is_some()
        && let Some(action) = action
    {
        // A plan only looks.
        return (action != PLAN).then_some(Changing { action, since, pid });
    }
    let intent = Intent::read(host, state_dir).ok()??;
    Some(Changing { action: printable(intent.action), since, pid })
}
