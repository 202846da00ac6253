//! Postfix: one marked block in `master.cf`, a service keyed by the port, all settings as `-o` overrides.
//!
//! Answers for: what that service looks like (bind addresses and chroot as the primary's), what it needs of Postfix,
//! which ports the rest of `master.cf` means, how master is told. Does not know: writing, waiting, proving. Everything
//! is read through Postfix's own `postconf`, for the default instance only; a broken configuration is quoted.
//! Source: master(5), postconf(1), postconf(5), and how Postfix 3.7 was seen to behave.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Alternate, AuthMode, By, Content, Desk, Edit, Goal, Kind, Listener, Meant, Mta, MtaError, Presence, SMTP,
    Staged, Tell, bound, is_there, or_loopback, services, systemd_runs,
};
use crate::sys::{Command, Ended, FileError, Host, Output, Process, Signal, tls};
use crate::wire::text::{chain, foreign};

/// Where master's binary may be.
const MASTERS: [&str; 4] = [
    "/usr/lib/postfix/sbin/master",
    "/usr/libexec/postfix/master",
    "/usr/lib/postfix/master",
    "/usr/lib/postfix/bin/master",
];
/// Where the default instance usually keeps its configuration.
const USUAL: &str = "/etc/postfix";
/// Where the default instance usually keeps its queue.
const USUAL_QUEUE: &str = "/var/spool/postfix";
/// By this a service of ours is known, in `master.cf` and in the log.
const SYSLOG_NAME: &str = "postfix/smtp2";
/// The parameters of `main.cf` that matter here.
const PARAMETERS: [&str; 15] = [
    "cyrus_sasl_config_path",
    "daemon_directory",
    "inet_interfaces",
    "inet_protocols",
    "known_tcp_ports",
    "master_service_disable",
    "queue_directory",
    "smtpd_sasl_path",
    "smtpd_sasl_type",
    "smtpd_sender_login_maps",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_eccert_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_key_file",
];
/// Where Cyrus SASL looks for what Postfix offers, unless `cyrus_sasl_config_path` says otherwise.
const CYRUS: [&str; 4] = ["/etc/postfix/sasl", "/etc/sasl2", "/usr/lib/sasl2", "/usr/lib64/sasl2"];
/// How long the AUTH backend may take to accept a connection.
const BACKEND: Duration = Duration::from_secs(5);
/// What a PEM file with a certificate holds.
const CERTIFICATE: &str = "CERTIFICATE-----";
/// What a PEM file with a key holds.
const KEY: &str = "PRIVATE KEY-----";

/// Postfix.
#[derive(Debug, Clone, Copy)]
pub struct Postfix;

impl Mta for Postfix {
    fn kind(&self) -> Kind {
        Kind::Postfix
    }

    fn looked_for(&self) -> String {
        format!("{} with {USUAL}/master.cf", MASTERS.join(" or "))
    }

    fn presence(&self, host: &dyn Host) -> Presence {
        let there = |path: &Path| is_there(host, path);
        if !MASTERS.iter().any(|path| there(Path::new(path))) || !there(&Path::new(USUAL).join("master.cf")) {
            Presence::Missing
        } else if matches!(master(host), Ok(None)) {
            Presence::Installed
        } else {
            Presence::Runs
        }
    }

    fn owners(&self, host: &dyn Host) -> Result<Vec<i32>, MtaError> {
        Ok(master(host)?.into_iter().map(|master| master.pid).collect())
    }

    fn view(&self) -> &Path {
        Path::new("/etc/postfix/master.cf")
    }

    fn is_own(&self, host: &dyn Host, process: &Process) -> bool {
        // An smtpd with a session outlives its master, and keeps the socket that it was given. One whose master lives is
        // that master's.
        let is_in = |exe: Option<&Path>| {
            let folder = exe.and_then(Path::parent);
            MASTERS.iter().any(|master| folder.is_some() && folder == Path::new(master).parent())
        };
        let is_master = |exe: Option<&Path>| MASTERS.iter().any(|master| exe == Some(Path::new(master)));
        let exe = process.exe.as_deref();
        let parent = host.parent(process.pid).and_then(|pid| host.process(pid));
        is_in(exe) && !is_master(exe) && !parent.is_some_and(|parent| is_master(parent.exe.as_deref()))
    }

    fn changeable(&self) -> Result<(), MtaError> {
        Ok(())
    }

    fn blocks(&self) -> Vec<PathBuf> {
        vec![Path::new(USUAL).join("master.cf")]
    }

    fn is_ours(&self) -> Option<fn(&str) -> bool> {
        Some(is_ours)
    }

    fn shares_its_process(&self) -> bool {
        true
    }

    fn listener_in(&self, block: &str) -> Option<Listener> {
        let service = block.split_ascii_whitespace().next()?;
        let port = service.rsplit(':').next()?.parse().ok().filter(|port| *port > 0)?;
        // Where the mode cannot be read, the stricter one is what was meant.
        let optional = block.contains("smtpd_tls_security_level=may");
        let auth_mode = if optional { AuthMode::TlsOptional } else { AuthMode::TlsYes };
        Some(Listener { port, auth_mode })
    }

    fn comes_back(&self, _: &dyn Host) -> bool {
        true
    }

    fn belongings(&self, _: &[&Path]) -> Vec<PathBuf> {
        Vec::new()
    }

    fn alternate<'a>(&'a self, desk: Desk<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        let config = match run(desk, Command::new("postconf").args(["-d", "-h", "config_directory"])) {
            Ok(output) => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
            // It does not even tell that while the configuration there is broken.
            Err(MtaError::Broken { .. }) => PathBuf::from(USUAL),
            Err(error) => return Err(error),
        };
        Ok(Box::new(Here { desk, config, parameters: OnceCell::new(), services: OnceCell::new() }))
    }
}

/// The default instance's master, if it runs: the one that its pid file names. Any other is another instance's.
///
/// # Errors
/// It cannot be looked into, or the pid file cannot be read.
fn master_of(host: &dyn Host, queue: &Path, programs: &[&Path]) -> Result<Option<Process>, MtaError> {
    let masters = host.processes(programs, &[])?;
    let Some(text) = host.read(&queue.join("pid/master.pid"))? else { return Ok(None) };
    // The file is padded with blanks, and outlives its master; the pid may be anybody's by now.
    let pid: Option<i32> = String::from_utf8_lossy(&text).trim().parse().ok();
    Ok(masters.into_iter().find(|master| Some(master.pid) == pid))
}

/// Where the default instance keeps its queue, as its `main.cf` has it (postconf(5)): the last line that says so. What
/// cannot be told without postconf(1) is taken to be where it usually is; a change asks postconf.
fn usual_queue(host: &dyn Host) -> PathBuf {
    let main_cf = host.read(&Path::new(USUAL).join("main.cf")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&main_cf).into_owned();
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim_end() == "queue_directory").then(|| value.trim().to_owned())
    };
    let named = text.lines().filter_map(value).next_back();
    named.filter(|path| path.starts_with('/')).map_or_else(|| PathBuf::from(USUAL_QUEUE), PathBuf::from)
}

/// The default instance's master, without asking postconf(1).
fn master(host: &dyn Host) -> Result<Option<Process>, MtaError> {
    master_of(host, &usual_queue(host), &MASTERS.map(Path::new))
}

fn run(desk: Desk<'_>, command: Command) -> Result<Output, MtaError> {
    let output = desk.host.run(&command, desk.deadline)?;
    match output.ended {
        Ended::Exited(0) => return Ok(output),
        Ended::Exited(_) => {}
        // It had no opinion about the configuration.
        Ended::Signalled(signal) => {
            return Err(MtaError::Killed { program: "postconf".to_owned(), signal });
        }
    }
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    Err(MtaError::Broken { kind: Kind::Postfix, message: foreign(said) })
}

/// The default instance on a machine.
struct Here<'a> {
    desk: Desk<'a>,
    config: PathBuf,
    parameters: OnceCell<BTreeMap<String, String>>,
    services: OnceCell<Vec<Service>>,
}

/// An internet service of `master.cf`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Service {
    /// The first column without its port: the address that it binds, if it names one.
    address: Option<String>,
    /// The port, a number or a name.
    port: String,
    /// The column that says whether it runs in the chroot.
    chroot: String,
    /// The program, the first word of the command.
    program: String,
    /// Whether it is a service of ours.
    ours: bool,
}

impl Service {
    /// The first column.
    fn name(&self) -> String {
        self.with_port(&self.port)
    }

    /// The first column of a service that is bound alike, on another port.
    fn with_port(&self, port: impl std::fmt::Display) -> String {
        match &self.address {
            Some(address) => format!("{address}:{port}"),
            None => port.to_string(),
        }
    }
}

/// The internet services in what `postconf -M` prints: one a line, seven columns and the command's arguments.
fn parse(text: &str) -> Vec<Service> {
    let service = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, "inet", _private, _unpriv, chroot, _wakeup, _limit, program, ..] = words[..] else {
            return None;
        };
        let (address, port) = match name.rsplit_once(':') {
            Some((address, port)) => (Some(address.to_owned()), port),
            None => (None, name),
        };
        Some(Service {
            address,
            port: port.to_owned(),
            chroot: chroot.to_owned(),
            program: program.to_owned(),
            ours: is_ours(line),
        })
    };
    text.lines().filter_map(service).collect()
}

/// Whether an entry of `master.cf` carries the name by which ours are known, however postconf(1) or somebody else has laid it
/// out.
fn is_ours(entry: &str) -> bool {
    let spaced = entry.replace(['=', '{', '}', ','], " = ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().filter(|word| *word != "=").collect();
    words.windows(2).any(|pair| pair == ["syslog_name", SYSLOG_NAME])
}

/// The entries of a list in `main.cf`, which are set apart by commas or blanks (postconf(5)).
fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

fn unusable(parameter: &str, path: &str, why: &str) -> MtaError {
    MtaError::Precondition(format!("{parameter} = {} {why}; both modes need TLS", foreign(path)))
}

/// Whether the text of a PEM file holds all that it should (RFC 7468).
fn holds(parameter: &str, path: &str, text: &str, parts: &[&str]) -> Result<(), MtaError> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => {
            Err(unusable(parameter, path, &format!("holds no {}", part.trim_matches('-').to_lowercase())))
        }
    }
}

impl Here<'_> {
    fn master_cf(&self) -> PathBuf {
        self.config.join("master.cf")
    }

    /// The command by which Postfix reads a `master.cf` of these bytes, beside the live `main.cf`.
    fn staged(&self, master_cf: &[u8]) -> Result<Command, MtaError> {
        let Desk { host, staging, .. } = self.desk;
        host.make_dir(staging)?;
        // As links: postconf reads a main.cf that was written in the last two seconds until it is older.
        for name in ["main.cf", "dynamicmaps.cf", "dynamicmaps.cf.d"] {
            host.link(&staging.join(name), &self.config.join(name))?;
        }
        host.scratch(&staging.join("master.cf"), master_cf)?;
        Ok(Command::new("postconf").arg("-c").arg(staging.as_os_str()).arg("-M"))
    }

    /// The parameter's value as Postfix itself computes it.
    fn parameter(&self, name: &str) -> Result<&str, MtaError> {
        if self.parameters.get().is_none() {
            let config = self.config.as_os_str();
            let command = Command::new("postconf").arg("-c").arg(config).arg("-x").args(PARAMETERS);
            let output = run(self.desk, command)?;
            let text = String::from_utf8_lossy(&output.stdout);
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let pairs = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
            let _ = self.parameters.set(pairs.collect());
        }
        Ok(self.parameters.get().and_then(|all| all.get(name)).map_or("", String::as_str))
    }

    /// The internet services, as Postfix reads them.
    fn services(&self) -> Result<&[Service], MtaError> {
        if self.services.get().is_none() {
            let command = Command::new("postconf").arg("-c").arg(self.config.as_os_str()).arg("-M");
            let output = run(self.desk, command)?;
            let _ = self.services.set(parse(&String::from_utf8_lossy(&output.stdout)));
        }
        Ok(self.services.get().map_or(&[], Vec::as_slice))
    }

    /// The entries of the primary server: those that listen on port 25.
    fn primary(&self) -> Result<Vec<&Service>, MtaError> {
        let mut primary = Vec::new();
        for service in self.services()?.iter().filter(|service| !service.ours) {
            if self.port(service)? == Some(SMTP) {
                primary.push(service);
            }
        }
        Ok(primary)
    }

    /// The master of the default instance, if it runs.
    fn master(&self) -> Result<Option<Process>, MtaError> {
        let queue = match self.parameter("queue_directory") {
            Ok(queue) => Path::new(queue),
            // Whether it runs can be told without its configuration.
            Err(MtaError::Broken { .. }) => return master(self.desk.host),
            Err(error) => return Err(error),
        };
        let program = Path::new(self.parameter("daemon_directory")?).join("master");
        master_of(self.desk.host, queue, &[&program])
    }

    /// The port that a service names, by number or by name.
    fn port(&self, service: &Service) -> Result<Option<u16>, MtaError> {
        let known = || -> Result<Option<u16>, MtaError> {
            // `smtps=submissions=465`: names of one port (postconf(5)).
            let entries =
                words(self.parameter("known_tcp_ports")?).filter_map(|entry| entry.rsplit_once('='));
            let named = |names: &str| names.split('=').any(|name| name == service.port);
            Ok(entries.filter(|(names, _)| named(names)).find_map(|(_, port)| port.parse().ok()))
        };
        services::number(self.desk.host, &service.port).map_or_else(known, |port| Ok(Some(port)))
    }

    /// Whether `master_service_disable` keeps a service of this name from running (postconf(5)).
    fn is_disabled(&self, name: &str) -> Result<bool, MtaError> {
        let all = [format!("{name}/inet"), format!("{name}.inet"), "inet".to_owned()];
        Ok(words(self.parameter("master_service_disable")?)
            .any(|entry| all.iter().any(|known| known == entry)))
    }

    /// Whether master, told to read its configuration, will find what this service names: it ends where it does not.
    fn loads(&self, service: &Service, master: &Process) -> Result<(), MtaError> {
        let host = self.desk.host;
        let entry =
            || format!("the entry {} inet in {}", foreign(service.name()), self.master_cf().display());
        let pending =
            |what: String| Err(MtaError::Pending(format!("{what}; loading it now would end Postfix")));
        let Some(port) = self.port(service)? else {
            return pending(format!("{} names a port that is not known here", entry()));
        };
        for socket in host.listening(port)? {
            if host.holder_among(&socket, &[master.pid])?.is_some() {
                return Ok(());
            }
        }
        let named = service.address.as_deref().map(|address| vec![address.trim_matches(['[', ']'])]);
        let interfaces = self.parameter("inet_interfaces")?;
        let (named, by) = match named {
            Some(named) => (named, entry()),
            None => (words(interfaces).collect(), format!("inet_interfaces = {}", foreign(interfaces))),
        };
        for name in named {
            let Some(addresses) = self.interface(name)? else {
                return pending(format!("{by} names {}, which does not resolve", foreign(name)));
            };
            for address in addresses {
                let Err(error) = host.try_bind(address, port) else { continue };
                let holders = match host.listening(port)?.first() {
                    Some(socket) => host.holders(socket)?,
                    None => Vec::new(),
                };
                let holder = holders.first().map_or(error.to_string(), |holder| {
                    format!("{} (pid {}) holds that port", foreign(&holder.name), holder.pid)
                });
                return pending(format!(
                    "{}, which Postfix has not loaded yet, cannot be bound: {holder}",
                    entry()
                ));
            }
        }
        Ok(())
    }

    /// The addresses that an interface of `inet_interfaces` stands for; `None` if it does not resolve.
    fn interface(&self, name: &str) -> Result<Option<Vec<IpAddr>>, MtaError> {
        let families = self.parameter("inet_protocols")?;
        let family = |six: bool| {
            words(families).any(|word| word == "all" || word == if six { "ipv6" } else { "ipv4" })
        };
        let (four, six) = (family(false), family(true));
        let both = |v4: Ipv4Addr, v6: Ipv6Addr| {
            let (v4, v6) = (four.then_some(IpAddr::V4(v4)), six.then_some(IpAddr::V6(v6)));
            Ok(Some(v4.into_iter().chain(v6).collect()))
        };
        match name {
            "all" => return both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            "loopback-only" => return both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            _ => {}
        }
        if let Ok(address) = name.parse() {
            return Ok(Some(vec![address]));
        }
        // Looked up by a program, so that a server of names that does not answer keeps nobody waiting (getent(1)).
        let output =
            self.desk.host.run(&Command::new("getent").args(["ahosts", name]), self.desk.deadline)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let addresses = text.lines().filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok());
        let mut addresses: Vec<IpAddr> =
            addresses.filter(|a: &IpAddr| if a.is_ipv4() { four } else { six }).collect();
        addresses.sort();
        addresses.dedup();
        Ok((output.ended == Ended::Exited(0) && !addresses.is_empty()).then_some(addresses))
    }

    /// The unit that master runs in, on a machine that systemd runs.
    fn unit(&self, master: &Process) -> Result<Option<String>, MtaError> {
        if !systemd_runs(self.desk.host) {
            return Ok(None);
        }
        let path = PathBuf::from(format!("/proc/{}/cgroup", master.pid));
        let text = self.desk.host.read(&path)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        // cgroups(7): `0::/system.slice/system-postfix.slice/postfix@-.service`
        let units = text.lines().filter_map(|line| line.rsplit('/').next());
        Ok(units
            .filter(|unit| unit.ends_with(".service") && unit.starts_with("postfix"))
            .map(str::to_owned)
            .next())
    }

    /// The text of the administrator's certificate or key.
    fn pem(&self, parameter: &str, path: &str) -> Result<String, MtaError> {
        match self.desk.host.read(Path::new(path)) {
            Ok(Some(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Ok(None) => Err(unusable(parameter, path, "does not exist")),
            Err(FileError::Irregular { kind, .. }) => {
                Err(unusable(parameter, path, &format!("is {kind}, not a regular file")))
            }
            Err(error) => Err(unusable(parameter, path, &format!("cannot be read ({})", chain(&error)))),
        }
    }

    fn certificate(&self) -> Result<(), MtaError> {
        let chains = self.parameter("smtpd_tls_chain_files")?;
        if words(chains).next().is_some() {
            // Keys and certificates in any order, in as many files as one likes.
            let texts = words(chains).map(|path| self.pem("smtpd_tls_chain_files", path));
            let text = texts.collect::<Result<Vec<_>, _>>()?.concat();
            holds("smtpd_tls_chain_files", chains, &text, &[CERTIFICATE, KEY])?;
            return match tls::mismatched(text.as_bytes(), text.as_bytes()) {
                false => Ok(()),
                true => Err(unusable(
                    "smtpd_tls_chain_files",
                    chains,
                    "holds a key that is not its certificate's",
                )),
            };
        }
        let pairs = [
            ("smtpd_tls_cert_file", "smtpd_tls_key_file"),
            ("smtpd_tls_eccert_file", "smtpd_tls_eckey_file"),
        ];
        for (certificate, key) in pairs {
            let path = self.parameter(certificate)?;
            if path.is_empty() || path == "none" {
                continue;
            }
            let public = self.pem(certificate, path)?;
            holds(certificate, path, &public, &[CERTIFICATE])?;
            let key_path = self.parameter(key)?;
            let private = self.pem(key, key_path)?;
            holds(key, key_path, &private, &[KEY])?;
            if tls::mismatched(public.as_bytes(), private.as_bytes()) {
                let why = format!("is not the key of the certificate {}", foreign(path));
                return Err(unusable(key, key_path, &why));
            }
            return Ok(());
        }
        let what = "main.cf names no certificate (smtpd_tls_cert_file and smtpd_tls_key_file, or \
                    smtpd_tls_chain_files); both modes need TLS";
        Err(MtaError::Precondition(what.to_owned()))
    }

    fn sasl(&self) -> Result<(), MtaError> {
        let path = self.parameter("smtpd_sasl_path")?;
        let nobody = |at: &str, why: &dyn std::fmt::Display| {
            let at = foreign(at);
            Err(MtaError::Precondition(format!("no SASL mechanism for AUTH: nobody answers at {at}: {why}")))
        };
        let soon = self.desk.deadline.within(BACKEND);
        match (self.parameter("smtpd_sasl_type")?, path.strip_prefix("inet:")) {
            ("dovecot", Some(address)) => {
                // A name would have to be looked up; the proof will tell.
                let Ok(address) = address.parse() else { return Ok(()) };
                match self.desk.host.refuses(address, soon) {
                    Ok(false) => Ok(()),
                    Ok(true) => nobody(path, &"connection refused"),
                    Err(error) => nobody(path, &error),
                }
            }
            ("dovecot", None) => {
                let path = path.strip_prefix("unix:").unwrap_or(path);
                let socket = Path::new(self.parameter("queue_directory")?).join(path);
                self.desk
                    .host
                    .reaches(&socket, soon)
                    .or_else(|error| nobody(&socket.to_string_lossy(), &error))
            }
            (kind, _) => {
                let own = self.parameter("cyrus_sasl_config_path")?;
                let folders: Vec<&str> =
                    own.split(':').filter(|folder| !folder.is_empty()).chain(CYRUS).collect();
                let there = |folder: &&str| {
                    let file = Path::new(folder).join(format!("{path}.conf"));
                    is_there(self.desk.host, &file)
                };
                if folders.iter().any(there) {
                    return Ok(());
                }
                Err(MtaError::Precondition(format!(
                    "no SASL mechanism for AUTH: smtpd_sasl_type = {}, and there is no {}.conf in {}; set up Dovecot \
                     (smtpd_sasl_type = dovecot) or Cyrus SASL",
                    foreign(kind),
                    foreign(path),
                    foreign(folders.join(" or "))
                )))
            }
        }
    }

    /// The lines of our block: one service for each entry of the primary, bound as it is.
    fn block(&self, listener: &Listener) -> Result<String, MtaError> {
        let (level, auth_only) = match listener.auth_mode {
            AuthMode::TlsYes => ("encrypt", "yes"),
            AuthMode::TlsOptional => ("may", "no"),
        };
        let sender = match self.parameter("smtpd_sender_login_maps")? {
            "" => "permit_sasl_authenticated,reject",
            // Who the administrator lets speak for whom stays as it is.
            _ => "reject_sender_login_mismatch,permit_sasl_authenticated,reject",
        };
        let options = [
            ("syslog_name", SYSLOG_NAME),
            ("smtpd_tls_security_level", level),
            ("smtpd_tls_auth_only", auth_only),
            ("smtpd_tls_wrappermode", "no"),
            ("smtpd_sasl_auth_enable", "yes"),
            ("smtpd_sasl_security_options", "noanonymous"),
            ("smtpd_sasl_tls_security_options", "noanonymous"),
            ("smtpd_sasl_exceptions_networks", ""),
            ("smtpd_discard_ehlo_keywords", ""),
            ("smtpd_discard_ehlo_keyword_address_maps", ""),
            ("smtpd_upstream_proxy_protocol", ""),
            ("smtpd_authorized_xclient_hosts", ""),
            ("smtpd_authorized_xforward_hosts", ""),
            ("smtpd_delay_reject", "no"),
            ("smtpd_client_restrictions", ""),
            ("smtpd_helo_restrictions", ""),
            ("smtpd_sender_restrictions", sender),
            ("smtpd_relay_restrictions", "permit_sasl_authenticated,reject"),
            ("smtpd_recipient_restrictions", "permit_sasl_authenticated,reject"),
            ("smtpd_etrn_restrictions", "reject"),
        ];
        let mut block = String::new();
        for primary in self.primary()? {
            let service = primary.with_port(listener.port);
            block.push_str(&format!("{service} inet n - {} - - smtpd\n", primary.chroot));
            for (name, value) in options {
                block.push_str(&format!("  -o {name}={value}\n"));
            }
        }
        Ok(block)
    }
}

impl Alternate for Here<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        let Some(master) = self.master()? else {
            return Ok(or_loopback(bound(self.desk.host, &[], &self.master_cf())?));
        };
        Ok(or_loopback(bound(self.desk.host, &[master.pid], &self.master_cf())?))
    }

    fn is_settled(&self) -> Result<bool, MtaError> {
        let Some(master) = self.master()? else { return Ok(true) };
        Ok(!bound(self.desk.host, &[master.pid], &self.master_cf())?.is_empty())
    }

    fn meant(&self, others: &[Staged]) -> Result<Vec<Meant>, MtaError> {
        let bytes = others.iter().find_map(|file| file.bytes.as_deref()).unwrap_or_default();
        let services = match run(self.desk, self.staged(bytes)?) {
            // A configuration that is broken already is found out by whoever wants to go live with it.
            Err(MtaError::Broken { .. }) => return Ok(Vec::new()),
            output => parse(&String::from_utf8_lossy(&output?.stdout)),
        };
        let mut meant = vec![Meant { port: SMTP, by: By::Primary }];
        for service in services {
            let Some(port) = self.port(&service)? else { continue };
            if port != SMTP && !self.is_disabled(&service.name())? {
                let (name, program) = (foreign(service.name()), foreign(&service.program));
                let by = format!("the entry {name} inet ({program}) in {}", self.master_cf().display());
                meant.push(Meant { port, by: By::Entry(by) });
            }
        }
        Ok(meant)
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let block = goal.listener().map(|listener| self.block(listener)).transpose()?;
        // postconf writes under this lock, and so does everything that it is told to.
        let lock = Some(self.config.join("master.cf.tmp"));
        Ok(vec![Edit { path: self.master_cf(), content: Content::Block(block), mode: 0o644, lock }])
    }

    fn ready(&self, listener: &Listener) -> Result<(), MtaError> {
        self.services()?;
        if self.master()?.is_none() {
            return Err(MtaError::Down("Postfix does not run; start it first".to_owned()));
        }
        if self.primary()?.is_empty() {
            let what =
                "master.cf has no entry that listens on port 25, so that there is no primary to bind like";
            return Err(MtaError::Unsupported(what.to_owned()));
        }
        for primary in self.primary()? {
            if self.is_disabled(&primary.with_port(listener.port))? {
                let disabled = foreign(self.parameter("master_service_disable")?);
                return Err(MtaError::Precondition(format!(
                    "master_service_disable = {disabled} keeps the listener from coming up"
                )));
            }
        }
        self.certificate()?;
        self.sasl()
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
        self.staged(bytes).map(Some)
    }

    fn tell(&self, _: &Goal, _: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        let Some(master) = self.master()? else {
            // It reads its configuration when it is started.
            return Ok(Vec::new());
        };
        Ok(vec![match self.unit(&master)? {
            Some(unit) => Tell::Unit { verb: "reload", unit },
            None => Tell::Signal(master, Signal::Hangup),
        }])
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        Ok(self.master()?.is_some())
    }

    fn revive(&self) -> Vec<Tell> {
        if systemd_runs(self.desk.host) {
            // A unit whose master died under it counts as running as long as a child of it lives.
            return vec![Tell::Unit { verb: "restart", unit: "postfix.service".to_owned() }];
        }
        vec![Tell::Daemon(Command::new("postfix").arg("-c").arg(self.config.as_os_str()).arg("start"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_service_are_read() {
        let text = "smtp       inet  n       -       y       -       -       smtpd\n\
                    127.0.0.1:587 inet n - n - - smtpd -o syslog_name=postfix/smtp2\n\
                    [::1]:submission inet n - y - - smtpd\n\
                    pickup     unix  n       -       y       60      1       pickup\n";
        let services = parse(text);
        assert_eq!(services.len(), 3);
        assert_eq!((services[0].address.as_deref(), services[0].port.as_str()), (None, "smtp"));
        assert_eq!((services[1].address.as_deref(), services[1].ours), (Some("127.0.0.1"), true));
        assert_eq!(
            (services[2].address.as_deref(), services[2].port.as_str()),
            (Some("[::1]"), "submission")
        );
        assert_eq!((services[0].chroot.as_str(), services[0].program.as_str()), ("y", "smtpd"));
    }

    #[test]
    fn an_entry_is_ours_by_its_whole_name_in_every_layout() {
        for ours in [
            "587 inet n - y - - smtpd -o syslog_name=postfix/smtp2",
            "587 inet x\n  -o { syslog_name = postfix/smtp2 }",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in ["587 inet n - y - - smtpd -o syslog_name=postfix/smtp2x", "587 inet n - y - - smtpd"] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }

    #[test]
    fn the_listener_of_a_block_is_read_back() {
        let block = "127.0.0.1:2525 inet n - y - - smtpd\n  -o smtpd_tls_security_level=may\n";
        let listener = Postfix.listener_in(block).unwrap();
        assert_eq!(listener, Listener { port: 2525, auth_mode: AuthMode::TlsOptional });
        assert_eq!(Postfix.listener_in("smtp inet n - y - - smtpd\n"), None);
        let edited = "2525 inet n - y - - smtpd\n  -o { smtpd_tls_security_level = encrypt }\n";
        assert_eq!(Postfix.listener_in(edited).unwrap().port, 2525);
    }
}
