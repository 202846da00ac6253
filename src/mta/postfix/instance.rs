//! Where Postfix is known to live, which process is the default instance's master, and how postconf(1) is asked.
//!
//! The master is the one that the pid file of the configured queue names; any other is another instance's. Fails where a
//! process cannot be looked into, and with Postfix's own words where its configuration is broken.

use std::path::{Path, PathBuf};

use crate::mta::sheet::{Context, Kind, MtaError};
use crate::sys::{Command, Ended, Output, Process, View};
use crate::wire::text::printable;

/// What it is called.
pub(super) const KIND: Kind = Kind::new("postfix", "Postfix");
/// Where master's binary may be.
pub(super) const MASTERS: [&str; 4] = [
    "/usr/lib/postfix/sbin/master",
    "/usr/libexec/postfix/master",
    "/usr/lib/postfix/master",
    "/usr/lib/postfix/bin/master",
];
/// Where the default instance usually keeps its configuration.
pub(super) const USUAL: &str = "/etc/postfix";
/// Where the default instance usually keeps its queue.
pub(super) const USUAL_QUEUE: &str = "/var/spool/postfix";
/// By this a service of ours is known, in `master.cf` and in the log.
pub(super) const SYSLOG_NAME: &str = "postfix/smtp2";

/// How the names of its units begin: `postfix.service`, and Debian's `postfix@-.service`.
pub(super) const UNITS: &str = "postfix";

/// Whether a process runs a master's program, by whatever link its folder is known.
pub(super) fn is_master(host: &dyn View, process: &Process) -> bool {
    process.exe.as_deref().is_some_and(|exe| MASTERS.iter().any(|master| same(host, exe, Path::new(master))))
}

/// Whether a process runs one of the programs beside master, which master starts.
pub(super) fn is_daemon(host: &dyn View, process: &Process) -> bool {
    let beside = process.exe.as_deref().and_then(Path::parent).map(|folder| folder.join("master"));
    let is_beside =
        beside.is_some_and(|beside| MASTERS.iter().any(|master| same(host, &beside, Path::new(master))));
    is_beside && !is_master(host, process)
}

/// Whether both are one file.
fn same(host: &dyn View, one: &Path, other: &Path) -> bool {
    let stamp = |path| host.stamp(path).ok().flatten();
    one == other || stamp(one).is_some_and(|one| Some(one) == stamp(other))
}

/// The default instance's master, if it runs: the one that its pid file names. Any other is another instance's.
///
/// # Errors
/// It cannot be looked into, or the pid file cannot be read.
pub(super) fn master_of(
    host: &dyn View,
    queue: &Path,
    programs: &[&Path],
) -> Result<Option<Process>, MtaError> {
    let masters = host.processes(programs, &[])?;
    let Some(text) = host.read(&queue.join("pid/master.pid"))? else { return Ok(None) };
    // The file is padded with blanks, and outlives its master; the pid may be anybody's by now.
    let pid: Option<i32> = String::from_utf8_lossy(&text).trim().parse().ok();
    Ok(masters.into_iter().find(|master| Some(master.pid) == pid))
}

/// Where the default instance keeps its queue, as its `main.cf` has it (postconf(5)): the last line that says so. What
/// cannot be told without postconf(1) is taken to be where it usually is; a change asks postconf.
pub(super) fn usual_queue(host: &dyn View) -> PathBuf {
    let main_cf = host.read(&Path::new(USUAL).join("main.cf")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&main_cf).into_owned();
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim_end() == "queue_directory").then(|| value.trim().to_owned())
    };
    let named = text.lines().filter_map(value).next_back();
    named.filter(|path| path.starts_with('/')).map_or_else(|| PathBuf::from(USUAL_QUEUE), PathBuf::from)
}

/// The default instance's master, without asking postconf(1).
pub(super) fn master(host: &dyn View) -> Result<Option<Process>, MtaError> {
    master_of(host, &usual_queue(host), &MASTERS.map(Path::new))
}

/// Runs postconf(1), or another of Postfix's own programs.
///
/// # Errors
/// [`MtaError::Broken`] with what it says, where it fails.
pub(super) fn run(context: Context<'_>, command: Command) -> Result<Output, MtaError> {
    let output = context.ask(&command)?;
    match output.ended {
        Ended::Exited(0) => return Ok(output),
        Ended::Exited(_) => {}
        // It had no opinion about the configuration.
        Ended::Signalled(signal) => {
            return Err(MtaError::Killed { program: "postconf".to_owned(), signal });
        }
    }
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    Err(MtaError::Broken { kind: KIND, message: printable(said) })
}
