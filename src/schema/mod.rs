//! The documents that describe the actions, and a value against one of them.
//!
//! The published documents are derived from the table's types; what hosts written in PHP send is normalised and judged by
//! the very document that is published. What an action does is `action`'s. All faults of an input are told at once.

pub mod admit;
pub mod dialect;
pub mod documents;
pub mod examples;
pub mod files;
pub mod openrpc;
pub mod problems;
pub mod tables;
