//! Files that are replaced whole and durably, the lock, and what makes a path trustworthy to root.
//!
//! Answers for: after `write` returns, the new bytes stand under the name, with owner, mode and extended attributes
//! of what they replaced, also over a power cut; a link stays a link, and what has several names is refused. Does not know: whose bytes they are. A write
//! that is cut short leaves the old file whole and at most one file beside it, whose name [`aside`] tells.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

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

/// A file with several names, which a new file under one of them would part.
const LINKED: &str = "has other names (hard links), from which a change would part it; make it a file of its own first \
                      (cp -p it, and mv the copy over it)";
/// A file over which another is mounted: rename(2) does not go there.
const MOUNTED: &str = "is a mount of its own (mount --bind), which no new version can replace; mount its folder instead, or \
                       unmount it";

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

/// A file with an exclusive `flock` on it, which is let go when this is dropped.
#[derive(Debug)]
struct Locked(File);

impl Locked {
    /// Locks `file` at once; `Err` gives it back where somebody else has locked it.
    fn take(file: File) -> io::Result<Result<Self, File>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Ok(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Err(file)),
            Err(e) => Err(e.into()),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // The file is closed next, which lets go of it, too, unless a child that is just being started still has it.
        let _ = flock(&self.0, FlockOperation::Unlock);
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

/// See [`View::lock_holder`](super::View::lock_holder).
pub fn lock_holder(path: &Path) -> Result<Option<LockHolder>, FileError> {
    // Nearly always nobody has it, and panels ask often.
    if optional(fs::metadata(path)).map_err(reading(path))?.is_none_or(|state| state.len() == 0) {
        return Ok(None);
    }
    let Some(file) = optional(File::open(path)).map_err(reading(path))? else { return Ok(None) };
    Ok(Some(held_by(&file).0))
}

fn reading(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    |source| FileError::Read { path, source: advised(source) }
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    |source| FileError::Write { path, source: advised(source) }
}

/// The same error with what to do about it, where that is known.
fn advised(error: io::Error) -> io::Error {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    let advice = match error.kind() {
        PermissionDenied if !rustix::process::geteuid().is_root() => "run the plugin as root",
        StorageFull => "make room there and try again",
        QuotaExceeded => "raise the quota or make room there, and try again",
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {advice}"))
}

/// A file of our own: made with mode 0600 where it is missing, and never through a link.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

/// `None` instead of "there is none".
fn optional<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(e),
    }
}

/// See [`View::read`](super::View::read).
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let Some(mut file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(reading(path))?;
    Ok(Some(bytes))
}

/// See [`View::end_of`](super::View::end_of).
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
fn open_regular(path: &Path) -> Result<Option<File>, FileError> {
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

/// See [`Host::write`](super::Host::write).
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

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// See [`Host::remove_aside`](super::Host::remove_aside).
pub fn remove_aside(path: &Path) -> Result<(), FileError> {
    remove(&aside(&target(path)?))
}

/// See [`Host::give`](super::Host::give).
pub fn give(path: &Path, meta: Meta) -> Result<(), FileError> {
    let file = File::open(path).map_err(writing(path))?;
    // chown(2) may take bits of the mode away.
    fchown(&file, Some(meta.uid), Some(meta.gid))
        .and_then(|()| file.set_permissions(fs::Permissions::from_mode(meta.mode)))
        .and_then(|()| file.sync_all())
        .map_err(writing(path))
}

/// See [`Host::append`](super::Host::append).
pub fn append(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let open = private().append(true).open(path);
    open.and_then(|mut file| file.write_all(bytes)).map_err(writing(path))
}

/// See [`Host::rename`](super::Host::rename).
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).and_then(|()| sync_dir(to)).map_err(writing(to))
}

/// See [`Host::scratch`](super::Host::scratch).
pub fn scratch(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let open = private().write(true).truncate(true).open(path);
    open.and_then(|mut file| file.write_all(bytes)).map_err(writing(path))
}

/// See [`Host::link`](super::Host::link).
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

/// See [`Host::remove`](super::Host::remove).
pub fn remove(path: &Path) -> Result<(), FileError> {
    match optional(fs::remove_file(path)).map_err(writing(path))? {
        Some(()) => sync_dir(path).map_err(writing(path)),
        None => Ok(()),
    }
}

/// See [`Host::make_dir`](super::Host::make_dir).
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

/// See [`Host::make_room`](super::Host::make_room).
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

/// See [`View::list`](super::View::list).
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

/// See [`Host::remove_dir`](super::Host::remove_dir).
pub fn remove_dir(path: &Path) -> Result<(), FileError> {
    optional(fs::remove_dir_all(path)).map_err(writing(path)).map(|_| ())
}

/// See [`Host::remove_empty_dir`](super::Host::remove_empty_dir).
pub fn remove_empty_dir(path: &Path) -> Result<(), FileError> {
    optional(fs::remove_dir(path)).map_err(writing(path)).map(|_| ())
}

/// See [`Host::lock`](super::Host::lock).
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

/// See [`Host::edit_lock`](super::Host::edit_lock).
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

/// See [`Host::feed`](super::Host::feed).
pub fn feed(fifo: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let Some(mut file) = ear(fifo)? else { return Ok(false) };
    if !bytes.is_empty() {
        file.write_all(bytes).map_err(writing(fifo))?;
    }
    Ok(true)
}

/// See [`View::unread`](super::View::unread).
pub fn unread(fifo: &Path) -> Result<bool, FileError> {
    let Some(file) = ear(fifo)? else { return Ok(false) };
    // ioctl(FIONREAD), pipe(7): either end may ask.
    Ok(rustix::io::ioctl_fionread(&file).map_err(|e| reading(fifo)(e.into()))? > 0)
}

/// The near end of a FIFO that somebody reads.
fn ear(fifo: &Path) -> Result<Option<File>, FileError> {
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = match open(fifo, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // fifo(7): nobody has it open for reading.
        Err(Errno::ENXIO | Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(e) => return Err(writing(fifo)(e.into())),
    };
    // Whatever else bears the name is nobody's ear.
    Ok(file.metadata().map_err(reading(fifo))?.file_type().is_fifo().then_some(file))
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

/// Whether root may rely on `path`: it and all its parents belong to root, nobody else may write them (sticky
/// directories pass as parents), and none of them is a link. What does not exist yet is not judged.
///
/// # Errors
/// [`FileError::Untrusted`] with the component that is wrong.
pub fn trusted(path: &Path) -> Result<(), FileError> {
    for (depth, part) in path.ancestors().filter(|p| !p.as_os_str().is_empty()).enumerate() {
        let Some(state) = optional(fs::symlink_metadata(part)).map_err(reading(part))? else { continue };
        let sticky_parent = depth > 0 && state.mode() & 0o1000 != 0;
        let why = if state.file_type().is_symlink() {
            "is a symbolic link"
        } else if state.uid() != 0 {
            "does not belong to root"
        } else if state.mode() & 0o022 != 0 && !sticky_parent {
            "may be written by others than root"
        } else {
            continue;
        };
        return Err(FileError::Untrusted { path: part.to_owned(), why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

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

    #[test]
    fn the_folder_of_a_new_file_is_as_open_as_the_file() {
        for (file, folder) in [(0o600, 0o700), (0o640, 0o750), (0o644, 0o755), (0o755, 0o755)] {
            let dir = tempfile::tempdir().unwrap();
            make_room(&dir.path().join("a/b"), file).unwrap();
            assert_eq!(mode(&dir.path().join("a")), folder, "{file:o}");
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

    #[test]
    fn a_link_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        symlink("/etc", &link).unwrap();
        assert!(matches!(trusted(&link), Err(FileError::Untrusted { .. })));
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(trusted(&dir.path().join("state")).is_err());
    }
}
