//! The locks of the sandbox: the one that its server holds as long as it lives, and the turn of each command.
//!
//! The server's is a flock on `<DIR>/daemon.lock`, with the pid of its holder in it; a turn is a flock on the directory.
//! Whoever is killed lets go of both, and nothing needs tidying up. Past the wait, a lock that is held is
//! [`DaemonError::Held`] or [`DaemonError::Busy`].

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{DaemonError, LOCK_WAIT};

/// How long nobody looks whether it is free.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(2);

/// One command at a time: what a plugin had begun that was killed meanwhile is over before the next one's command
/// begins, and cannot cross it. `None` where there is no directory.
pub(super) fn take_turn(dir: &Path) -> Result<Option<File>, DaemonError> {
    let failed = |source| DaemonError::Lock { path: dir.to_path_buf(), source };
    let folder = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let begun = Instant::now();
    while !try_lock(&folder).map_err(failed)? {
        if begun.elapsed() >= LOCK_WAIT {
            return Err(DaemonError::Busy { path: dir.to_path_buf() });
        }
        thread::sleep(LOCK_PAUSE);
    }
    Ok(Some(folder))
}

/// The pid in a lock, as it stands there.
pub(super) fn holder(lock: &File) -> io::Result<String> {
    let mut text = [0; 16];
    let length = lock.read_at(&mut text, 0)?;
    Ok(String::from_utf8_lossy(&text[..length]).trim().to_owned())
}

/// An exclusive flock on `path` (made if missing, 0600), with our pid in it.
pub(super) fn take_lock(path: &Path, wait: Duration) -> Result<File, DaemonError> {
    let failed = |source| DaemonError::Lock { path: path.to_path_buf(), source };
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(failed)?;
    let begun = Instant::now();
    loop {
        if try_lock(&file).map_err(failed)? {
            break;
        }
        if begun.elapsed() >= wait {
            let holder = holder(&file).map_err(failed)?;
            return Err(DaemonError::Held { path: path.to_path_buf(), holder });
        }
        thread::sleep(LOCK_PAUSE);
    }
    sign(&file).map_err(failed)?;
    Ok(file)
}

/// Whether nobody else has the lock; then it is ours.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes our pid into it.
pub(super) fn sign(lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.write_all_at(format!("{}\n", process::id()).as_bytes(), 0)
}

/// Whether `file` is what stands at `path`.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let same = |one: Metadata, other: Metadata| (one.dev(), one.ino()) == (other.dev(), other.ino());
    file.metadata().and_then(|one| Ok(same(one, fs::symlink_metadata(path)?))).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::mta::sandbox::LOCK;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("sandbox");
        fs::create_dir_all(&dir).unwrap();
        (root, dir)
    }

    #[test]
    fn a_lock_that_is_free_is_taken_and_signed() {
        let (_root, dir) = place();
        let _lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        assert_eq!(fs::read_to_string(dir.join(LOCK)).unwrap(), format!("{}\n", process::id()));
    }

    #[test]
    fn a_lock_that_is_held_names_its_holder() {
        let (_root, dir) = place();
        let _lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        let error = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", process::id())), "{error}");
    }

    #[test]
    fn a_lock_that_gets_free_is_waited_for() {
        let (_root, dir) = place();
        let lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(30));
            drop(lock);
        });
        assert!(take_lock(&dir.join(LOCK), LOCK_WAIT).is_ok());
    }

    #[test]
    fn a_command_waits_until_the_one_before_it_is_over() {
        let (_root, dir) = place();
        let first = take_turn(&dir).unwrap();
        let second = thread::spawn(move || take_turn(&dir).is_ok_and(|turn| turn.is_some()));
        thread::sleep(Duration::from_millis(30));
        assert!(!second.is_finished());
        drop(first);
        assert!(second.join().unwrap());
    }

    #[test]
    fn where_there_is_no_directory_nobody_waits() {
        assert!(take_turn(Path::new("/nonexistent/sandbox")).unwrap().is_none());
    }

    #[test]
    fn a_lock_file_that_was_replaced_is_not_ours() {
        let (_root, dir) = place();
        let lock = take_lock(&dir.join(LOCK), Duration::ZERO).unwrap();
        fs::rename(dir.join(LOCK), dir.join("old")).unwrap();
        fs::write(dir.join(LOCK), "").unwrap();
        assert!(!is_at(&lock, &dir.join(LOCK)));
    }
}
