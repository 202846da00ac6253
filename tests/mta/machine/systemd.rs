//! A machine that is booted by Debian's own systemd, can be rebooted, and has a panel as a unit of its own.
//!
//! The panel is a shell that spawns the plugin and keeps its pipes open; requests go in and replies come out through
//! files in its `/run`. Ends like a [`super::Node`]: with the pipe to what holds it.

use super::{Held, Recipe, Unit, Workshop, entering, within, without_children};
use crate::support::process::{alive, only_child};
use crate::support::smtp::is_open;
use crate::support::{PATIENCE, eventually, program};
use nix::sched::{CloneFlags, setns};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// The panel's unit and what it runs.
const UNIT: &str = "[Unit]\nDescription=Panel\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/bash /usr/local/sbin/panel\n\
    [Install]\nWantedBy=multi-user.target\n";
const PANEL: &str = "rm -f /run/panel.in; mkfifo -m 600 /run/panel.in; exec 3<>/run/panel.in\n\
    /usr/local/bin/mail-smtp2 </run/panel.in >>/run/panel.out 2>>/run/panel.err 3>&-\n";

/// A machine run by systemd.
pub(crate) struct Machine {
    recipe: &'static Recipe,
    holder: Mutex<Held>,
    init: AtomicU32,
    last_id: AtomicU32,
}

impl Machine {
    /// Boots, with the panel's unit enabled.
    #[track_caller]
    pub(crate) fn boot(workshop: &Workshop) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut command = workshop.command("unshare");
        command.args([
            "--mount",
            "--propagation",
            "private",
            "bash",
            "-c",
            include_str!("systemd.sh"),
            "machine",
        ]);
        command.arg(&workshop.folder).arg(program()).arg(&name);
        let holder = Mutex::new(Held::spawn(command));
        let machine =
            Self { recipe: workshop.recipe, holder, init: AtomicU32::new(0), last_id: AtomicU32::new(0) };
        machine.come_up();
        fs::write(machine.path("/etc/systemd/system/panel.service"), UNIT).unwrap();
        fs::write(machine.path("/usr/local/sbin/panel"), PANEL).unwrap();
        machine.sh("systemctl daemon-reload; systemctl enable --now panel.service");
        machine
    }

    /// Takes the power away and boots the same disk again.
    #[track_caller]
    pub(crate) fn reboot(&self) {
        assert_eq!(self.tell("halt"), "halted");
        self.come_up();
    }

    #[track_caller]
    fn come_up(&self) {
        let unshare: u32 = self.tell("boot").parse().expect("a pid");
        eventually(PATIENCE, "systemd is there", || {
            let init = only_child(unshare);
            self.init.store(init.unwrap_or(0), Ordering::Relaxed);
            init.is_some_and(alive) && self.path("/run/systemd/system").exists()
        });
        let up = "s=$(systemctl is-system-running); [ \"$s\" = running ] || [ \"$s\" = degraded ]";
        eventually(PATIENCE, "systemd has booted", || self.try_sh(up).0);
        // When it greets, what that needs has read its configuration: a test may damage it at once.
        eventually(PATIENCE, "the MTA is up", || {
            self.path(self.unit().up).exists() && self.now(|| is_open(25))
        });
    }

    fn tell(&self, command: &str) -> String {
        let mut holder = self.holder.lock().unwrap();
        let stdin = holder.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{command}\n").as_bytes()).unwrap();
        holder.hear()
    }

    fn init(&self) -> u32 {
        self.init.load(Ordering::Relaxed)
    }

    /// Where this machine sees a file of that one.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init()))
    }

    /// Takes this thread into the machine's network.
    #[track_caller]
    pub(crate) fn join_network(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.init())).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).expect("root may join a network");
    }

    /// What a thread that is in the machine's network of now finds.
    pub(crate) fn now<R: Send>(&self, look: impl FnOnce() -> R + Send) -> R {
        let inside = || {
            self.join_network();
            look()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }

    /// Runs a shell script inside; whether it succeeded, and what it printed.
    pub(crate) fn try_sh(&self, script: &str) -> (bool, String) {
        let mut printed = tempfile::tempfile().unwrap();
        let mut command = within(entering(self.init(), true), "bash");
        command.args(["-c", script]).stdin(Stdio::null());
        command.stdout(printed.try_clone().unwrap()).stderr(printed.try_clone().unwrap());
        let status = command.status().unwrap();
        let mut text = Vec::new();
        printed.rewind().unwrap();
        printed.read_to_end(&mut text).unwrap();
        (status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// Runs a shell script inside that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let (succeeded, printed) = self.try_sh(&format!("set -e; {script}"));
        assert!(succeeded, "{script}:\n{printed}");
        printed
    }

    /// The panel's plugin, by the number that this machine gives it.
    #[track_caller]
    pub(crate) fn plugin(&self) -> u32 {
        let mut found = None;
        eventually(PATIENCE, "the panel has spawned the plugin", || {
            found = self.process_of("panel.service", "mail-smtp2");
            found.is_some()
        });
        found.unwrap()
    }

    /// Asks the panel's plugin, and does not wait; the request's id.
    #[track_caller]
    pub(crate) fn post(&self, method: &str, params: Value) -> String {
        let id = format!("call {}", self.last_id.fetch_add(1, Ordering::Relaxed));
        let request = crate::support::plugin::request(id.as_str(), method, params);
        // Once the plugin is there, the panel holds the pipe open and nothing written to it is lost.
        self.plugin();
        let mut pipe = OpenOptions::new().read(true).write(true).open(self.path("/run/panel.in")).unwrap();
        pipe.write_all(format!("{request}\n").as_bytes()).unwrap();
        id
    }

    /// The envelope that came for a request.
    #[track_caller]
    pub(crate) fn answer(&self, id: &str) -> Value {
        let mut found = Value::Null;
        eventually(PATIENCE, "the plugin answers", || {
            let said = fs::read_to_string(self.path("/run/panel.out")).unwrap_or_default();
            let mut replies = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = replies
                .find(|reply| reply["id"] == id)
                .map_or(Value::Null, |mut reply| reply["result"].take());
            found != Value::Null
        });
        found
    }

    /// Asks the panel's plugin.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        let id = self.post(method, params);
        self.answer(&id)
    }

    /// Asks the panel's plugin for what has to succeed.
    #[track_caller]
    pub(crate) fn succeed(&self, method: &str, params: Value) {
        let answer = self.call(method, params);
        assert_eq!(answer, json!({"status": 0, "payload": "Success"}), "{method}\n{}", self.evidence());
    }

    /// The process of this unit with this name, by the number that this machine gives it; the server, not a child of it that
    /// serves a session.
    pub(crate) fn process_of(&self, unit: &str, program: &str) -> Option<u32> {
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let space = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = pids.filter(|pid| space(*pid) == space(self.init()) && alive(*pid)).filter(|pid| {
            let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            crate::support::process::name(*pid) == program && groups.contains(unit)
        });
        without_children(ours.collect()).into_iter().next()
    }

    fn unit(&self) -> &'static Unit {
        self.recipe.systemd.as_ref().expect("a recipe for machines that systemd boots")
    }

    /// What a failing test should print.
    pub(crate) fn evidence(&self) -> String {
        let unit = self.unit().name;
        let script = format!(
            "systemctl status --no-pager {unit} panel.service; journalctl -n 60 --no-pager; cat /run/panel.err"
        );
        self.try_sh(&script).1
    }
}
