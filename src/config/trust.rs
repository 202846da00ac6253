//! Whether a path that the flags or the configuration name may be relied on.
//!
//! What makes a path trustworthy to root is `sys::files`'s; anybody else relies on what he likes. The refusal says what is
//! wrong with which component.

use std::path::Path;

use mail_smtp2::sys::files;
use mail_smtp2::wire::text::chain;

/// As root, a path that others can bend is not relied upon.
pub(crate) fn trust(path: &Path) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    files::trusted(&path).map_err(|e| format!("not to be trusted: {}", chain(&e)))
}
