//! What the policies ask of a mail server and the machine that it runs on, so that each policy is written once.
//!
//! A subject is a machine of its own with one MTA, fresh for each test. It knows the MTA and its administrator; it
//! does not know how the plugin does anything. `None` as an answer means: not to be had on this kind of machine.

use super::machine::{Hook, Node};
use super::support::plugin::{Launch, Plugin};
use super::support::process::as_pid;
use super::support::{PATIENCE, eventually};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Where the alternate service's settings may be tried.
pub(crate) const MODES: [&str; 2] = [super::support::TLS_YES, super::support::TLS_OPTIONAL];

/// One machine with one MTA that runs.
pub(crate) trait Subject: Sized + Send + Sync + 'static {
    /// The MTA's name.
    const NAME: &'static str;
    /// The port of its primary server.
    const PRIMARY: Option<u16>;
    /// How many plugins are killed on it, unless told otherwise.
    const KILLS: u64 = 200;
    /// How often a policy repeats its changes, where that teaches more.
    const ROUNDS: usize = 10;

    /// A fresh machine whose plugin reads this configuration; nothing, and a line that says why, where there is none.
    fn fresh(toml: &str) -> Option<Self>;

    /// The plugin with its flags.
    fn launch(&self) -> Launch;

    /// The plugin's own process, by the number that this machine gives it.
    fn process(&self, plugin: &Plugin) -> u32;

    /// A command that runs on the machine.
    fn command(&self, program: &str) -> Command;

    /// Takes this thread into the machine's network.
    fn join_network(&self);

    /// A port that nobody uses.
    fn port(&self) -> u16;

    /// Where this machine sees the plugin's state directory.
    fn state(&self) -> PathBuf;

    /// An account that may log in: name and password.
    fn account(&self) -> (&'static str, &'static str);

    /// An address whose mail arrives in the mailbox.
    fn mailbox(&self) -> &'static str;

    /// Whether a message with this text has arrived in the mailbox; nothing where mail is dropped.
    fn received(&self, text: &str) -> Option<bool>;

    /// The administrator's files that a change may edit, as this machine sees them.
    fn administrators_files(&self) -> Vec<PathBuf>;

    /// A file that was there before and that `start` writes.
    fn edited_file(&self) -> PathBuf {
        self.administrators_files().remove(0)
    }

    /// Makes the administrator's configuration one that the MTA refuses.
    fn break_configuration(&self);

    /// What changes as soon as the MTA is told anything or the daemons behind the port are replaced.
    fn pulse(&self, port: u16) -> Vec<String>;

    /// Whether the MTA itself, not somebody else, holds a listening socket on the port.
    fn listens(&self, port: u16) -> bool;

    /// What a failing test should print.
    fn evidence(&self) -> String;
}

/// A subject whose MTA is driven by programs, which something can come between.
pub(crate) trait Driven: Subject {
    /// The programs by which the MTA is configured and controlled.
    const PROGRAMS: &'static [&'static str];

    /// Its machine.
    fn node(&self) -> &Node;

    /// Counts the calls of these programs from now on, and lets a shell script run before the `nth` of them (none for 0).
    /// The script ends in `exit` where the program itself is not to run.
    #[track_caller]
    fn hook(&self, nth: u32, script: &str) -> Hook<'_> {
        self.node().hook(Self::PROGRAMS, nth, script)
    }
}

/// Runs one policy on a fresh machine, in its network.
#[track_caller]
pub(crate) fn on<S: Subject>(policy: impl FnOnce(&S) + Send) {
    on_configured("", policy);
}

/// Runs one policy on a fresh machine whose plugin reads this configuration.
#[track_caller]
pub(crate) fn on_configured<S: Subject>(toml: &str, policy: impl FnOnce(&S) + Send) {
    let Some(machine) = S::fresh(toml) else { return };
    let tried = in_network(&machine, || policy(&machine));
    if let Err(panic) = tried {
        eprintln!("--- the machine\n{}", machine.evidence());
        std::panic::resume_unwind(panic);
    }
}

/// Runs something in a thread of its own that is in the machine's network.
pub(crate) fn in_network<S: Subject, R: Send>(
    machine: &S,
    work: impl FnOnce() -> R + Send,
) -> thread::Result<R> {
    thread::scope(|scope| {
        let inside = || {
            machine.join_network();
            work()
        };
        let name = thread::current().name().unwrap_or("a policy").to_owned();
        thread::Builder::new().name(name).spawn_scoped(scope, inside).unwrap().join()
    })
}

/// Prints a line that is seen also when the test passes.
pub(crate) fn report(line: &str) {
    // One write for the whole line, or those of other tests come between.
    let _ = std::io::stderr().write_all(format!("\n{line}\n").as_bytes());
}

/// The plugin of the machine, spoken to over pipes.
pub(crate) fn plugin_of(machine: &impl Subject) -> Plugin {
    machine.launch().spawn()
}

/// Kills the plugin itself, whatever stands between it and us, and waits for the end.
pub(crate) fn kill_plugin(machine: &impl Subject, mut plugin: Plugin) {
    let _ = kill(as_pid(machine.process(&plugin)), Signal::SIGKILL);
    // nsenter stops itself when the program that it waits for is stopped, and would not see the end.
    let _ = kill(as_pid(plugin.pid()), Signal::SIGCONT);
    plugin.wait();
}

/// Input of `update`.
pub(crate) fn settings(port: u16, mode: &str) -> Value {
    json!({"alternate_smtp_port": port, "auth_mode": mode})
}

/// Configures the service, stopped.
#[track_caller]
pub(crate) fn configure(plugin: &mut Plugin, port: u16, mode: &str) {
    plugin.succeed("update", settings(port, mode));
}

/// Configures the service and starts it.
#[track_caller]
pub(crate) fn start(plugin: &mut Plugin, port: u16, mode: &str) {
    configure(plugin, port, mode);
    plugin.succeed("start", Value::Null);
}

/// A plugin of the machine with a service that runs, and its port.
#[track_caller]
pub(crate) fn running(machine: &impl Subject, mode: &str) -> (Plugin, u16) {
    let (mut plugin, port) = (plugin_of(machine), machine.port());
    start(&mut plugin, port, mode);
    (plugin, port)
}

/// A plugin of the machine with a service that is configured and stopped, and its port.
#[track_caller]
pub(crate) fn stopped(machine: &impl Subject, mode: &str) -> (Plugin, u16) {
    let (mut plugin, port) = (plugin_of(machine), machine.port());
    configure(&mut plugin, port, mode);
    (plugin, port)
}

/// Another program of the machine, which holds a port.
pub(crate) struct Squatter {
    child: Child,
    /// Its pid as the machine's programs see it.
    pub(crate) pid: u32,
    /// Its name.
    pub(crate) program: &'static str,
}

impl Squatter {
    /// Listens on the address until it is dropped.
    #[track_caller]
    pub(crate) fn on(machine: &impl Subject, address: SocketAddr) -> Self {
        const SCRIPT: &str = r#"use Socket qw(:all); my ($host, $port) = @ARGV;
            my $six = $host =~ /:/;
            socket(my $s, $six ? AF_INET6 : AF_INET, SOCK_STREAM, 0) or die "socket: $!";
            setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
            setsockopt($s, IPPROTO_IPV6, IPV6_V6ONLY, 1) if $six;
            bind($s, $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, $host))
                          : pack_sockaddr_in($port, inet_pton(AF_INET, $host))) or die "bind: $!";
            listen($s, 5) or die "listen: $!";
            $| = 1; print "$$\n"; 1 while sysread(STDIN, my $x, 1);"#;
        let mut command = machine.command("perl");
        command.args(["-e", SCRIPT, &address.ip().to_string(), &address.port().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("perl runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("nothing can listen on {address}"));
        Self { child, pid, program: "perl" }
    }
}

impl Drop for Squatter {
    fn drop(&mut self) {
        // Its end of input first: what is between us and it may end without it.
        drop(self.child.stdin.take());
        let child = &mut self.child;
        eventually(PATIENCE, "the squatter ends", || child.try_wait().unwrap().is_some());
    }
}

/// Whether `live` is `foreign` with one run of bytes put in (or none).
pub(crate) fn is_one_insertion(foreign: &[u8], live: &[u8]) -> bool {
    let before = foreign.iter().zip(live).take_while(|(a, b)| a == b).count();
    let behind = foreign.iter().rev().zip(live.iter().rev()).take_while(|(a, b)| a == b).count();
    live.len() >= foreign.len() && before + behind >= foreign.len()
}

/// The machine's pulse once it is calm: what a change has caused may take a moment to show, in the log or among the
/// MTA's processes.
#[track_caller]
pub(crate) fn calm_pulse(machine: &impl Subject, port: u16) -> Vec<String> {
    let mut last = machine.pulse(port);
    eventually(PATIENCE, "the mail server is calm", || {
        thread::sleep(Duration::from_millis(150));
        let now = machine.pulse(port);
        std::mem::replace(&mut last, now.clone()) == now
    });
    last
}

/// Everything about a file that a write would change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    inode: u64,
    modified: (i64, i64),
    mode: u32,
    owner: (u32, u32),
    bytes: Vec<u8>,
}

/// A file as it is; nothing where there is none.
#[track_caller]
pub(crate) fn snapshot(path: &Path) -> Option<FileState> {
    let data = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        data => data.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    Some(FileState {
        inode: data.ino(),
        modified: (data.mtime(), data.mtime_nsec()),
        mode: data.mode(),
        owner: (data.uid(), data.gid()),
        bytes: std::fs::read(path).unwrap_or_default(),
    })
}
