//! Folders: made, listed and removed.
//!
//! A folder that was made outlives a power cut, with what is written into it next. What stands in one is known above. A
//! folder that is not there is empty, and removed already; whatever else goes wrong is a [`FileError`].

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::error::{FileError, optional, reading, writing};
use super::write::sync_dir;

/// What stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Folder,
    /// A link, a device, a FIFO, a socket.
    Other,
}

/// See [`Host::make_dir`](crate::sys::Host::make_dir).
pub fn make_dir(path: &Path) -> Result<(), FileError> {
    let vanished = || path.symlink_metadata().is_err() && path.parent().is_some_and(Path::is_dir);
    let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    loop {
        match DirBuilder::new().recursive(true).mode(0o700).create(path) {
            // It was there, and was removed before it could be looked at.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && vanished() => {}
            made => {
                made.map_err(writing(path))?;
                break;
            }
        }
    }
    // A folder that a power cut takes away takes away all that was written into it.
    missing.into_iter().rev().try_for_each(sync_dir).map_err(writing(path))
}

/// See [`Host::make_room`](crate::sys::Host::make_room).
pub fn make_room(path: &Path, mode: u32) -> Result<(), FileError> {
    // Who may read the file may also pass through its folder, whatever our umask says.
    let mode = 0o700 | (mode & 0o044) | ((mode & 0o044) >> 2);
    let missing: Vec<&Path> = path.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(mode)))
            .map_err(writing(folder))?;
    }
    Ok(())
}

/// See [`View::list`](crate::sys::View::list).
pub fn list(path: &Path) -> Result<Vec<Entry>, FileError> {
    let Some(entries) = optional(fs::read_dir(path)).map_err(reading(path))? else { return Ok(Vec::new()) };
    let entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        let kind = entry.file_type()?;
        let kind = match (kind.is_file(), kind.is_dir()) {
            (true, _) => EntryKind::File,
            (_, true) => EntryKind::Folder,
            _ => EntryKind::Other,
        };
        Ok(Entry { name: entry.file_name(), kind })
    };
    let mut found: Vec<Entry> = entries.map(entry).collect::<io::Result<_>>().map_err(reading(path))?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// See [`Host::remove_dir`](crate::sys::Host::remove_dir).
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    optional(fs::remove_dir_all(path)).map_err(writing(path)).map(|_| ())
}

/// See [`Host::remove_empty_dir`](crate::sys::Host::remove_empty_dir).
pub fn remove_empty_dir(path: &Path) -> Result<(), FileError> {
    optional(fs::remove_dir(path)).map_err(writing(path)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_folder_of_a_new_file_is_as_open_as_the_file() {
        for (file, folder) in [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755), (0o755, 0o755)] {
            let dir = tempfile::tempdir().unwrap();
            make_room(&dir.path().join("a/b"), file).unwrap();
            let state = fs::metadata(dir.path().join("a")).unwrap();
            assert_eq!(state.permissions().mode() & 0o7777, folder, "{file:o}");
        }
    }

    #[test]
    fn a_folder_is_listed_by_name_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("b"), "").unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        symlink("/etc", dir.path().join("c")).unwrap();
        let kinds = [EntryKind::Folder, EntryKind::File, EntryKind::Other];
        let wanted: Vec<Entry> =
            ["a", "b", "c"].iter().zip(kinds).map(|(name, kind)| Entry { name: name.into(), kind }).collect();
        assert_eq!(list(dir.path()).unwrap(), wanted);
        assert_eq!(list(&dir.path().join("none")).unwrap(), []);
    }
}
