//! The sandbox's commands, and the life of its server process: how it begins, what ends it.
//!
//! `check` judges a configuration; `daemon` starts the server and answers when it is ready; `serve` is the server;
//! `end` ends it. `daemon` and `serve` hand over one lock: `daemon` takes a flock on `<DIR>/daemon.lock` and gives it to the server as its standard
//! input, so that it is held as long as either lives, and whichever is killed, nothing needs tidying up. Does not
//! know: SMTP, and who calls. A server that cannot begin says why in its one line; one that nobody waits for any
//! more, or whose configuration, directory or companion process is gone, ends.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, getppid, kill_process};

use super::certificate::{self, CertificateError};
use super::configuration::{self, ReadError};
use super::server::Service;
use crate::mta::sandbox::{FILE, LOCK, Table};
use crate::sys::pidfd;

const READY: &str = "ready";
const LONGEST_REASON: u64 = 4096;
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
const WATCH: u16 = 200;

/// A process that the server does not outlive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Its process id.
    pub pid: i32,
    /// What is removed when it ends: a directory of ours that holds the sandbox's own directory.
    pub and_remove: Option<PathBuf>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
enum DaemonError {
    #[error("{}: held by process {holder}, which has not ended within {} s", path.display(), LOCK_WAIT.as_secs())]
    Held { path: PathBuf, holder: String },
    #[error("{}: {}", path.display(), words(.source))]
    Lock { path: PathBuf, source: io::Error },
    #[error("{}: is not this process's standard input and lock; `sandbox daemon` starts the server", path.display())]
    NotOurs { path: PathBuf },
    #[error("cannot start the server: {}", words(.0))]
    Spawn(io::Error),
    #[error("{0}")]
    Refused(String),
    #[error("the server ended without a word")]
    Mute,
    #[error("{}", conf_words(.0))]
    Conf(#[from] ReadError),
    #[error("{}: no listener", path.display())]
    NoListener { path: PathBuf },
    #[error("{}: changed while the server started", path.display())]
    Changed { path: PathBuf },
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("bind {address}: {}", words(.source))]
    Bind { address: SocketAddr, source: io::Error },
    #[error("process {pid}: {reason}")]
    Companion { pid: i32, reason: &'static str },
    #[error("cannot start a thread: {}", words(.0))]
    Thread(io::Error),
    #[error("whoever asked for it has ended")]
    Unasked,
    #[error("{}: another command has not ended within {} s", path.display(), LOCK_WAIT.as_secs())]
    Busy { path: PathBuf },
    #[error("standard streams: {}", words(.0))]
    Streams(io::Error),
}

/// The system's own words, without the number that the standard library adds.
fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

fn conf_words(error: &ReadError) -> String {
    match error {
        ReadError::Read { path, source } => format!("{}: {}", path.display(), words(source)),
        ReadError::Fault { .. } => error.to_string(),
    }
}

fn exit(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "{reason}");
            ExitCode::FAILURE
        }
    }
}

/// The command `sandbox check FILE`: exit 0 if `file` is a configuration, else exit 1 and `FILE: line N: message` on
/// stderr.
pub fn check(file: &Path) -> ExitCode {
    exit(configuration::read_file(file).map(drop).map_err(|error| conf_words(&error)))
}

/// The command `sandbox daemon DIR [--with PID [--and-remove PATH]]`: exit 0 once the server accepts connections, else
/// exit 1 and the reason on stderr, and there is no server. Waits 5 s for a previous one that is ending.
pub fn daemon(dir: &Path, with: Option<&Companion>) -> ExitCode {
    exit(start(dir, with).map_err(|error| error.to_string()))
}

#[expect(
    clippy::disallowed_types,
    reason = "the control command's own child, which outlives it; not the plugin's"
)]
fn start(dir: &Path, with: Option<&Companion>) -> Result<(), DaemonError> {
    let caller = Caller::now();
    let dir = std::path::absolute(dir).map_err(DaemonError::Spawn)?;
    let _turn = take_turn(&dir)?;
    let lock = take_lock(&dir.join(LOCK), LOCK_WAIT)?;
    caller.still_asks()?;
    let mut command = process::Command::new(std::env::current_exe().map_err(DaemonError::Spawn)?);
    command.args(["sandbox", "serve"]).arg(&dir);
    if let Some(companion) = with {
        command.arg("--with").arg(companion.pid.to_string());
        if let Some(path) = &companion.and_remove {
            command.arg("--and-remove").arg(std::path::absolute(path).map_err(DaemonError::Spawn)?);
        }
    }
    command.stdin(lock).stdout(Stdio::piped()).stderr(Stdio::null()).current_dir("/");
    let mut server = command.spawn().map_err(DaemonError::Spawn)?;
    let mut line = Vec::new();
    if let Some(output) = server.stdout.take() {
        BufReader::new(output.take(LONGEST_REASON))
            .read_until(b'\n', &mut line)
            .map_err(DaemonError::Spawn)?;
    }
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    if line == READY {
        return Ok(());
    }
    // It has said why; being gone with its lock and port is part of the answer.
    let _ = server.kill();
    let _ = server.wait();
    Err(if line.is_empty() { DaemonError::Mute } else { DaemonError::Refused(line) })
}

/// The command `sandbox end DIR`: exit 0 once no server holds the lock of `dir` (so its port is free), else exit 1 after
/// 5 s and the reason on stderr. The holder gets SIGTERM; no holder, no file and no directory are nothing to end.
pub fn end(dir: &Path) -> ExitCode {
    let caller = Caller::now();
    let stopped = take_turn(dir).and_then(|_turn| {
        caller.still_asks()?;
        stop(&dir.join(LOCK), LOCK_WAIT)
    });
    exit(stopped.map_err(|error| error.to_string()))
}

fn stop(path: &Path, wait: Duration) -> Result<(), DaemonError> {
    let failed = |source| DaemonError::Lock { path: path.to_path_buf(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed)?,
    };
    let begun = Instant::now();
    let mut told = String::new();
    loop {
        if try_lock(&file).map_err(failed)? {
            return Ok(());
        }
        if begun.elapsed() >= wait {
            return Err(DaemonError::Held { path: path.to_path_buf(), holder: told });
        }
        // A server that is just starting takes the lock over from its `daemon`, and signs: then it is its turn.
        let holder = holder(&file).map_err(failed)?;
        if holder != told {
            let pid = holder.parse().ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
            let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
            told = holder;
        }
        thread::sleep(LOCK_PAUSE);
    }
}

/// Who has run this command. What a plugin wanted that was killed meanwhile is not wanted any more: the next one may
/// have taken it back before this process was first scheduled.
struct Caller(Option<Pid>);

impl Caller {
    fn now() -> Self {
        Self(getppid())
    }

    fn still_asks(&self) -> Result<(), DaemonError> {
        let now = getppid();
        // An orphan is the first process's, unless that is the plugin itself.
        let adopted =
            || now == Some(Pid::INIT) && fs::read_link("/proc/1/exe").ok() != std::env::current_exe().ok();
        if now == self.0 && !adopted() { Ok(()) } else { Err(DaemonError::Unasked) }
    }
}

/// One command at a time: what a plugin had begun that was killed meanwhile is over before the next one's command
/// begins, and cannot cross it. `None` where there is no directory.
fn take_turn(dir: &Path) -> Result<Option<File>, DaemonError> {
    let failed = |source| DaemonError::Lock { path: dir.to_path_buf(), source };
    let folder = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let begun = Instant::now();
    while !try_lock(&folder).map_err(failed)? {
        if begun.elapsed() >= LOCK_WAIT {
            return Err(DaemonError::Busy { path: dir.to_path_buf() });
        }
        thread::sleep(LOCK_PAUSE);
    }
    Ok(Some(folder))
}

fn holder(lock: &File) -> io::Result<String> {
    let mut text = [0; 16];
    let length = lock.read_at(&mut text, 0)?;
    Ok(String::from_utf8_lossy(&text[..length]).trim().to_owned())
}

/// An exclusive flock on `path` (made if missing, 0600), with our pid in it.
fn take_lock(path: &Path, wait: Duration) -> Result<File, DaemonError> {
    let failed = |source| DaemonError::Lock { path: path.to_path_buf(), source };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    let begun = Instant::now();
    loop {
        if try_lock(&file).map_err(failed)? {
            break;
        }
        if begun.elapsed() >= wait {
            let holder = holder(&file).map_err(failed)?;
            return Err(DaemonError::Held { path: path.to_path_buf(), holder });
        }
        thread::sleep(LOCK_PAUSE);
    }
    sign(&file).map_err(failed)?;
    Ok(file)
}

fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn sign(lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.write_all_at(format!("{}\n", process::id()).as_bytes(), 0)
}

/// The command `sandbox serve DIR [--with PID [--and-remove PATH]]`: the server, started by [`daemon`] alone, with the
/// lock as its standard input. Says `ready`, or why not, in one line on stdout; then serves until its configuration,
/// its directory or its companion is gone. SIGTERM ends it at once, as nothing it holds outlives it.
pub fn serve(dir: &Path, with: Option<&Companion>) -> ExitCode {
    // Not a group leader when started by `daemon`; by hand it may be one, and then its session is as good as any.
    let _ = nix::unistd::setsid();
    match Server::begin(dir, with) {
        // A `daemon` that was killed meanwhile is a listener that nobody knows of: not started, then.
        Ok(server) if announce(READY).is_ok() => {
            server.watch();
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = announce(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Writes the one line, and closes stdout behind it.
#[expect(clippy::disallowed_methods, reason = "this process's stdout is a pipe to `sandbox daemon`")]
fn announce(line: &str) -> io::Result<()> {
    let mut output = io::stdout();
    writeln!(output, "{line}")?;
    output.flush()?;
    nix::unistd::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}

/// The server, once it accepts connections.
struct Server {
    dir: PathBuf,
    lock: File,
    listener: Table,
    companion: Option<(OwnedFd, Option<PathBuf>)>,
}

impl Server {
    fn begin(dir: &Path, with: Option<&Companion>) -> Result<Self, DaemonError> {
        let dir = std::path::absolute(dir).map_err(DaemonError::Streams)?;
        let lock = inherit_lock(&dir.join(LOCK))?;
        let companion = with.map(|companion| watch_companion(companion, &dir)).transpose()?;
        let path = dir.join(FILE);
        let Some(listener) = configuration::read(&dir)?.listener else {
            return Err(DaemonError::NoListener { path });
        };
        let sockets = bind(listener.port)?;
        let service = Service::new(listener.auth_mode.into(), certificate::tls(Some(&dir))?);
        for socket in sockets {
            service.listen(socket).map_err(DaemonError::Thread)?;
        }
        // A change that was rolled back while we started took our listener out again.
        if configuration::read(&dir)?.listener.as_ref() != Some(&listener) {
            return Err(DaemonError::Changed { path });
        }
        Ok(Self { dir, lock, listener, companion })
    }

    /// Returns when the server has to end.
    fn watch(self) {
        while self.wanted() {
            let Some((companion, and_remove)) = &self.companion else {
                thread::sleep(Duration::from_millis(WATCH.into()));
                continue;
            };
            let mut ended = [PollFd::new(companion.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ended, PollTimeout::from(WATCH)) {
                Ok(0) | Err(Errno::EINTR) => (),
                Ok(_) => return tidy(and_remove.as_deref(), &self.dir),
                Err(_) => thread::sleep(Duration::from_millis(WATCH.into())),
            }
        }
    }

    fn wanted(&self) -> bool {
        // The lock's inode stands for the directory: another one of the same name is not ours.
        if !is_at(&self.lock, &self.dir.join(LOCK)) {
            return false;
        }
        // A file that is broken or cannot be read says nothing; like any mail server, go on with what was read last.
        configuration::read(&self.dir).map_or(true, |read| read.listener.as_ref() == Some(&self.listener))
    }
}

/// The lock that stdin is, signed with our pid; stdin is /dev/null afterwards.
fn inherit_lock(path: &Path) -> Result<File, DaemonError> {
    let lock: File = io::stdin().as_fd().try_clone_to_owned().map_err(DaemonError::Streams)?.into();
    if !is_at(&lock, path) || !try_lock(&lock).unwrap_or(false) {
        return Err(DaemonError::NotOurs { path: path.to_path_buf() });
    }
    sign(&lock).map_err(|source| DaemonError::Lock { path: path.to_path_buf(), source })?;
    let null = File::open("/dev/null").map_err(DaemonError::Streams)?;
    nix::unistd::dup2_stdin(null).map_err(|errno| DaemonError::Streams(errno.into()))?;
    Ok(lock)
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |one: Metadata, other: Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    file.metadata().and_then(|one| Ok(same(one, fs::symlink_metadata(path)?))).unwrap_or(false)
}

/// A descriptor that gets readable when the companion ends. One that has ended already is an error, and tidied after.
fn watch_companion(with: &Companion, dir: &Path) -> Result<(OwnedFd, Option<PathBuf>), DaemonError> {
    let failed = |errno: Errno| DaemonError::Companion { pid: with.pid, reason: errno.desc() };
    let pid = Pid::from_raw(with.pid).ok_or_else(|| failed(Errno::EINVAL))?;
    match pidfd::end_of(pid) {
        Ok(descriptor) => Ok((descriptor, with.and_remove.clone())),
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
            if errno == Errno::ESRCH {
                tidy(with.and_remove.as_deref(), dir);
            }
            Err(failed(errno))
        }
    }
}

/// Removes `path` if it is a directory (no link) of our own user that holds `dir`; whatever else it is, it stays.
fn tidy(path: Option<&Path>, dir: &Path) {
    let ours = |path: &Path| {
        let meta = fs::symlink_metadata(path)?;
        let holds = fs::canonicalize(dir)?.parent() == Some(fs::canonicalize(path)?.as_path());
        io::Result::Ok(meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw() && holds)
    };
    if let Some(path) = path.filter(|path| ours(path).unwrap_or(false)) {
        // Nobody is left to be told of what could not be removed.
        let _ = fs::remove_dir_all(path);
    }
}

/// Listens on both loopback addresses; a machine without IPv6 has one. The standard library sets SO_REUSEADDR. An
/// address as narrow as ::1 takes no IPv4 traffic, with or without IPV6_V6ONLY.
fn bind(port: u16) -> Result<Vec<TcpListener>, DaemonError> {
    let listen = |address: IpAddr| {
        let address = SocketAddr::new(address, port);
        TcpListener::bind(address).map_err(|source| (address, source))
    };
    let refused = |(address, source)| DaemonError::Bind { address, source };
    let mut sockets = vec![listen(Ipv4Addr::LOCALHOST.into()).map_err(refused)?];
    match listen(Ipv6Addr::LOCALHOST.into()) {
        Ok(socket) => sockets.push(socket),
        Err((_, error)) if no_ipv6(&error) => (),
        Err(failure) => return Err(refused(failure)),
    }
    Ok(sockets)
}

fn no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let state = root.path().join("state");
        let dir = state.join("sandbox");
        fs::create_dir_all(&dir).unwrap();
        (root, state, dir)
    }

    #[test]
    fn a_lock_that_is_free_is_taken_and_signed() {
        let (_root, _, dir) = place();
        let _lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        assert_eq!(fs::read_to_string(dir.join(LOCK)).unwrap(), format!("{}\n", process::id()));
    }

    #[test]
    fn a_lock_that_is_held_names_its_holder() {
        let (_root, _, dir) = place();
        let _lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        let error = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", process::id())), "{error}");
    }

    #[test]
    fn a_lock_that_gets_free_is_waited_for() {
        let (_root, _, dir) = place();
        let lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            drop(lock);
        });
        assert!(take_lock(&dir.join(LOCK), LOCK_WAIT).is_ok());
    }

    #[test]
    fn a_command_waits_until_the_one_before_it_is_over() {
        let (_root, _, dir) = place();
        let first = take_turn(&dir).unwrap();
        let second = thread::spawn(move || take_turn(&dir).is_ok_and(|turn| turn.is_some()));
        thread::sleep(Duration::from_millis(30));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn where_there_is_no_directory_nobody_waits() {
        assert!(take_turn(Path::new("/nonexistent/sandbox")).unwrap().is_none());
    }

    #[test]
    fn ending_what_is_not_there_is_done() {
        assert!(stop(Path::new("/nonexistent/sandbox/daemon.lock"), Duration::ZERO).is_ok());
    }

    #[test]
    fn ending_what_has_ended_is_done() {
        let (_root, _, dir) = place();
        // By name: what another test just forks has the file for a moment longer, and with it the lock.
        flock(take_lock(&dir.join(LOCK), Duration::ZERO).unwrap(), FlockOperation::Unlock).unwrap();
        assert!(stop(&dir.join(LOCK), Duration::ZERO).is_ok());
    }

    #[test]
    fn a_state_directory_that_holds_the_sandbox_is_removed() {
        let (_root, state, dir) = place();
        tidy(Some(&state), &dir);
        assert!(!state.exists());
    }

    #[test]
    fn a_directory_that_does_not_hold_the_sandbox_stays() {
        let (root, _, dir) = place();
        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        tidy(Some(&other), &dir);
        assert!(other.exists());
    }

    #[test]
    fn a_directory_further_up_stays() {
        let (root, _, dir) = place();
        tidy(Some(root.path()), &dir);
        assert!(root.path().exists() && dir.exists());
    }

    #[test]
    fn a_link_to_the_state_directory_stays_with_what_it_points_at() {
        let (root, state, dir) = place();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(&state, &link).unwrap();
        tidy(Some(&link), &dir);
        assert!(dir.exists());
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_not_ours() {
        let (_root, _, dir) = place();
        let lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        fs::rename(dir.join(LOCK), dir.join("old")).unwrap();
        fs::write(dir.join(LOCK), "").unwrap();
        assert!(!is_at(&lock, &dir.join(LOCK)));
    }

    #[test]
    fn a_port_in_use_is_said_in_the_systems_words() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(port).unwrap_err().to_string();
        assert_eq!(error, format!("bind 127.0.0.1:{port}: Address already in use"));
    }
}
