//! The sandbox: the built-in stand-in MTA, as an answer sheet like any other.
//!
//! Answers for: where its configuration is, what stands in our block of it, which commands check and drive its
//! daemon, which process must own the socket. Does not know: SMTP, TLS or daemons; `server` and `daemon` beside it
//! are the program, this file is what an administrator would know of it. Used only when asked for (contract, 11).

pub mod certificate;
pub mod conf;
pub mod daemon;
pub mod server;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::{Alternate, By, Check, Edit, Kind, Listener, Meant, Mta, MtaError, Presence, Staged, Tell};
use crate::sys::{Command, Host};

/// The sandbox of one state directory.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Our own binary, which is the MTA's program too.
    pub program: PathBuf,
    /// Its directory: configuration, certificate, the daemon's lock.
    pub dir: PathBuf,
    /// The process with which the daemon ends, and the directory that goes with it: of a session without a state
    /// directory of its own.
    pub with: Option<(i32, PathBuf)>,
}

impl Sandbox {
    fn command(&self, verb: &str) -> Command {
        Command::new(&self.program).arg("sandbox").arg(verb)
    }

    fn configuration(&self) -> PathBuf {
        self.dir.join(conf::FILE)
    }
}

impl Mta for Sandbox {
    fn kind(&self) -> Kind {
        Kind::Sandbox
    }

    fn looked_for(&self) -> String {
        self.dir.display().to_string()
    }

    fn presence(&self, host: &dyn Host) -> Presence {
        match self.owners(host) {
            Ok(owners) if !owners.is_empty() => Presence::Runs,
            _ => Presence::Installed,
        }
    }

    fn owners(&self, host: &dyn Host) -> Result<Vec<i32>, MtaError> {
        let Some(text) = host.read(&self.dir.join(daemon::LOCK))? else { return Ok(Vec::new()) };
        let pid = String::from_utf8_lossy(&text).trim().parse().ok();
        // The pid of an ended daemon may be anybody's by now, but not under our own binary's name.
        let ours = |pid: &i32| host.process(*pid).is_some_and(|p| p.exe.as_deref() == Some(&self.program));
        Ok(pid.filter(ours).into_iter().collect())
    }

    fn alternate(&self) -> Result<&dyn Alternate, MtaError> {
        Ok(self)
    }
}

impl Alternate for Sandbox {
    fn addresses(&self, host: &dyn Host) -> Result<Vec<IpAddr>, MtaError> {
        let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        addresses.extend(host.try_bind(six, 0).is_ok().then_some(six));
        Ok(addresses)
    }

    fn meant(&self, foreign: &[Staged]) -> Vec<Meant> {
        // There is no primary here, but hosts that try the plugin should meet the refusal of a real machine.
        let mut meant = vec![Meant { port: 25, by: By::Primary }];
        for file in foreign {
            let text =
                file.bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
            // What is broken is the check's business.
            if let Some(listener) = conf::parse(text).ok().and_then(|conf| conf.listener) {
                let by = By::Entry(format!("the table [listener] in {}", file.path.display()));
                meant.push(Meant { port: listener.port, by });
            }
        }
        meant
    }

    fn edits(&self, listener: Option<&Listener>) -> Vec<Edit> {
        let block = listener.map(|listener| {
            let mode = listener.auth_mode.name();
            format!("[listener]\nport = {}\nauth_mode = \"{mode}\"\n", listener.port)
        });
        vec![Edit { path: self.configuration(), block, mode: 0o600 }]
    }

    fn listener_in(&self, block: &str) -> Option<Listener> {
        conf::parse(block).ok()?.listener.map(Listener::from)
    }

    fn check(&self, staging: &Path, staged: &[Staged]) -> Check {
        let bytes = staged.iter().find_map(|file| file.bytes.clone()).unwrap_or_default();
        let file = staging.join(conf::FILE);
        Check { command: self.command("check").arg(&file), files: vec![(file, bytes)] }
    }

    fn tell(&self, listener: Option<&Listener>) -> Vec<Tell> {
        let end = Tell::Daemon(self.command("end").arg(&self.dir));
        if listener.is_none() {
            return vec![end];
        }
        let mut command = self.command("daemon").arg(&self.dir);
        if let Some((pid, goes)) = &self.with {
            let pid: OsString = pid.to_string().into();
            command = command.arg("--with").arg(pid).arg("--and-remove").arg(goes);
        }
        // A daemon with another listener gives way only when it is told to.
        vec![end, Tell::Daemon(command)]
    }

    fn belongings(&self) -> Vec<PathBuf> {
        vec![self.dir.clone()]
    }
}
