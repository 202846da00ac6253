//! What is read from the environment, and nowhere else: a few variables, which are all optional.
//!
//! A variable that is not set, or empty, is none; nothing here fails.

use std::ffi::OsString;

/// What ssh is given of the environment: where its own files are, and who keeps the keys.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn for_ssh() -> Vec<(OsString, OsString)> {
    let given = |name: &str| Some((name.into(), std::env::var_os(name)?));
    ["HOME", "SSH_AUTH_SOCK"].into_iter().filter_map(given).collect()
}

/// Whether the environment has nothing against colours (no-color.org; a terminal without any).
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn allows_colour() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// The log filter of the environment.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn log_filter() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}
