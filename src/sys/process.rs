//! Processes as `/proc` shows them.
//!
//! Who a pid is (start time, executable, name), which processes run a given program, and whether one sees the same
//! machine as we do. Whose programs they are is said by the sheets. A process that vanishes while it is looked at is
//! simply not there; what may not be looked into is an error that says so.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, as `proc_pid_stat(5)` and `proc_pid_exe(5)` show it. Pid and start time together name it for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// What it executes, without the ` (deleted)` of a file that has been replaced or removed since. `None` for a
    /// kernel thread, and where we may not look.
    pub exe: Option<PathBuf>,
    /// Its name (`comm`), at most 15 bytes that it chose itself: any byte may be in it. Escape it before showing it.
    pub name: String,
}

/// A process as a record names it: who it was, when nobody can look any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Who {
    /// Its id.
    pub pid: i32,
    /// Its real user.
    pub uid: u32,
    /// Its name, which it chose itself: escape it before showing it.
    pub program: String,
}

/// Who the process `pid` is; `None` once it is gone.
pub fn who(pid: i32) -> Option<Who> {
    let program = process(pid)?.name;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    let uid = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Who { pid, uid, program })
}

/// What the process `pid` is. `None` if it is gone, which a zombie is too.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (started, name) = parse_stat(&stat)?;
    Some(Process { pid, started, exe: exe(pid), name })
}

/// The parent of a process; `None` once it is gone.
pub fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.split_at_checked(stat.iter().rposition(|byte| *byte == b')')? + 1)?;
    // Behind the name come the state and the parent.
    str::from_utf8(rest).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Why it cannot be known what a process is.
#[derive(Debug, thiserror::Error)]
pub enum SightError {
    /// We may not look into a process that may be the one that is looked for.
    #[error("not allowed to look into {} (pid {pid}): {IT_TAKES}", name.escape_debug())]
    Hidden {
        /// What it calls itself.
        name: String,
        /// Its id.
        pid: i32,
    },
    /// It lives in other namespaces (namespaces(7)), so that what we see is not what it sees.
    #[error(
        "{} (pid {pid}) is in another {namespace} namespace than this plugin, which cannot see what it does; run the \
         plugin where the mail server runs",
        name.escape_debug()
    )]
    Apart {
        /// What it calls itself.
        name: String,
        /// Its id.
        pid: i32,
        /// `network` or `mount`.
        namespace: &'static str,
    },
    /// The processes that `/proc` shows have other numbers than for us.
    #[error(
        "/proc shows the processes of another pid namespace than this plugin's; run the plugin where the mail server runs"
    )]
    Renumbered,
}

/// What it takes to look into every process, as a sentence ends with it (ptrace(2), access mode checking).
pub const IT_TAKES: &str = "it takes root with the capability CAP_SYS_PTRACE";

/// Every process that really runs one of `programs`: the same file, or the one of that path that was replaced or removed
/// since; in our user and pid namespace; and root's, or of a user to whom one of `homes` belongs. Neither a name nor a
/// path nor arguments make a process one of them: anybody may choose those. Links are followed.
///
/// # Errors
///
/// [`SightError::Hidden`]: a process that calls itself like one of them may not be looked into.
/// [`SightError::Renumbered`]: `/proc` is that of another pid namespace.
pub fn processes(programs: &[&Path], homes: &[&Path]) -> Result<Vec<Process>, SightError> {
    numbered()?;
    let files: Vec<(u64, u64)> = programs.iter().filter_map(|path| identity(path).ok()).collect();
    let mut paths: Vec<PathBuf> = programs.iter().map(|path| path.to_path_buf()).collect();
    paths.extend(programs.iter().filter_map(|path| fs::canonicalize(path).ok()));
    let users: Vec<u32> = homes.iter().filter_map(|home| Some(fs::metadata(home).ok()?.uid())).collect();
    let calls_itself_so = |process: &Process| {
        paths.iter().filter_map(|path| path.file_name()).any(|name| {
            let name = name.as_bytes();
            name.get(..name.len().min(COMM)).is_some_and(|name| name == process.name.as_bytes())
        })
    };
    let mut found = Vec::new();
    for pid in pids() {
        match runs(pid, &files, &paths) {
            Ok(true) if belongs_to(pid, &users) => found.extend(process(pid)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                if let Some(Process { name, .. }) = process(pid).filter(calls_itself_so) {
                    return Err(SightError::Hidden { name, pid });
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(found)
}

/// How much of a name the kernel keeps (`comm`).
const COMM: usize = 15;

/// Whether the process executes one of these files, here.
fn runs(pid: i32, files: &[(u64, u64)], paths: &[PathBuf]) -> io::Result<bool> {
    let link = format!("/proc/{pid}/exe");
    let target = fs::read_link(&link)?;
    // What was replaced, removed or mounted over since is known by its path; that means something only where paths mean
    // what they mean to us, and only root can change what they mean.
    let named = paths.contains(&undeleted(target.as_os_str()));
    let is_it = files.contains(&identity(Path::new(&link))?) || named && shares(pid, "mnt")?;
    Ok(is_it && shares(pid, "user")? && shares(pid, "pid")?)
}

/// Device and inode of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::metadata(path)?;
    Ok((data.dev(), data.ino()))
}

/// Whether the process is in the same namespace of this kind as we are (proc_pid_ns(5)); a kernel without such namespaces
/// has all processes in one.
fn shares(pid: i32, namespace: &str) -> io::Result<bool> {
    match fs::read_link(format!("/proc/self/ns/{namespace}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        ours => Ok(fs::read_link(format!("/proc/{pid}/ns/{namespace}"))? == ours?),
    }
}

impl Process {
    /// Whether it still runs: its pid may be another's by now.
    pub(super) fn lives(&self) -> bool {
        process(self.pid).is_some_and(|now| now.started == self.started)
    }
}

/// Whether it is root's, or one of these users', by its real and its effective user.
pub fn belongs_to(pid: i32, users: &[u32]) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    let mut ids = line.split_ascii_whitespace().take(2).map(str::parse::<u32>);
    !line.is_empty() && ids.all(|id| id.is_ok_and(|id| id == 0 || users.contains(&id)))
}

/// Whether a process of the mail server's has the number that we call it by, and sees the same network and the same files as
/// we do, so that what we look at and change is what it uses. A mount namespace of its own, as units are given, matters only if `file` is another one there,
/// or if it is we who are not where the machine's first process is.
///
/// # Errors
///
/// [`SightError::Apart`] where it does not, [`SightError::Hidden`] where that cannot be known. One that has ended is not
/// apart.
pub fn together(pid: i32, file: &Path) -> Result<(), SightError> {
    numbered()?;
    if !known(pid, shares(pid, "net"))? {
        return Err(apart(pid, "network"));
    }
    let seen_there = || {
        let there = identity(Path::new(&format!("/proc/{pid}/root{}", file.display())));
        among_all() && there.ok() == identity(file).ok()
    };
    if !known(pid, shares(pid, "mnt"))? && !seen_there() {
        return Err(apart(pid, "mount"));
    }
    Ok(())
}

/// Whether a process that was not found to be the mail server's is therefore somebody else's. By its pid file, its service
/// directory or its program a mail server is known only to who sees the same files as it does, or as the machine's first
/// process, and only while `/proc` numbers processes as we do.
///
/// # Errors
///
/// As of [`together`].
pub fn recognised(pid: i32) -> Result<(), SightError> {
    numbered()?;
    if !known(pid, shares(pid, "mnt"))? && !among_all() {
        return Err(apart(pid, "mount"));
    }
    Ok(())
}

/// Whether `/proc` numbers processes as the system calls do that we make: it may be that of another pid namespace, and
/// whoever was told something would be somebody else.
fn numbered() -> Result<(), SightError> {
    let ours = fs::read_link("/proc/self").ok().and_then(|link| link.to_str()?.parse().ok());
    if ours == Some(std::process::id()) { Ok(()) } else { Err(SightError::Renumbered) }
}

/// Whether we see the files that the machine's first process sees.
fn among_all() -> bool {
    shares(1, "mnt").unwrap_or(false)
}

/// An answer about a process; of one that has ended it is yes.
fn known(pid: i32, answer: io::Result<bool>) -> Result<bool, SightError> {
    match answer {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !has_ended(pid) => {
            Err(SightError::Hidden { name: called(pid), pid })
        }
        answer => Ok(answer.unwrap_or(true)),
    }
}

fn apart(pid: i32, namespace: &'static str) -> SightError {
    SightError::Apart { name: called(pid), pid, namespace }
}

fn called(pid: i32) -> String {
    process(pid).map(|process| process.name).unwrap_or_default()
}

/// Whether there is no such process any more. What it had in `/proc` is refused, and not missing, to who was just reading it.
pub(super) fn has_ended(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// The pids of all processes that `/proc` shows us.
pub(super) fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn exe(pid: i32) -> Option<PathBuf> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    Some(undeleted(exe.as_os_str()))
}

fn undeleted(exe: &OsStr) -> PathBuf {
    let bytes = exe.as_bytes();
    let bytes = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Start time and name out of `/proc/PID/stat`; `None` for a zombie.
fn parse_stat(stat: &[u8]) -> Option<(u64, String)> {
    // The name stands in parentheses and may itself hold spaces, newlines and parentheses.
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let name = String::from_utf8_lossy(stat.get(open + 1..close)?).into_owned();
    let mut fields = str::from_utf8(stat.get(close + 1..)?).ok()?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return None;
    }
    // The state is field 3, the start time field 22.
    Some((fields.nth(18)?.parse().ok()?, name))
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "the tests need children that live on")]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};
    use std::thread;
    use std::time::Duration;

    use super::super::signal::{Signal, signal};
    use super::*;

    /// A process that any signal ends, also where the tests were started with one ignored (nohup(1)).
    fn sleeper() -> Child {
        let child = Command::new("env").args(["--default-signal", "sleep", "60"]).spawn().unwrap();
        while process(pid(&child)).is_none_or(|now| now.name != "sleep") {
            thread::sleep(Duration::from_millis(1));
        }
        child
    }

    fn pid(child: &Child) -> i32 {
        i32::try_from(child.id()).unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn we_are_a_process() {
        let ours = process(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!(ours.exe, fs::canonicalize("/proc/self/exe").ok());
        assert!(ours.started > 0);
    }

    #[test]
    fn a_pid_of_nobody_is_no_process() {
        assert_eq!([process(0), process(-1), process(i32::MAX)], [None, None, None]);
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = Command::new("true").spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        while !fs::read_to_string(&stat).unwrap().contains(" Z ") {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(process(pid(&child)), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_name_may_hold_parentheses_and_spaces() {
        let stat = b"7 (a) Z (b\n) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse_stat(stat), Some((4711, "a) Z (b\n".to_owned())));
    }

    #[test]
    fn a_name_may_be_no_text() {
        let stat = b"7 (\xff) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        assert_eq!(parse_stat(stat), Some((4711, "\u{fffd}".to_owned())));
    }

    #[test]
    fn a_cut_stat_is_no_process() {
        assert_eq!(parse_stat(b"7 (a) S 1 7"), None);
    }

    #[test]
    fn a_replaced_executable_keeps_its_path() {
        assert_eq!(undeleted(OsStr::new("/usr/sbin/exim4 (deleted)")), Path::new("/usr/sbin/exim4"));
    }

    #[test]
    fn processes_are_found_by_executable_even_after_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        // Another test's fork may hold the copy open for writing for a moment.
        let child = loop {
            match Command::new(&program).arg("60").spawn() {
                Err(error) if error.raw_os_error() == Some(Errno::ETXTBSY as i32) => {}
                child => break child.unwrap(),
            }
        };
        fs::remove_file(&program).unwrap();
        fs::copy("/bin/true", &program).unwrap();
        let found: Vec<i32> =
            processes(&[&program], &[dir.path()]).unwrap().iter().map(|process| process.pid).collect();
        assert_eq!(found, [pid(&child)]);
        end(child);
    }

    #[test]
    fn namespaces_that_the_kernel_does_not_have_are_shared() {
        assert!(shares(1, "none-of-this-name").unwrap());
    }

    #[test]
    fn a_signal_reaches_its_process() {
        let mut child = sleeper();
        signal(&process(pid(&child)).unwrap(), Signal::Hangup).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(1));
    }

    #[test]
    fn a_signal_spares_a_stranger_with_the_same_pid() {
        let mut child = sleeper();
        let mut earlier = process(pid(&child)).unwrap();
        earlier.started -= 1;
        let error = signal(&earlier, Signal::Kill).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32));
        assert!(child.try_wait().unwrap().is_none());
        end(child);
    }

    #[test]
    fn a_signal_to_one_who_is_gone_is_no_such_process() {
        let child = sleeper();
        let gone = process(pid(&child)).unwrap();
        end(child);
        let error = signal(&gone, Signal::Terminate).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32));
    }

    #[test]
    fn one_that_is_gone_has_ended_and_one_that_may_not_be_signalled_has_not() {
        assert!(has_ended(i32::MAX));
        assert!(!has_ended(1) && !has_ended(std::process::id().cast_signed()));
    }
}
