//! The program: flags, log, configuration; then serve, or one of the subcommands.
//!
//! Answers for: the command line of mail-smtp2(8) and its exit codes. Does not know: what any of it does. stdout
//! belongs to the protocol and to what a subcommand was asked to print; everything else goes to stderr.

mod cli;
mod config;
mod log;
mod manual;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{self, Receiver};

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use cli::check::{Limits, Whom};
use cli::status::Depth;
use config::MtaKind;
use mail_smtp2::action::plan::PlanPayload;
use mail_smtp2::action::{self, Lane};
use mail_smtp2::change::{Choice, Options, Service, Verb};
use mail_smtp2::cluster::fanout::Progress;
use mail_smtp2::cluster::members::{self, Cluster};
use mail_smtp2::mta::sandbox::Sandbox;
use mail_smtp2::mta::{self, Kind, Warning};
use mail_smtp2::rpc::dispatch::Dispatch;
use mail_smtp2::rpc::lanes::Upkeep;
use mail_smtp2::rpc::module::Plugin;
use mail_smtp2::sandbox::{self, daemon::Companion};
use mail_smtp2::schema::files;
use mail_smtp2::sys::{Host, Local, inherited};
use mail_smtp2::transport::{self, Pipes};
use mail_smtp2::wire::call;
use mail_smtp2::wire::envelope::Envelope;
use mail_smtp2::wire::status::Status;
use mail_smtp2::wire::text::printable;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The panel's alternate inbound SMTP server, as a JSON-RPC 2.0 plugin: reads requests from stdin, one a line, and
/// writes replies to stdout.
#[derive(Debug, Parser)]
#[command(version, after_help = "Try it: mail-smtp2 --mta sandbox call listServiceInfo")]
struct Flags {
    /// The configuration file [default: /etc/mail-smtp2.toml, which need not exist]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The mail server: auto, postfix, exim, qmail, opensmtpd, sendmail or sandbox
    #[arg(long, value_name = "KIND", global = true)]
    mta: Option<MtaKind>,
    /// Where settings, history and journal are kept [default: /var/lib/mail-smtp2; sandbox: a throw-away folder]
    #[arg(long, value_name = "DIR", global = true)]
    state_dir: Option<PathBuf>,
    /// What is logged: off, error, warn, info, debug, trace, or target=level,... [default: RUST_LOG, else warn]
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<Targets>,
    /// How it is logged, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    log_format: LogFormat,
    #[command(subcommand)]
    verb: Option<Command>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one action and print its envelope; exit 0 if its status is 0, else 1
    Call {
        /// The action, such as listServiceInfo
        action: String,
        /// Its parameters, a JSON object or array
        json: Option<String>,
    },
    /// Say whether it is up, and why or why not
    Status {
        /// Ask the listener itself, too: what it offers, and its certificate
        #[arg(long)]
        probe: bool,
        /// Print the envelope of queryStatus instead
        #[arg(long)]
        json: bool,
    },
    /// List the latest changes, the newest first
    History {
        /// How many at the most
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only what failed
        #[arg(long)]
        failed: bool,
        /// Print the envelope of queryHistory instead
        #[arg(long)]
        json: bool,
    },
    /// List the nodes of the cluster: state, port, mode and version; exit 1 if one was not reached
    Nodes {
        /// Print the envelope of queryNodes instead
        #[arg(long)]
        json: bool,
    },
    /// Answer a monitoring system: one line, and exit 0 (ok), 1 (warning), 2 (critical) or 3 (unknown)
    Check {
        /// Warn if the certificate ends in fewer days
        #[arg(short, long, value_name = "DAYS", default_value_t = 21)]
        warning: u32,
        /// Be critical if it ends in fewer days
        #[arg(short, long, value_name = "DAYS", default_value_t = 7)]
        critical: u32,
        /// Ask every node of the cluster, too
        #[arg(long)]
        nodes: bool,
    },
    /// Say what an action would do and what would refuse it, without doing it; exit 1 if it would be refused
    Plan {
        /// The action
        #[arg(default_value = "start", value_parser = ["start", "stop", "restart", "update"])]
        action: String,
        /// Its inputs, such as alternate_smtp_port=2587
        #[arg(value_name = "NAME=VALUE")]
        inputs: Vec<String>,
        /// Print the envelope of queryPlan instead
        #[arg(long)]
        json: bool,
    },
    /// Write the published JSON documents, or say how they differ from what they should be
    Schema {
        /// Only compare; exit 1 if anything differs
        #[arg(long)]
        check: bool,
        /// Where the documents are
        #[arg(default_value = "schema")]
        dir: PathBuf,
    },
    /// Print a manual page, for man -l
    Man {
        /// The page, such as mail-smtp2-cluster or just cluster [default: mail-smtp2]
        page: Option<String>,
        /// List the pages
        #[arg(long, conflicts_with = "page")]
        list: bool,
    },
    /// Print what a shell needs to complete this command
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Stop the service and take every byte of ours out of this machine
    Remove,
    #[command(subcommand, hide = true)]
    Sandbox(SandboxCommand),
}

/// The sandbox's own program.
#[derive(Debug, Subcommand)]
enum SandboxCommand {
    Check { file: PathBuf },
    Daemon(Life),
    Serve(Life),
    End { dir: PathBuf },
    Stdio { dir: Option<PathBuf> },
}

#[derive(Debug, clap::Args)]
struct Life {
    dir: PathBuf,
    #[arg(long, value_name = "PID")]
    with: Option<i32>,
    #[arg(long, value_name = "PATH", requires = "with")]
    and_remove: Option<PathBuf>,
}

impl Life {
    fn companion(&self) -> Option<Companion> {
        self.with.map(|pid| Companion { pid, and_remove: self.and_remove.clone() })
    }
}

fn main() -> ExitCode {
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => return misused(&error),
    };
    if let Some(Command::Sandbox(verb)) = &flags.verb {
        return match verb {
            SandboxCommand::Check { file } => sandbox::daemon::check(file),
            SandboxCommand::Daemon(life) => sandbox::daemon::daemon(&life.dir, life.companion().as_ref()),
            SandboxCommand::Serve(life) => sandbox::daemon::serve(&life.dir, life.companion().as_ref()),
            SandboxCommand::End { dir } => sandbox::daemon::end(dir),
            SandboxCommand::Stdio { dir } => sandbox::server::stdio(dir.as_deref()),
        };
    }
    if let Err(error) = log_to_stderr(&flags) {
        return complain(&error, 2);
    }
    if let Some(Command::Schema { check, dir }) = &flags.verb {
        return schema(dir, *check);
    }
    if let Some(Command::Man { page, list }) = &flags.verb {
        return man(page.as_deref(), *list);
    }
    if let Some(Command::Completions { shell }) = &flags.verb {
        return completions(*shell);
    }
    if let Err(error) = inherited::put_right() {
        return complain(&format!("SIGCHLD and SIGXFSZ: {error}"), 1);
    }
    match Program::new(&flags) {
        Err(error) if matches!(flags.verb, Some(Command::Check { .. })) => {
            let (line, code) = cli::check::unknown(&error);
            print(&line, ExitCode::from(code))
        }
        Err(error) => complain(&error, 1),
        Ok(program) => match &flags.verb {
            Some(Command::Call { action, json }) => program.call(action, json.as_deref()),
            Some(Command::Remove) => program.remove(),
            Some(Command::Status { probe, json: true }) => {
                let params = format!("{{\"probe\":{}}}", u8::from(*probe));
                program.call("queryStatus", Some(&params))
            }
            Some(Command::Status { probe, json: false }) => {
                let depth = if *probe { Depth::Probed } else { Depth::Seen };
                program.tell(|plugin| cli::status::run(plugin, depth, look()))
            }
            Some(Command::History { limit, failed, json: true }) => {
                let params = format!("{{\"limit\":{limit},\"failed\":{}}}", u8::from(*failed));
                program.call("queryHistory", Some(&params))
            }
            Some(Command::History { limit, failed, json: false }) => {
                program.tell(|plugin| cli::history::run(plugin, *limit, *failed))
            }
            Some(Command::Nodes { json: true }) => program.call("queryNodes", None),
            Some(Command::Nodes { json: false }) => program.tell(|plugin| cli::nodes::run(plugin, look())),
            Some(Command::Check { warning, critical, nodes }) => {
                let limits = Limits { warning: *warning, critical: *critical };
                let whom = if *nodes { Whom::Everybody } else { Whom::Here };
                program.tell(|plugin| cli::check::run(plugin, limits, whom))
            }
            Some(Command::Plan { action, inputs, json }) => program.plan(action, inputs, *json),
            _ => program.serve(),
        },
    }
}

/// JSON-RPC's number for what is not JSON.
const NOT_JSON: i32 = -32700;

/// What the flags and the configuration come to.
struct Program {
    plugin: Arc<Plugin>,
    /// The greatest length of a message, in bytes.
    limit: usize,
    /// Of the sandbox without a state directory: goes at the end.
    throw_away: Option<tempfile::TempDir>,
    /// What a change was warned of, where a person asked for it on the command line.
    warned: Option<Receiver<Warning>>,
}

impl Program {
    fn new(flags: &Flags) -> Result<Self, String> {
        let config = config::read(flags.config.as_deref()).map_err(|e| e.to_string())?;
        let choice = flags.mta.unwrap_or(config.mta.kind).choice();
        let in_sandbox = choice == Choice::Only(Kind::Sandbox);
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
        let is_called = matches!(flags.verb, Some(Command::Call { .. }));
        let (warnings, warned) = is_called.then(mpsc::channel).unzip();
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
            patience: config.deadlines.node,
            ssh_program: config.cluster.ssh_program.0,
            nodes: config.cluster.node.into_iter().map(config::Node::split).collect(),
            tick: if is_called && std::io::stderr().is_terminal() { progress } else { |_| {} },
        });
        let plugin = Arc::new(Plugin { service, cluster });
        Ok(Self { plugin, limit: config.wire.max_message, throw_away, warned })
    }

    fn serve(self) -> ExitCode {
        if std::io::stdin().is_terminal() {
            say(concat!(
                "mail-smtp2 ",
                env!("CARGO_PKG_VERSION"),
                " speaks JSON-RPC 2.0 on stdin and stdout, for a hosting panel; end it with ctrl-D.\n",
                "Try: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"listServiceInfo\"}   or: mail-smtp2 --help",
            ));
        }
        let pipes = match Pipes::take() {
            Ok(pipes) => pipes,
            Err(error) => return complain(&format!("stdin and stdout: {error}"), 1),
        };
        let Self { plugin, limit, throw_away, warned: _ } = self;
        let dispatch = match Dispatch::new(Arc::clone(&plugin)) {
            Ok(dispatch) => dispatch,
            Err(error) => return complain(&error.to_string(), 1),
        };
        let ours = Arc::clone(&plugin);
        let (asks, ends, looks) = (Arc::clone(&plugin), Arc::clone(&plugin), Arc::clone(&plugin));
        let upkeep = Upkeep {
            at_start: plugin.service.awaits_recovery(),
            is_due: Box::new(move || asks.service.is_interrupted()),
            recover: Box::new(move || ends.service.recover()),
            look_after: Box::new(move || looks.service.look_after()),
        };
        let farewell = Box::new(move || {
            ours.cluster.hang_up();
            drop(throw_away);
            log::flush();
        });
        transport::serve(pipes, dispatch, upkeep, limit, farewell)
    }

    fn call(self, action: &str, json: Option<&str>) -> ExitCode {
        let result = match self.answer(action, json) {
            Ok(result) => result,
            Err(code) => return code,
        };
        // Of rpc.discover the result is a document, and no envelope that could have failed.
        let failed = serde_json::from_str(result.get())
            .is_ok_and(|envelope: Envelope| envelope.status != Status::Done);
        let code = print(&format!("{result}\n"), ExitCode::from(u8::from(failed)));
        for warning in self.warned.iter().flat_map(Receiver::try_iter) {
            say(&format!("mail-smtp2: warning: {} ({})", warning.sentence, warning.kind.name()));
        }
        code
    }

    /// What the plugin answers to one request; if that is no result, it has been said what is wrong.
    fn answer(&self, action: &str, json: Option<&str>) -> Result<Box<RawValue>, ExitCode> {
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
        if action::find(action).is_some_and(|row| row.lane == Lane::Change)
            && let Err(error) = inherited::outlive_terminal()
        {
            return Err(complain(&format!("SIGHUP, SIGINT and SIGTERM: {error}"), 1));
        }
        let dispatch =
            Dispatch::new(Arc::clone(&self.plugin)).map_err(|error| complain(&error.to_string(), 1))?;
        if self.plugin.service.awaits_recovery() {
            self.plugin.service.recover();
        }
        let mut reply = Vec::new();
        dispatch.answer(&message, &AtomicBool::new(false), &mut reply);
        self.plugin.cluster.hang_up();
        log::flush();
        match serde_json::from_slice(&reply) {
            Ok(Reply { result: Some(result), .. }) => Ok(result.to_owned()),
            Ok(Reply { error: Some(error), .. }) => Err(fault(error.get())),
            _ => Err(complain("there was no answer", 1)),
        }
    }

    fn plan(&self, action: &str, inputs: &[String], json: bool) -> ExitCode {
        let mut params = serde_json::Map::from_iter([("action".to_owned(), action.into())]);
        for input in inputs {
            let Some((name, value)) = input.split_once('=') else {
                return complain(&format!("{}: an input is written NAME=VALUE", printable(input)), 2);
            };
            params.insert(name.to_owned(), value.into());
        }
        let result = match self.answer("queryPlan", Some(&serde_json::Value::from(params).to_string())) {
            Ok(result) => result,
            Err(code) => return code,
        };
        let Ok(envelope) = serde_json::from_str::<Envelope>(result.get()) else {
            return complain("the answer is no envelope", 1);
        };
        let plan = match envelope.status {
            Status::Done => PlanPayload::deserialize(&envelope.payload).ok(),
            _ => None,
        };
        let code = ExitCode::from(u8::from(plan.as_ref().is_none_or(|plan| plan.is_refused == 1)));
        match plan {
            _ if json => print(&format!("{result}\n"), code),
            Some(plan) => print(&cli::plan::text(action, &plan, look()), code),
            None => complain(envelope.payload.as_str().unwrap_or_default(), 1),
        }
    }

    /// Says something to a person, or to a monitoring system.
    fn tell(&self, say: impl FnOnce(&Plugin) -> cli::Said) -> ExitCode {
        let said = say(&self.plugin);
        self.plugin.cluster.hang_up();
        log::flush();
        match said {
            Ok((text, code)) => print(&text, ExitCode::from(code)),
            Err(error) => complain(&error, 1),
        }
    }

    fn remove(self) -> ExitCode {
        if let Err(error) = inherited::outlive_terminal() {
            return complain(&format!("SIGHUP, SIGINT and SIGTERM: {error}"), 1);
        }
        if self.plugin.service.awaits_recovery() {
            self.plugin.service.recover();
        }
        let envelope = self.plugin.service.change(Verb::Remove, &serde_json::json!({}));
        log::flush();
        if envelope.status == Status::Done {
            say("every byte of mail-smtp2 has been taken out of this machine");
            return ExitCode::SUCCESS;
        }
        complain(envelope.payload.as_str().unwrap_or_default(), 1)
    }
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

fn schema(dir: &Path, check: bool) -> ExitCode {
    if !check {
        return match files::write(dir) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&format!("{}: {error}", dir.display()), 1),
        };
    }
    match files::check(dir) {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            complain(&format!("{differences}to write them anew: mail-smtp2 schema {}", dir.display()), 1)
        }
        Err(error) => complain(&format!("{}: {error}", dir.display()), 1),
    }
}

fn man(page: Option<&str>, list: bool) -> ExitCode {
    let text = if list { Ok(manual::list()) } else { manual::page(page, Flags::command()) };
    match text {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(error) => complain(&error.to_string(), 2),
    }
}

fn completions(shell: Shell) -> ExitCode {
    let ours = Flags::command();
    // clap_complete would offer what is hidden, too.
    let mut shown = clap::Command::new("mail-smtp2")
        .version(env!("CARGO_PKG_VERSION"))
        .args(ours.get_arguments().cloned())
        .subcommands(ours.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown, "mail-smtp2", &mut script);
    print(&String::from_utf8_lossy(&script), ExitCode::SUCCESS)
}

/// Help and version as asked for, or what is wrong with the flags, never without the usage.
fn misused(error: &clap::Error) -> ExitCode {
    if error.exit_code() == 0 {
        return print(&error.to_string(), ExitCode::SUCCESS);
    }
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && action::find(word).is_some()
    {
        return complain(&format!("{word} is an action, and no subcommand: mail-smtp2 call {word}"), 2);
    }
    let _ = error.print();
    // To a monitoring system 2 says that the service is down.
    let is_check = std::env::args_os().any(|word| word == "check");
    if !error.to_string().contains("Usage") {
        say(&Flags::command().render_usage().to_string());
    }
    ExitCode::from(if is_check { 3 } else { 2 })
}

/// Colours are for whoever looks at a terminal.
#[allow(clippy::disallowed_methods, reason = "nothing is written to it here")]
fn look() -> cli::Look {
    match std::io::stdout().is_terminal() && config::allows_colour() {
        true => cli::Look::Coloured,
        false => cli::Look::Plain,
    }
}

/// Says what is wrong, on stderr.
fn complain(what: &str, status: u8) -> ExitCode {
    say(&format!("mail-smtp2: {}", what.trim_end()));
    log::flush();
    ExitCode::from(status)
}

/// A line for whoever started us; one that cannot be written is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A line for each node of a cascade, for who watches it.
fn progress(Progress { node, failed, visited, of }: &Progress<'_>) {
    let how = failed.map_or("done".to_owned(), |number| format!("failed ({number})"));
    say(&format!("{visited}/{of} {node}: {how}"));
}

/// What a subcommand was asked to print, and how it ends if that can be written.
#[allow(clippy::disallowed_methods, reason = "a subcommand that prints serves no session")]
fn print(text: &str, status: ExitCode) -> ExitCode {
    // Through a file of our own: std takes a stdout that is not open for writing for one that takes everything.
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().map(File::from);
    match stdout.and_then(|mut stdout| stdout.write_all(text.as_bytes())) {
        Ok(()) => status,
        Err(error) => complain(&format!("stdout: {error}"), 1),
    }
}

fn log_to_stderr(flags: &Flags) -> Result<(), String> {
    let filter = match (&flags.log, config::log_filter()) {
        (Some(filter), _) => filter.clone(),
        (None, Some(text)) => text.parse().map_err(|e| format!("RUST_LOG: {e}"))?,
        (None, None) => Targets::new().with_default(tracing::Level::WARN),
    };
    let lines = fmt::layer().with_writer(|| log::Line).with_ansi(false);
    let layer = match flags.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload();
        let what = what.downcast_ref::<&str>().copied().or(what.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            what = what.unwrap_or("no message"),
            at = panic.location().map(tracing::field::display),
            "a fault of ours"
        );
    }));
    Ok(())
}
