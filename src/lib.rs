//! `mail-smtp2`: the alternate inbound SMTP server of a hosting panel, as a JSON-RPC 2.0 plugin on stdin and stdout.
//!
//! A request only ever goes down. Each floor calls the floors below it, never one above, never a neighbour:
//!
//! ```text
//! 7  main        flags, log, configuration; the subcommands are one line each
//!    config      one TOML file, made into each floor's own settings; imported by main only
//!    manual      the manual page, from the flags and the tables; imported by main only
//! 6  transport   bytes in and out, signals, the end of input; the only holder of stdout
//! 5  rpc         dispatch, the lanes, the rows on jsonrpsee's RpcModule
//! 4  schema      the documents from the types; a value against a document
//!    cluster     this node, that node, every node
//! 3  action      THE TABLE: one row per action
//! 2  change      one transaction for every MTA, and what is true right now
//! 1  mta         one answer sheet per mail server
//! 0  sys         what we ask of the machine
//!    wire        envelope, call, framing, the one table of status numbers
//! ```
//!
//! A test reads the sources and fails on an arrow that runs up or sideways.

pub mod action;
pub mod change;
pub mod cluster;
pub mod mta;
pub mod rpc;
pub mod schema;
pub mod sys;
pub mod transport;
pub mod wire;
