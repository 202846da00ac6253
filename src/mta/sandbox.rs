//! The sandbox: the built-in SMTP server for trying, as an answer sheet like any other.
//!
//! It says where the sandbox's configuration is and how it is written, which commands check and drive the server, and
//! which process must own the socket. The server itself is a program of its own, `sandbox/`, which this file knows as an
//! administrator would: by its commands and files. It is used only when asked for (mail-smtp2-sandbox(7)); what cannot
//! be read or started is an [`MtaError`].

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::machine::Words;
use super::sheet::{
    Alternate, AuthMode, Claim, Claimant, Content, Context, Copied, Edit, Goal, Kind, Listener, Mta,
    MtaError, Objection, Presence, Staged, Tell,
};
use crate::sys::{Command, Process, View};

/// What it is called.
pub const KIND: Kind = Kind::new("sandbox", "the sandbox");
/// The name of the configuration file within the sandbox's directory.
pub const FILE: &str = "sandbox.toml";
/// The file within the sandbox's directory whose flock the server holds; its text is the pid of the holder and LF.
pub const LOCK: &str = "daemon.lock";
/// The file that holds the certificate, in its directory.
pub const CERTIFICATE: &str = "certificate.pem";

/// What the configuration file says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// The table `[listener]`; `None` where the service is stopped.
    pub listener: Option<Table>,
}

/// The table `[listener]`. A member that nobody knows is a fault, as in a real mail server's check: a misspelt
/// `auth_mode` must not pass.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// 1 to 65535.
    #[serde(deserialize_with = "port")]
    pub port: u16,
    /// When AUTH is offered.
    pub auth_mode: AuthMode,
}

impl From<Table> for Listener {
    fn from(Table { port, auth_mode }: Table) -> Self {
        Self { port, auth_mode }
    }
}

fn port<'de, D: Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    NonZeroU16::deserialize(from).map(NonZeroU16::get)
}

/// The configuration that `text` is. The marks around our block are comments, to TOML.
///
/// # Errors
/// The first thing that is wrong, with its place in the text.
pub fn parse(text: &str) -> Result<Configuration, toml::de::Error> {
    toml::from_str(text)
}

/// The sandbox of one state directory.
#[derive(Debug, Clone, Default)]
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
        self.dir.join(FILE)
    }
}

impl Mta for Sandbox {
    fn kind(&self) -> Kind {
        KIND
    }

    fn looked_for(&self) -> String {
        self.dir.display().to_string()
    }

    fn presence(&self, host: &dyn View) -> Presence {
        match self.owners(host) {
            Ok(owners) if !owners.is_empty() => Presence::Runs,
            _ => Presence::Installed,
        }
    }

    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError> {
        let Some(text) = host.read(&self.dir.join(LOCK))? else { return Ok(Vec::new()) };
        let pid = String::from_utf8_lossy(&text).trim().parse().ok();
        let Some(process) = pid.and_then(|pid| host.process(pid)) else { return Ok(Vec::new()) };
        // The pid of an ended daemon may be anybody's by now, but not under our own binary's name.
        match process.exe {
            // One that we may look into, and that has no program any more, is just ending.
            None => host.together(process.pid, &self.dir).map(|()| Vec::new()).map_err(MtaError::from),
            Some(exe) if exe == self.program => Ok(vec![process.pid]),
            Some(_) => Ok(Vec::new()),
        }
    }

    fn view(&self) -> &Path {
        &self.dir
    }

    fn runs_as_we_do(&self) -> bool {
        true
    }

    fn is_own(&self, host: &dyn View, process: &Process) -> bool {
        // Another directory's sandbox is a stranger.
        process.exe.as_ref() == Some(&self.program) && Words::of(host, process).have(&self.dir)
    }

    fn manual(&self) -> Option<&'static str> {
        Some(include_str!("../manual/mail-smtp2-sandbox.7.md"))
    }

    fn blocks(&self) -> Vec<PathBuf> {
        vec![self.configuration()]
    }

    fn version(&self, _: Context<'_>) -> Option<String> {
        Some(env!("CARGO_PKG_VERSION").to_owned())
    }

    fn listener_in(&self, block: &str) -> Option<Listener> {
        parse(block).ok()?.listener.map(Listener::from)
    }

    fn primary_port(&self) -> Option<u16> {
        None
    }

    fn comes_back(&self, _: &dyn View) -> bool {
        // A sandbox promises nothing about reboots.
        true
    }

    fn belongings(&self, _: &[&Path]) -> Vec<PathBuf> {
        vec![self.dir.clone()]
    }

    fn alternate<'a>(&'a self, context: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        Ok(Box::new(SandboxAlternate { sandbox: self, context }))
    }
}

/// The sandbox on a machine.
struct SandboxAlternate<'a> {
    sandbox: &'a Sandbox,
    context: Context<'a>,
}

impl Alternate for SandboxAlternate<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        addresses.extend(self.context.view.try_bind(six, 0).is_ok().then_some(six));
        Ok(addresses)
    }

    fn claims(&self, others: &[Staged]) -> Result<Vec<Claim>, MtaError> {
        // There is no primary here, but hosts that try the plugin should meet the refusal of a real machine.
        let mut claims = vec![Claim { port: 25, claimant: Claimant::Primary }];
        for file in others {
            let text =
                file.bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
            // What is broken is the check's business.
            if let Some(listener) = parse(text).ok().and_then(|configuration| configuration.listener) {
                let claimant = Claimant::Entry(format!("the table [listener] in {}", file.path.display()));
                claims.push(Claim { port: listener.port, claimant });
            }
        }
        Ok(claims)
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let block = goal.listener().map(|listener| {
            let mode = listener.auth_mode.name();
            format!("[listener]\nport = {}\nauth_mode = \"{mode}\"\n", listener.port)
        });
        Ok(vec![Edit {
            path: self.sandbox.configuration(),
            content: Content::Block(block),
            mode: 0o600,
            lock: None,
        }])
    }

    fn ready(&self, _: &Listener, _: &mut Objection<'_>) -> Result<(), MtaError> {
        Ok(())
    }

    fn check(&self, staged: &[Staged], goal: &Goal) -> Result<Option<Command>, MtaError> {
        if goal.listener().is_none() {
            return Ok(None);
        }
        let bytes = staged.iter().find_map(|file| file.bytes.as_deref()).unwrap_or_default();
        let file = self.context.lay_out(&[(FILE, Copied::Bytes(bytes))])?.join(FILE);
        Ok(Some(self.sandbox.command("check").arg(&file)))
    }

    fn tell(&self, goal: &Goal, _: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        let dir = &self.sandbox.dir;
        let end = Tell::Daemon(self.sandbox.command("end").arg(dir));
        if goal.listener().is_none() {
            return Ok(vec![end]);
        }
        let mut command = self.sandbox.command("daemon").arg(dir);
        if let Some((pid, goes)) = &self.sandbox.with {
            let pid: OsString = pid.to_string().into();
            command = command.arg("--with").arg(pid).arg("--and-remove").arg(goes);
        }
        // A daemon with another listener gives way only when it is told to.
        Ok(vec![end, Tell::Daemon(command)])
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        Some(self.sandbox.dir.join(CERTIFICATE))
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        Ok(true)
    }

    fn start_primary(&self) -> Vec<Tell> {
        Vec::new()
    }
}
