//! A signal that reaches exactly the process that was looked at.
//!
//! Nobody is signalled where it is gone, or its pid is another's now: a pidfd is taken before its start time is read
//! again, and on kernels without pidfds the start time alone has to do.

use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, kill_process, pidfd_send_signal};

use super::pidfd;
use super::process::Process;

/// The signals that we ever send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// `SIGHUP`: read your configuration again.
    Hangup,
    /// `SIGTERM`: please end.
    Terminate,
    /// `SIGKILL`: end.
    Kill,
}

/// Sends `signal` to exactly this process.
///
/// # Errors
///
/// `ESRCH` if it is gone (a zombie too) or its pid is another's now: then nobody was signalled. `EPERM` if we may not.
/// Otherwise what `pidfd_open(2)` and `kill(2)` say.
pub fn signal(target: &Process, signal: Signal) -> io::Result<()> {
    let pid = Pid::from_raw(target.pid).ok_or(Errno::SRCH)?;
    let pidfd = pidfd::open(pid)?;
    // The descriptor is taken before the start time is read again: what the two agree on cannot change any more.
    if !target.lives() {
        return Err(Errno::SRCH.into());
    }
    let sent = match &pidfd {
        Some(pidfd) => pidfd_send_signal(pidfd, signal.into()),
        None => Err(Errno::NOSYS),
    };
    match sent {
        // All that an old kernel can do: a pid is not given out again for as long as this takes.
        Err(Errno::NOSYS | Errno::PERM) => Ok(kill_process(pid, signal.into())?),
        sent => Ok(sent?),
    }
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::HUP,
            Signal::Terminate => Self::TERM,
            Signal::Kill => Self::KILL,
        }
    }
}
