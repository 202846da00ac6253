//! Replacing files whole and durably, and taking them away.
//!
//! After [`write()`] returns, the new bytes stand under the name, with owner, mode and extended attributes of what they
//! replaced, also over a power cut; a link stays a link, and what has several names is refused. Whose bytes they are is known
//! above. A write that is cut short leaves the old file whole and at most one file beside it, whose name [`aside`] tells.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{FileError, optional, reading, writing};
use super::read::open_regular;

/// A file with several names, which a new file under one of them would part.
const LINKED: &str = "has other names (hard links), from which a change would part it; make it a file of its own first \
                      (cp -p it, and mv the copy over it)";

/// A file over which another is mounted: rename(2) does not go there.
const MOUNTED: &str = "is a mount of its own (mount --bind), which no new version can replace; mount its folder instead, or \
                       unmount it";

/// Owner and permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The owner's user id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The twelve permission bits.
    pub mode: u32,
}

/// A file of our own: made with mode 0600 where it is missing, and never through a link.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

/// The name under which `path`'s next content is written before it is renamed into place.
pub fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.mail-smtp2"))
}

/// The file that `path` finally names: itself, or the target of the link that it is.
fn target(path: &Path) -> Result<PathBuf, FileError> {
    match fs::canonicalize(path) {
        Ok(target) => Ok(target),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(e) => Err(writing(path)(e)),
    }
}

/// See [`Host::write`](crate::sys::Host::write).
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let target = target(path)?;
    let aside = aside(&target);
    let old = open_regular(&target)?;
    if let Some(old) = &old
        && old.metadata().map_err(reading(path))?.nlink() > 1
    {
        return Err(FileError::Irreplaceable { path: target, why: LINKED });
    }
    let new = private().write(true).truncate(true).open(&aside).map_err(writing(&aside))?;
    let result = fill(&new, old.as_ref(), bytes, mode)
        .and_then(|()| fs::rename(&aside, &target))
        .and_then(|()| sync_dir(&target));
    if result.is_err() {
        // The old file stands; what lies beside it is of no use to anybody.
        let _ = fs::remove_file(&aside);
    }
    result.map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => FileError::Irreplaceable { path: target, why: MOUNTED },
        _ => writing(path)(error),
    })
}

fn fill(mut new: &File, old: Option<&File>, bytes: &[u8], mode: u32) -> io::Result<()> {
    new.write_all(bytes)?;
    let mode = match old {
        Some(old) => {
            let state = old.metadata()?;
            let mine = new.metadata()?;
            if (state.uid(), state.gid()) != (mine.uid(), mine.gid()) {
                fchown(new, Some(state.uid()), Some(state.gid()))?;
            }
            copy_attributes(old, new)?;
            state.mode() & 0o7777
        }
        None => mode,
    };
    new.set_permissions(fs::Permissions::from_mode(mode))?;
    new.sync_all()
}

/// Extended attributes (SELinux labels and ACLs among them) go with the name.
fn copy_attributes(old: &File, new: &File) -> io::Result<()> {
    use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
    let unsupported = |e: rustix::io::Errno| e == rustix::io::Errno::NOTSUP;
    let mut names = vec![0u8; 64 * 1024];
    let length = match flistxattr(old, &mut names[..]) {
        Ok(length) => length,
        Err(e) if unsupported(e) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let mut value = vec![0u8; 64 * 1024];
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let length = fgetxattr(old, name, &mut value[..])?;
        match fsetxattr(new, name, &value[..length], XattrFlags::empty()) {
            Err(e) if !unsupported(e) => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// See [`Host::remove_aside`](crate::sys::Host::remove_aside).
pub fn remove_aside(path: &Path) -> Result<(), FileError> {
    remove(&aside(&target(path)?))
}

/// See [`Host::give`](crate::sys::Host::give).
pub fn give(path: &Path, meta: Meta) -> Result<(), FileError> {
    let file = File::open(path).map_err(writing(path))?;
    // chown(2) may take bits of the mode away.
    fchown(&file, Some(meta.uid), Some(meta.gid))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(meta.mode)))
        .and_then(|()| file.sync_all())
        .map_err(writing(path))
}

/// See [`Host::append`](crate::sys::Host::append).
pub fn append(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let open = private().append(true).open(path);
    open.and_then(|mut file| file.write_all(bytes)).map_err(writing(path))
}

/// See [`Host::rename`](crate::sys::Host::rename).
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).and_then(|()| sync_dir(to)).map_err(writing(to))
}

/// See [`Host::scratch`](crate::sys::Host::scratch).
pub fn scratch(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let open = private().write(true).truncate(true).open(path);
    open.and_then(|mut file| file.write_all(bytes)).map_err(writing(path))
}

/// See [`Host::link`](crate::sys::Host::link).
pub fn link(path: &Path, target: &Path) -> Result<(), FileError> {
    match std::os::unix::fs::symlink(target, path) {
        Err(e)
            if e.kind() == io::ErrorKind::AlreadyExists && fs::read_link(path).is_ok_and(|t| t == target) =>
        {
            Ok(())
        }
        result => result.map_err(writing(path)),
    }
}

/// See [`Host::remove`](crate::sys::Host::remove).
pub fn remove(path: &Path) -> Result<(), FileError> {
    match optional(fs::remove_file(path)).map_err(writing(path))? {
        Some(()) => sync_dir(path).map_err(writing(path)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_new_file_gets_the_mode_that_was_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"x", 0o640).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"x".to_vec(), 0o640));
    }

    #[test]
    fn a_replaced_file_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o604));
    }

    #[test]
    fn a_link_stays_a_link_and_its_target_is_replaced_in_its_own_directory() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, real) = (dir.path().join("a"), other.path().join("real"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        write(&link, b"new", 0o600).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn a_file_is_given_its_owner_and_mode_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"x", 0o644).unwrap();
        let state = fs::metadata(&path).unwrap();
        give(&path, Meta { uid: state.uid(), gid: state.gid(), mode: 0o2604 }).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"x".to_vec(), 0o2604));
    }

    #[test]
    fn nothing_is_left_beside_a_written_file() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a"), b"x", 0o600).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn extended_attributes_are_kept() {
        use rustix::fs::{XattrFlags, getxattr, setxattr};
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "old").unwrap();
        if setxattr(&path, "user.note", b"kept", XattrFlags::empty()).is_err() {
            return; // a file system without them has none to lose
        }
        write(&path, b"new", 0o600).unwrap();
        let mut value = [0u8; 16];
        let length = getxattr(&path, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"kept");
    }

    #[test]
    fn what_a_write_through_a_link_may_leave_is_removed_where_it_lies() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, real) = (dir.path().join("a"), other.path().join("real"));
        fs::write(&real, "old").unwrap();
        fs::write(aside(&real), "cut short").unwrap();
        symlink(&real, &link).unwrap();
        remove_aside(&link).unwrap();
        assert!(real.exists() && !aside(&real).exists());
    }
}
