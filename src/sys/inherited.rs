//! What a host leaves a program to begin with, put right before anything else is done.
//!
//! No descriptor above 2 stays open (a socket on which the host listens would stay open for as long as we live), files
//! are made for their owner alone, SIGCHLD is heard (ignored, it would have the kernel forget how our commands ended),
//! and a file that may not grow any more (`ulimit -f`) is an error instead of the end; and what was begun on a terminal
//! outlives it, if asked. Of stdin, stdout and stderr the standard library opens `/dev/null` in place of what is
//! closed. A signal that cannot be set is an error.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::stat::{Mode, umask};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// Puts all of it right. To be called once, before the program opens anything of its own.
///
/// # Errors
/// No handler can be set for the two signals.
pub fn put_right() -> io::Result<()> {
    let inherited: Vec<RawFd> = close_fds::iter_open_fds(3).collect();
    for fd in inherited {
        // One that cannot be closed is gone all the same (close(2)).
        let _ = nix::unistd::close(fd);
    }
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    withstand(&[SIGCHLD, SIGXFSZ])
}

/// From now on a terminal that is dropped, ctrl-C and a request to end do not end us: what has been begun is to be finished.
///
/// # Errors
/// No handler can be set for the signals.
pub fn outlive_terminal() -> io::Result<()> {
    withstand(&[SIGHUP, SIGINT, SIGTERM])
}

/// Any handler will do: with one a signal is neither ignored nor deadly, and what we execute starts with the default.
fn withstand(signals: &[i32]) -> io::Result<()> {
    for signal in signals {
        signal_hook::flag::register(*signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}
