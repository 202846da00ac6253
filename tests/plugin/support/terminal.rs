//! A terminal for the program to run on.

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

/// Its front, screen and keyboard, and its back, which programs have as their descriptors. What comes out in front ends
/// when nobody has the back open any more.
pub(crate) struct Terminal {
    pub(crate) front: File,
    pub(crate) back: File,
}

impl Terminal {
    /// Close-on-exec from the first instant, unlike `openpty`'s: a child that another test starts just then would hold it
    /// open as long as it lives.
    pub(crate) fn open() -> Self {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits());
        let back = options.open(ptsname_r(&master).unwrap()).unwrap();
        Self { front: OwnedFd::from(master).into(), back }
    }
}
