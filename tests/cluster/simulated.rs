//! A cluster whose ssh is a small program that plays the nodes (`ssh.sh`).
//!
//! A node's destination is its behaviour and its number. The folder of the cluster is the plugin's HOME, so that every
//! process it leaves behind can be found by its environment. What a test leaves is killed when the cluster is dropped.

use super::support::plugin::{Launch, Plugin};
use super::support::process::as_pid;
use super::support::sandbox::Sandbox;
use super::support::{PATIENCE, TLS_YES, eventually};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs::{self, File, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The stand-in. Not a copy: another test's fork may hold a file that was just written, which then cannot be executed.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/ssh.sh");

/// This machine and its simulated nodes.
pub(crate) struct Simulated {
    machine: Sandbox,
    home: PathBuf,
}

impl Simulated {
    /// Nodes of these kinds, named `node2`, `node3`...
    pub(crate) fn of<'k>(kinds: impl IntoIterator<Item = &'k str>) -> Self {
        Self::patient(50.0, kinds)
    }

    /// With this many seconds for a node to answer.
    pub(crate) fn patient<'k>(seconds: f64, kinds: impl IntoIterator<Item = &'k str>) -> Self {
        let machine = Sandbox::new();
        let home = machine.base().join("home");
        for folder in ["", "started", "asked", "then", "nodes"] {
            fs::create_dir(home.join(folder)).unwrap();
            fs::set_permissions(home.join(folder), Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(home.join("version"), concat!(env!("CARGO_PKG_VERSION"), "\n")).unwrap();
        fs::write(home.join("node.toml"), "").unwrap();
        symlink(env!("CARGO_BIN_EXE_mail-smtp2"), home.join("mail-smtp2")).unwrap();
        let mut toml = format!(
            "[deadlines]\nnode = {seconds}\n[cluster]\nself = \"node1\"\nssh_program = {PROGRAM:?}\n"
        );
        for (number, kind) in (2..).zip(kinds) {
            write!(toml, "[[cluster.node]]\nid = \"node{number}\"\nssh = \"{kind}.{number}\"\n").unwrap();
        }
        fs::write(machine.config(), toml).unwrap();
        Self { machine, home }
    }

    /// The program, in this cluster.
    pub(crate) fn launch(&self) -> Launch {
        self.machine.launch().env("HOME", &self.home)
    }

    pub(crate) fn plugin(&self) -> Plugin {
        self.launch().spawn()
    }

    /// This machine.
    pub(crate) fn here(&self) -> &Sandbox {
        &self.machine
    }

    /// From its second start on the node behaves like this.
    pub(crate) fn then(&self, number: usize, kind: &str) {
        fs::write(self.home.join(format!("then/{number}")), kind).unwrap();
    }

    /// How often the node's ssh was started.
    pub(crate) fn starts(&self, number: usize) -> usize {
        self.lines("started", number).len()
    }

    /// The process of the node's last ssh.
    #[track_caller]
    pub(crate) fn pid(&self, number: usize) -> u32 {
        self.lines("started", number).last().expect("it was started").parse().unwrap()
    }

    /// Whether something waits in the pipe to the node's ssh.
    #[track_caller]
    pub(crate) fn has_something_to_read(&self, number: usize) -> bool {
        let pipe = File::open(format!("/proc/{}/fd/0", self.pid(number))).unwrap();
        poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() > 0
    }

    /// What the node was asked, but for greetings.
    pub(crate) fn asked(&self, number: usize) -> Vec<Value> {
        let lines = self.lines("asked", number);
        let requests = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        requests.filter(|request| request["method"] != "rpc.discover").collect()
    }

    fn lines(&self, folder: &str, number: usize) -> Vec<String> {
        let path = self.home.join(folder).join(number.to_string());
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The processes that the plugin started for its nodes and that still run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        of_environment(&self.home)
    }

    /// Waits until nothing runs any more that was started for the nodes.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        eventually(PATIENCE, "nothing that was started for the nodes runs any more", || {
            self.processes().is_empty()
        });
    }

    /// Configures this machine alone, for changes that are to succeed here.
    #[track_caller]
    pub(crate) fn configure_here(&self, plugin: &mut Plugin) {
        let port = self.machine.port();
        plugin.succeed("update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // Of a plugin that a test has killed; a node that plays dead does not notice.
        for pid in self.processes() {
            let _ = kill(as_pid(pid), Signal::SIGKILL);
        }
    }
}

/// The processes whose HOME is this folder, but for the plugin itself.
fn of_environment(home: &Path) -> Vec<u32> {
    let wanted = format!("HOME={}", home.display());
    let entries = fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let has = read("environ").split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes());
        has && !read("environ").split(|byte| *byte == 0).any(|variable| variable.starts_with(b"TMPDIR="))
    })
    .collect()
}

/// The descriptors that a process has open.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}
