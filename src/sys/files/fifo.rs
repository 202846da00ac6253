//! FIFOs, through which supervisors are told: written without ever waiting, and only where somebody reads.
//!
//! What the bytes mean is known above. Where nobody reads, or the name is no FIFO's, that is an answer; whatever else goes
//! wrong is a [`FileError`].

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::error::{FileError, reading, writing};

/// See [`Host::feed`](crate::sys::Host::feed).
pub fn feed(fifo: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let Some(mut file) = writer(fifo)? else { return Ok(false) };
    if !bytes.is_empty() {
        file.write_all(bytes).map_err(writing(fifo))?;
    }
    Ok(true)
}

/// See [`View::unread`](crate::sys::View::unread).
pub fn unread(fifo: &Path) -> Result<bool, FileError> {
    let Some(file) = writer(fifo)? else { return Ok(false) };
    // ioctl(FIONREAD), pipe(7): either end may ask.
    Ok(rustix::io::ioctl_fionread(&file).map_err(|e| reading(fifo)(e.into()))? > 0)
}

/// The near end of a FIFO that somebody reads.
fn writer(fifo: &Path) -> Result<Option<File>, FileError> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match open(fifo, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // fifo(7): nobody has it open for reading.
        Err(Errno::ENXIO | Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(e) => return Err(writing(fifo)(e.into())),
    };
    // Whatever else bears the name is no FIFO that somebody reads.
    Ok(file.metadata().map_err(reading(fifo))?.file_type().is_fifo().then_some(file))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Read;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_fifo_that_nobody_reads_or_that_is_none_takes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, file) = (dir.path().join("control"), dir.path().join("file"));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        fs::write(&file, "").unwrap();
        for path in [&fifo, &file, &dir.path().join("nothing")] {
            assert!(!feed(path, b"u").unwrap(), "{}", path.display());
        }
        assert_eq!(fs::read(&file).unwrap(), b"");
    }

    #[test]
    fn what_is_fed_arrives_where_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("control");
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let mut reader =
            OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&fifo).unwrap();
        assert!(feed(&fifo, b"").unwrap() && feed(&fifo, b"du").unwrap());
        let mut letters = [0; 4];
        assert_eq!((reader.read(&mut letters).unwrap(), &letters[..2]), (2, &b"du"[..]));
    }

    #[test]
    fn what_was_fed_is_unread_until_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("control");
        assert!(!unread(&fifo).unwrap());
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        assert!(!unread(&fifo).unwrap());
        let mut reader =
            OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&fifo).unwrap();
        // Supervisors hold the other end, too: without any, what was written would be gone.
        let _kept = OpenOptions::new().write(true).open(&fifo).unwrap();
        assert!(!unread(&fifo).unwrap());
        feed(&fifo, b"du").unwrap();
        assert!(unread(&fifo).unwrap());
        reader.read_exact(&mut [0; 2]).unwrap();
        assert!(!unread(&fifo).unwrap());
    }
}
