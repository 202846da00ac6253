//! A listener of Exim's, as answers: what Exim lacks for it, which lines make it, what is told.
//!
//! Each of these lines is read back through Exim before anything is written, because an option or ACL of the
//! administrator's may silently decide otherwise. Writing, waiting and proving are `change`'s. What the primary's
//! configuration does not let us have is an error that names it.

use std::cell::{OnceCell, RefCell};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::conf::{self, ACL_MACRO, ACL_OPTION, ADVERTISE, DATA_ACL, DATA_OPTION, NOTLS};
use super::daemons::{BUILT, KIND, Layout, UNIT, UNIT_PATH, VIEW, Whose, daemons, end};
use super::read::{self, Printed};
use crate::mta::machine::{Words, bound, or_loopback, systemd_runs};
use crate::mta::services;
use crate::mta::sheet::{
    Alternate, AuthMode, Claim, Claimant, Content, Context, Copied, Edit, Goal, Listener, MtaError,
    Objection, SMTP, Staged, Tell,
};
use crate::mta::warning::Warning;
use crate::sys::{Command, Output, Process};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// How often Exim tries to bind, 30 seconds apart, unless told otherwise.
const RETRIES: &str = "9";
/// The option that tells otherwise.
const RETRIES_OPTION: &str = "daemon_startup_retries";
/// The main options of the primary's that matter here.
const OPTIONS: [&str; 10] = [
    ACL_OPTION,
    DATA_OPTION,
    ADVERTISE,
    "daemon_smtp_ports",
    RETRIES_OPTION,
    "local_interfaces",
    "tls_advertise_hosts",
    "tls_certificate",
    "tls_on_connect_ports",
    "tls_privatekey",
];

/// Exim as one layout has it.
pub(super) struct EximAlternate<'a> {
    pub(super) context: Context<'a>,
    pub(super) layout: &'static Layout,
    primary: OnceCell<Primary>,
    /// The last that was asked for.
    made: RefCell<Option<Rc<Made>>>,
}

/// The primary's configuration, as Exim itself reads it.
pub(super) struct Primary {
    pub(super) path: PathBuf,
    pub(super) says: Printed,
}

/// What makes one listener.
pub(super) struct Made {
    listener: Listener,
    configuration: String,
    acl: String,
    /// What Exim says that the whole amounts to.
    pub(super) says: Printed,
}

impl<'a> EximAlternate<'a> {
    /// What is on this machine, where `layout` was found.
    pub(super) fn new(context: Context<'a>, layout: &'static Layout) -> Self {
        Self { context, layout, primary: OnceCell::new(), made: RefCell::default() }
    }

    pub(super) fn exim(&self) -> Command {
        Command::new(self.layout.daemon)
    }

    pub(super) fn run(&self, command: Command) -> Result<Output, MtaError> {
        self.context.ask(&command)
    }

    /// The primary's configuration. Asked with `-bV` first: `-bP` writes what is broken into the panic log.
    pub(super) fn primary(&self) -> Result<&Primary, MtaError> {
        if self.primary.get().is_none() {
            let version = self.run(self.exim().arg("-bV"))?;
            if !version.success() {
                return Err(MtaError::Broken { kind: KIND, message: complaint(&version) });
            }
            let path = read::configuration(&String::from_utf8_lossy(&version.stdout));
            let unnamed = || unsupported("Exim does not say which configuration it uses".to_owned());
            let path = path.ok_or_else(unnamed)?;
            let says = self.printed(self.exim(), "macro_list")?;
            let _ = self.primary.set(Primary { path, says });
        }
        self.primary.get().ok_or_else(|| unsupported("Exim does not answer".to_owned()))
    }

    /// The values of the options that matter, and one list more.
    fn printed(&self, exim: Command, list: &str) -> Result<Printed, MtaError> {
        let output = self.run(exim.arg("-bP").args(OPTIONS).arg(list))?;
        if !output.success() {
            return Err(unsupported(format!("Exim does not tell its options: {}", complaint(&output))));
        }
        Ok(read::printed(&String::from_utf8_lossy(&output.stdout)))
    }

    /// What makes this listener, tried and read back.
    pub(super) fn made(&self, listener: &Listener) -> Result<Rc<Made>, MtaError> {
        if let Some(made) = self.made.borrow().as_ref().filter(|made| made.listener == *listener) {
            return Ok(made.clone());
        }
        let made = Rc::new(self.make(listener)?);
        self.made.replace(Some(made.clone()));
        Ok(made)
    }

    fn make(&self, listener: &Listener) -> Result<Made, MtaError> {
        let theirs = self.primary()?.says.option(ACL_OPTION);
        // Where the administrator sets the option, a macro may have its way; twice it cannot be set.
        let slots = if theirs.is_empty() { &[ACL_OPTION][..] } else { &[ACL_MACRO, ACL_OPTION] };
        let mut refused = None;
        for slot in slots {
            match self.try_out(listener, slot) {
                Ok(made) => return Ok(made),
                Err(MtaError::Cannot(Reason::SetupUnsupported, why)) => refused = refused.or(Some(why)),
                Err(error) => return Err(error),
            }
        }
        Err(unsupported(refused.unwrap_or_default()))
    }

    /// The lines with our ACL in this slot, if they have their way.
    fn try_out(&self, listener: &Listener, slot: &'static str) -> Result<Made, MtaError> {
        let Primary { path, says } = self.primary()?;
        let mode = listener.auth_mode;
        let mut lines = vec![(slot, self.layout.acl)];
        if says.option(DATA_OPTION).is_empty() {
            lines.push((DATA_OPTION, DATA_ACL));
        }
        if says.option(RETRIES_OPTION) == RETRIES {
            lines.push((RETRIES_OPTION, "0"));
        }
        if !conf::advertises(says.option(ADVERTISE), mode) {
            lines.push((ADVERTISE, conf::advertise(mode)));
        }
        if mode == AuthMode::TlsOptional && !says.macros.contains(NOTLS) {
            lines.push((NOTLS, "yes"));
        }
        let configuration = conf::configuration(listener, &lines, path);
        let staged = self.staged(configuration.as_bytes())?;
        let checked = self.run(staged.clone().arg("-bV"))?;
        if !checked.success() {
            // What is said of our copy is said of the file that it is to become: an administrator knows no other.
            let said = match staged.argv().last() {
                Some(copy) => complaint(&checked).replace(&*copy.to_string_lossy(), self.layout.ours),
                None => complaint(&checked),
            };
            return Err(self.in_the_way(&said));
        }
        let says = self.printed(staged, "authenticators")?;
        if says.option(ACL_OPTION) != self.layout.acl {
            let wins = format!("{ACL_OPTION} = {} wins over our own", printable(says.option(ACL_OPTION)));
            return Err(self.in_the_way(&wins));
        }
        if !conf::advertises(says.option(ADVERTISE), mode) {
            let wins = format!("{ADVERTISE} = {} wins over our own", printable(says.option(ADVERTISE)));
            return Err(self.in_the_way(&wins));
        }
        let acl = conf::acl(mode, self.primary()?.says.option(ACL_OPTION));
        Ok(Made { listener: *listener, configuration, acl, says })
    }

    fn in_the_way(&self, what: &str) -> MtaError {
        let path = self.primary().map_or(Path::new(""), |primary| &primary.path);
        let whence = if path == Path::new(BUILT) {
            ", in the file of /etc/exim4 that it is built from, then run update-exim4.conf"
        } else {
            ""
        };
        unsupported(format!(
            "{} stands in the way of an alternate server: {what}; put .ifndef {} before that line and .endif after it{whence}",
            path.display(),
            conf::PORT
        ))
    }

    /// Exim with a configuration of these bytes that is not live.
    fn staged(&self, bytes: &[u8]) -> Result<Command, MtaError> {
        let copies = [("exim.conf", Copied::Bytes(bytes))];
        Ok(self.exim().arg("-C").arg(self.context.lay_out(&copies)?.join("exim.conf")))
    }

    /// The addresses on which the primary listens.
    fn bound(&self) -> Result<Vec<IpAddr>, MtaError> {
        let primary: Vec<i32> = self.daemons()?.iter().map(|daemon| daemon.pid).collect();
        bound(self.context.view, &primary, Path::new(VIEW))
    }

    /// The primary's daemon, and its sessions.
    fn daemons(&self) -> Result<Vec<Process>, MtaError> {
        daemons(self.context.view, Whose::Primary)
    }

    fn interfaces(&self, listener: &Listener) -> Result<String, MtaError> {
        Ok(conf::interfaces(&self.addresses()?, listener.port))
    }
}

/// That this block, or none, stands in this file.
fn edit((path, lines): (&str, Option<String>)) -> Edit {
    // The sessions read them as Exim's own user.
    Edit { path: PathBuf::from(path), content: Content::Block(lines), mode: 0o644, lock: None }
}

/// An Exim that leaves no room for an alternate server.
fn unsupported(what: String) -> MtaError {
    MtaError::Cannot(Reason::SetupUnsupported, what)
}

/// What Exim said of a configuration that it does not accept.
fn complaint(output: &Output) -> String {
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    printable(read::error(&String::from_utf8_lossy(said)))
}

impl Alternate for EximAlternate<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        Ok(or_loopback(self.bound()?))
    }

    fn is_settled(&self) -> Result<bool, MtaError> {
        Ok(self.daemons()?.is_empty() || !self.bound()?.is_empty())
    }

    fn claims(&self, _: &[Staged]) -> Result<Vec<Claim>, MtaError> {
        let says = match self.primary() {
            Ok(primary) => &primary.says,
            // A configuration that is broken already is found out by whoever wants to go live with it.
            Err(MtaError::Broken { .. }) => {
                return Ok(vec![Claim { port: SMTP, claimant: Claimant::Primary }]);
            }
            Err(error) => return Err(error),
        };
        let named = read::list(says.option("daemon_smtp_ports"));
        let mut ports: Vec<u16> =
            named.iter().filter_map(|port| services::number(self.context.view, port)).collect();
        ports.extend(read::list(says.option("local_interfaces")).iter().filter_map(|a| read::port_in(a)));
        ports.push(SMTP);
        Ok(ports.into_iter().map(|port| Claim { port, claimant: Claimant::Primary }).collect())
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let Layout { daemon, trusted, ours, acl, .. } = self.layout;
        let lines = match goal {
            Goal::Stopped | Goal::Removed => [None, None, None, None],
            Goal::Running(listener) => {
                let made = self.made(listener)?;
                let unit = conf::unit(daemon, Path::new(ours), &self.interfaces(listener)?);
                let unit = systemd_runs(self.context.view).then_some(unit);
                [Some(format!("{ours}\n")), Some(made.acl.clone()), Some(made.configuration.clone()), unit]
            }
        };
        Ok([*trusted, *acl, *ours, UNIT_PATH].into_iter().zip(lines).map(edit).collect())
    }

    fn formerly(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        let Some(listener) = goal.listener().filter(|_| systemd_runs(self.context.view)) else {
            return Ok(Vec::new());
        };
        let Layout { daemon, ours, .. } = self.layout;
        let unit = conf::unit_of_1_0_0(daemon, Path::new(ours), &self.interfaces(listener)?);
        Ok(vec![edit((UNIT_PATH, Some(unit)))])
    }

    fn ready(&self, listener: &Listener, object: &mut Objection<'_>) -> Result<(), MtaError> {
        let daemons = self.daemons()?;
        if daemons.is_empty() {
            object(MtaError::Cannot(Reason::MtaDown, "Exim does not run; start it first".to_owned()))?;
        }
        if daemons.iter().any(|daemon| Words::of(self.context.view, daemon).have("-C")) {
            let what = "the primary server was started with a configuration of its own (-C), which is not the one that \
                        Exim names";
            object(unsupported(what.to_owned()))?;
        }
        if !daemons.is_empty() && self.bound()?.is_empty() {
            let what = "Exim does not listen on port 25, so that there is no primary server to bind like";
            object(unsupported(what.to_owned()))?;
        }
        self.list_is_trusted().or_else(&mut *object)?;
        let wrapped = read::list(self.primary()?.says.option("tls_on_connect_ports"));
        if wrapped.iter().any(|port| services::number(self.context.view, port) == Some(listener.port)) {
            let (port, wrapped) = (listener.port, printable(wrapped.join(" : ")));
            object(unsupported(format!(
                "tls_on_connect_ports = {wrapped} has Exim begin with TLS on port {port}, where STARTTLS is to be offered"
            )))?;
        }
        self.certificate().or_else(&mut *object)?;
        self.authenticators(listener).or_else(object)
    }

    fn check(&self, staged: &[Staged], goal: &Goal) -> Result<Option<Command>, MtaError> {
        if goal.listener().is_none() {
            return Ok(None);
        }
        let ours = staged.iter().find(|file| file.path == Path::new(self.layout.ours));
        let bytes = ours.and_then(|file| file.bytes.as_deref()).unwrap_or_default();
        Ok(Some(self.staged(bytes)?.arg("-bV")))
    }

    fn warnings(&self, listener: &Listener) -> Vec<Warning> {
        self.what_to_know(listener)
    }

    fn tell_before(&self, goal: &Goal) -> Result<Vec<Tell>, MtaError> {
        if goal.listener().is_some() { Ok(Vec::new()) } else { end(self.context.view) }
    }

    fn tell(&self, goal: &Goal, addresses: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        let Some(listener) = goal.listener() else {
            // A session may have begun while its daemon ended.
            return end(self.context.view);
        };
        if systemd_runs(self.context.view) {
            return Ok(["enable", "restart"].map(|verb| Tell::Unit { verb, unit: UNIT.to_owned() }).into());
        }
        let mut tells = end(self.context.view)?;
        let interfaces = conf::interfaces(addresses, listener.port);
        tells.push(Tell::Daemon(self.exim().args(["-C", self.layout.ours, "-bd", "-oX"]).arg(interfaces)));
        Ok(tells)
    }

    fn certificate_file(&self) -> Option<PathBuf> {
        self.shown()
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        Ok(!self.daemons()?.is_empty())
    }

    fn start_primary(&self) -> Vec<Tell> {
        // It is never told anything that it could die of.
        Vec::new()
    }
}
