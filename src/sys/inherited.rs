//! What a host leaves a program to begin with, put right before anything else is done.
//!
//! Answers for: no descriptor above 2 stays open (a socket on which the host listens would stay its own for as long as we
//! live), files are made for their owner alone, SIGCHLD is heard (ignored, it would have the kernel forget how our
//! commands ended), and a file that may not grow any more (`ulimit -f`) is an error instead of the end. Does not know:
//! stdin, stdout and stderr, of which the standard library opens `/dev/null` in place of what is closed.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nix::sys::stat::{Mode, umask};
use signal_hook::consts::{SIGCHLD, SIGXFSZ};

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
    for signal in [SIGCHLD, SIGXFSZ] {
        // Any handler will do: with one the signal is neither ignored nor deadly, and what we execute starts with the
        // default.
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}
