//! Control commands: one program, run to its end or to a deadline.
//!
//! A child inherits nothing but a fixed environment, `/dev/null` and two pipes; at the deadline it is killed with its
//! whole process group. What comes back is its exit and its output; what they mean is for whoever asked. A daemon that
//! a command leaves behind is left alone: the exit of the command itself is waited for, never the end of its output. A
//! failure names the program ([`CommandError`]).

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use process_wrap::std::{ChildWrapper, CommandWrap, ResetSigmask};

use super::deadline::Deadline;
use super::pidfd;

/// How much of each output stream is kept, in bytes.
pub const OUTPUT_LIMIT: usize = 64 * 1024;

/// Where programs without a path are looked for, by us and by them.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A span that every kernel takes, and that is as good as no limit.
const LONGEST: Duration = Duration::from_secs(1 << 30);

/// How long a killed child may take to be gone before it is given up as a zombie-to-be.
const REAP: Duration = Duration::from_secs(1);

/// A program and its arguments. There is no shell anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program (a path, or a name to be found on the fixed `PATH`), then its arguments. Never empty.
    argv: Vec<OsString>,
}

impl Command {
    /// The program without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { argv: vec![program.into()] }
    }

    /// With one argument more.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.argv.push(arg.into());
        self
    }

    /// With these arguments more.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.argv.extend(args.into_iter().map(Into::into));
        self
    }

    /// Program and arguments.
    pub fn argv(&self) -> &[OsString] {
        &self.argv
    }

    pub(super) fn split(&self) -> (&OsStr, &[OsString]) {
        match self.argv.split_first() {
            Some((program, args)) => (program, args),
            None => (OsStr::new(""), &[]),
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
}

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub ended: Ended,
    /// The first [`OUTPUT_LIMIT`] bytes of its standard output.
    pub stdout: Vec<u8>,
    /// The first [`OUTPUT_LIMIT`] bytes of its standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Whether it exited with status 0.
    pub fn success(&self) -> bool {
        self.ended == Ended::Exited(0)
    }
}

/// Why there is no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("cannot run {}", argv0.display())]
    Spawn {
        /// The program.
        argv0: OsString,
        /// Why.
        source: io::Error,
    },
    /// It had not ended at the deadline and has been killed with its process group; or the deadline had passed before
    /// it was started (`after` is zero), and it was not.
    #[error("{}", late(argv0, *after))]
    TimedOut {
        /// The program.
        argv0: OsString,
        /// How long it had run.
        after: Duration,
        /// The first [`OUTPUT_LIMIT`] bytes of its standard error so far.
        stderr: Vec<u8>,
    },
    /// It was started, but could not be watched; it has been killed with its process group.
    #[error("cannot wait for {}", argv0.display())]
    Wait {
        /// The program.
        argv0: OsString,
        /// Why.
        source: io::Error,
    },
}

fn late(argv0: &OsStr, after: Duration) -> String {
    match after {
        Duration::ZERO => format!("the deadline passed before {} could be run", argv0.display()),
        after => format!("{} did not end within {:.1} s", argv0.display(), after.as_secs_f64()),
    }
}

/// Runs `command` to its end.
///
/// The child has `/dev/null` as stdin, no descriptor above 2 (see [`super::inherited`]), `PATH` and `LC_ALL=C` as whole
/// environment, `/` as directory, its own process group, no blocked signal, and the default action for `SIGPIPE`.
/// Output beyond [`OUTPUT_LIMIT`] is read and thrown away, so that the child never blocks on it.
///
/// # Errors
///
/// See [`CommandError`].
pub fn run(command: &Command, deadline: Deadline) -> Result<Output, CommandError> {
    let (program, args) = command.split();
    let begun = Instant::now();
    if deadline.passed() {
        return Err(CommandError::TimedOut {
            argv0: program.into(),
            after: Duration::ZERO,
            stderr: Vec::new(),
        });
    }
    let child =
        spawn(program, args).map_err(|source| CommandError::Spawn { argv0: program.into(), source })?;
    let mut running =
        Running::new(child).map_err(|source| CommandError::Wait { argv0: program.into(), source })?;
    match running.end(deadline) {
        Ok(Some(ended)) => Ok(Output { ended, stdout: running.stdout.kept, stderr: running.stderr.kept }),
        Ok(None) => {
            let after = begun.elapsed();
            running.kill();
            Err(CommandError::TimedOut { argv0: program.into(), after, stderr: running.stderr.kept })
        }
        Err(source) => {
            running.kill();
            Err(CommandError::Wait { argv0: program.into(), source })
        }
    }
}

fn spawn(program: &OsStr, args: &[OsString]) -> io::Result<Box<dyn ChildWrapper>> {
    let mut command = bare(program, args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // std gives SIGPIPE its default action back but, since Rust 1.66, lets the child inherit our signal mask: a daemon
    // started with SIGTERM blocked could never be told to stop.
    CommandWrap::from(command).wrap(ResetSigmask).spawn()
}

/// A program as all of ours start: nothing but the fixed environment, `/` as directory, a process group of its own.
#[expect(clippy::disallowed_types, reason = "this is the floor that the ban sends everybody to")]
pub(super) fn bare(program: &OsStr, args: &[OsString]) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.args(args).env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/").process_group(0);
    command
}

/// A child that has been started, and not been reaped: its pid is its own as long as this lives.
struct Running {
    child: Box<dyn ChildWrapper>,
    pid: Pid,
    /// Gets readable when the child has ended.
    ended: OwnedFd,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    fn new(mut child: Box<dyn ChildWrapper>) -> io::Result<Self> {
        let stdout = child.stdout().take().map(|pipe| Stream::new(pipe.into()));
        let stderr = child.stderr().take().map(|pipe| Stream::new(pipe.into()));
        let pid = i32::try_from(child.id()).ok().map(Pid::from_raw);
        let watch = || -> io::Result<(Pid, OwnedFd, Stream, Stream)> {
            let pid = pid.ok_or(Errno::ESRCH)?;
            let stdout = stdout.ok_or(Errno::EBADF)??;
            let stderr = stderr.ok_or(Errno::EBADF)??;
            Ok((pid, pidfd::end_of(pid)?, stdout, stderr))
        };
        match watch() {
            Ok((pid, ended, stdout, stderr)) => Ok(Self { child, pid, ended, stdout, stderr }),
            Err(error) => {
                if let Some(pid) = pid {
                    let _ = killpg(pid, Signal::SIGKILL);
                }
                let _ = child.kill();
                Err(error)
            }
        }
    }

    /// Reads both streams until the child has ended, and then what is left in the pipes; `None` at the deadline.
    fn end(&mut self, deadline: Deadline) -> io::Result<Option<Ended>> {
        loop {
            let left = deadline.left();
            if self.wait(left)? {
                self.stdout.drain();
                self.stderr.drain();
                return Ok(Some(ended(self.child.wait()?)));
            }
            if left.is_zero() {
                return Ok(None);
            }
            self.stdout.take();
            self.stderr.take();
        }
    }

    /// Waits until there is something to do, at most for `span`. Whether the child has ended.
    fn wait(&self, span: Duration) -> io::Result<bool> {
        let mut fds = vec![PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        fds.extend([&self.stdout, &self.stderr].into_iter().filter_map(Stream::poll));
        match poll(&mut fds, span) {
            Ok(_) | Err(Errno::EINTR) => Ok(fds.first().is_some_and(is_ready)),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills the process group, and the child itself in case that it has left it, and reaps the child.
    fn kill(&mut self) {
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = kill(self.pid, Signal::SIGKILL);
        // Deep in the kernel (a dead network file system, say) a process does not even notice SIGKILL. Waiting for it
        // without end would hang us as well.
        let mut fds = [PollFd::new(self.ended.as_fd(), PollFlags::POLLIN)];
        let deadline = Deadline::after(REAP);
        while let Err(Errno::EINTR) = poll(&mut fds, deadline.left()) {}
        let _ = self.child.try_wait();
        self.stderr.drain();
    }
}

/// Our end of one of the child's output pipes.
struct Stream {
    /// `None` once all writers have closed theirs.
    pipe: Option<io::PipeReader>,
    kept: Vec<u8>,
}

impl Stream {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        never_wait(&pipe)?;
        Ok(Self { pipe: Some(pipe.into()), kept: Vec::new() })
    }

    fn poll(&self) -> Option<PollFd<'_>> {
        Some(PollFd::new(self.pipe.as_ref()?.as_fd(), PollFlags::POLLIN))
    }

    /// Takes at most one buffer full out of the pipe, without waiting. Whether there may be more.
    fn take(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut buffer = [0; 16 * 1024];
        match pipe.read(&mut buffer) {
            Ok(read) if read > 0 => {
                let room = OUTPUT_LIMIT.saturating_sub(self.kept.len());
                self.kept.extend(buffer.iter().take(read.min(room)));
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Ok(_) | Err(_) => {
                self.pipe = None;
                false
            }
        }
    }

    /// Takes what is in the pipe now. The limit ends it even if a process left behind goes on writing.
    fn drain(&mut self) {
        while self.kept.len() < OUTPUT_LIMIT && self.take() {}
    }
}

pub(super) fn ended(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signalled(signal),
        (None, None) => Ended::Exited(status.into_raw()),
    }
}

/// Waits until something happens to one of `fds`, at most for `span`: to how many.
pub(super) fn poll(fds: &mut [PollFd<'_>], span: Duration) -> nix::Result<i32> {
    ppoll(fds, Some(TimeSpec::from_duration(span.min(LONGEST))), None)
}

/// Whether something has happened to it.
pub(super) fn is_ready(fd: &PollFd<'_>) -> bool {
    fd.any().unwrap_or(true)
}

/// What would wait for the other end of this pipe says so instead.
pub(super) fn never_wait(pipe: &impl AsFd) -> io::Result<()> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use nix::sys::signal::{SigSet, Signal as NixSignal};

    use super::super::process;
    use super::super::signal::{Signal, signal};
    use super::*;

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    fn sh(script: &str) -> Command {
        Command::new("sh").args(["-c", script])
    }

    fn stdout(command: &Command) -> String {
        String::from_utf8(run(command, soon()).unwrap().stdout).unwrap()
    }

    fn pid(text: &[u8]) -> i32 {
        str::from_utf8(text).unwrap().trim().parse().unwrap()
    }

    #[test]
    fn a_command_gives_its_exit_status_and_both_outputs() {
        let output = run(&sh("echo out; echo err >&2; exit 3"), soon()).unwrap();
        let wanted = Output { ended: Ended::Exited(3), stdout: b"out\n".to_vec(), stderr: b"err\n".to_vec() };
        assert_eq!(output, wanted);
    }

    #[test]
    fn exit_status_0_is_a_success() {
        assert!(run(&Command::new("true"), soon()).unwrap().success());
    }

    #[test]
    fn a_command_killed_by_a_signal_says_by_which() {
        assert_eq!(run(&sh("kill -TERM $$"), soon()).unwrap().ended, Ended::Signalled(15));
    }

    #[test]
    fn a_program_that_is_not_there_cannot_be_run() {
        let error = run(&Command::new("/nonexistent/program"), soon()).unwrap_err();
        assert!(
            matches!(error, CommandError::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn a_megabyte_of_output_is_read_and_cut() {
        let output =
            run(&sh("head -c 1048576 /dev/zero; head -c 1048576 /dev/zero >&2; exit 4"), soon()).unwrap();
        assert_eq!(
            (output.ended, output.stdout.len(), output.stderr.len()),
            (Ended::Exited(4), OUTPUT_LIMIT, OUTPUT_LIMIT)
        );
    }

    #[test]
    fn a_hanging_command_is_killed_with_its_grandchild() {
        let deadline = Deadline::after(Duration::from_secs(2));
        let error = run(&sh("sleep 1000 & echo $! >&2; wait"), deadline).unwrap_err();
        let CommandError::TimedOut { stderr, .. } = error else { panic!("{error:?}") };
        let until = soon();
        while process::process(pid(&stderr)).is_some() {
            assert!(!until.passed(), "the grandchild lives on");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_hanging_command_takes_no_longer_than_its_deadline() {
        let begun = Instant::now();
        let error =
            run(&Command::new("sleep").arg("1000"), Deadline::after(Duration::from_millis(200))).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { after, .. } if after >= Duration::from_millis(200)));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_command_that_closes_its_output_and_hangs_is_killed_too() {
        let deadline = Deadline::after(Duration::from_millis(200));
        assert!(matches!(run(&sh("exec sleep 1000 >&- 2>&-"), deadline), Err(CommandError::TimedOut { .. })));
    }

    #[test]
    fn a_killed_command_leaves_no_zombie() {
        let deadline = Deadline::after(Duration::from_secs(2));
        let error = run(&sh("echo $$ >&2; exec sleep 1000"), deadline).unwrap_err();
        let CommandError::TimedOut { stderr, .. } = error else { panic!("{error:?}") };
        assert!(fs::metadata(format!("/proc/{}", pid(&stderr))).is_err());
    }

    #[test]
    fn a_daemon_that_keeps_the_pipes_open_is_not_waited_for_and_lives() {
        let begun = Instant::now();
        let output = run(&sh("sleep 60 & echo $!"), soon()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
        let daemon = process::process(pid(&output.stdout)).unwrap();
        signal(&daemon, Signal::Kill).unwrap();
    }

    #[test]
    fn nothing_is_started_after_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let error = run(&Command::new("touch").arg(&file), Deadline::after(Duration::ZERO)).unwrap_err();
        assert!(matches!(error, CommandError::TimedOut { after: Duration::ZERO, .. }));
        assert!(!file.exists());
    }

    #[test]
    fn the_environment_is_fixed() {
        let environment = stdout(&Command::new("env"));
        let mut lines: Vec<&str> = environment.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]);
    }

    #[test]
    fn the_directory_is_the_root() {
        assert_eq!(stdout(&Command::new("readlink").arg("/proc/self/cwd")), "/\n");
    }

    #[test]
    fn stdin_is_empty() {
        assert_eq!(stdout(&Command::new("cat")), "");
    }

    #[test]
    fn it_leads_its_own_process_group() {
        let stat = stdout(&sh("read -r line < /proc/$$/stat; echo $line"));
        let fields: Vec<&str> = stat.split(' ').collect();
        assert_eq!(fields[0], fields[4]);
    }

    #[test]
    fn no_signal_is_blocked() {
        let mut blocked = SigSet::empty();
        blocked.add(NixSignal::SIGTERM);
        blocked.thread_block().unwrap();
        let status = stdout(&Command::new("cat").arg("/proc/self/status"));
        blocked.thread_unblock().unwrap();
        assert!(status.contains("SigBlk:\t0000000000000000\n"), "{status}");
    }

    #[test]
    fn a_broken_pipe_kills() {
        let status = stdout(&Command::new("cat").arg("/proc/self/status"));
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:\t")).unwrap();
        assert_eq!(u64::from_str_radix(ignored, 16).unwrap() & (1 << (13 - 1)), 0);
    }
}
