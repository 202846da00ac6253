//! The cluster: what is promised of it (schema/README.md, "Nodes"), with simulated nodes in bulk and with real sshd's.
//!
//! `simulated` puts a small program in the place of ssh that plays a node of any behaviour; with it every kind of failure
//! is tried in every position. `real` has machines in namespaces of their own, joined by veth, each with its own sshd
//! and the plugin on the sandbox behind it: each kind of failure is brought about there once. That needs root on Debian;
//! elsewhere one line says what was left out, and the run is green.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "bans for the program; a test spawns it, reads its own environment and fails by panicking"
)]

mod channels;
mod configuration;
mod lab;
mod lanes;
#[path = "../mta/machine/mod.rs"]
#[allow(dead_code, reason = "shared with the policy suite, which uses all of it")]
mod machine;
mod matrix;
mod real;
mod relay;
mod routing;
mod simulated;
#[path = "../plugin/support/mod.rs"]
#[allow(dead_code, reason = "shared with the protocol tests, which use all of it")]
mod support;
mod terminal;
