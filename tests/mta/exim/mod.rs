//! Exim of this Debian as a subject: a node of its own for each test, set up with Debian's split configuration.
//!
//! Besides what every subject knows, it knows how an administrator writes a configuration of his own, how Exim is
//! replaced, stopped and starved, and how to get between the plugin and Exim's program. The workshop is set up once for
//! the whole run.

pub(crate) mod configurations;
pub(crate) mod health;
pub(crate) mod preconditions;
pub(crate) mod reboots;
pub(crate) mod stock;
pub(crate) mod systemd;

use super::machine::{Node, Recipe, Unit, Workshop, holds, only_child};
use super::subject::{Driven, Subject, report};
use super::support::plugin::{Launch, Plugin};
use super::support::process::{as_pid, name};
use super::support::{PATIENCE, eventually, skip};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

static RECIPE: Recipe = Recipe {
    name: "exim",
    setup: include_str!("../machine/exim.sh"),
    packages: &[
        "exim4-daemon-heavy",
        "swaks",
        "libnet-ssleay-perl",
        "libio-socket-inet6-perl",
        "busybox-static",
    ],
    systemd: Some(Unit { name: "exim4.service", up: "/run/exim4/exim.pid" }),
};

/// What is ours while the service runs, on a machine without systemd.
pub(crate) const OURS: [&str; 2] = ["/etc/exim4/mail-smtp2.conf", "/etc/exim4/mail-smtp2.acl"];

/// The workshop of the run, or nothing where this machine cannot have one; that is said once.
pub(crate) fn workshop() -> Option<&'static Workshop> {
    static WORKSHOP: OnceLock<Option<Workshop>> = OnceLock::new();
    let tell = |reason: String| {
        let line = format!("everything on a real Exim is left out: {reason}");
        report(&line);
        skip(&line);
    };
    WORKSHOP.get_or_init(|| Workshop::open(&RECIPE).map_err(tell).ok()).as_ref()
}

/// A machine with Exim.
pub(crate) struct Exim {
    node: Node,
    next_port: AtomicU16,
}

impl Subject for Exim {
    const NAME: &'static str = "Exim";
    const PRIMARY: Option<u16> = Some(25);
    const KILLS: u64 = 50;

    fn fresh(toml: &str) -> Option<Self> {
        let node = Node::boot(workshop()?);
        fs::write(node.path("/etc/mail-smtp2.toml"), toml).unwrap();
        Some(Self { node, next_port: AtomicU16::new(2525) })
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
        ("bob", "secret")
    }

    fn mailbox(&self) -> &'static str {
        "bob@lab.test"
    }

    fn received(&self, text: &str) -> Option<bool> {
        let mailbox = fs::read(self.node.path("/var/mail/bob")).unwrap_or_default();
        Some(String::from_utf8_lossy(&mailbox).contains(text))
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        vec![self.path("/etc/exim4/trusted_configs"), self.path(GENERATED)]
    }

    fn break_configuration(&self) {
        let text = fs::read_to_string(self.path(GENERATED)).unwrap();
        fs::write(self.path(GENERATED), format!("bogus_option = 1\n{text}")).unwrap();
    }

    fn pulse(&self, port: u16) -> Vec<String> {
        // Each SIGHUP of a daemon is in the log.
        let reloads = self.log().matches("SIGHUP received").count();
        let sockets = self.node.listening(port);
        let holders = self.node.pids_of("exim4").into_iter().filter(|pid| holds(*pid, &sockets));
        let holders: Vec<_> = holders.map(|pid| pid.to_string()).collect();
        holders.into_iter().chain([format!("{reloads} reloads")]).chain(sockets).collect()
    }

    fn listens(&self, port: u16) -> bool {
        let sockets = self.node.listening(port);
        !sockets.is_empty() && self.node.pids_of("exim4").iter().any(|pid| holds(*pid, &sockets))
    }

    fn evidence(&self) -> String {
        let log = self.log();
        let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
        let ours = self.node.try_sh("cat /etc/exim4/mail-smtp2.* /etc/exim4/trusted_configs; ps axww").1;
        let history = fs::read_to_string(self.state().join("history.jsonl")).unwrap_or_default();
        format!("{ours}--- history\n{history}--- log\n{}", &log[from..])
    }
}

impl Driven for Exim {
    const PROGRAMS: &'static [&'static str] = &["/usr/sbin/exim4"];

    fn node(&self) -> &Node {
        &self.node
    }
}

/// What Debian's tools generate, and Exim reads.
const GENERATED: &str = "/var/lib/exim4/config.autogenerated";

impl Exim {
    /// Where this machine sees a file of the node.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.node.path(inside)
    }

    /// What is in the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("/var/log/exim4/mainlog")).unwrap_or_default()
    }

    /// Runs a shell script on the node that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.node.sh(script)
    }

    /// The pids, by the numbers that this machine gives them, of our daemon and its sessions.
    pub(crate) fn ours(&self) -> Vec<u32> {
        self.given(|words| words.iter().any(|word| word == OURS[0]))
    }

    /// The pids of the primary's daemon and its sessions.
    pub(crate) fn primary(&self) -> Vec<u32> {
        self.given(|words| words.iter().all(|word| word != OURS[0]))
    }

    fn given(&self, is_so: impl Fn(&[String]) -> bool) -> Vec<u32> {
        let words = |pid: &u32| -> Vec<String> {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').map(str::to_owned).collect()
        };
        self.node.pids_of("exim4").into_iter().filter(|pid| is_so(&words(pid))).collect()
    }

    /// Kills these processes until none of them is left.
    #[track_caller]
    pub(crate) fn kill(&self, which: impl Fn(&Self) -> Vec<u32>) {
        // Listed again until nobody is left: a daemon may just be forking.
        eventually(PATIENCE, "they are gone", || {
            let left = which(self);
            for pid in &left {
                // Some end by themselves first.
                let _ = nix::sys::signal::kill(as_pid(*pid), nix::sys::signal::Signal::SIGKILL);
            }
            left.is_empty()
        });
    }

    /// Ends Exim's own daemons and starts the primary again with what its configuration says by now.
    #[track_caller]
    pub(crate) fn restart_primary(&self, words: &str) {
        let started = || self.log().matches(" daemon started: ").count();
        let before = started();
        self.kill(Self::primary);
        self.sh(&format!("exim4 {words}"));
        // Its sockets open one after the other; it says so once all do.
        eventually(PATIENCE, "Exim is back", || started() > before);
    }

    /// Has Exim use this configuration instead of Debian's, as `exim4.conf`.
    #[track_caller]
    pub(crate) fn write_own(&self, text: &str) {
        fs::write(self.path("/etc/exim4/exim4.conf"), text).unwrap();
        self.sh("chgrp Debian-exim /etc/exim4/exim4.conf; chmod 640 /etc/exim4/exim4.conf; exim4 -bV");
        self.restart_primary("-bd -q30m");
    }
}
