//! The plugin that the flags and the configuration file ask for, ready to serve or to be asked by a subcommand.
//!
//! Puts together what the floors below need: the service on this machine, the cluster, where state and lock are. A
//! subcommand asks it through the same dispatch as a host does. What is wrong has been told on stderr when an exit code
//! comes back as an error; a fault of the conversation is also printed as its error object.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver};

use clap::Args;
use serde_json::value::RawValue;

use mail_smtp2::action::{self, Lane};
use mail_smtp2::change::{Choice, Options, Service};
use mail_smtp2::cluster::members::{self, Cluster};
use mail_smtp2::mta::sandbox::Sandbox;
use mail_smtp2::mta::{self, Warning};
use mail_smtp2::rpc::dispatch::Dispatch;
use mail_smtp2::rpc::module::Plugin;
use mail_smtp2::sys::{Host, Local, inherited};
use mail_smtp2::wire::call;
use mail_smtp2::wire::text::printable;

use super::output::{Ending, Said, complain, print, progress};
use crate::config::{self, MtaKind};
use crate::log;

/// JSON-RPC's number for what is not JSON.
const NOT_JSON: i32 = -32700;

#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// The configuration file [default: /etc/mail-smtp2.toml, which need not exist]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[arg(long, value_name = "KIND", global = true, help = mail_servers())]
    mta: Option<MtaKind>,
    /// Where settings, history and journal are kept [default: /var/lib/mail-smtp2; sandbox: a throw-away folder]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
}

/// The help of `--mta`.
fn mail_servers() -> String {
    let names: Vec<&str> = mta::kinds().into_iter().map(mta::Kind::name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("The mail server: auto, {} or {last}", others.join(", "))
}

/// Whether somebody sees on a terminal how a change goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Watched {
    /// Warnings and the progress of a cascade are kept for stderr.
    ByAPerson,
    /// They go to the log.
    ByNobody,
}

/// What the flags and the configuration come to.
pub(crate) struct Program {
    pub(super) plugin: Arc<Plugin>,
    /// The greatest length of a message, in bytes.
    pub(super) limit: usize,
    /// Of the sandbox without a state directory: goes at the end.
    pub(super) throw_away: Option<tempfile::TempDir>,
    /// What a change was warned of, where a person asked for it on the command line.
    pub(super) warned: Option<Receiver<Warning>>,
}

impl Program {
    /// With what the flags and the configuration file say.
    ///
    /// # Errors
    /// A sentence: the configuration file is wrong, or what the plugin relies on may be written by others.
    pub(super) fn new(flags: &Machine, watched: Watched) -> Result<Self, String> {
        inherited::put_right().map_err(|error| format!("SIGCHLD and SIGXFSZ: {error}"))?;
        let config = config::read(flags.config.as_deref()).map_err(|e| e.to_string())?;
        let choice = flags.mta.unwrap_or(config.mta.kind).choice();
        let in_sandbox = choice == Choice::Only(mta::sandbox::KIND);
        let throw_away = match &flags.state_dir {
            None if in_sandbox => {
                let made = tempfile::Builder::new().prefix("mail-smtp2-").tempdir();
                Some(made.map_err(|e| format!("cannot make a folder for the sandbox: {e}"))?)
            }
            _ => None,
        };
        let asked = throw_away.as_ref().map(tempfile::TempDir::path).or(flags.state_dir.as_deref());
        let state_dir = std::path::absolute(asked.unwrap_or(Path::new(config::DEFAULT_STATE)))
            .map_err(|e| format!("the state directory: {e}"))?;
        config::trust(&state_dir)?;
        let sandbox = Sandbox {
            program: std::env::current_exe().map_err(|e| format!("our own program: {e}"))?,
            dir: state_dir.join("sandbox"),
            with: throw_away.as_ref().map(|dir| (std::process::id().cast_signed(), dir.path().to_owned())),
        };
        let lock = if in_sandbox { state_dir.join("lock") } else { config::MACHINE_LOCK.into() };
        let is_watched = watched == Watched::ByAPerson;
        let (warnings, warned) = is_watched.then(mpsc::channel).unzip();
        let options = Options {
            warnings,
            state_dir,
            lock,
            choice,
            lock_wait: config.deadlines.lock,
            change: config.deadlines.change,
            node: config::own_id(&config),
            rehearsal: if in_sandbox { config.sandbox.rehearsal() } else { Default::default() },
        };
        let host: Arc<dyn Host> = Arc::new(Local::default());
        let service = Service::new(host, mta::all(config.mta.qmail.0.clone(), sandbox), options);
        let cluster = Cluster::new(members::Settings {
            own: config::own_id(&config),
            environment: config::for_ssh(),
            node_time: config.deadlines.node,
            ssh_program: config.cluster.ssh_program.0,
            nodes: config.cluster.node.into_iter().map(config::Node::split).collect(),
            tick: if is_watched && std::io::stderr().is_terminal() { progress } else { |_| {} },
        });
        let plugin = Arc::new(Plugin { service, cluster });
        Ok(Self { plugin, limit: config.wire.max_message, throw_away, warned })
    }

    /// The same for a subcommand: what keeps it from starting has been said.
    pub(super) fn start(flags: &Machine, watched: Watched) -> Result<Self, ExitCode> {
        Self::new(flags, watched).map_err(|error| complain(&error, 1))
    }

    /// What the plugin answers to one request; if there is no result, what is wrong has been said.
    pub(super) fn answer(&self, action: &str, json: Option<&str>) -> Result<Box<RawValue>, ExitCode> {
        if let Some(Err(error)) = json.map(serde_json::from_str::<&RawValue>) {
            return Err(not_json(&error));
        }
        let params = json.map(|json| format!(",\"params\":{json}")).unwrap_or_default();
        let name = serde_json::Value::from(action);
        let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":{name}{params}}}");
        let message = match call::parse(request.as_bytes()) {
            Ok(message) => message,
            Err(error) => return Err(not_json(&error)),
        };
        if action::find(action).is_some_and(|row| row.lane == Lane::Change) {
            outlive_terminal()?;
        }
        let dispatch =
            Dispatch::new(Arc::clone(&self.plugin)).map_err(|error| complain(&error.to_string(), 1))?;
        self.recover();
        let mut reply = Vec::new();
        dispatch.answer(&dispatch.prepare(message), &AtomicBool::new(false), &mut reply);
        self.plugin.cluster.hang_up();
        log::flush();
        match serde_json::from_slice(&reply) {
            Ok(Reply { result: Some(result), .. }) => Ok(result.to_owned()),
            Ok(Reply { error: Some(error), .. }) => Err(fault(error.get())),
            _ => Err(complain("there was no answer", 1)),
        }
    }

    /// Says something to a person, or to a monitoring system.
    pub(super) fn tell(&self, say: impl FnOnce(&Plugin) -> Said) -> Ending {
        let said = say(&self.plugin);
        self.plugin.cluster.hang_up();
        log::flush();
        match said {
            Ok((text, code)) => Ok(print(&text, ExitCode::from(code))),
            Err(error) => Err(complain(&error, 1)),
        }
    }

    /// Ends what a change that was cut short has left, as the first thing.
    pub(super) fn recover(&self) {
        if self.plugin.service.awaits_recovery() {
            self.plugin.service.recover();
        }
    }
}

/// A change that has begun runs to its end, whatever becomes of the terminal.
pub(super) fn outlive_terminal() -> Result<(), ExitCode> {
    inherited::outlive_terminal()
        .map_err(|error| complain(&format!("SIGHUP, SIGINT and SIGTERM: {error}"), 1))
}

/// A reply, as far as `call` looks into it.
#[derive(serde::Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct Fault {
    message: String,
}

/// Parameters that are none.
fn not_json(error: &dyn std::error::Error) -> ExitCode {
    let message = format!("Parse error: the parameters are not JSON: {}", printable(error.to_string()));
    fault(&serde_json::json!({ "code": NOT_JSON, "message": message }).to_string())
}

/// The error object that a host would be answered with: on stdout as it would come, on stderr for people.
fn fault(error: &str) -> ExitCode {
    let printed = print(&format!("{{\"error\":{error}}}\n"), ExitCode::from(2));
    if let Ok(Fault { message }) = serde_json::from_str(error) {
        complain(&printable(message), 2);
    }
    printed
}
