//! What any bytes from outside have to come to: the targets of the fuzzer, and of the replay in every run of the unit tests.
//!
//! A target takes bytes and asserts what has to hold of whatever is read there: that an independent reader agrees, or that
//! what was written is read back. Those that need what is private to a floor are mounted there (`sys`, `mta::postfix`,
//! `change`); all stand in [`TARGETS`]. `tests/fuzz/Cargo.toml` hands them to libFuzzer; `replay` tries the inputs of
//! `tests/fuzz/corpus` and mutations of them.
#![allow(clippy::unwrap_used, reason = "a target fails by panicking")]

mod cluster;
mod json;
mod mta;
#[cfg(test)]
mod replay;
mod schema;
mod wire;

/// A target: fails by panicking.
pub type Target = fn(&[u8]);

/// All targets, each with the name of its folder in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, Target); 13] = [
    ("framing", wire::framing),
    ("call", wire::call),
    ("strict", wire::strict),
    ("admit", schema::admit),
    ("smtp_reply", crate::sys::fuzz::smtp_reply),
    ("services", crate::mta::postfix::fuzz::services),
    ("exim", mta::exim),
    ("supervise", mta::supervise),
    ("block", crate::change::fuzz::block),
    ("history", crate::change::fuzz::history),
    ("settings", crate::change::fuzz::settings),
    ("intent", crate::change::fuzz::intent),
    ("node", cluster::node),
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    for (_, target) in TARGETS.iter().filter(|(known, _)| *known == name) {
        target(data);
    }
}
