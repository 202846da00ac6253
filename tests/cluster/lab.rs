//! Real machines with real sshd's: one that manages, and the nodes, joined by a bridge in the manager.
//!
//! Each machine is a [`Node`] of the policy suite's workshop, with network, processes and files of its own; the plugin on
//! the nodes runs the sandbox. A test has its machines to itself, and breaks of them what it likes.

use super::machine::{Node, Recipe, Workshop};
use super::support::plugin::{Launch, Plugin};
use super::support::process::{name, only_child};
use super::support::{PATIENCE, eventually};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

static RECIPE: Recipe = Recipe {
    name: "cluster",
    setup: include_str!("sshd.sh"),
    packages: &["openssh-client", "openssh-server", "busybox-static"],
    systemd: None,
    opened: OnceLock::new(),
};

/// The flags of every plugin in the lab.
const FLAGS: [&str; 4] = ["--mta", "sandbox", "--state-dir", "/var/lib/mail-smtp2"];

/// The machines of one test.
pub(crate) struct Lab {
    pub(crate) manager: Node,
    /// `node2`, `node3`...
    nodes: Vec<Node>,
}

impl Lab {
    /// A manager and this many nodes, all known to each other.
    #[track_caller]
    pub(crate) fn of(nodes: usize) -> Option<Self> {
        let workshop = Workshop::of(&RECIPE, "sshd")?;
        let lab =
            Self { manager: Node::boot(workshop), nodes: (0..nodes).map(|_| Node::boot(workshop)).collect() };
        lab.outside("ip link add br0 type bridge && ip addr add 10.99.0.1/24 dev br0 && ip link set br0 up");
        let mut hosts = fs::read_to_string(lab.manager.path("/etc/hosts")).unwrap();
        for number in 2..nodes + 2 {
            let (init, link) = (lab.node(number).init, format!("v{number}"));
            lab.outside(&format!(
                "ip link add {link} type veth peer name eth0 netns {init} && ip link set {link} master br0 up"
            ));
            lab.node(number).sh(&format!("ip addr add 10.99.0.{number}/24 dev eth0; ip link set eth0 up"));
            writeln!(hosts, "10.99.0.{number} node{number}").unwrap();
            lab.await_sshd(number);
            lab.know(&format!("node{number}"), number);
        }
        fs::write(lab.manager.path("/etc/hosts"), hosts).unwrap();
        lab.configure("", &[]);
        Some(lab)
    }

    pub(crate) fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 2]
    }

    /// Writes the manager's configuration; a destination may be other than the node's name.
    pub(crate) fn configure(&self, toml: &str, destinations: &[(usize, &str)]) {
        let mut config = format!("{toml}\n[cluster]\nself = \"node1\"\n");
        for number in 2..self.nodes.len() + 2 {
            let usual = format!("root@node{number}");
            let other = destinations.iter().find(|(node, _)| *node == number).map(|(_, to)| *to);
            let to = other.unwrap_or(&usual);
            write!(config, "[[cluster.node]]\nid = \"node{number}\"\nssh = \"{to}\"\n").unwrap();
        }
        fs::write(self.manager.path("/etc/mail-smtp2.toml"), config).unwrap();
    }

    /// Takes the node's host key for known, under this name.
    pub(crate) fn know(&self, name: &str, number: usize) {
        let key = fs::read_to_string(self.node(number).path("/etc/ssh/ssh_host_ed25519_key.pub")).unwrap();
        let path = self.manager.path("/root/.ssh/known_hosts");
        let known = fs::read_to_string(&path).unwrap_or_default();
        fs::write(path, format!("{known}{name} {key}")).unwrap();
    }

    /// Waits until the node's sshd listens: the command that starts it ends before. To connect would leave a session
    /// behind for a moment.
    #[track_caller]
    fn await_sshd(&self, number: usize) {
        eventually(PATIENCE, "sshd listens", || !self.node(number).listening(22).is_empty());
    }

    /// Kills the node's sshd and its sessions; nothing listens there any more when this returns.
    #[track_caller]
    pub(crate) fn kill_sshd(&self, number: usize) {
        self.node(number).sh("kill -9 $(busybox pidof sshd)");
        eventually(PATIENCE, "sshd is gone", || self.node(number).listening(22).is_empty());
    }

    /// Has the node's sshd come back with another host key than the one that is known.
    #[track_caller]
    pub(crate) fn change_host_key(&self, number: usize) {
        let key = "/etc/ssh/ssh_host_ed25519_key";
        self.kill_sshd(number);
        self.node(number).sh(&format!("rm {key}*; ssh-keygen -q -t ed25519 -N '' -f {key}; /usr/sbin/sshd"));
        self.await_sshd(number);
    }

    /// The manager's plugin.
    #[track_caller]
    pub(crate) fn plugin(&self) -> Plugin {
        let words = self.manager.entering();
        let launch = words[1..].iter().fold(Launch::of(Path::new(&words[0])), Launch::arg);
        launch.arg("mail-smtp2").args(&FLAGS).spawn()
    }

    /// The plugin's own process, which is a child of what enters the machine.
    #[track_caller]
    pub(crate) fn process(plugin: &Plugin) -> u32 {
        let mut found = None;
        eventually(PATIENCE, "the plugin's own process is there", || {
            found = only_child(plugin.pid()).filter(|pid| name(*pid) == "mail-smtp2");
            found.is_some()
        });
        found.unwrap()
    }

    /// Cuts the node's link.
    pub(crate) fn cut(&self, number: usize) {
        self.outside(&format!("ip link set v{number} down"));
    }

    /// The ssh's of the manager.
    pub(crate) fn sshs(&self) -> String {
        self.manager.try_sh("busybox pidof ssh").1
    }

    /// The plugins that a node runs, by the numbers that this machine gives them; not the sandbox's own server.
    pub(crate) fn plugins(&self, number: usize) -> Vec<u32> {
        let own = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let node = own(self.node(number).init);
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let is_plugin = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"mail-smtp2\0--mta") && own(*pid) == node
        };
        pids.filter(is_plugin).collect()
    }

    /// Puts a script in the place of a node's plugin, which it finds as `mail-smtp2.real`.
    pub(crate) fn replace(&self, number: usize, script: &str) {
        let real = "/usr/local/bin/mail-smtp2.real";
        let node = self.node(number);
        node.sh(&format!(
            "touch {real}; mount --bind /usr/local/bin/mail-smtp2 {real}; umount /usr/local/bin/mail-smtp2"
        ));
        // Written by a process that ends: while a file is open for writing, and be it in another test's fork, it cannot
        // be executed.
        node.sh(&format!(
            "cat >/usr/local/bin/mail-smtp2 <<'X'\n{script}X\nchmod 755 /usr/local/bin/mail-smtp2"
        ));
    }

    /// Runs a shell script with the manager's network and files, but this machine's processes.
    #[track_caller]
    fn outside(&self, script: &str) {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.manager.init.to_string(), "-n", "-m", "-r", "sh", "-c", script]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
