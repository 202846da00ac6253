//! The files that a change writes: each as it is, and as it is to be after each phase.
//!
//! Works out the bytes from a sheet's edits (a marked block, a whole file, what stood there before), writes them if the file
//! still is as it was read, and keeps what somebody else had edited of ours. Fails before it writes where a mark has lost
//! its partner, and with [`ChangeError::Moved`] where somebody has written meanwhile.

use std::path::{Path, PathBuf};

use super::block;
use super::error::ChangeError;
use super::journal::{OldBlock, OldFile, Planned, decode, hash};
use super::settings::Settings;
use crate::mta::{Alternate, Content, Edit, Goal, Staged, Warning, WarningKind};
use crate::sys::{Deadline, EditLock, Host, Meta};
use crate::wire::reason::Reason;

/// Where blocks are kept that somebody else had edited, below the state directory.
pub(super) const EDITED: &str = "edited";

/// A file of the configuration, before and after each phase.
#[derive(Debug)]
pub(super) struct File {
    /// Where.
    pub(super) path: PathBuf,
    mode: u32,
    lock: Option<PathBuf>,
    /// Whose it was before us and with which mode, where one of ours would have others.
    pub(super) owner: Option<Meta>,
    /// Whether all of it is ours, or a marked block.
    pub(super) whole: bool,
    /// Its bytes now.
    pub(super) old: Option<Vec<u8>>,
    /// Its bytes after each phase.
    new: Vec<Option<Vec<u8>>>,
}

/// Whether anything outside the state directory was written or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Not yet.
    Nothing,
    /// It may have been.
    Something,
}

impl File {
    /// Leaves it as it is in the phases before this one that have not been decided.
    fn keep(&mut self, phase: usize) {
        while self.new.len() < phase {
            let now = self.new.last().unwrap_or(&self.old).clone();
            self.new.push(now);
        }
    }

    /// Whether it is going to be written at all.
    pub(super) fn changes(&self) -> bool {
        self.new.iter().any(|new| *new != self.old)
    }

    /// In how many phases it is written.
    pub(super) fn writes(&self) -> u64 {
        let before = std::iter::once(&self.old).chain(&self.new);
        let written = before.zip(&self.new).filter(|(before, new)| before != new);
        written.map(|_| 1).sum()
    }

    /// Whether it was not there and is going to be wholly ours.
    pub(super) fn is_made(&self) -> bool {
        self.whole && self.old.is_none() && self.changes()
    }

    /// What the intent has to say of it.
    ///
    /// # Errors
    /// [`ChangeError::Marks`].
    pub(super) fn planned(&self, is_ours: Option<block::IsOurs>) -> Result<Planned, ChangeError> {
        let old = self.old.as_deref();
        let (path, lock, mode, owner) = (self.path.clone(), self.lock.clone(), self.mode, self.owner);
        let new = self.new.iter().map(|new| hash(new.as_deref())).collect();
        if self.whole {
            let whole = Some(OldFile::new(old));
            return Ok(Planned { path, lock, old: hash(old), new, blocks: Vec::new(), whole, mode, owner });
        }
        let bytes = old.unwrap_or_default();
        let found = block::find(bytes, is_ours).map_err(|source| self.marks(source))?;
        let pieces = found.into_iter().flat_map(|found| found.pieces);
        let blocks = pieces.map(|piece| OldBlock::new(piece.start, &bytes[piece])).collect();
        Ok(Planned { path, lock, old: hash(old), new, blocks, whole: None, mode, owner })
    }

    fn marks(&self, source: block::Unpaired) -> ChangeError {
        ChangeError::Marks { path: self.path.clone(), source }
    }

    /// The bytes of ours in it, if they are none of what `written` says that we may have written.
    fn edited(
        &self,
        written: &[&Content],
        before: &Settings,
        is_ours: Option<block::IsOurs>,
    ) -> Result<Option<Vec<u8>>, ChangeError> {
        let old = self.old.as_deref().unwrap_or_default();
        let (now, kept) = if self.whole {
            if !before.saved.contains_key(&self.path) || self.old.is_none() {
                return Ok(None);
            }
            (old.to_vec(), old.to_vec())
        } else {
            let found = block::find(old, is_ours).map_err(|source| self.marks(source))?;
            let Some(found) = found else { return Ok(None) };
            (found.text(old).into_bytes(), found.bytes(old))
        };
        let is_now = |content: &&Content| match content {
            Content::Block(Some(lines)) => lines.as_bytes() == now,
            Content::Whole(Some(bytes)) => *bytes == now,
            Content::Block(None) | Content::Whole(None) | Content::Original => false,
        };
        // A value that this state of the service does not ask for is as it was left.
        let as_written = written.is_empty() && self.whole || written.iter().any(is_now);
        Ok((!as_written).then_some(kept))
    }

    /// Whether the block that stands in it is the one of these edits.
    pub(super) fn has_block_of(&self, edits: &[Edit], is_ours: Option<block::IsOurs>) -> bool {
        let old = self.old.as_deref().unwrap_or_default();
        let Ok(Some(found)) = block::find(old, is_ours) else { return false };
        let block = Content::Block(Some(found.text(old)));
        edits.iter().any(|edit| edit.path == self.path && edit.content == block)
    }

    /// The file as it will be, for the mail server's own check.
    pub(super) fn staged(&self) -> Staged {
        Staged { path: self.path.clone(), bytes: self.new.last().cloned().flatten() }
    }

    /// Writes the file as it is to be in this phase, if it still is as we believe.
    pub(super) fn apply(
        &self,
        host: &dyn Host,
        phase: usize,
        wrote: &mut Wrote,
        deadline: Deadline,
    ) -> Result<(), ChangeError> {
        let believed = if phase == 0 { &self.old } else { &self.new[phase - 1] };
        let new = &self.new[phase];
        if new == believed {
            return Ok(());
        }
        let _lock = edit_lock(host, self.lock.as_deref(), deadline)?;
        if host.read(&self.path)? != *believed {
            return Err(ChangeError::Moved { path: self.path.clone() });
        }
        let result = put(host, &self.path, new.as_deref(), self.mode, self.owner);
        // A write that failed before the file was replaced has changed nothing.
        if result.is_ok() || host.read(&self.path)? != *believed {
            *wrote = Wrote::Something;
        }
        result
    }
}

/// Each file of the configuration as it is and as it will be in each phase.
pub(super) fn files(
    host: &dyn Host,
    alternate: &dyn Alternate,
    phases: &[Goal],
    before: Option<&Settings>,
    is_ours: Option<block::IsOurs>,
) -> Result<Vec<File>, ChangeError> {
    let mut files: Vec<File> = Vec::new();
    for (phase, goal) in phases.iter().enumerate() {
        let mut edits = alternate.edits(goal)?;
        if *goal == Goal::Removed {
            edits.extend(originals(host, before, &edits)?);
        }
        for Edit { path, content, mode, lock } in edits {
            let at = match files.iter().position(|file| file.path == path) {
                Some(at) => at,
                None => {
                    let old = host.read(&path)?;
                    let whole = !matches!(content, Content::Block(_));
                    let owner = if whole { owner(host, before, &path, mode)? } else { None };
                    files.push(File { path, mode, lock, owner, whole, old, new: Vec::new() });
                    files.len() - 1
                }
            };
            let file = &mut files[at];
            // A phase that did not name it has left it as it was.
            file.keep(phase);
            let from = file.new.last().unwrap_or(&file.old);
            let new = match content {
                Content::Block(lines) => block::set(from.as_deref(), lines.as_deref(), is_ours)
                    .map_err(|source| file.marks(source))?,
                Content::Whole(bytes) => bytes,
                Content::Original => match before.and_then(|before| before.saved.get(&file.path)) {
                    Some(saved) => saved.as_deref().and_then(decode),
                    None => from.clone(),
                },
            };
            file.new.push(new);
        }
    }
    files.iter_mut().for_each(|file| file.keep(phases.len()));
    Ok(files)
}

/// What has become ours and is not among `edits` goes back to what it was.
fn originals(host: &dyn Host, before: Option<&Settings>, edits: &[Edit]) -> Result<Vec<Edit>, ChangeError> {
    let saved = before.into_iter().flat_map(|before| before.saved.keys());
    let others = saved.filter(|path| edits.iter().all(|edit| edit.path != **path));
    others
        .map(|path| {
            let mode = host.meta(path)?.map_or(0o600, |meta| meta.mode);
            Ok(Edit { path: path.clone(), content: Content::Original, mode, lock: None })
        })
        .collect()
}

/// The lock that the MTA's own tools take before they write a file.
pub(super) fn edit_lock(
    host: &dyn Host,
    path: Option<&Path>,
    deadline: Deadline,
) -> Result<Option<EditLock>, ChangeError> {
    match path {
        None => Ok(None),
        Some(path) if deadline.passed() => Err(ChangeError::EditLock { path: path.to_owned() }),
        Some(path) => match host.edit_lock(path, deadline.left())? {
            Some(lock) => Ok(Some(lock)),
            None => Err(ChangeError::EditLock { path: path.to_owned() }),
        },
    }
}

/// Whose a file was before us, and with which mode, where one that is made with `mode` would have others.
fn owner(
    host: &dyn Host,
    before: Option<&Settings>,
    path: &Path,
    mode: u32,
) -> Result<Option<Meta>, ChangeError> {
    match before {
        Some(before) if before.saved.contains_key(path) => Ok(before.owners.get(path).copied()),
        _ => Ok(host.meta(path)?.filter(|meta| *meta != Meta { uid: 0, gid: 0, mode })),
    }
}

/// Writes a file, or removes it; one that is made anew is given back to its owner.
pub(super) fn put(
    host: &dyn Host,
    path: &Path,
    bytes: Option<&[u8]>,
    mode: u32,
    owner: Option<Meta>,
) -> Result<(), ChangeError> {
    let Some(bytes) = bytes else { return Ok(host.remove(path)?) };
    host.make_room(path, mode)?;
    let lost = owner.filter(|_| matches!(host.meta(path), Ok(None)));
    host.write(path, bytes, mode)?;
    lost.map_or(Ok(()), |owner| Ok(host.give(path, owner)?))
}

/// The bytes of ours that somebody else has edited and that are written anew, by file.
///
/// # Errors
/// The sheet did not answer in time; marks that do not pair up.
pub(super) fn edited(
    alternate: &dyn Alternate,
    is_ours: Option<block::IsOurs>,
    files: &[File],
    before: Option<&Settings>,
) -> Result<Vec<(PathBuf, Vec<u8>)>, ChangeError> {
    let Some(before) = before else { return Ok(Vec::new()) };
    let goal = before.goal();
    // After an update of ours, what an older version has written still stands there.
    let written = alternate.edits(&goal).and_then(|now| Ok([now, alternate.formerly(&goal)?].concat()));
    let written = match written {
        Err(error) if error.reason() == Reason::DeadlinePassed => return Err(error.into()),
        // What cannot be compared is kept, too.
        written => written.unwrap_or_default(),
    };
    let mut all = Vec::new();
    for file in files {
        let here = written.iter().filter(|edit| edit.path == file.path);
        let here: Vec<_> = here.map(|edit| &edit.content).collect();
        all.extend(file.edited(&here, before, is_ours)?.map(|bytes| (file.path.clone(), bytes)));
    }
    Ok(all)
}

/// Keeps what somebody else has edited of ours, and says where it lies.
///
/// # Errors
/// A copy cannot be kept.
pub(super) fn keep_edited(
    host: &dyn Host,
    state_dir: &Path,
    edited: &[(PathBuf, Vec<u8>)],
) -> Result<Vec<Warning>, ChangeError> {
    let kept = |(file, bytes): &(PathBuf, Vec<u8>)| {
        let kept = keep(host, state_dir, file, bytes)?;
        let sentence = format!(
            "what stood in {} for the listener is not what is written now: the old lies in {}",
            file.display(),
            kept.display()
        );
        Ok(Warning::new(WarningKind::EditRewritten, sentence))
    };
    edited.iter().map(kept).collect()
}

/// Keeps bytes of a file that is going to be written or taken away, and says where.
///
/// # Errors
/// They cannot be written.
pub(super) fn keep(
    host: &dyn Host,
    state_dir: &Path,
    path: &Path,
    bytes: &[u8],
) -> Result<PathBuf, ChangeError> {
    let folder = state_dir.join(EDITED);
    host.make_dir(&folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stamp = humantime::format_rfc3339_millis(host.now()).to_string().replace(':', "");
    let kept = folder.join(format!("{stamp}-{name}"));
    host.write(&kept, bytes, 0o600)?;
    Ok(kept)
}
