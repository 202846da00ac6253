//! A throw-away machine for one test: a configuration file, a state directory, ports that nobody uses.
//!
//! When it is dropped, also by a failing test, the listeners on its ports and whatever else of the program still
//! works on its directory are killed, and the directory goes. A failing test prints the history it leaves.

use super::plugin::{Launch, Plugin};
use super::process::{
    alive, as_pid, holds_open, is_ours, is_root, listeners, of_ours_mentioning, signal, state_in,
};
use super::smtp::is_closed;
use super::{PATIENCE, eventually, skip};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

/// The user that owns nothing.
pub(crate) const NOBODY: u32 = 65534;

/// Ports below the range from which the kernel takes the near ends of connections.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How many of them one process of tests has to itself.
const PORTS_AT_ONCE: u16 = 1_000;

/// One test's machine.
pub(crate) struct Sandbox {
    base: TempDir,
    program: PathBuf,
    user: Option<u32>,
    ports: Mutex<Vec<u16>>,
}

impl Sandbox {
    /// With an empty configuration file.
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    /// With this configuration file.
    pub(crate) fn with_config(toml: &str) -> Self {
        let base = tempfile::Builder::new().prefix("mail-smtp2-test-").tempdir().unwrap();
        fs::set_permissions(base.path(), Permissions::from_mode(0o700)).unwrap();
        let program = super::program();
        let sandbox = Self { base, program, user: None, ports: Mutex::default() };
        DirBuilder::new().mode(0o700).create(sandbox.temporary()).unwrap();
        write_new(&sandbox.config(), toml.as_bytes());
        sandbox
    }

    /// Whose changes wait for their lock longer than any test.
    pub(crate) fn patient() -> Self {
        Self::with_config("[deadlines]\nlock = 300\n")
    }

    /// A plugin whose changes end after this many seconds: for the change that is to run out of them, since what has to
    /// succeed needs the usual time on a busy machine.
    pub(crate) fn hasty(&self, seconds: u32) -> Plugin {
        fs::write(self.config(), format!("[deadlines]\nchange = {seconds}\n")).unwrap();
        self.plugin()
    }

    /// For a plugin without privilege; nothing where the tests cannot make one.
    pub(crate) fn unprivileged() -> Option<Self> {
        if is_root() { Self::of_user(NOBODY) } else { Some(Self::new()) }
    }

    /// For a plugin of this user; nothing where the tests cannot make one.
    pub(crate) fn of_user(user: u32) -> Option<Self> {
        let mut sandbox = Self::new();
        if !is_root() {
            skip("only root starts a plugin as another user");
            return None;
        }
        let readable =
            |folder: &Path| fs::metadata(folder).is_ok_and(|data| data.permissions().mode() & 1 == 1);
        if !sandbox.base.path().ancestors().skip(1).all(readable) {
            skip("the folder for temporary files is closed to other users");
            return None;
        }
        sandbox.program = sandbox.base.path().join("mail-smtp2");
        // By a process that ends: a file that is open for writing, be it in what another test just forks, cannot run.
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg(super::program()).arg(&sandbox.program).status().unwrap().success());
        for path in
            [sandbox.base.path().to_owned(), sandbox.config(), sandbox.temporary(), sandbox.program.clone()]
        {
            chown(path, Some(user), Some(user)).unwrap();
        }
        sandbox.user = Some(user);
        Some(sandbox)
    }

    /// The program with this sandbox's flags.
    pub(crate) fn launch(&self) -> Launch {
        self.launch_ephemeral().arg("--state-dir").arg(self.state())
    }

    /// The program without a state directory, so that the listener ends with it.
    pub(crate) fn launch_ephemeral(&self) -> Launch {
        self.launch_plain().arg("--mta").arg("sandbox")
    }

    /// The program with nothing but the configuration file.
    pub(crate) fn launch_plain(&self) -> Launch {
        let launch =
            Launch::of(&self.program).env("TMPDIR", self.temporary()).arg("--config").arg(self.config());
        match self.user {
            Some(user) => launch.by_user(user),
            None => launch,
        }
    }

    /// A plugin that serves this sandbox.
    pub(crate) fn plugin(&self) -> Plugin {
        self.launch().spawn()
    }

    /// A port that nobody holds and no other test of this process gets.
    pub(crate) fn port(&self) -> u16 {
        let port = free_port();
        self.ports.lock().unwrap().push(port);
        port
    }

    /// The folder that holds all the rest.
    pub(crate) fn base(&self) -> &Path {
        self.base.path()
    }

    /// Where the program finds room for a state directory of its own choice.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.base.path().join("tmp")
    }

    /// The configuration file of the program.
    pub(crate) fn config(&self) -> PathBuf {
        self.base.path().join("mail-smtp2.toml")
    }

    /// The state directory; the program makes it.
    pub(crate) fn state(&self) -> PathBuf {
        self.base.path().join("state")
    }

    /// The configuration file of the sandbox MTA.
    pub(crate) fn mta_config(&self) -> PathBuf {
        self.state().join("sandbox/sandbox.toml")
    }

    /// The record of a change under way.
    pub(crate) fn intent(&self) -> PathBuf {
        self.state().join("intent")
    }

    /// The settings as they are on the disk.
    pub(crate) fn settings(&self) -> Value {
        let path = self.state().join("settings.json");
        serde_json::from_slice(&fs::read(path).expect("settings.json is there"))
            .expect("settings.json is JSON")
    }

    /// Rewrites the settings behind the program's back.
    pub(crate) fn alter_settings(&self, alter: impl FnOnce(&mut Value)) {
        let mut settings = self.settings();
        alter(&mut settings);
        fs::write(self.state().join("settings.json"), settings.to_string()).unwrap();
    }

    /// The recorded changes, oldest first.
    pub(crate) fn history(&self) -> Vec<Value> {
        let lines = fs::read_to_string(self.state().join("history.jsonl")).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).expect("a line of the history is JSON")).collect()
    }

    /// Puts the sandbox MTA's configuration file there before the program does.
    pub(crate) fn write_mta_config(&self, bytes: &[u8]) {
        self.make_state();
        make_folder(self.mta_config().parent().unwrap());
        let path = self.mta_config();
        if path.exists() { fs::write(path, bytes).unwrap() } else { write_new(&path, bytes) }
    }

    /// Makes the state directory as the program would.
    pub(crate) fn make_state(&self) {
        make_folder(&self.state());
    }

    /// Holds the lock of all changes until the answer is dropped.
    pub(crate) fn hold_lock(&self) -> Flock<File> {
        self.make_state();
        let path = self.lock();
        let mut held = None;
        // A plugin that was killed while it started a command leaves the lock to the child for a moment.
        eventually(PATIENCE, "nobody holds the lock", || {
            let mut options = OpenOptions::new();
            let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path).unwrap();
            held = Flock::lock(lock, FlockArg::LockExclusiveNonblock).ok();
            held.is_some()
        });
        held.unwrap()
    }

    /// Sends an update, under the id `begun`, and waits until it waits for the lock; the lock, and the port it will set.
    #[track_caller]
    pub(crate) fn begin_a_change(&self, plugin: &Plugin, pid: u32) -> (Flock<File>, u16) {
        let lock = self.hold_lock();
        let port = self.port();
        plugin.send_request(
            "begun",
            "update",
            json!({"alternate_smtp_port": port, "auth_mode": super::TLS_YES}),
        );
        let waits = || holds_open(pid, &self.lock());
        eventually(PATIENCE, "the change waits for the lock", || waits() || !alive(pid));
        assert!(alive(pid), "the plugin is gone");
        (lock, port)
    }

    /// Whether somebody holds the lock.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(lock) = File::open(self.lock()) else { return false };
        Flock::lock(lock, FlockArg::LockSharedNonblock).is_err()
    }

    /// The file that all changes lock.
    pub(crate) fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// Configures the service on a fresh port, stopped.
    #[track_caller]
    pub(crate) fn configure(&self, plugin: &mut Plugin, mode: &str) -> u16 {
        let port = self.port();
        plugin.succeed("update", json!({"alternate_smtp_port": port, "auth_mode": mode}));
        port
    }

    /// Configures the service on a fresh port and starts it.
    #[track_caller]
    pub(crate) fn run(&self, plugin: &mut Plugin, mode: &str) -> u16 {
        let port = self.configure(plugin, mode);
        plugin.succeed("start", Value::Null);
        port
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let history = fs::read_to_string(self.state().join("history.jsonl")).unwrap_or_default();
            eprintln!("--- history of {}\n{history}", self.base.path().display());
        }
        let ports = std::mem::take(&mut *self.ports.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let on_ports = ports.into_iter().flat_map(listeners).filter(is_ours);
        for pid in on_ports.chain(of_ours_mentioning(&self.base.path().to_string_lossy())) {
            let _ = nix::sys::signal::kill(as_pid(pid), Signal::SIGKILL);
        }
    }
}

/// Kills whoever listens on the port, and waits until nobody does.
#[track_caller]
pub(crate) fn kill_listeners(port: u16) {
    listeners(port).into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
    eventually(PATIENCE, "the port is free", || is_closed(port));
}

/// Every address that the service binds on this machine.
pub(crate) fn addresses(port: u16) -> Vec<SocketAddr> {
    let has_ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    let all = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    all.into_iter().take(1 + usize::from(has_ipv6)).map(|address| SocketAddr::new(address, port)).collect()
}

/// Stops a process until the answer is dropped, then lets it go on.
pub(crate) struct Frozen(u32);

impl Frozen {
    pub(crate) fn freeze(pid: u32) -> Self {
        signal(pid, Signal::SIGSTOP);
        // Each thread by itself: one in the middle of a system call ends it first.
        let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
        let stopped = |thread: fs::DirEntry| state_in(&thread.path()) == Some('T');
        eventually(PATIENCE, "the process is stopped", || threads().all(stopped));
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(as_pid(self.0), Signal::SIGCONT);
    }
}

fn free_port() -> u16 {
    static BLOCK: OnceLock<(Flock<File>, u16)> = OnceLock::new();
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = BLOCK.get_or_init(block).1;
    let candidates = std::iter::repeat_with(|| start + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS_AT_ONCE);
    // By connecting: a listener of ours would live on for a moment in what another test just forks.
    let mut free = candidates.take(PORTS_AT_ONCE.into()).filter(|port| is_closed(*port));
    free.next().expect("a free port")
}

/// The first of some ports that no other process of tests takes while this one lives.
fn block() -> (Flock<File>, u16) {
    let taken = |start: u16| {
        let path = std::env::temp_dir().join(format!("mail-smtp2-tests-{start}"));
        let file = File::options().write(true).create(true).truncate(false).open(path).ok()?;
        Some((Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()?, start))
    };
    PORTS.step_by(PORTS_AT_ONCE.into()).find_map(taken).expect("ports that no other tests have")
}

fn make_folder(path: &Path) {
    if !path.exists() {
        DirBuilder::new().mode(0o700).create(path).unwrap();
    }
}

fn write_new(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}
