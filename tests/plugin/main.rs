//! The protocol tests: the real binary over real pipes, judged by `schema/README.md` alone.
//!
//! One module per part of it, none of which knows the code behind the pipe. What they share stands in `support`. A test
//! that needs root (or its absence) and does not have it says so on stderr and passes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "bans for the program; a test spawns it, reads its own environment and fails by panicking"
)]

mod cli;
mod compatibility;
mod documents;
mod endings;
mod envelope;
mod faults;
mod floors;
mod golden;
mod hostile;
mod inherited;
mod kernels;
mod lanes;
mod lines;
mod manual;
mod schema;
mod service;
mod support;
mod wire;
