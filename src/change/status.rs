//! What is, and why: the answer to "is it up, and if not, why not".
//!
//! Looks at the settings, the sockets, the mail server's processes, our entries in its configuration, the record of a change
//! under way and the last line of the history. It runs no command and holds no dialogue. What cannot be seen is a reason
//! of its own, never "down".

use std::net::IpAddr;
use std::time::Duration;

use super::drift::Drift;
use super::error::ChangeError;
use super::history::Record;
use super::journal::Intent;
use super::memory::Memory;
use super::settings::{Settings, Wanted};
use super::site::Site;
use super::{block, live};
use crate::mta::{Kind, Mta, Presence};
use crate::sys::{Held, LockError};
use crate::wire::named;
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
    /// Who makes it; `None` if nobody does any more.
    pub pid: Option<i32>,
}

/// What there is to be said of the service.
#[derive(Debug)]
pub struct Status {
    /// The settings; `None` on a machine that was never configured.
    pub settings: Option<Settings>,
    /// Whether it runs; `None` if that cannot be seen.
    pub is_running: Option<bool>,
    /// Why.
    pub reason: Reason,
    /// The reason in words, with names and pids.
    pub sentence: String,
    /// The mail server that is acted on, and why nothing can be changed with it, if so.
    pub mta: Option<(Kind, Option<String>)>,
    /// The addresses that are bound.
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
/// The settings cannot be read.
pub(super) fn look(site: &Site, memory: &Memory) -> Result<Status, ChangeError> {
    let settings = site.settings()?;
    let mta = settings.as_ref().map(|settings| site.mta(settings.mta)).or_else(|| site.choose().ok());
    let mta = mta.map(|mta| (mta.kind(), mta.changeable().err().map(|error| chain(&error))));
    let mut status = Status {
        is_running: Some(false),
        reason: Reason::NeverConfigured,
        sentence: Reason::NeverConfigured.sentence(),
        mta,
        addresses: Vec::new(),
        process: None,
        sessions: None,
        drift: Vec::new(),
        changing: changing(site),
        last: memory.last_change(site),
        settings,
    };
    if let Some(settings) = status.settings.clone() {
        why(site, memory, &settings, &mut status);
        status.drift = memory.drift(&*site.host, site.mta(settings.mta), &settings);
    }
    Ok(status)
}

/// Whether it runs, and why or why not.
fn why(site: &Site, memory: &Memory, settings: &Settings, status: &mut Status) {
    let (host, mta) = (&*site.host, site.mta(settings.mta));
    let seen = match memory.listener(host, mta, settings.listener.port) {
        Ok(seen) => seen,
        Err(error) => {
            (status.is_running, status.reason) = (None, Reason::NotSeen);
            status.sentence = format!("it cannot be seen: {}", chain(&error));
            return;
        }
    };
    status.is_running = Some(!seen.held.is_empty());
    status.addresses = addresses(&seen.held);
    (status.process, status.sessions) = (seen.process, seen.sessions);
    (status.reason, status.sentence) = match seen.held.is_empty() {
        false => (Reason::Running, Reason::Running.sentence()),
        true => why_not(site, mta, settings),
    };
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
    match live::stranger(host, mta, port) {
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

fn addresses(held: &[Held]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = held.iter().map(|held| held.socket.address.ip()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn changing(site: &Site) -> Option<Changing> {
    let intent = Intent::read(&*site.host, &site.options.state_dir).ok().flatten()?;
    let pid = match site.host.lock(&site.options.lock, Duration::ZERO) {
        Err(LockError::Held { holder, .. }) => holder.filter(|pid| site.host.process(*pid).is_some()),
        _ => None,
    };
    Some(Changing { action: printable(intent.action), pid })
}
