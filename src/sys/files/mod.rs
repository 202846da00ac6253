//! Files: read, replaced whole and durably, locked, and judged by whether root may trust their paths.
//!
//! Each file here has one of these subjects; whose bytes the files hold, and what they mean, is known above. A failure names
//! the operation and the path ([`FileError`]).

mod error;
mod fifo;
mod folder;
mod lock;
mod read;
mod trust;
mod write;

pub use error::FileError;
pub use fifo::{feed, unread};
pub use folder::{Entry, EntryKind, list, make_dir, make_room, remove_dir, remove_empty_dir};
pub use lock::{EditLock, Lock, LockError, LockHolder, edit_lock, lock, lock_holder};
pub use read::{Stamp, end_of, read, state};
pub use trust::trusted;
pub use write::{Meta, append, aside, give, link, remove, remove_aside, rename, scratch, write};
