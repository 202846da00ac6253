//! Postfix of this Debian as a subject: a node of its own for each test, with Dovecot as the SASL backend.
//!
//! Besides what every subject knows, it knows how an administrator breaks, stops, edits and loses parts of Postfix, and
//! how to get between the plugin and the control commands of Postfix. The workshop is set up once for the whole run.

pub(crate) mod addresses;
pub(crate) mod configurations;
pub(crate) mod corpus;
pub(crate) mod crash_states;
pub(crate) mod edits;
pub(crate) mod faults;
pub(crate) mod harness;
pub(crate) mod health;
pub(crate) mod pending;
pub(crate) mod preconditions;
pub(crate) mod proof;
pub(crate) mod rules;
pub(crate) mod services;

use super::machine::{Recipe, Unit, without_children};
use super::subject::{Machine, MailServer, Subject};
use super::support::{PATIENCE, eventually};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static RECIPE: Recipe = Recipe {
    name: "postfix",
    setup: include_str!("../machine/postfix.sh"),
    packages: &[
        "postfix",
        "dovecot-core",
        "swaks",
        "libnet-ssleay-perl",
        "libio-socket-inet6-perl",
        "busybox-static",
    ],
    systemd: Some(Unit { name: "postfix@-.service", up: "/var/spool/postfix/private/auth" }),
    opened: OnceLock::new(),
};

/// A machine with Postfix.
pub(crate) struct Postfix {
    machine: Machine,
}

impl MailServer for Postfix {
    const NAME: &'static str = "Postfix";
    const LEFT_OUT: &'static [(&'static str, &'static str)] = &[];
    const PROGRAMS: &'static [&'static str] = &["/usr/sbin/postconf", "/usr/sbin/postfix"];

    fn recipe() -> &'static Recipe {
        &RECIPE
    }

    fn on(machine: Machine) -> Self {
        Self { machine }
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn received(&self, text: &str) -> bool {
        let Ok(messages) = fs::read_dir(self.machine.path("/var/mail/bob/new")) else { return false };
        let mut messages =
            messages.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
        messages.any(|message| message.contains(text))
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        vec![self.master_cf(), self.main_cf()]
    }

    fn break_configuration(&self) {
        self.append(&self.master_cf(), "broken inet\n");
    }

    fn pulse(&self, port: u16) -> Vec<String> {
        // Each SIGHUP of the master replaces the queue manager, and is in the log.
        let reloads = self.log().matches("reload -- version").count();
        let listening = self.machine.listening(port);
        let pids = [self.master(), self.pid_of("qmgr")].map(|pid| format!("{pid:?}"));
        pids.into_iter().chain([format!("{reloads} reloads")]).chain(listening).collect()
    }

    fn holders(&self) -> Vec<u32> {
        self.master().into_iter().collect()
    }

    fn evidence(&self) -> (String, String) {
        let master_cf = fs::read_to_string(self.master_cf()).unwrap_or_default();
        let stock = fs::read_to_string(self.machine.path("/etc/lab/pristine/master.cf")).unwrap_or_default();
        let is_new = |line: &&str| !stock.lines().any(|known| known == *line);
        let ours = master_cf.lines().filter(is_new).map(|line| format!("{line}\n")).collect();
        (ours, self.log())
    }
}

impl Postfix {
    /// Where this machine sees a file of the node.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.machine.path(inside)
    }

    /// Where this machine sees master.cf.
    pub(crate) fn master_cf(&self) -> PathBuf {
        self.machine.path("/etc/postfix/master.cf")
    }

    /// Where this machine sees main.cf.
    pub(crate) fn main_cf(&self) -> PathBuf {
        self.machine.path("/etc/postfix/main.cf")
    }

    /// What is in the log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.machine.path("/var/log/syslog")).unwrap_or_default()
    }

    /// Runs a shell script on the node that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.machine.sh(script)
    }

    /// Runs a shell script on the node; whether it succeeded.
    pub(crate) fn try_sh(&self, script: &str) -> bool {
        self.machine.try_sh(script).0
    }

    /// Writes at the end of a file, as `>>` does.
    pub(crate) fn append(&self, path: &Path, text: &str) {
        let file = fs::OpenOptions::new().append(true).open(path).unwrap();
        std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    }

    /// Adds lines to master.cf and has Postfix load them.
    #[track_caller]
    pub(crate) fn add_services(&self, lines: &str) {
        self.append(&self.master_cf(), lines);
        self.reload();
    }

    /// Has Postfix load its configuration, and waits until it has.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let queue = self.pid_of("qmgr");
        self.sh("postfix reload");
        // A new queue manager comes when all of it is loaded; the line in the log comes first.
        let anew = || match self.pid_of("qmgr") {
            Some(pid) => Some(pid) != queue,
            // One that has ended and was not started anew is started by who wakes it, or only minutes later.
            None => {
                self.try_sh("postkick public qmgr W");
                false
            }
        };
        eventually(PATIENCE, "Postfix reloads", || anew() && self.listens(25));
    }

    /// Postfix's master process, by the number that this machine gives it.
    pub(crate) fn master(&self) -> Option<u32> {
        self.pid_of("master")
    }

    /// The process of the node with this name; what it has just forked has the name, too.
    pub(crate) fn pid_of(&self, program: &str) -> Option<u32> {
        without_children(self.pids_of(program)).into_iter().next()
    }

    /// The processes of the node with this name.
    pub(crate) fn pids_of(&self, program: &str) -> Vec<u32> {
        self.machine.pids_of(program)
    }

    /// Kills Postfix's master, and nobody else.
    #[track_caller]
    pub(crate) fn kill_master(&self) {
        let master = self.master().expect("a master runs");
        super::support::process::signal(master, nix::sys::signal::Signal::SIGKILL);
        eventually(PATIENCE, "the master is gone", || self.master().is_none());
    }
}
