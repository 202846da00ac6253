//! The life of the sandbox's server process: how it begins, and what ends it.
//!
//! It begins with the lock that `daemon` hands to it, and says in one line that it is ready, or why not. It ends when nobody
//! waits for it any more, or when its configuration, its directory or its companion process is gone. What is said on its
//! connections is `server`'s.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Pid, setsid};

use super::error::DaemonError;
use super::lock::{is_at, sign, try_lock};
use super::server::Service;
use super::{certificate, configuration};
use crate::mta::sandbox::{FILE, LOCK, Table};
use crate::sys::pidfd;

/// What the server says that accepts connections.
pub(super) const READY: &str = "ready";

/// How long it takes to notice, in milliseconds.
const WATCH: u16 = 200;

/// A process that the server does not outlive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Companion {
    /// Its process id.
    pub pid: i32,
    /// What is removed when it ends: a directory of ours that holds the sandbox's own directory.
    pub and_remove: Option<PathBuf>,
}

/// The command `sandbox serve DIR [--with PID [--and-remove PATH]]`: the server, started by `sandbox daemon` alone, with the
/// lock as its standard input. Says `ready`, or why not, in one line on stdout; then serves until its configuration,
/// its directory or its companion is gone. SIGTERM ends it at once, as nothing it holds outlives it.
pub fn serve(dir: &Path, with: Option<&Companion>) -> ExitCode {
    // Not a group leader when started by `daemon`; by hand it may be one, and then its session is as good as any.
    let _ = setsid();
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

/// A descriptor that gets readable when the companion ends. One that has ended already is an error, and tidied after.
fn watch_companion(with: &Companion, dir: &Path) -> Result<(OwnedFd, Option<PathBuf>), DaemonError> {
    let failed = |errno: Errno| DaemonError::Companion { pid: with.pid, reason: errno.desc() };
    if with.pid <= 0 {
        return Err(failed(Errno::EINVAL));
    }
    match pidfd::end_of(Pid::from_raw(with.pid)) {
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
    fn a_port_in_use_is_said_in_the_systems_words() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = bind(port).unwrap_err().to_string();
        assert_eq!(error, format!("bind 127.0.0.1:{port}: Address already in use"));
    }
}
