//! Which operation failed on which path, and what helps where that is known.
//!
//! Its number and reason are found above (`mta::of_file`). [`optional`] makes "there is none" a value, since most who look
//! for a file expect that.

use std::io;
use std::path::{Path, PathBuf};

/// Which operation failed on which path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading, or asking for its state.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Writing, renaming or removing.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What can be read only by waiting for somebody, or without an end.
    #[error("{} is {kind}, not a regular file", path.display())]
    Irregular {
        /// What is no regular file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// What cannot be replaced by another file without harm to whoever made it so.
    #[error("{} {why}", path.display())]
    Irreplaceable {
        /// The file.
        path: PathBuf,
        /// What keeps it, and what to do.
        why: &'static str,
    },
    /// Root must not follow a path that somebody else can bend.
    #[error("{} {why}", path.display())]
    Untrusted {
        /// The component of the path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl FileError {
    /// The path that it is about.
    pub fn path(&self) -> &Path {
        match self {
            Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::Irregular { path, .. }
            | Self::Irreplaceable { path, .. }
            | Self::Untrusted { path, .. } => path,
        }
    }

    /// Whether the machine does not let us: permissions, an immutable file, a read-only file system, a disk without room, a
    /// file that must stay what it is.
    pub fn denied(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => {
                use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
                let kind = source.kind();
                matches!(kind, PermissionDenied | ReadOnlyFilesystem | StorageFull | QuotaExceeded)
            }
            Self::Irregular { .. } => false,
            Self::Irreplaceable { .. } | Self::Untrusted { .. } => true,
        }
    }
}

pub(super) fn reading(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    |source| FileError::Read { path, source: advised(source) }
}

pub(super) fn writing(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    |source| FileError::Write { path, source: advised(source) }
}

/// The same error with what to do about it, where that is known.
fn advised(error: io::Error) -> io::Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    let advice = match error.kind() {
        PermissionDenied if !nix::unistd::geteuid().is_root() => "run the plugin as root",
        StorageFull => "make room there and try again",
        QuotaExceeded => "raise the quota or make room there, and try again",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// `None` instead of "there is none".
pub(super) fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}
