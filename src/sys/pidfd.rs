//! The end of a process, as a descriptor that poll(2) waits for together with others.
//!
//! It gets readable when the process ends, reaped or not, on every kernel: it is a pidfd, or, before Linux 5.3 and
//! where a filter forbids it, a pipe at whose other end a thread waits. Whose process it is, and what is to be done at
//! its end, is the caller's. A process that is gone already is `ESRCH`. (nix has no pidfds.)

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signal::kill;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};

use super::process::{Process, process};

/// How often a process that is no child of ours is looked at, in milliseconds.
const PAUSE: u8 = 50;
/// Room for the waiting thread, in bytes.
const STACK: usize = 64 * 1024;

/// A descriptor that gets readable, or is hung up, once the process has ended.
///
/// # Errors
///
/// `ESRCH` if there is no such process; what `pidfd_open(2)`, `pipe(2)` or `pthread_create(3)` say.
pub fn end_of(pid: Pid) -> io::Result<OwnedFd> {
    match open(pid)? {
        Some(pidfd) => Ok(pidfd),
        None => awaited(pid),
    }
}

/// The process's pidfd; `None` where this machine has none.
///
/// # Errors
///
/// `ESRCH` if there is no such process; otherwise what `pidfd_open(2)` says.
pub(super) fn open(pid: Pid) -> io::Result<Option<OwnedFd>> {
    let raw = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(Errno::ESRCH)?;
    match pidfd_open(raw, PidfdFlags::empty()) {
        // Filters of containers answer EPERM for what they do not know.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// The reading end of a pipe that a thread closes when the process has ended.
fn awaited(pid: Pid) -> io::Result<OwnedFd> {
    if kill(pid, None) == Err(Errno::ESRCH) {
        return Err(Errno::ESRCH.into());
    }
    let seen = process(pid.as_raw());
    let (reader, writer) = io::pipe()?;
    let wait = move || wait_for(pid, seen.as_ref(), &writer);
    thread::Builder::new().name("end of a process".into()).stack_size(STACK).spawn(wait)?;
    Ok(reader.into())
}

/// Waits for the end of the process; of one that is no child, not longer than somebody holds the pipe's other end.
fn wait_for(pid: Pid, seen: Option<&Process>, writer: &io::PipeWriter) {
    loop {
        // A child stays to be reaped by whoever started it.
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            Ok(_) => return,
            Err(_) => break,
        }
    }
    while lives(pid, seen) {
        // No event is asked for: that nobody reads any more is reported all the same.
        match poll(&mut [PollFd::new(writer.as_fd(), PollFlags::empty())], PAUSE) {
            Ok(0) | Err(Errno::EINTR) => {}
            _ => return,
        }
    }
}

/// Whether the process is still the one that was seen. Where `/proc` hides it, the kernel knows at least its pid.
fn lives(pid: Pid, seen: Option<&Process>) -> bool {
    match seen {
        Some(seen) => seen.lives(),
        None => kill(pid, None) != Err(Errno::ESRCH),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "the tests need children, and their children")]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::Signal;

    use super::*;

    fn pid(child: &Child) -> Pid {
        Pid::from_raw(child.id().cast_signed())
    }

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    fn end(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn has_ended(end: &OwnedFd, milliseconds: u16) -> bool {
        poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], milliseconds).unwrap() > 0
    }

    const LONG: u16 = 20_000;
    const NOW: u16 = 0;

    #[test]
    fn with_and_without_a_pidfd_the_end_of_a_child_is_seen_before_it_is_reaped() {
        for watch in [end_of, awaited] {
            let mut child = sleeper();
            let ended = watch(pid(&child)).unwrap();
            assert!(!has_ended(&ended, NOW));
            child.kill().unwrap();
            assert!(has_ended(&ended, LONG));
            assert!(!child.wait().unwrap().success());
        }
    }

    #[test]
    fn with_and_without_a_pidfd_the_end_of_somebody_elses_child_is_seen() {
        for watch in [end_of, awaited] {
            let script = "sleep 60 & echo $!; wait";
            let mut parent = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let grandchild = Pid::from_raw(line.trim().parse().unwrap());
            let ended = watch(grandchild).unwrap();
            assert!(!has_ended(&ended, NOW));
            kill(grandchild, Signal::SIGKILL).unwrap();
            assert!(has_ended(&ended, LONG));
            end(parent);
        }
    }

    #[test]
    fn with_and_without_a_pidfd_one_who_is_gone_is_no_such_process() {
        for watch in [end_of, awaited] {
            let child = sleeper();
            let gone = pid(&child);
            end(child);
            let error = watch(gone).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32));
        }
    }

    #[test]
    fn a_stranger_with_the_same_pid_is_not_the_process_that_was_seen() {
        let child = sleeper();
        let mut seen = process(pid(&child).as_raw()).unwrap();
        assert!(lives(pid(&child), Some(&seen)));
        seen.started -= 1;
        assert!(!lives(pid(&child), Some(&seen)));
        end(child);
    }
}
