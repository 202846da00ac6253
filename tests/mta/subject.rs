//! What the policies ask of a mail server and the machine that it runs on, so that each policy is written once.
//!
//! A subject is a machine of its own with one MTA, fresh for each test. It knows the MTA and its administrator; it
//! does not know how the plugin does anything. A subject that is a node says only what is so of its mail server
//! ([`MailServer`]); the rest is said once, here. A policy that a subject cannot be held to it names with the reason.

use super::machine::{Hook, Node, Recipe, Workshop, holds};
use super::support::plugin::{Launch, Plugin};
use super::support::process::{as_pid, name, only_child};
pub(crate) use super::support::settings;
use super::support::{PATIENCE, collect, eventually, repetitions};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
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
    /// The policies that it cannot be held to, as `group` or `group::policy`, each with the reason.
    const LEFT_OUT: &'static [(&'static str, &'static str)];

    /// A fresh machine whose plugin reads this configuration; nothing, and a line that says why, where there is none.
    fn fresh(toml: &str) -> Option<Self>;

    /// The plugin with its flags.
    fn launch(&self) -> Launch {
        self.launch_under(&[])
    }

    /// The plugin with its flags, started by these words (setpriv(1), unshare(1)).
    fn launch_under(&self, words: &[&str]) -> Launch;

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

    /// Whether a message with this text has arrived in the mailbox.
    fn received(&self, text: &str) -> bool;

    /// The administrator's files that a change may edit, as this machine sees them.
    fn administrators_files(&self) -> Vec<PathBuf>;

    /// A file that was there before and that `start` writes.
    fn edited_file(&self) -> PathBuf;

    /// Makes the administrator's configuration one that the MTA refuses.
    fn break_configuration(&self);

    /// What changes as soon as the MTA is told anything or the daemons behind the port are replaced.
    fn pulse(&self, port: u16) -> Vec<String>;

    /// Whether the MTA itself, not somebody else, holds a listening socket on the port.
    fn listens(&self, port: u16) -> bool;

    /// The programs by which the MTA is configured and controlled; where there are some, something can come between.
    const PROGRAMS: &'static [&'static str];

    /// Its machine, where it is one of its own.
    fn node(&self) -> &Node;

    /// Counts the calls of these programs from now on, and lets a shell script run before the `nth` of them (none for 0).
    /// The script ends in `exit` where the program itself is not to run.
    #[track_caller]
    fn hook(&self, nth: u32, script: &str) -> Hook<'_> {
        self.node().hook(Self::PROGRAMS, nth, script)
    }

    /// What a failing test should print.
    fn evidence(&self) -> String;
}

/// How often a policy repeats its changes, where that teaches more.
pub(crate) fn rounds() -> usize {
    repetitions("MAIL_SMTP2_ROUNDS", 2, 10)
}

/// Registers the policies of a file: each becomes one test for every subject, which says itself what it leaves out.
macro_rules! policies {
    ($($policy:ident),* $(,)?) => {
        crate::subject::policies! { @on on_the_sandbox, crate::support::sandbox::Sandbox: $($policy)* }
        crate::subject::policies! { @on on_postfix, crate::postfix::Postfix: $($policy)* }
        crate::subject::policies! { @on on_exim, crate::exim::Exim: $($policy)* }
        crate::subject::policies! { @on on_qmail_under_daemontools, crate::qmail::Qmail<crate::qmail::Daemontools>: $($policy)* }
        crate::subject::policies! { @on on_qmail_under_runit, crate::qmail::Qmail<crate::qmail::Runit>: $($policy)* }

        /// Their names, with this file's.
        pub(crate) const POLICIES: &[&str] = &[$(concat!(module_path!(), "::", stringify!($policy))),*];
    };
    (@on $module:ident, $subject:ty: $($policy:ident)*) => {
        mod $module {
            $(#[test]
            fn $policy() {
                let name = concat!(module_path!(), "::", stringify!($policy));
                crate::subject::hold::<$subject>(name, super::$policy::<$subject>);
            })*
        }
    };
}
pub(crate) use policies;

/// Holds a subject to a policy, unless it says that it cannot be; then that is said, and why.
pub(crate) fn hold<S: Subject>(test: &str, policy: fn()) {
    let mut words = test.rsplit("::");
    let (name, group) = (words.next().unwrap(), words.nth(1).unwrap());
    let policy_name = format!("{group}::{name}");
    match S::LEFT_OUT.iter().find(|(what, _)| *what == group || *what == policy_name) {
        Some((_, reason)) => leave_out(&format!("{}: {policy_name}: {reason}", S::NAME)),
        None => policy(),
    }
}

/// A subject that is a node with a mail server: what it has to say of its mail server alone.
pub(crate) trait MailServer: Sized + Send + Sync + 'static {
    /// The mail server's name.
    const NAME: &'static str;
    /// See [`Subject::LEFT_OUT`].
    const LEFT_OUT: &'static [(&'static str, &'static str)];
    /// See [`Subject::PROGRAMS`].
    const PROGRAMS: &'static [&'static str];

    /// What its workshop holds.
    fn recipe() -> &'static Recipe;

    /// The subject on a machine that has just booted.
    fn on(machine: Machine) -> Self;

    /// Its machine.
    fn machine(&self) -> &Machine;

    /// An account that may log in: name and password.
    fn account(&self) -> (&'static str, &'static str) {
        ("bob", "secret")
    }

    /// An address whose mail arrives in the mailbox.
    fn mailbox(&self) -> &'static str {
        "bob@lab.test"
    }

    /// Whether a message with this text has arrived in the mailbox.
    fn received(&self, text: &str) -> bool;

    /// See [`Subject::administrators_files`].
    fn administrators_files(&self) -> Vec<PathBuf>;

    /// See [`Subject::edited_file`].
    fn edited_file(&self) -> PathBuf {
        self.administrators_files().remove(0)
    }

    /// See [`Subject::break_configuration`].
    fn break_configuration(&self);

    /// See [`Subject::pulse`].
    fn pulse(&self, port: u16) -> Vec<String>;

    /// The processes, by the numbers that this machine gives them, one of which has to hold the listener's socket.
    fn holders(&self) -> Vec<u32>;

    /// What a failing test should print besides the history: what is ours, and the log.
    fn evidence(&self) -> (String, String);
}

/// A node and the ports of it that are given away.
pub(crate) struct Machine {
    node: Node,
    next_port: AtomicU16,
}

impl Deref for Machine {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl<M: MailServer> Subject for M {
    const NAME: &'static str = M::NAME;
    const PRIMARY: Option<u16> = Some(25);
    const LEFT_OUT: &'static [(&'static str, &'static str)] = M::LEFT_OUT;
    const PROGRAMS: &'static [&'static str] = M::PROGRAMS;

    fn fresh(toml: &str) -> Option<Self> {
        let node = Node::boot(Workshop::of(M::recipe(), M::NAME)?);
        fs::write(node.path("/etc/mail-smtp2.toml"), toml).unwrap();
        Some(M::on(Machine { node, next_port: AtomicU16::new(2525) }))
    }

    fn launch_under(&self, words: &[&str]) -> Launch {
        let entering = self.machine().entering();
        let launch = Launch::of(Path::new(&entering[0]));
        entering[1..].iter().fold(launch, Launch::arg).args(words).arg("mail-smtp2")
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
        self.machine().command(program)
    }

    fn join_network(&self) {
        self.machine().join_network();
    }

    fn port(&self) -> u16 {
        self.machine().next_port.fetch_add(1, Ordering::Relaxed)
    }

    fn state(&self) -> PathBuf {
        self.machine().path("/var/lib/mail-smtp2")
    }

    fn account(&self) -> (&'static str, &'static str) {
        M::account(self)
    }

    fn mailbox(&self) -> &'static str {
        M::mailbox(self)
    }

    fn received(&self, text: &str) -> bool {
        M::received(self, text)
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        M::administrators_files(self)
    }

    fn edited_file(&self) -> PathBuf {
        M::edited_file(self)
    }

    fn break_configuration(&self) {
        M::break_configuration(self);
    }

    fn pulse(&self, port: u16) -> Vec<String> {
        M::pulse(self, port)
    }

    fn listens(&self, port: u16) -> bool {
        let sockets = self.machine().listening(port);
        !sockets.is_empty() && self.holders().iter().any(|pid| holds(*pid, &sockets))
    }

    fn node(&self) -> &Node {
        self.machine()
    }

    fn evidence(&self) -> String {
        let (ours, log) = M::evidence(self);
        let from = log.char_indices().rev().nth(6_000).map_or(0, |(at, _)| at);
        let history = fs::read_to_string(self.state().join("history.jsonl")).unwrap_or_default();
        format!("{ours}\n--- history\n{history}--- log\n{}", &log[from..])
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

/// Shares work among four fresh machines, each in its network, since most of the time is spent on waiting: what each made of
/// its share, which is named by its number. Nothing where there is no such machine.
#[track_caller]
pub(crate) fn on_four<S: Subject, R: Send>(toml: &str, work: impl Fn(&S, usize) -> R + Sync) -> Vec<R> {
    let share = |number: usize| {
        let machine = S::fresh(toml)?;
        let done = in_network(&machine, || work(&machine, number));
        Some(done.unwrap_or_else(|panic| {
            eprintln!("--- the machine\n{}", machine.evidence());
            std::panic::resume_unwind(panic)
        }))
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..MACHINES).map(|number| scope.spawn(move || share(number))).collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        // All of them have ended before the first panic goes on.
        done.collect::<Vec<_>>().into_iter().flatten().collect()
    })
}

/// How many machines share work.
pub(crate) const MACHINES: usize = 4;

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

/// Says which policy a mail server is not held to, and why; `tests/run` lists it.
fn leave_out(line: &str) {
    eprintln!("left out: {line}");
    collect("MAIL_SMTP2_LEFT_OUT", line);
}

/// Tells a figure that `tests/soak` adds up, such as how many kills were healed.
pub(crate) fn figure(what: &str, count: u64) {
    collect("MAIL_SMTP2_FIGURES", &format!("{count} {what}"));
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

/// A plugin of the machine whose changes end after this many seconds: for the change that is to run out of them, since what
/// has to succeed needs the usual time on a busy machine.
pub(crate) fn hasty(machine: &impl Subject, seconds: u32) -> Plugin {
    fs::write(machine.node().path("/etc/hasty.toml"), format!("[deadlines]\nchange = {seconds}\n")).unwrap();
    machine.launch().args(&["--config", "/etc/hasty.toml"]).spawn()
}

/// Kills the plugin itself, whatever stands between it and us, and waits for the end.
pub(crate) fn kill_plugin(machine: &impl Subject, mut plugin: Plugin) {
    let _ = kill(as_pid(machine.process(&plugin)), Signal::SIGKILL);
    // nsenter stops itself when the program that it waits for is stopped, and would not see the end.
    let _ = kill(as_pid(plugin.pid()), Signal::SIGCONT);
    plugin.wait();
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

/// Whether `live` is `theirs` with one run of bytes put in (or none).
pub(crate) fn is_one_insertion(theirs: &[u8], live: &[u8]) -> bool {
    let before = theirs.iter().zip(live).take_while(|(a, b)| a == b).count();
    let behind = theirs.iter().rev().zip(live.iter().rev()).take_while(|(a, b)| a == b).count();
    live.len() >= theirs.len() && before + behind >= theirs.len()
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
