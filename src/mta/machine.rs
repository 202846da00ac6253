//! What several sheets ask of the machine, written once.
//!
//! Whether systemd runs it, whether a file is there, where the primary server listens, what is on a process's command
//! line. What cannot be seen is an error where that would matter, and "no" where it only tells mail servers apart.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use super::sheet::{MtaError, SMTP};
use crate::sys::{FileError, Process, SocketError, View};
use crate::wire::text::{chain, printable};

/// Whether systemd runs this machine (sd_booted(3)).
pub(super) fn systemd_runs(host: &dyn View) -> bool {
    is_there(host, Path::new("/run/systemd/system"))
}

/// The unit that a process runs in, if its name begins so, on a machine that systemd runs.
///
/// # Errors
/// It cannot be looked into.
pub(super) fn unit_of(host: &dyn View, pid: i32, begin: &str) -> Result<Option<String>, FileError> {
    if !systemd_runs(host) {
        return Ok(None);
    }
    let text = host.read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // cgroups(7): `0::/system.slice/system-postfix.slice/postfix@-.service`
    let mut units = text.lines().filter_map(|line| line.rsplit('/').next());
    Ok(units.find(|unit| unit.ends_with(".service") && unit.starts_with(begin)).map(printable))
}

/// Whether something is at this path, and may be looked at.
pub(super) fn is_there(host: &dyn View, path: &Path) -> bool {
    matches!(host.meta(path), Ok(Some(_)))
}

/// The first line of what a program printed, as it may stand in a sentence; `None` where that is empty.
pub(super) fn first_line(printed: &[u8]) -> Option<String> {
    let line = printed.split(|byte| *byte == b'\n').next()?.trim_ascii();
    (!line.is_empty()).then(|| printable(line))
}

/// The text of an administrator's file, such as a certificate; `None` where there is none.
///
/// # Errors
/// In a few words, why it cannot be read.
pub(super) fn text_of(host: &dyn View, path: &str) -> Result<Option<String>, String> {
    match host.read(Path::new(path)) {
        Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
        Err(FileError::Irregular { kind, .. }) => Err(format!("is {kind}, not a regular file")),
        Err(error) => Err(format!("cannot be read ({})", chain(&error))),
    }
}

/// The addresses on which one of `pids` has the primary server's port open. They have to be where we are, and whoever else
/// has it open has to be seen.
pub(super) fn bound(host: &dyn View, pids: &[i32], view: &Path) -> Result<Vec<IpAddr>, MtaError> {
    pids.iter().try_for_each(|pid| host.together(*pid, view))?;
    let mut addresses = Vec::new();
    for socket in host.listening(SMTP)? {
        if host.holder_among(&socket, pids)?.is_some() {
            addresses.push(socket.address.ip());
            continue;
        }
        let holders = host.holders(&socket)?;
        if holders.is_empty() && host.listening(SMTP)?.contains(&socket) {
            return Err(SocketError::Elsewhere { address: socket.address }.into());
        }
        holders.iter().try_for_each(|holder| host.recognised(holder.pid))?;
    }
    Ok(addresses)
}

/// The addresses of a primary server. One that is down binds none; what must be closed then is closed where everybody
/// can see it.
pub(super) fn or_loopback(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.is_empty() {
        return vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    }
    addresses
}

/// The words that a process was started with (proc_pid_cmdline(5)).
pub(super) struct Words(Vec<u8>);

impl Words {
    pub(super) fn of(host: &dyn View, process: &Process) -> Self {
        let path = PathBuf::from(format!("/proc/{}/cmdline", process.pid));
        Self(host.read(&path).ok().flatten().unwrap_or_default())
    }

    /// Whether `word` is one of them.
    pub(super) fn have(&self, word: impl AsRef<OsStr>) -> bool {
        self.0.split(|byte| *byte == 0).any(|given| given == word.as_ref().as_encoded_bytes())
    }
}
