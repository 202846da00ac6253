//! A program that we talk to: lines into its stdin, lines out of its stdout, for as long as both sides like.
//!
//! It inherits what a control command does, but with three pipes without a limit, and what of our environment it is
//! given. No write and no read waits beyond its deadline, no line grows beyond its limit, and the process group is
//! ended and reaped when the [`Output`] is dropped. What is said is the caller's. The two halves belong to different
//! threads: many write, one reads. A write that fails, or is not done in time, is an error; the end of what is read
//! tells how the program ended.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, write};
use parking_lot::Mutex;
use process_wrap::std::{ChildWrapper, CommandWrap, ResetSigmask};

use super::command::{Command, Ended, bare, ended, is_ready, never_wait, poll};
use super::deadline::Deadline;
use super::pidfd;

/// How much of what the program last said on its stderr is kept, in bytes.
pub const STDERR_LIMIT: usize = 8 * 1024;
/// How much is read at once.
const PORTION: usize = 16 * 1024;
/// How long a killed program may take to be gone before it is left to whoever reaps orphans.
const REAP: std::time::Duration = std::time::Duration::from_secs(1);

/// What is written to the program: its stdin.
#[derive(Debug)]
pub struct Input {
    /// `None` once it is hung up.
    stdin: Mutex<Option<OwnedFd>>,
    group: Group,
}

/// The process group, as long as its leader is not reaped and the number is therefore its own.
type Group = Arc<Mutex<Option<Pid>>>;

/// Why a line was not sent.
#[derive(Debug)]
pub enum Unsent {
    /// Not one byte of it has left us.
    Nothing(io::Error),
    /// A part of it may have been read.
    Partly(io::Error),
}

/// What the program writes; it owns the process.
#[derive(Debug)]
pub struct Output {
    child: Box<dyn ChildWrapper>,
    /// Gets readable when the program has ended.
    ended: OwnedFd,
    /// `None` once its end was seen.
    stdout: Option<io::PipeReader>,
    stderr: Option<io::PipeReader>,
    /// What has been read of stdout and not been handed out yet.
    received: Vec<u8>,
    /// How far the search for a line's end has come.
    scanned: usize,
    last_stderr: Vec<u8>,
    group: Group,
}

/// What has come from the program.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// A line, without its end.
    Line(Vec<u8>),
    /// A line over the limit; nothing more is read.
    TooLong,
    /// Nothing until the deadline.
    Nothing,
    /// The end of the output, or of the program; what stood last may be a line without an end.
    End(Vec<u8>),
}

/// Starts `command` with `environment` beside the fixed variables of a control command.
///
/// # Errors
/// It cannot be started or watched.
pub fn start(command: &Command, environment: &[(OsString, OsString)]) -> io::Result<(Input, Output)> {
    let (program, args) = command.split();
    let mut prepared = bare(program, args);
    prepared.envs(environment.iter().map(|(name, value)| (name, value)));
    prepared.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = CommandWrap::from(prepared).wrap(ResetSigmask).spawn()?;
    attach(&mut child).map(|(stdin, ended, stdout, stderr, pid)| {
        let group = Arc::new(Mutex::new(Some(pid)));
        let input = Input { stdin: Mutex::new(Some(stdin)), group: Arc::clone(&group) };
        let (stdout, stderr) = (Some(stdout), Some(stderr));
        let (received, last_stderr) = (Vec::new(), Vec::new());
        (input, Output { child, ended, stdout, stderr, received, scanned: 0, last_stderr, group })
    })
}

type Attached = (OwnedFd, OwnedFd, io::PipeReader, io::PipeReader, Pid);

/// The pipes of a child that was just started; one that cannot be watched is not left running.
fn attach(child: &mut Box<dyn ChildWrapper>) -> io::Result<Attached> {
    let mut watch = || -> io::Result<Attached> {
        let pid = i32::try_from(child.id()).ok().map(Pid::from_raw).ok_or(Errno::ESRCH)?;
        let stdin: OwnedFd = child.stdin().take().ok_or(Errno::EBADF)?.into();
        let stdout: OwnedFd = child.stdout().take().ok_or(Errno::EBADF)?.into();
        let stderr: OwnedFd = child.stderr().take().ok_or(Errno::EBADF)?.into();
        for pipe in [&stdin, &stdout, &stderr] {
            never_wait(pipe)?;
        }
        Ok((stdin, pidfd::end_of(pid)?, stdout.into(), stderr.into(), pid))
    };
    let attached = watch();
    if attached.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    attached
}

impl Input {
    /// Says all of `bytes`.
    ///
    /// # Errors
    /// The program is gone or takes nothing more before the deadline; how much it has got stands in the error.
    pub fn send(&self, bytes: &[u8], deadline: Deadline) -> Result<(), Unsent> {
        let stdin = self.stdin.lock();
        let Some(stdin) = stdin.as_ref() else { return Err(Unsent::Nothing(Errno::EPIPE.into())) };
        let mut left = bytes;
        while !left.is_empty() {
            let error = match write(stdin, left) {
                Ok(count) => {
                    left = &left[count..];
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => match ready(stdin, deadline) {
                    Ok(true) => continue,
                    Ok(false) => io::ErrorKind::TimedOut.into(),
                    Err(error) => error,
                },
                Err(error) => error.into(),
            };
            return Err(if left.len() == bytes.len() {
                Unsent::Nothing(error)
            } else {
                Unsent::Partly(error)
            });
        }
        Ok(())
    }

    /// Says nothing more: the program sees the end of its input.
    pub fn close(&self) {
        self.stdin.lock().take();
    }

    /// Kills the process group.
    pub fn kill(&self) {
        if let Some(group) = *self.group.lock() {
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Whether the pipe takes something before the deadline.
fn ready(pipe: &OwnedFd, deadline: Deadline) -> io::Result<bool> {
    match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)], deadline.left()) {
        Ok(count) => Ok(count > 0),
        Err(Errno::EINTR) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

impl Output {
    /// The next thing to hear, until the deadline; a line has at most `limit` bytes.
    ///
    /// # Errors
    /// The kernel refuses to wait.
    pub fn receive(&mut self, limit: usize, deadline: Deadline) -> io::Result<Received> {
        loop {
            if let Some(line) = self.line() {
                return Ok(Received::Line(line));
            }
            if self.received.len() > limit {
                return Ok(Received::TooLong);
            }
            if self.stdout.is_none() {
                return Ok(Received::End(std::mem::take(&mut self.received)));
            }
            let ended = self.wait(deadline)?;
            self.take_stderr();
            let before = self.received.len();
            self.take_stdout();
            // Somebody whom the program has left behind may hold the pipe open: its own end counts.
            if ended && self.received.len() == before {
                self.stdout = None;
            } else if deadline.passed() && self.received.len() == before && self.stdout.is_some() {
                return Ok(Received::Nothing);
            }
        }
    }

    /// The program's end: how it ended by itself before the deadline (`None`: it did not, and has been killed with its
    /// process group), and what it last said on its stderr, at most [`STDERR_LIMIT`] bytes.
    pub fn end(mut self, deadline: Deadline) -> (Option<Ended>, Vec<u8>) {
        self.stdout = None;
        let mut gone = false;
        while !gone && !deadline.passed() {
            // Without poll there is no waiting.
            let Ok(ended) = self.wait(deadline) else { break };
            gone = ended;
            self.take_stderr();
        }
        while self.take_stderr() {}
        let status = self.finish();
        (status.filter(|_| gone).map(ended), std::mem::take(&mut self.last_stderr))
    }

    /// Kills what is left of the process group, even of a program that has ended, and reaps the program.
    fn finish(&mut self) -> Option<ExitStatus> {
        let mut group = self.group.lock();
        if let Some(pid) = group.take() {
            let _ = killpg(pid, Signal::SIGKILL);
            let deadline = Deadline::after(REAP);
            let mut fds = [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
            while let Err(Errno::EINTR) = poll(&mut fds, deadline.left()) {}
        }
        self.child.try_wait().ok().flatten()
    }

    /// The first whole line of what was received.
    fn line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = memchr::memchr(b'\n', &self.received[self.scanned..]) else {
            self.scanned = self.received.len();
            return None;
        };
        let rest = self.received.split_off(self.scanned + at + 1);
        let mut line = std::mem::replace(&mut self.received, rest);
        self.scanned = 0;
        line.truncate(line.len() - 1);
        line.pop_if(|last| *last == b'\r');
        Some(line)
    }

    /// Waits until there is something to read. Whether the program has ended.
    fn wait(&self, deadline: Deadline) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        let pipes = [&self.stdout, &self.stderr];
        fds.extend(pipes.into_iter().flatten().map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, deadline.left()) {
            Ok(_) | Err(Errno::EINTR) => Ok(fds.first().is_some_and(is_ready)),
            Err(error) => Err(error.into()),
        }
    }

    fn take_stdout(&mut self) {
        if let Some(pipe) = &mut self.stdout
            && !take(pipe, |bytes| self.received.extend_from_slice(bytes))
        {
            self.stdout = None;
        }
    }

    /// Whether there was something.
    fn take_stderr(&mut self) -> bool {
        let before = self.last_stderr.len();
        if let Some(pipe) = &mut self.stderr
            && !take(pipe, |bytes| self.last_stderr.extend_from_slice(bytes))
        {
            self.stderr = None;
        }
        let read = self.last_stderr.len() > before;
        let beyond = self.last_stderr.len().saturating_sub(STDERR_LIMIT);
        self.last_stderr.drain(..beyond);
        read
    }
}

/// Takes one portion out of a pipe, without waiting. Whether the pipe is still open.
fn take(pipe: &mut io::PipeReader, mut keep: impl FnMut(&[u8])) -> bool {
    let mut portion = [0; PORTION];
    match pipe.read(&mut portion) {
        Ok(0) => false,
        Ok(count) => {
            keep(&portion[..count]);
            true
        }
        Err(error) => matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::process;
    use super::*;

    const LIMIT: usize = 1000;

    fn sh(script: &str) -> (Input, Output) {
        start(&Command::new("sh").args(["-c", script]), &[]).unwrap()
    }

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    fn at_once() -> Deadline {
        Deadline::after(Duration::from_millis(50))
    }

    fn line(text: &str) -> Received {
        Received::Line(text.as_bytes().to_vec())
    }

    #[test]
    fn what_is_said_is_heard_and_answered() {
        let (input, mut output) = sh("while read -r word; do echo \"$word, too\"; done");
        for word in ["one", "two"] {
            input.send(format!("{word}\n").as_bytes(), soon()).unwrap();
            assert_eq!(output.receive(LIMIT, soon()).unwrap(), line(&format!("{word}, too")));
        }
        input.close();
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::End(Vec::new()));
        assert_eq!(output.end(soon()).0, Some(Ended::Exited(0)));
    }

    #[test]
    fn several_lines_at_once_are_several_lines() {
        let (_input, mut output) = sh("printf 'one\\r\\ntwo\\nthree'");
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), line("one"));
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), line("two"));
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::End(b"three".to_vec()));
    }

    #[test]
    fn silence_is_nothing_at_the_deadline() {
        let (_input, mut output) = sh("sleep 60");
        assert_eq!(output.receive(LIMIT, at_once()).unwrap(), Received::Nothing);
    }

    #[test]
    fn a_line_over_the_limit_is_not_waited_for() {
        let (_input, mut output) = sh("head -c 100000 /dev/zero; sleep 60");
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::TooLong);
    }

    #[test]
    fn a_program_that_takes_nothing_is_not_waited_for() {
        let (input, _output) = sh("sleep 60");
        let unsent = input.send(&[b'x'; 1 << 20], at_once()).unwrap_err();
        assert!(matches!(unsent, Unsent::Partly(_)), "{unsent:?}");
    }

    #[test]
    fn to_a_program_that_is_gone_nothing_was_said() {
        let (input, mut output) = sh("exec <&-; echo gone; sleep 60");
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), line("gone"));
        // What another test just forks has the pipe's end for a moment longer.
        let until = soon();
        let unsent = loop {
            match input.send(b"hello\n", soon()) {
                Ok(()) => assert!(!until.passed(), "somebody hears still"),
                Err(unsaid) => break unsaid,
            }
        };
        assert!(matches!(unsent, Unsent::Nothing(_)), "{unsent:?}");
    }

    #[test]
    fn the_end_says_how_and_with_which_last_words() {
        let (_input, mut output) = sh("head -c 100000 /dev/zero >&2; echo last words >&2; exit 7");
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::End(Vec::new()));
        let (ended, said) = output.end(soon());
        assert_eq!(ended, Some(Ended::Exited(7)));
        assert!(said.len() <= STDERR_LIMIT && said.ends_with(b"last words\n"), "{} bytes", said.len());
    }

    #[test]
    fn a_pipe_held_open_by_another_does_not_hide_the_end() {
        let (_input, mut output) = sh("setsid sleep 3 & exit 4");
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::End(Vec::new()));
        assert_eq!(output.end(soon()).0, Some(Ended::Exited(4)));
    }

    #[test]
    fn the_whole_group_goes_with_the_ears() {
        let (_input, mut output) = sh("sleep 60 & echo $!; wait");
        let Received::Line(pid) = output.receive(LIMIT, soon()).unwrap() else { panic!("a line") };
        let pid = str::from_utf8(&pid).unwrap().parse().unwrap();
        drop(output);
        // A zombie counts as gone; whoever adopts it may take a moment.
        while process::process(pid).is_some() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_voice_can_kill_what_the_ears_wait_for() {
        let (input, mut output) = sh("sleep 60");
        input.kill();
        assert_eq!(output.receive(LIMIT, soon()).unwrap(), Received::End(Vec::new()));
        assert_eq!(output.end(soon()).0, Some(Ended::Signalled(9)));
    }

    #[test]
    fn the_environment_is_what_it_is_given() {
        let given = [("HOME".into(), "/root".into())];
        let (_input, mut output) = start(&Command::new("/usr/bin/env"), &given).unwrap();
        let mut all = Vec::new();
        while let Received::Line(line) = output.receive(LIMIT, soon()).unwrap() {
            all.push(String::from_utf8(line).unwrap());
        }
        all.sort();
        assert_eq!(all, ["HOME=/root", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    }
}
