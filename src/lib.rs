//! `mail-smtp2`: the alternate inbound SMTP server of a hosting panel, as a JSON-RPC 2.0 plugin on stdin and stdout.
//!
//! What a host may rely on stands in `schema/README.md`, what an administrator needs in the manual pages of `src/manual/`.
//! This is how the program is built.
//!
//! # Floors
//!
//! A request only ever goes down. The folders of `src/` are the floors of a house: each calls those below it, never one
//! above, never a neighbour. A test (`tests/plugin/floors.rs`) reads the sources and fails on a call that goes up or
//! sideways.
//!
//! ```text
//! 9  main        the flags, and what is started with them
//! 8  cli         the subcommands, one file each; what runs without one is cli/serve
//! 7  config      one TOML file, made into each floor's own settings
//!    log         what is logged, on stderr
//!    manual      the manual pages, from Markdown, the flags and the tables
//! 6  transport   bytes in and out, signals, the end of input; the only holder of stdout
//! 5  rpc         requests, notifications, batches, and the two lanes of reads and changes
//! 4  schema      the documents from the types; a value against a document
//!    cluster     this node, that node, every node
//! 3  action      the table: one row per action, from which everything else about it is derived
//! 2  change      one transaction for every mail server: lock, plan, stage, check, apply, tell, prove, roll back
//! 1  mta         one answer sheet per mail server: it holds no lock, writes no file
//! 0  sys         what is asked of the machine, behind one trait
//!    wire        envelope, framing, the one table of status numbers
//!
//! -  sandbox     the SMTP server for trying, a program of its own that main starts
//! ```
//!
//! # The way of a request
//!
//! [`transport`] reads bytes and cuts them into messages with [`wire::framing`]. [`rpc`] parses a message, decides which
//! lane it goes to (reads are answered at once, changes one after the other, what another machine has to answer goes to
//! workers) and finds the row of its method in [`action::TABLE`]. [`schema::admit`] normalises the input and judges it by
//! the published document. [`cluster`] takes `node_id` and `cascade_to_nodes` out of it and runs the action here, on one
//! node or on all. Here, the row calls [`change::Service`]: a read looks at what is true now, a change is a transaction
//! that asks the sheet of the mail server ([`mta`]) what is to be written and told, and does it on the machine ([`sys`]).
//! What comes of it is an envelope ([`wire::envelope`]) whose number is a row of [`wire::status`].
//!
//! # Where something new goes
//!
//! * An action: a file in `src/action/`, its `mod` and its row in the table of `src/action/mod.rs`. The file holds its row, the types of
//!   its input and payload, and what it does; registration, documents, OpenRPC, tables and the tests of completeness follow.
//! * A mail server: a folder in `src/mta/`, with a line in its list, [`mta::all`], and a manual page in `src/manual/`; a
//!   folder in `tests/mta/`. Its name in the configuration, in the help and in the manual comes from its sheet. What a
//!   change does is not written again.
//! * A status number: a row in `src/wire/status.rs`; a reason for a failure: a row in `src/wire/reason.rs`.
//! * What the machine is asked in a new way: a method of [`sys::Host`], which the recorded host of the tests answers from
//!   what was recorded on a real machine.
//!
//! # System calls
//!
//! What the standard library has no call for is asked of the kernel through nix. Where nix has no safe call either, rustix
//! asks it, in [`sys`] alone: pidfds, extended attributes, and how much is unread in a pipe.

#![cfg_attr(not(test), warn(clippy::too_many_lines))]

pub mod action;
pub mod change;
pub mod cluster;
#[cfg(any(test, fuzzing))]
#[path = "../tests/fuzz/targets/mod.rs"]
pub mod fuzz;
pub mod mta;
pub mod rpc;
pub mod sandbox;
pub mod schema;
pub mod sys;
pub mod transport;
pub mod wire;
