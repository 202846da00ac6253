//! Processes and sockets as /proc shows them, so that nothing the program says about itself is taken on trust.
//!
//! A zombie counts as gone: whoever adopts orphans on this machine may be slow to reap them.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Sends a signal to one process that a test started.
#[track_caller]
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(as_pid(pid), signal).unwrap_or_else(|error| panic!("{signal} to {pid}: {error}"));
}

/// The number in the type that nix wants.
pub(crate) fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// The state letter of a process: `R`, `S`, `T` (stopped), `Z` (zombie); nothing when there is none.
pub(crate) fn state(pid: u32) -> Option<char> {
    state_in(Path::new(&format!("/proc/{pid}")))
}

/// The same of the process or thread that has this folder.
pub(crate) fn state_in(folder: &Path) -> Option<char> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a thread of the process sleeps in write(2): whoever should read does not (proc_pid_syscall(5)).
pub(crate) fn waits_to_write(pid: u32) -> bool {
    let call = format!("{} ", nix::libc::SYS_write);
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().map(|thread| thread.path()).any(|thread| {
        let asleep = || state_in(&thread) == Some('S');
        let writes = || fs::read_to_string(thread.join("syscall")).is_ok_and(|now| now.starts_with(&call));
        // Asleep before and after: not just passing through.
        asleep() && writes() && asleep()
    })
}

/// The child of a process that has one child.
pub(crate) fn only_child(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_ascii_whitespace().next()?.parse().ok()
}

/// Whether the process still does anything.
pub(crate) fn alive(pid: u32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// A figure of /proc/PID/status in KiB, such as `VmRSS` or `VmHWM`.
#[track_caller]
pub(crate) fn memory(pid: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is alive");
    let line = status.lines().find(|line| line.starts_with(figure)).expect("a figure of the kernel");
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The name by which the kernel lists a process.
pub(crate) fn name(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().to_owned()
}

/// Whether the process has the file open.
pub(crate) fn holds_open(pid: u32, path: &Path) -> bool {
    descriptors(pid).iter().any(|target| target == path)
}

/// The processes that hold a listening socket on the port, at any address.
pub(crate) fn listeners(port: u16) -> Vec<u32> {
    let sockets: Vec<PathBuf> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listening_sockets(&fs::read_to_string(table).unwrap_or_default(), port))
        .collect();
    if sockets.is_empty() {
        return Vec::new();
    }
    all().into_iter().filter(|pid| descriptors(*pid).iter().any(|target| sockets.contains(target))).collect()
}

/// The processes of the program under test that have the text in their command line.
pub(crate) fn of_ours_mentioning(text: &str) -> Vec<u32> {
    let mentions = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(text)
    };
    all().into_iter().filter(is_ours).filter(mentions).collect()
}

/// Whether the process runs the program under test.
pub(crate) fn is_ours(pid: &u32) -> bool {
    let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("mail-smtp2"))
}

fn all() -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn descriptors(pid: u32) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect()
}

fn listening_sockets(table: &str, port: u16) -> Vec<PathBuf> {
    let address = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_ascii_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[1].ends_with(&address) && row[3] == "0A")
        .map(|row| PathBuf::from(format!("socket:[{}]", row[9])))
        .collect()
}
