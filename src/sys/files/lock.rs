//! Locks by flock(2): the one that all plugins of a machine share, and those of other programs' editing protocols.
//!
//! A lock is held as long as its value lives, or its process; who holds it, and what for, can be told without taking it. What
//! is done under it is known above. Whoever waits too long is told the holder ([`LockError`]).

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::{FileError, optional, reading, writing};
use super::folder::make_dir;
use super::read::state;
use super::write::private;

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("the lock is held by {}", holder.map_or("another process".into(), |pid| format!("process {pid}")))]
    Held {
        /// Its holder's pid.
        holder: Option<i32>,
        /// What its holder has noted ([`Lock::note`]).
        note: Option<String>,
    },
    /// It could not be opened.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A file with an exclusive `flock` on it, which is let go when this is dropped.
#[derive(Debug)]
struct Locked(File);

impl Locked {
    /// Locks `file` at once; `Err` gives it back where somebody else has locked it.
    fn take(file: File) -> io::Result<Result<Self, File>> {
        match file.try_lock() {
            Ok(()) => Ok(Ok(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(Err(file)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The file is closed next, which lets go of it, too, unless a child that is just being started still has it.
        let _ = self.0.unlock();
    }
}

/// How much of a lock's file is read, in bytes.
const NOTE: u64 = 256;

/// A lock that is held as long as this lives.
#[derive(Debug)]
pub struct Lock(Option<Locked>);

impl Lock {
    /// A lock on nothing, for hosts that are recordings.
    pub fn unneeded() -> Self {
        Self(None)
    }

    /// Writes down, for whoever has to wait, what it is held for. Without it all is well, too.
    pub fn note(&self, text: &str) {
        if let Some(Locked(file)) = &self.0 {
            let mut file = file;
            // Behind the pid; a line, so that one that is read while it is written is none.
            if let Err(error) = file.write_all(format!("{text}\n").as_bytes()) {
                tracing::debug!(%error, "the lock has no note");
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(Locked(file)) = &self.0 {
            // So that one look at the file tells that nobody has it; what a killed holder has noted stays.
            let _ = file.set_len(0);
        }
    }
}

/// Who has a lock, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockHolder {
    /// Its process; `None` if nobody has it any more who could let go of it.
    pub pid: Option<i32>,
    /// What it has written down beside its pid.
    pub note: Option<String>,
}

/// See [`View::lock_holder`](crate::sys::View::lock_holder).
pub fn lock_holder(path: &Path) -> Result<Option<LockHolder>, FileError> {
    // Nearly always nobody has it, and panels ask often.
    if optional(fs::metadata(path)).map_err(reading(path))?.is_none_or(|state| state.len() == 0) {
        return Ok(None);
    }
    let Some(file) = optional(File::open(path)).map_err(reading(path))? else { return Ok(None) };
    Ok(Some(held_by(&file).0))
}

/// See [`Host::lock`](crate::sys::Host::lock).
pub fn lock(path: &Path, wait: Duration) -> Result<Lock, LockError> {
    let until = Instant::now() + wait;
    loop {
        let waits = Instant::now() < until;
        path.parent().map_or(Ok(()), make_dir)?;
        let file = match private().read(true).write(true).truncate(false).open(path) {
            // Its last holder has just removed the folder that we made sure of.
            Err(e) if e.kind() == io::ErrorKind::NotFound && waits => continue,
            opened => opened.map_err(writing(path))?,
        };
        match Locked::take(file).map_err(writing(path))? {
            // Its last holder may have removed the file between our opening and our locking it.
            Ok(held) if !is_named(&held.0, path)? => {}
            Ok(held) => {
                held.0.set_len(0).map_err(writing(path))?;
                let pid = std::process::id();
                (&held.0).write_all(format!("{pid}\n").as_bytes()).map_err(writing(path))?;
                return Ok(Lock(Some(held)));
            }
            Err(_) if waits => std::thread::sleep(Duration::from_millis(5)),
            Err(file) => {
                let (LockHolder { pid, note }, noted) = held_by(&file);
                return Err(LockError::Held { holder: pid.or(noted), note });
            }
        }
    }
}

/// A lock of another program's editing protocol, held as long as this lives.
#[derive(Debug)]
pub struct EditLock(Option<(Locked, PathBuf)>);

impl EditLock {
    /// A lock on nothing, for hosts that are recordings.
    pub fn unneeded() -> Self {
        Self(None)
    }
}

impl Drop for EditLock {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.0 {
            // Before the lock is let go: whoever waits for it sees that the name is another file's now.
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether `file` is still what `path` names.
fn is_named(file: &File, path: &Path) -> Result<bool, FileError> {
    let ours = file.metadata().map_err(reading(path))?;
    Ok(state(path)?.is_some_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())))
}

/// See [`Host::edit_lock`](crate::sys::Host::edit_lock).
pub fn edit_lock(path: &Path, wait: Duration) -> Result<Option<EditLock>, FileError> {
    let until = Instant::now() + wait;
    loop {
        let is_made = optional(fs::symlink_metadata(path)).map_err(reading(path))?.is_none();
        let file = private().write(true).truncate(false).open(path).map_err(writing(path))?;
        let taken = Locked::take(file).inspect_err(|_| {
            // Nobody keeps it, and whoever finds it takes it for somebody's work.
            if is_made {
                let _ = fs::remove_file(path);
            }
        });
        match taken.map_err(writing(path))? {
            Ok(held) => {
                // Its last holder may have removed or renamed the file between our opening and our locking it.
                if is_named(&held.0, path)? {
                    return Ok(Some(EditLock(Some((held, path.to_owned())))));
                }
            }
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => return Ok(None),
        }
    }
}

/// Who holds a flock on `file`, from `/proc/locks` (proc(5)): what the file itself says may be its last holder's.
fn flock_holder(file: &File) -> Option<i32> {
    let inode = file.metadata().ok()?.ino().to_string();
    fs::read_to_string("/proc/locks").ok()?.lines().find_map(|line| {
        // `1: FLOCK ADVISORY WRITE 708 00:13:15012 0 EOF`; the device is left out, for some file systems name another
        // one there than stat does.
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        if place.rsplit(':').next() != Some(&inode) {
            return None;
        }
        pid.parse().ok().filter(|pid| *pid > 0)
    })
}

/// Who has the lock `file`, and the pid that is noted in it.
fn held_by(file: &File) -> (LockHolder, Option<i32>) {
    let (noted, note) = noted(file);
    let pid = flock_holder(file);
    // What another one has noted says nothing of this one.
    let note = note.filter(|_| pid.is_none() || pid == noted);
    (LockHolder { pid, note }, noted)
}

/// The pid and the note in a lock.
fn noted(file: &File) -> (Option<i32>, Option<String>) {
    let mut bytes = Vec::new();
    let read = file.take(NOTE).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    let pid = read.ok().and_then(|_| lines.next()?.parse().ok());
    (pid, lines.next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    #[test]
    fn a_held_lock_says_what_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let note = || match lock(&path, Duration::ZERO) {
            Err(LockError::Held { note, .. }) => note,
            other => panic!("{other:?}"),
        };
        let held = lock(&path, Duration::ZERO).unwrap();
        assert_eq!(note(), None);
        held.note("start now");
        assert_eq!(note().as_deref(), Some("start now"));
        fs::write(&path, "1\nstop once\n").unwrap();
        assert_eq!(note(), None, "the note of another one");
    }

    #[test]
    fn a_held_lock_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = lock(&path, Duration::ZERO).unwrap();
        match lock(&path, Duration::from_millis(20)) {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, Some(std::process::id() as i32)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_dropped_lock_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        drop(lock(&path, Duration::ZERO).unwrap());
        assert!(lock(&path, Duration::ZERO).is_ok());
    }

    /// A file in which no lock can be taken or let go: flock(2) knows no descriptor that was opened with `O_PATH`.
    fn unlockable(path: &Path) -> File {
        OpenOptions::new().read(true).custom_flags(nix::libc::O_PATH).open(path).unwrap()
    }

    #[test]
    fn a_lock_that_cannot_be_let_go_is_free_when_its_file_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut held = lock(&path, Duration::ZERO).unwrap();
        held.0.as_mut().unwrap().0 = unlockable(&path);
        drop(held);
        assert!(lock(&path, Duration::ZERO).is_ok());
    }

    #[test]
    fn who_has_a_lock_is_told_without_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert_eq!(lock_holder(&path).unwrap(), None);
        let held = lock(&path, Duration::ZERO).unwrap();
        held.note("start 2026-11-28T09:30:12Z");
        let (pid, note) =
            (Some(std::process::id().cast_signed()), Some("start 2026-11-28T09:30:12Z".to_owned()));
        assert_eq!(lock_holder(&path).unwrap(), Some(LockHolder { pid, note }));
        drop(held);
        assert_eq!(lock_holder(&path).unwrap(), None);
    }

    #[test]
    fn what_a_killed_holder_has_noted_is_told_as_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "4194303\nstart 2026-11-28T09:30:12Z\n").unwrap();
        let note = Some("start 2026-11-28T09:30:12Z".to_owned());
        assert_eq!(lock_holder(&path).unwrap(), Some(LockHolder { pid: None, note }));
    }

    #[test]
    fn an_editing_lock_that_cannot_be_let_go_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let mut held = edit_lock(&path, Duration::ZERO).unwrap().unwrap();
        held.0.as_mut().unwrap().0.0 = unlockable(&path);
        drop(held);
        assert!(!path.exists());
    }

    /// Whether who waits for the lock at `path` gets it there when its holder has removed it.
    #[track_caller]
    fn is_taken_anew(path: &Path, remove: impl FnOnce()) {
        let first = lock(path, Duration::ZERO).unwrap();
        let waiting = std::thread::spawn({
            let path = path.to_owned();
            move || lock(&path, Duration::from_secs(20))
        });
        std::thread::sleep(Duration::from_millis(20));
        remove();
        drop(first);
        let _second = waiting.join().unwrap().unwrap();
        assert!(matches!(lock(path, Duration::ZERO), Err(LockError::Held { .. })));
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_taken_on_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        is_taken_anew(&path, || fs::remove_file(&path).unwrap());
    }

    #[test]
    fn a_lock_whose_folder_was_removed_is_taken_in_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run");
        // In one step: whoever waits makes it anew.
        is_taken_anew(&folder.join("lock"), || fs::rename(&folder, dir.path().join("removed")).unwrap());
    }
}
