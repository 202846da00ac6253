//! A signal that reaches exactly the process that was looked at.
//!
//! Nobody is signalled where it is gone, or its pid is another's now: a pidfd is taken before its start time is read
//! again, and on kernels without pidfds the start time alone has to do.

use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal as Number, kill};
use nix::unistd::Pid;
use rustix::process::pidfd_send_signal;

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
    let pid = Pid::from_raw(target.pid);
    let pidfd = pidfd::open(pid)?;
    // The descriptor is taken before the start time is read again: what the two agree on cannot change any more.
    if !target.lives() {
        return Err(Errno::ESRCH.into());
    }
    let sent = match &pidfd {
        Some(pidfd) => pidfd_send_signal(pidfd, signal.into()),
        None => Err(rustix::io::Errno::NOSYS),
    };
    match sent {
        // All that an old kernel can do: a pid is not given out again for as long as this takes.
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => Ok(kill(pid, Number::from(signal))?),
        sent => Ok(sent?),
    }
}

impl From<Signal> for Number {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::SIGHUP,
            Signal::Terminate => Self::SIGTERM,
            Signal::Kill => Self::SIGKILL,
        }
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
