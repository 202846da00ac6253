//! The template of a service directory: what stands in it.
//!
//! It reads regular files with their modes, a few levels deep and of a bounded size, root's alone, and `run` among
//! them. Where they are going to stand is `alternate`'s. What a supervisor has written into it, and a file `down`, are
//! no part of it; a link or a device is an error, and the template is not used.

use std::path::{Path, PathBuf};

use super::run::{self, SUPERVISE};
use crate::mta::sheet::MtaError;
use crate::sys::{EntryKind, View};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// How deep a template goes.
const LEVELS: usize = 4;
/// How large all its files are together, in bytes.
const SIZE: usize = 1 << 20;

/// A file of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where, below the template.
    pub path: PathBuf,
    /// Its permission bits.
    pub mode: u32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads a template.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(host: &dyn View, template: &Path) -> Result<Vec<File>, MtaError> {
    let unfit = |what: String| {
        MtaError::Cannot(Reason::SetupUnsupported, format!("the template {} {what}", template.display()))
    };
    let mut files = Vec::new();
    let mut size = 0;
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in host.list(&template.join(&folder))? {
            let path = folder.join(&entry.name);
            match entry.kind {
                EntryKind::Folder if entry.name == SUPERVISE => {}
                EntryKind::File if path == Path::new("down") => {}
                EntryKind::Folder if path.components().count() < LEVELS => folders.push(path),
                EntryKind::Folder => return Err(unfit(format!("is more than {LEVELS} levels deep"))),
                EntryKind::File => {
                    let there = template.join(&path);
                    run::trusted(host, &there)?;
                    let mode = host.meta(&there)?.map_or(0o600, |meta| meta.mode);
                    let bytes = host.read(&there)?.unwrap_or_default();
                    size += bytes.len();
                    if size > SIZE {
                        return Err(unfit(format!("holds more than {SIZE} bytes")));
                    }
                    files.push(File { path, mode, bytes });
                }
                EntryKind::Other => {
                    let path = printable(path.as_os_str().as_encoded_bytes());
                    return Err(unfit(format!("holds {path}, which is neither a file nor a folder")));
                }
            }
        }
    }
    match files.iter().find(|file| file.path == Path::new("run")) {
        None => Err(unfit("has no file run".to_owned())),
        Some(run) if !run::is_executable(run.mode) => {
            Err(unfit("has a file run that cannot be executed".to_owned()))
        }
        Some(_) => Ok(files),
    }
}
