//! Machines to try a mail server on: this one seen through an overlay, in namespaces of their own.
//!
//! A [`Workshop`] installs and sets up one MTA, once for the whole run; a [`Node`] is a fresh layer over it that a test
//! has to itself. All mounts live in mount namespaces of processes that end when the pipe from this process does, so
//! that nothing is left behind by a run, however it ends. Needs root on Debian; who lacks it is told why.

pub(crate) mod systemd;

use super::support::process::{alive, as_pid, name, only_child};
use super::support::{PATIENCE, eventually, program, skip, within as poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// What a workshop is to hold.
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// A shell script that runs inside, once, after the packages are installed.
    pub(crate) setup: &'static str,
    pub(crate) packages: &'static [&'static str],
    /// What systemd knows it by, where a machine of it is booted by systemd.
    pub(crate) systemd: Option<Unit>,
    /// The workshop of the run, once somebody has asked for it.
    pub(crate) opened: OnceLock<Option<Workshop>>,
}

/// An MTA under systemd.
pub(crate) struct Unit {
    /// Its unit.
    pub(crate) name: &'static str,
    /// A file that is there once all of it is up, besides a listener on port 25.
    pub(crate) up: &'static str,
}

/// An overlay of this machine with one MTA installed.
pub(crate) struct Workshop {
    recipe: &'static Recipe,
    folder: PathBuf,
    holder: Held,
}

impl Workshop {
    /// The workshop of the run, or nothing where this machine cannot have one; that is said once, for what is named.
    #[track_caller]
    pub(crate) fn of(recipe: &'static Recipe, what: &str) -> Option<&'static Self> {
        let tell = |reason: String| {
            let line = format!("everything on a real {what} is left out: {reason}");
            // One write for the whole line, or those of other tests come between.
            let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
            skip(&line);
        };
        recipe.opened.get_or_init(|| Self::open(recipe).map_err(tell).ok()).as_ref()
    }

    /// Installs and sets up; or says in a few words what keeps this machine from it.
    #[track_caller]
    fn open(recipe: &'static Recipe) -> Result<Self, String> {
        if !Path::new("/etc/debian_version").exists() {
            return Err("not a Debian system".to_owned());
        }
        if !nix::unistd::geteuid().is_root() {
            return Err("not root".to_owned());
        }
        let trial =
            Command::new("unshare").args(["--mount", "--propagation", "private", "bash", "-c", ":"]).output();
        if !trial.is_ok_and(|trial| trial.status.success()) {
            return Err("no unshare, or no right to mount namespaces of one's own".to_owned());
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash", "-c", include_str!("base.sh"), "base"]);
        command.args([env!("CARGO_MANIFEST_DIR"), recipe.name, recipe.setup]).args(recipe.packages);
        let mut holder = Held::spawn(command);
        match holder.hear().split_once(' ') {
            Some(("ready", folder)) => Ok(Self { recipe, folder: folder.into(), holder }),
            Some(("missing", reason)) => Err(reason.to_owned()),
            _ => panic!("{} could not be set up:\n{}", recipe.name, holder.complaint()),
        }
    }

    /// A command that sees the workshop's mounts.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.pid().to_string(), "-m", program]);
        command
    }
}

/// A child that lives as long as our end of the pipe to it.
struct Held {
    child: Child,
    says: BufReader<std::process::ChildStdout>,
    complaints: File,
}

impl Held {
    #[track_caller]
    fn spawn(mut command: Command) -> Self {
        let complaints = tempfile::tempfile().unwrap();
        let stderr = complaints.try_clone().unwrap();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().expect("it starts");
        let says = BufReader::new(child.stdout.take().unwrap());
        Self { child, says, complaints }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line that it says; empty at its end.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn complaint(&mut self) -> String {
        let mut text = Vec::new();
        self.complaints.rewind().unwrap();
        self.complaints.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text[text.len().saturating_sub(4000)..]).into_owned()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It tidies up behind itself, if it is let.
        let child = &mut self.child;
        let ended = poll(PATIENCE, || child.try_wait().is_ok_and(|status| status.is_some()));
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A machine of its own: network, mounts, processes, host name, IPC.
pub(crate) struct Node {
    /// Its first process, by the number that this machine gives it.
    pub(crate) init: u32,
    _holder: Held,
}

impl Node {
    /// Boots; the workshop's `node-start` has run when this returns.
    #[track_caller]
    pub(crate) fn boot(workshop: &Workshop) -> Self {
        let mut command = workshop.command("unshare");
        command.args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]);
        // Of busybox, whose mount(8) and the like are no programs of their own: a node takes forty of them.
        let shell = workshop.folder.join("root/bin/busybox");
        command.args(["--propagation", "private"]).arg(shell);
        command.args(["sh", "-c", include_str!("node.sh"), "node"]);
        command.arg(&workshop.folder).arg(program()).arg("mail.lab.test");
        let mut holder = Held::spawn(command);
        let said = holder.hear();
        assert_eq!(said, "ready", "the node does not boot:\n{}", holder.complaint());
        let init = only_child(holder.pid()).expect("the node's first process");
        Self { init, _holder: holder }
    }

    /// Where this machine sees a file of the node.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// The words before a command that make it run inside.
    pub(crate) fn entering(&self) -> Vec<String> {
        entering(self.init, false)
    }

    /// A command that runs inside, with the environment of a login.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        within(self.entering(), program)
    }

    /// Runs a shell script inside; whether it succeeded, and what it printed.
    #[track_caller]
    pub(crate) fn try_sh(&self, script: &str) -> (bool, String) {
        // A file and no pipe: daemons that the script leaves behind would hold that open.
        let mut printed = tempfile::tempfile().unwrap();
        let mut command = self.command("bash");
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

    /// Takes this thread, and the programs that it starts, into the node's network.
    #[track_caller]
    pub(crate) fn join_network(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.init)).unwrap();
        setns(network, CloneFlags::CLONE_NEWNET).expect("root may join a network");
    }

    /// The node's processes with this name, by the numbers that this machine gives them.
    pub(crate) fn pids_of(&self, program: &str) -> Vec<u32> {
        let space = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = space(self.init);
        let entries = fs::read_dir("/proc").unwrap();
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        // One that is just ending has left its namespaces, but its sockets are closed a moment later.
        let is_here = |pid: u32| space(pid).is_none_or(|space| Some(space) == ours);
        pids.filter(|pid| name(*pid) == program && is_here(*pid) && alive(*pid)).collect()
    }

    /// The inodes of the sockets that listen on the port, at any address.
    pub(crate) fn listening(&self, port: u16) -> Vec<String> {
        listening(self.init, port)
    }

    /// The addresses, as the kernel writes them, on which somebody listens on the port.
    pub(crate) fn bound(&self, port: u16) -> Vec<String> {
        let mut bound: Vec<_> = listeners(self.init, port).into_iter().map(|(address, _)| address).collect();
        bound.sort();
        bound
    }
}

impl Node {
    /// Counts the calls of these programs from now on, and lets a shell script run before the `nth` of them.
    #[track_caller]
    pub(crate) fn hook(&self, programs: &'static [&'static str], nth: u32, script: &str) -> Hook<'_> {
        // A program has to run under its own path, or the daemon that it becomes would be another program's.
        let wrapper = format!(
            "#!/bin/bash\nexec 9>>/run/lab/lock; /usr/bin/flock 9\nread -r n </run/lab/calls; n=$((n + 1))\n\
             echo $n >/run/lab/calls.new; /usr/bin/mv /run/lab/calls.new /run/lab/calls; exec 9>&-\necho \"$0 $*\" >>/run/lab/log\n\
             if [ $n = {nth} ]; then\n:\n{script}\nfi\n\
             umount -l \"$0\"; \"$0\" \"$@\"; status=$?\nmount --bind /run/lab/wrapper \"$0\"; exit $status\n"
        );
        self.sh("mkdir -p /run/lab; echo 0 >/run/lab/calls; : >/run/lab/log");
        // By a process that ends: a file that is open for writing, be it in what another test just forks, cannot run.
        self.sh(&format!("cat >/run/lab/wrapper <<'WRAPPER'\n{wrapper}WRAPPER\nchmod 755 /run/lab/wrapper"));
        for program in programs {
            self.sh(&format!("mount --bind /run/lab/wrapper {program}"));
        }
        Hook { node: self, programs }
    }
}

/// Something between the plugin and the MTA's programs, until it is dropped.
pub(crate) struct Hook<'n> {
    node: &'n Node,
    programs: &'static [&'static str],
}

impl Hook<'_> {
    /// How many calls there were.
    pub(crate) fn calls(&self) -> u32 {
        fs::read_to_string(self.node.path("/run/lab/calls")).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Hook<'_> {
    fn drop(&mut self) {
        for program in self.programs {
            self.node.try_sh(&format!("umount -l {program}"));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = kill(as_pid(self.init), Signal::SIGKILL);
        eventually(PATIENCE, "the node is gone", || !alive(self.init));
    }
}

fn entering(init: u32, cgroup: bool) -> Vec<String> {
    let init = init.to_string();
    let mut words = vec!["nsenter", "-t", &init, "-m", "-n", "-p", "-u", "-i", "-r", "-w"];
    words.extend(cgroup.then_some("-C"));
    words.extend(["env", "-i", "HOME=/root", "LC_ALL=C"]);
    words.push("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    words.into_iter().map(str::to_owned).collect()
}

fn within(entering: Vec<String>, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(&entering[0]);
    command.args(&entering[1..]).arg(program);
    command
}

/// The inodes of the sockets that listen on the port in the network of a process.
pub(crate) fn listening(pid: u32, port: u16) -> Vec<String> {
    listeners(pid, port).into_iter().map(|(_, inode)| inode).collect()
}

/// Address and inode, as the kernel writes them, of the sockets that listen on the port in the network of a process.
fn listeners(pid: u32, port: u16) -> Vec<(String, String)> {
    let suffix = format!(":{port:04X}");
    let tables = ["tcp", "tcp6"]
        .map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let rows = rows.map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[3] == "0A")
        .filter_map(|row| Some((row[1].strip_suffix(&suffix)?.to_owned(), row[9].to_owned())))
        .collect()
}

/// Whether the process holds one of these sockets.
pub(crate) fn holds(pid: u32, inodes: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let sockets: Vec<PathBuf> = inodes.iter().map(|inode| format!("socket:[{inode}]").into()).collect();
    targets.into_iter().any(|target| sockets.contains(&target))
}

/// The process that began it, or whoever adopted it since (proc_pid_stat(5): the field behind the state).
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Of servers and the children that they have forked, which go by their names for a moment or for a session, the servers:
/// a child may have the lower number, because numbers are given anew from the beginning.
pub(crate) fn without_children(pids: Vec<u32>) -> Vec<u32> {
    let is_child = |pid: &u32| parent(*pid).is_some_and(|parent| pids.contains(&parent));
    pids.iter().copied().filter(|pid| !is_child(pid)).collect()
}

/// The number of a process in its own namespace (proc_pid_status(5)).
#[track_caller]
pub(crate) fn number_inside(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("a line of the kernel");
    numbers.split_ascii_whitespace().last().unwrap().parse().unwrap()
}
