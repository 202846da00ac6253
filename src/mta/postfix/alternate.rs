//! A listener of Postfix's, as answers: what it lacks, which entry makes it, what is told.
//!
//! They are about the default instance on this machine, and come from what `postconf` says of the parameters and
//! services that matter. Writing, waiting and proving are `change`'s. What Postfix cannot read is an error that quotes
//! it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::instance::{UNITS, master, master_of, run};
use super::master::{INET, PASS, Service, disables, parse, words};
use crate::mta::machine::{bound, or_loopback, systemd_runs, unit_of};
use crate::mta::services;
use crate::mta::sheet::{
    Alternate, Claim, Claimant, Content, Context, Copied, Edit, Goal, Listener, MtaError, Objection, SMTP,
    Staged, Tell,
};
use crate::mta::warning::Warning;
use crate::sys::{Command, Process, Signal};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// What mail programs have in place of the lists for clients, HELO and senders, by Postfix's convention, and the parameter
/// under which it is read: `postconf` knows the convention's names only where they are used.
pub(super) const CONVENTION: [(&str, &str); 3] = [
    ("mua_client_restrictions", "smtpd_data_restrictions"),
    ("mua_helo_restrictions", "smtpd_end_of_data_restrictions"),
    ("mua_sender_restrictions", "smtpd_etrn_restrictions"),
];
/// The parameters of `main.cf` that matter here.
const PARAMETERS: [&str; 29] = [
    "cyrus_sasl_config_path",
    "daemon_directory",
    "inet_interfaces",
    "inet_protocols",
    "known_tcp_ports",
    "master_service_disable",
    "queue_directory",
    "smtpd_client_restrictions",
    "smtpd_data_restrictions",
    "smtpd_discard_ehlo_keywords",
    "smtpd_end_of_data_restrictions",
    "smtpd_etrn_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_restriction_classes",
    "smtpd_sasl_path",
    "smtpd_sasl_security_options",
    "smtpd_sasl_tls_security_options",
    "smtpd_sasl_type",
    "smtpd_sender_login_maps",
    "smtpd_sender_restrictions",
    "smtpd_service_name",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_key_file",
    "smtpd_tls_req_ccert",
];

/// The default instance on a machine.
pub(super) struct PostfixAlternate<'a> {
    pub(super) context: Context<'a>,
    pub(super) config: PathBuf,
    parameters: OnceCell<BTreeMap<String, String>>,
    /// Those that listen, and those that are handed their clients.
    services: OnceCell<[Vec<Service>; 2]>,
}

impl<'a> PostfixAlternate<'a> {
    /// What is on this machine, with its configuration in this folder.
    pub(super) fn new(context: Context<'a>, config: PathBuf) -> Self {
        Self { context, config, parameters: OnceCell::new(), services: OnceCell::new() }
    }
}

impl PostfixAlternate<'_> {
    /// The port that a service names, by number or by name; Postfix's own names come before the machine's.
    pub(super) fn port(&self, service: &Service) -> Result<Option<u16>, MtaError> {
        if service.port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(service.port.parse().ok());
        }
        // `smtps=submissions=465`: names of one port (postconf(5)).
        let mut known = words(self.parameter("known_tcp_ports")?).filter_map(|entry| entry.rsplit_once('='));
        let named = |names: &str| names.split('=').any(|name| name == service.port);
        match known.find(|(names, _)| named(names)) {
            Some((_, port)) => Ok(port.parse().ok()),
            None => Ok(services::number(self.context.view, &service.port)),
        }
    }

    /// Whether `master_service_disable` keeps an internet service of this name from running.
    pub(super) fn is_disabled(&self, name: &str) -> Result<bool, MtaError> {
        Ok(disables(self.parameter("master_service_disable")?, name))
    }

    /// The column of the primary's that says whether its `smtpd` runs in the chroot: behind a program that hands clients on,
    /// that of the service which takes them.
    pub(super) fn chroot(&self, primary: &Service) -> Result<String, MtaError> {
        let taker = self.parameter("smtpd_service_name")?;
        let passed = self.passed()?.iter().find(|service| service.port == taker);
        let runs = if primary.program == "smtpd" { primary } else { passed.unwrap_or(primary) };
        Ok(runs.chroot.clone())
    }

    pub(super) fn master_cf(&self) -> PathBuf {
        self.config.join("master.cf")
    }

    /// That this block, or none, stands in `master.cf`.
    fn edit(&self, block: Option<String>) -> Edit {
        // postconf writes under this lock, and so does everything that it is told to.
        let lock = Some(self.config.join("master.cf.tmp"));
        Edit { path: self.master_cf(), content: Content::Block(block), mode: 0o644, lock }
    }

    /// The command by which Postfix reads a `master.cf` of these bytes, beside the live `main.cf`.
    fn staged(&self, master_cf: &[u8]) -> Result<Command, MtaError> {
        // As links: postconf reads a main.cf that was written in the last two seconds until it is older.
        let live =
            ["main.cf", "dynamicmaps.cf", "dynamicmaps.cf.d"].map(|name| (name, self.config.join(name)));
        let links = live.iter().map(|(name, path)| (*name, Copied::Link(path)));
        let copies: Vec<_> = links.chain([("master.cf", Copied::Bytes(master_cf))]).collect();
        let staging = self.context.lay_out(&copies)?;
        Ok(Command::new("postconf").arg("-c").arg(staging.as_os_str()).arg("-M"))
    }

    fn postconf(&self) -> Command {
        Command::new("postconf").arg("-c").arg(self.config.as_os_str())
    }

    /// What `postconf` prints with these arguments.
    pub(super) fn ask(&self, arguments: &[&str]) -> Result<String, MtaError> {
        let output = run(self.context, self.postconf().args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The parameter's value as Postfix itself computes it.
    pub(super) fn parameter(&self, name: &str) -> Result<&str, MtaError> {
        if self.parameters.get().is_none() {
            let carried =
                CONVENTION.map(|(convention, carrier)| ["-o".into(), format!("{carrier}=${convention}")]);
            let command = self.postconf().arg("-x").args(carried.concat()).args(PARAMETERS);
            let output = run(self.context, command)?;
            let text = String::from_utf8_lossy(&output.stdout);
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let pairs = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
            let _ = self.parameters.set(pairs.collect());
        }
        Ok(self.parameters.get().and_then(|all| all.get(name)).map_or("", String::as_str))
    }

    /// The internet services, as Postfix reads them.
    pub(super) fn services(&self) -> Result<&[Service], MtaError> {
        Ok(&self.entries()?[0])
    }

    /// The services that are handed their clients.
    pub(super) fn passed(&self) -> Result<&[Service], MtaError> {
        Ok(&self.entries()?[1])
    }

    fn entries(&self) -> Result<&[Vec<Service>; 2], MtaError> {
        if let Some(entries) = self.services.get() {
            return Ok(entries);
        }
        let text = self.ask(&["-M"])?;
        Ok(self.services.get_or_init(|| [INET, PASS].map(|kind| parse(&text, kind))))
    }

    /// The entries of the primary server: those that listen on port 25.
    pub(super) fn primary(&self) -> Result<Vec<&Service>, MtaError> {
        let mut primary = Vec::new();
        for service in self.services()?.iter().filter(|service| !service.ours) {
            if self.port(service)? == Some(SMTP) && !self.is_disabled(&service.name())? {
                primary.push(service);
            }
        }
        Ok(primary)
    }

    /// The master of the default instance, if it runs.
    pub(super) fn master(&self) -> Result<Option<Process>, MtaError> {
        let queue = match self.parameter("queue_directory") {
            Ok(queue) => Path::new(queue),
            // Whether it runs can be told without its configuration.
            Err(MtaError::Broken { .. }) => return master(self.context.view),
            Err(error) => return Err(error),
        };
        let program = Path::new(self.parameter("daemon_directory")?).join("master");
        master_of(self.context.view, queue, &[&program])
    }
}

impl Alternate for PostfixAlternate<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        let Some(master) = self.master()? else {
            return Ok(or_loopback(bound(self.context.view, &[], &self.master_cf())?));
        };
        Ok(or_loopback(bound(self.context.view, &[master.pid], &self.master_cf())?))
    }

    fn is_settled(&self) -> Result<bool, MtaError> {
        let Some(master) = self.master()? else { return Ok(true) };
        Ok(!bound(self.context.view, &[master.pid], &self.master_cf())?.is_empty())
    }

    fn claims(&self, others: &[Staged]) -> Result<Vec<Claim>, MtaError> {
        let bytes = others.iter().find_map(|file| file.bytes.as_deref()).unwrap_or_default();
        let services = match run(self.context, self.staged(bytes)?) {
            // A configuration that is broken already is found out by whoever wants to go live with it.
            Err(MtaError::Broken { .. }) => return Ok(Vec::new()),
            output => parse(&String::from_utf8_lossy(&output?.stdout), INET),
        };
        let mut claims = vec![Claim { port: SMTP, claimant: Claimant::Primary }];
        for service in services {
            let Some(port) = self.port(&service)? else { continue };
            if port != SMTP && !self.is_disabled(&service.name())? {
                let (name, program) = (printable(service.name()), printable(&service.program));
                let by = format!("the entry {name} inet ({program}) in {}", self.master_cf().display());
                claims.push(Claim { port, claimant: Claimant::Entry(by) });
            }
        }
        Ok(claims)
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let block = goal.listener().map(|listener| self.block(listener)).transpose()?;
        Ok(vec![self.edit(block)])
    }

    fn formerly(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let block = goal.listener().map(|listener| self.block_of_1_0_0(listener)).transpose()?;
        Ok(block.map(|block| self.edit(Some(block))).into_iter().collect())
    }

    fn ready(&self, listener: &Listener, object: &mut Objection<'_>) -> Result<(), MtaError> {
        self.services()?;
        if self.master()?.is_none() {
            object(MtaError::Cannot(Reason::MtaDown, "Postfix does not run; start it first".to_owned()))?;
        }
        if self.primary()?.is_empty() {
            let what =
                "master.cf has no entry that listens on port 25, so that there is no primary to bind like";
            object(MtaError::Cannot(Reason::SetupUnsupported, what.to_owned()))?;
        }
        for primary in self.primary()? {
            if self.is_disabled(&primary.with_port(listener.port))? {
                let disabled = printable(self.parameter("master_service_disable")?);
                object(MtaError::Cannot(
                    Reason::ListenerForbidden,
                    format!("master_service_disable = {disabled} keeps the listener from coming up"),
                ))?;
            }
        }
        self.certificate().or_else(&mut *object)?;
        self.client_certificates(listener).or_else(&mut *object)?;
        self.sasl().or_else(object)
    }

    fn starts_not(&self, port: u16, holder: &str) -> Result<Option<String>, MtaError> {
        if self.master()?.is_some() {
            return Ok(None);
        }
        for service in self.services()?.iter().filter(|service| service.ours) {
            if self.port(service)? == Some(port) {
                return Ok(Some(format!(
                    "Postfix cannot start, and port 25 with it: port {port}, which it is to open for the alternate server, is \
                     held by {holder}; end that, or call stop, which takes the entry out of {}",
                    self.master_cf().display()
                )));
            }
        }
        Ok(None)
    }

    fn nothing_pending(&self) -> Result<(), MtaError> {
        let Some(master) = self.master()? else { return Ok(()) };
        for service in self.services()?.iter().filter(|service| !service.ours) {
            if !self.is_disabled(&service.name())? {
                self.loads(service, &master)?;
            }
        }
        Ok(())
    }

    fn check(&self, staged: &[Staged], _: &Goal) -> Result<Option<Command>, MtaError> {
        // A master that is told to read a broken configuration ends, and port 25 with it: also for the sake of a stop.
        if !self.primary_runs()? {
            return Ok(None);
        }
        let bytes = staged.iter().find_map(|file| file.bytes.as_deref()).unwrap_or_default();
        Ok(Some(self.staged(bytes)?))
    }

    fn sound_already(&self) -> Result<(), MtaError> {
        self.services().map(|_| ())
    }

    fn warnings(&self, _: &Listener) -> Vec<Warning> {
        self.what_to_know()
    }

    fn tell(&self, _: &Goal, _: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        let Some(master) = self.master()? else {
            // It reads its configuration when it is started.
            return Ok(Vec::new());
        };
        Ok(vec![match unit_of(self.context.view, master.pid, UNITS)? {
            Some(unit) => Tell::Unit { verb: "reload", unit },
            None => Tell::Signal(master, Signal::Hangup),
        }])
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        self.shown()
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        Ok(self.master()?.is_some())
    }

    fn start_primary(&self) -> Vec<Tell> {
        if systemd_runs(self.context.view) {
            // A unit whose master died under it counts as running as long as a child of it lives.
            return vec![Tell::Unit { verb: "restart", unit: "postfix.service".to_owned() }];
        }
        vec![Tell::Daemon(Command::new("postfix").arg("-c").arg(self.config.as_os_str()).arg("start"))]
    }
}
