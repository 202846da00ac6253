//! The folder of a run: the manager's configuration, and a state directory for every node.
//!
//! It is the HOME of all that is started, by which the channels are found in /proc. When it goes, the sandboxes' servers
//! end with their state directories. It measures nothing.

use std::fs::{self, DirBuilder};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::Fault;

// Below the ports that Linux gives to outgoing connections, so that none of those takes ours meanwhile.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

pub struct Fleet {
    home: TempDir,
    /// One for each node, and the manager's.
    pub ports: Vec<u16>,
}

impl Fleet {
    /// A manager and its nodes, all of this kind; nothing runs yet.
    pub fn new(plugin: Option<&Path>, kind: &str, nodes: usize) -> Result<Self, Fault> {
        let said = |e: std::io::Error| format!("the folder of the run: {e}");
        let own = std::env::current_exe().map_err(said)?;
        let plugin = plugin.map_or_else(|| own.with_file_name("mail-smtp2"), PathBuf::from);
        let stand_in = own.with_file_name("cluster-node");
        if let Some(missing) = [&plugin, &stand_in].into_iter().find(|program| !program.is_file()) {
            let build = "build it with: cargo build --release --workspace";
            return Err(format!("{} is missing; {build}", missing.display()));
        }
        let home = tempfile::Builder::new().prefix("mail-smtp2-bench-").tempdir().map_err(said)?;
        let at = |name: &str| home.path().join(name);
        for folder in ["nodes", "own"] {
            DirBuilder::new().mode(0o700).create(at(folder)).map_err(said)?;
        }
        symlink(plugin.canonicalize().map_err(said)?, at("mail-smtp2")).map_err(said)?;
        fs::write(at("node.toml"), "").map_err(said)?;
        let mut toml = format!("[cluster]\nself = \"manager\"\nssh_program = {stand_in:?}\n");
        for number in 0..nodes {
            toml.push_str(&format!("[[cluster.node]]\nid = \"node{number}\"\nssh = \"{kind}.{number}\"\n"));
        }
        fs::write(at("manager.toml"), toml).map_err(said)?;
        let free = PORTS.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let ports: Vec<u16> = free.take(nodes + 1).collect();
        if ports.len() <= nodes {
            return Err(format!("no {} free ports on this machine", nodes + 1));
        }
        Ok(Self { home, ports })
    }

    /// The manager's flags.
    pub fn own(&self) -> [String; 4] {
        ["--config".into(), self.at("manager.toml"), "--state-dir".into(), self.at("own")]
    }

    /// The plugin on the sandbox, with these flags more.
    pub fn command(&self, flags: &[String]) -> Command {
        let mut command = Command::new(self.home.path().join("mail-smtp2"));
        command.env("HOME", self.home.path()).env_remove("RUST_LOG");
        command.args(["--mta", "sandbox"]).args(flags);
        command
    }

    /// Gives every node a port of its own: they share this machine.
    pub fn configure_nodes(&self) -> Result<(), Fault> {
        for number in 0..self.ports.len() - 1 {
            let state = self.at(&format!("nodes/{number}"));
            let flags = ["--config".into(), self.at("node.toml"), "--state-dir".into(), state];
            let mut call = self.command(&flags);
            call.args(["call", "update", &self.settings(number)]).stdin(Stdio::null());
            let output = call.output().map_err(|e| format!("the plugin cannot be started: {e}"))?;
            if !output.status.success() {
                return Err(format!("node{number}: {}", String::from_utf8_lossy(&output.stdout).trim()));
            }
        }
        Ok(())
    }

    /// The settings with the port of this number.
    pub fn settings(&self, number: usize) -> String {
        format!("{{\"alternate_smtp_port\":{},\"auth_mode\":\"auth_yes/tls_yes\"}}", self.ports[number])
    }

    /// How many processes stand in for ssh, or are the plugin behind one.
    pub fn channels(&self) -> usize {
        let nodes = self.at("node.toml");
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).split('\0').any(|word| word == nodes)).count()
    }

    fn at(&self, name: &str) -> String {
        self.home.path().join(name).to_string_lossy().into_owned()
    }
}
