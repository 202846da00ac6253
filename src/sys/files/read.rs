//! Reading files, and telling by a look whether one is still the same.
//!
//! Nobody is waited for, and nothing without an end is read: what is no regular file is refused by its kind. What cannot be
//! read is a [`FileError`]; a file that is not there is `None`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::error::{FileError, optional, reading};

/// Cheap identity of a file's content: equal stamps, equal bytes (every writer here replaces the file).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file with this state.
    pub fn of(state: &fs::Metadata) -> Self {
        Self {
            device: state.dev(),
            inode: state.ino(),
            size: state.len(),
            modified: (state.mtime(), state.mtime_nsec()),
            changed: (state.ctime(), state.ctime_nsec()),
        }
    }

    /// Whether its bytes were written after those of another.
    pub fn is_later_than(&self, other: &Self) -> bool {
        self.modified > other.modified
    }

    /// A stamp of somebody who counts versions himself.
    pub fn counted(version: u64) -> Self {
        Self { device: 0, inode: version, size: 0, modified: (0, 0), changed: (0, 0) }
    }
}

/// See [`View::read`](crate::sys::View::read).
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let Some(mut file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(reading(path))?;
    Ok(Some(bytes))
}

/// See [`View::end_of`](crate::sys::View::end_of).
pub fn end_of(path: &Path, most: usize) -> Result<Option<Vec<u8>>, FileError> {
    // A log belongs to whoever writes it: root must not be led to another file by it.
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY | nix::libc::O_NOFOLLOW;
    let Ok(mut file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return Ok(None) };
    let state = file.metadata().map_err(reading(path))?;
    if !state.file_type().is_file() || state.nlink() != 1 {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let from = state.len().saturating_sub(most as u64);
    file.seek(io::SeekFrom::Start(from))
        .and_then(|_| file.take(most as u64).read_to_end(&mut bytes))
        .map_err(reading(path))?;
    Ok(Some(bytes))
}

/// Opens a regular file for reading. Whatever else bears the name is refused at once: a FIFO would keep us until somebody
/// writes, a device may never end.
pub(super) fn open_regular(path: &Path) -> Result<Option<File>, FileError> {
    let unblocked = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let (file, state) = match OpenOptions::new().read(true).custom_flags(unblocked).open(path) {
        // open(2): a socket, or a device without a driver.
        Err(e) if e.raw_os_error() == Some(nix::libc::ENXIO) => (None, state(path)?),
        opened => match optional(opened).map_err(reading(path))? {
            None => return Ok(None),
            Some(file) => {
                let state = file.metadata().map_err(reading(path))?;
                (Some(file), Some(state))
            }
        },
    };
    match state.map(|state| state.file_type()) {
        Some(kind) if !kind.is_file() => {
            Err(FileError::Irregular { path: path.to_owned(), kind: named(kind) })
        }
        _ => Ok(file),
    }
}

fn named(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// The state of a file, `None` where there is none.
pub fn state(path: &Path) -> Result<Option<fs::Metadata>, FileError> {
    optional(fs::metadata(path)).map_err(reading(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;
    use crate::sys::files::write;

    #[test]
    fn what_is_no_regular_file_is_refused_by_its_kind_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, socket) = (dir.path().join("fifo"), dir.path().join("socket"));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "a FIFO"),
            (&socket, "a socket"),
            (dir.path(), "a directory"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let why = format!("{} is {kind}, not a regular file", path.display());
            for error in [read(path).map(|_| ()).unwrap_err(), write(path, b"x", 0o600).unwrap_err()] {
                assert_eq!(error.to_string(), why);
            }
        }
    }

    #[test]
    fn the_end_of_a_file_is_read_through_no_link_and_by_no_second_name() {
        let dir = tempfile::tempdir().unwrap();
        let [log, link, name] = ["log", "link", "name"].map(|name| dir.path().join(name));
        fs::write(&log, "one\ntwo\n").unwrap();
        symlink(&log, &link).unwrap();
        assert_eq!(end_of(&log, 4).unwrap(), Some(b"two\n".to_vec()));
        assert_eq!(end_of(&log, 400).unwrap(), Some(b"one\ntwo\n".to_vec()));
        assert_eq!([end_of(&link, 4).unwrap(), end_of(dir.path(), 4).unwrap()], [None, None]);
        fs::hard_link(&log, &name).unwrap();
        assert_eq!([end_of(&log, 4).unwrap(), end_of(&name, 4).unwrap()], [None, None]);
    }
}
