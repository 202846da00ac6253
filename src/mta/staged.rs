//! What a sheet wants to have in files, as data: which file, and what of ours is to stand in it.
//!
//! A sheet writes nothing: `change` makes these edits, keeps what stood there before, and takes them back. Nothing here
//! fails.

use std::path::PathBuf;

/// A file of the MTA's configuration and what of ours is to stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The file.
    pub path: PathBuf,
    /// What of ours.
    pub content: Content,
    /// Permission bits, if the file has to be made.
    pub mode: u32,
    /// The file whose lock the MTA's own tools take before they write this one.
    pub lock: Option<PathBuf>,
}

/// What of ours is to stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A marked block of these lines, beside whatever else is there; `None` is no block.
    Block(Option<String>),
    /// These bytes and nothing else; `None` is no file. What stood there before our first write is kept.
    Whole(Option<Vec<u8>>),
    /// What stood there before our first write.
    Original,
}

/// A file as it would stand after the edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// The file.
    pub path: PathBuf,
    /// Its bytes; `None` when it would be gone.
    pub bytes: Option<Vec<u8>>,
}
