//! qmail's way of running a listener as a subject, under Debian's daemontools and under its runit: a node for each test.
//!
//! Besides what every subject knows, it knows how an administrator edits, loses and kills parts of a supervised service.
//! Behind tcpserver is the sandbox's own SMTP program, which keeps no mailbox.

/// One test under each supervisor.
macro_rules! under_both {
    ($($test:ident),* $(,)?) => {
        mod under_daemontools {
            $(#[test]
            fn $test() {
                super::$test::<crate::qmail::Daemontools>();
            })*
        }
        mod under_runit {
            $(#[test]
            fn $test() {
                super::$test::<crate::qmail::Runit>();
            })*
        }
    };
}

pub(crate) mod adopted;
pub(crate) mod supervisors;
pub(crate) mod template;
pub(crate) mod variables;

use super::machine::{Node, Recipe, Workshop, holds, only_child};
use super::subject::{Subject, report};
use super::support::plugin::{Launch, Plugin};
use super::support::process::name;
use super::support::{PATIENCE, eventually, skip};
use std::fmt::Debug;
use std::fs;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Waits, in a script, until nobody supervises what was told to end; it writes into its folder until then.
const GONE: &str = "while pgrep -xf '(supervise|runsv) smtp2' >/dev/null; do sleep 0.01; done";

/// The second service, where the administrator keeps it.
pub(crate) const SMTP2: &str = "/var/qmail/supervise/smtp2";

/// Who supervises.
pub(crate) trait Supervisor: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    const RECIPE: Recipe;
    /// The folder that is looked through for services.
    const SERVICES: &'static str;
    /// The program that looks, and the one that supervises a service.
    const PROGRAMS: [&'static str; 2];
    /// The workshop of the run.
    fn workshop() -> &'static OnceLock<Option<Workshop>>;
}

/// svscan and supervise.
#[derive(Debug)]
pub(crate) struct Daemontools;

impl Supervisor for Daemontools {
    const NAME: &'static str = "qmail under daemontools";
    const RECIPE: Recipe = Recipe {
        name: "qmail-daemontools",
        setup: include_str!("../machine/qmail.sh"),
        packages: &["daemontools", "ucspi-tcp-ipv6", "busybox-static"],
        systemd: None,
    };
    const SERVICES: &'static str = "/service";
    const PROGRAMS: [&'static str; 2] = ["svscan", "supervise"];

    fn workshop() -> &'static OnceLock<Option<Workshop>> {
        static WORKSHOP: OnceLock<Option<Workshop>> = OnceLock::new();
        &WORKSHOP
    }
}

/// runsvdir and runsv.
#[derive(Debug)]
pub(crate) struct Runit;

impl Supervisor for Runit {
    const NAME: &'static str = "qmail under runit";
    const RECIPE: Recipe = Recipe {
        name: "qmail-runit",
        setup: include_str!("../machine/qmail.sh"),
        packages: &["runit", "ucspi-tcp-ipv6", "busybox-static"],
        systemd: None,
    };
    const SERVICES: &'static str = "/etc/service";
    const PROGRAMS: [&'static str; 2] = ["runsvdir", "runsv"];

    fn workshop() -> &'static OnceLock<Option<Workshop>> {
        static WORKSHOP: OnceLock<Option<Workshop>> = OnceLock::new();
        &WORKSHOP
    }
}

/// A machine with qmail, supervised by `S`.
pub(crate) struct Qmail<S> {
    node: Node,
    next_port: AtomicU16,
    supervisor: PhantomData<S>,
}

impl<S: Supervisor> Subject for Qmail<S> {
    const NAME: &'static str = S::NAME;
    const PRIMARY: Option<u16> = Some(25);
    // A supervisor takes a second between two starts.
    const KILLS: u64 = 50;
    const ROUNDS: usize = 3;

    fn fresh(toml: &str) -> Option<Self> {
        let tell = |reason: String| {
            let line = format!("everything on {} is left out: {reason}", S::NAME);
            report(&line);
            skip(&line);
        };
        let workshop =
            S::workshop().get_or_init(|| Workshop::open(&S::RECIPE).map_err(tell).ok()).as_ref()?;
        let node = Node::boot(workshop);
        fs::write(node.path("/etc/mail-smtp2.toml"), toml).unwrap();
        Some(Self { node, next_port: AtomicU16::new(2525), supervisor: PhantomData })
    }

    fn launch(&self) -> Launch {
        let words = self.node.entering();
        let launch = Launch::of(Path::new(&words[0]));
        words[1..].iter().fold(launch, Launch::arg).arg("mail-smtp2")
    }

    fn process(&self, plugin: &Plugin) -> u32 {
        let mut found = None;
        eventually(PATIENCE, "the plugin's own process is there", || {
            found = only_child(plugin.pid()).filter(|pid| name(*pid) == "mail-smtp2");
            found.is_some()
        });
        found.unwrap()
    }

    fn command(&self, program: &str) -> Command {
        self.node.command(program)
    }

    fn join_network(&self) {
        self.node.join_network();
    }

    fn port(&self) -> u16 {
        self.next_port.fetch_add(1, Ordering::Relaxed)
    }

    fn state(&self) -> PathBuf {
        self.node.path("/var/lib/mail-smtp2")
    }

    fn account(&self) -> (&'static str, &'static str) {
        ("sandbox", "sandbox")
    }

    fn mailbox(&self) -> &'static str {
        "anyone@example.com"
    }

    fn received(&self, _text: &str) -> Option<bool> {
        None
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        [
            format!("{SMTP2}/run"),
            "/var/qmail/supervise/smtp/run".into(),
            "/var/qmail/supervise/smtp/env/PORT".into(),
        ]
        .map(|path| self.node.path(&path))
        .into()
    }

    fn edited_file(&self) -> PathBuf {
        self.smtp2("env/PORT")
    }

    fn break_configuration(&self) {}

    fn pulse(&self, port: u16) -> Vec<String> {
        // Each start of a service has a process of its own, and each listener an inode.
        let status = |service: &str| {
            fs::read(self.node.path(&format!("/var/qmail/supervise/{service}/supervise/status")))
                .unwrap_or_default()
        };
        let told = ["smtp", "smtp2"].map(|service| format!("{:?}", status(service)));
        told.into_iter().chain(self.node.listening(port)).collect()
    }

    fn listens(&self, port: u16) -> bool {
        let sockets = self.node.listening(port);
        !sockets.is_empty() && self.pids_of("tcpserver").iter().any(|pid| holds(*pid, &sockets))
    }

    fn evidence(&self) -> String {
        let log = fs::read_to_string(self.node.path("/var/log/supervisors.log")).unwrap_or_default();
        let from = log.char_indices().rev().nth(3_000).map_or(0, |(at, _)| at);
        let history = fs::read_to_string(self.state().join("history.jsonl")).unwrap_or_default();
        let (_, found) = self.node.try_sh(&format!(
            "cd {SMTP2} && ls -la . env supervise; head -c 200 env/*; od -An -tx1 supervise/status; ps axf"
        ));
        format!("{found}\n--- history\n{history}--- log\n{}", &log[from..])
    }
}

impl<S: Supervisor> Qmail<S> {
    /// Where this machine sees a file of the node.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.node.path(inside)
    }

    /// Where this machine sees a file of the second service.
    pub(crate) fn smtp2(&self, file: &str) -> PathBuf {
        self.node.path(&format!("{SMTP2}/{file}"))
    }

    /// Runs a shell script on the node that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.node.sh(script)
    }

    /// The processes of the node with this name.
    pub(crate) fn pids_of(&self, program: &str) -> Vec<u32> {
        self.node.pids_of(program)
    }
}
