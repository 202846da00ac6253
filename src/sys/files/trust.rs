//! Whether root may rely on a path: nobody else can put another file there.
//!
//! Which paths have to be so is known above. The component that is wrong is named, and what is wrong with it
//! ([`FileError::Untrusted`]).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::{FileError, optional, reading};

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
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

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
