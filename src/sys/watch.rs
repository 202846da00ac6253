//! What can end a session from outside: a signal, the parent's death, a stdout that nobody reads any more.
//!
//! Each is noticed without looking at the clock again and again; what is to be done about it is `transport`'s. The parent is
//! watched by its pid (`PR_SET_PDEATHSIG` fires when the thread ends that spawned us, not the process); a parent that is
//! gone before we look is not watched.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::pidfd;

/// Why the session is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM, SIGINT or SIGHUP: an orderly end is asked for.
    Asked,
    /// Nobody is there any more to answer to.
    HungUp,
}

/// The three things, watched.
#[derive(Debug)]
pub struct Watch {
    signals: SignalFd,
    parent: Option<OwnedFd>,
    output: OwnedFd,
}

impl Watch {
    /// Blocks the three signals for this thread and all that it will start, and begins to watch. To be called
    /// before any other thread exists.
    ///
    /// # Errors
    /// The kernel refuses a signalfd, or `output` cannot be duplicated.
    pub fn start(output: BorrowedFd<'_>) -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { signals, parent: parent(), output: output.try_clone_to_owned()? })
    }

    /// Waits until one of the three happens.
    pub fn wait(&self) -> Ending {
        loop {
            if let (Some(ending), _) = self.poll(None, PollTimeout::NONE) {
                return ending;
            }
        }
    }

    /// Waits until one of the three happens, or something (an end, too) can be read from `input`: then `None`.
    pub fn wait_or_input(&self, input: BorrowedFd<'_>) -> Option<Ending> {
        loop {
            match self.poll(Some(input), PollTimeout::NONE) {
                (_, true) => return None,
                (Some(ending), false) => return Some(ending),
                (None, false) => {}
            }
        }
    }

    /// Whether nobody is there any more, waiting for the news at most `milliseconds`: a dying parent's pipes close
    /// a moment before it counts as dead.
    pub fn hung_up_within(&self, milliseconds: u8) -> bool {
        self.poll(None, PollTimeout::from(milliseconds)).0 == Some(Ending::HungUp)
    }

    /// What has happened, and whether `input` can be read.
    fn poll(&self, input: Option<BorrowedFd<'_>>, timeout: PollTimeout) -> (Option<Ending>, bool) {
        let hang_up = self.parent.iter().map(|parent| PollFd::new(parent.as_fd(), PollFlags::POLLIN));
        let input = input.map(|input| PollFd::new(input, PollFlags::POLLIN));
        let mut watched = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            // No event is asked for: an error or a hang-up is reported all the same.
            PollFd::new(self.output.as_fd(), PollFlags::empty()),
        ];
        watched.extend(hang_up);
        let hung_up = 1..watched.len();
        watched.extend(input);
        match poll(&mut watched, timeout) {
            Ok(0) | Err(nix::errno::Errno::EINTR) => return (None, false),
            Ok(_) => {}
            // Without poll there is no watching, and an unwatched session must not go on for ever.
            Err(_) => return (Some(Ending::HungUp), false),
        }
        let fired = |fd: &PollFd<'_>| fd.any().unwrap_or(false);
        let ending = if watched[hung_up.clone()].iter().any(fired) {
            Some(Ending::HungUp)
        } else {
            fired(&watched[0]).then_some(Ending::Asked)
        };
        (ending, watched[hung_up.end..].iter().any(fired))
    }
}

fn parent() -> Option<OwnedFd> {
    let pid = nix::unistd::getppid();
    // Pid 1 never ends before us; being its child means that the real parent is gone already. 0 is one that we cannot see.
    if pid.as_raw() <= 1 {
        return None;
    }
    pidfd::end_of(pid).ok()
}
