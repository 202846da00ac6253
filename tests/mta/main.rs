//! The policy suite: what is promised of a mail server (schema/README.md, "What the words mean", "How a change is
//! made", "What is ours on a machine"), on real mail servers and on the sandbox.
//!
//! Every policy is written and registered once (`policies/`) against a [`subject::Subject`], and is one test for every
//! subject, named as a sentence, unless the subject says, with a reason, that it cannot be held to it. `machine/` makes the machines: Debian with the MTA installed in an overlay, in namespaces of their own, one
//! fresh for each test. That needs root on Debian; elsewhere one line says what was left out, and the run is green.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "bans for the program; a test spawns it, reads its own environment and fails by panicking"
)]

mod clients;
mod exim;
mod machine;
mod policies;
mod postfix;
mod qmail;
mod sandbox;
mod subject;
#[path = "../plugin/support/mod.rs"]
#[allow(dead_code, reason = "shared with the protocol tests, which use all of it")]
mod support;
mod systemd;
