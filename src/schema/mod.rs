//! The documents that describe the actions, and a value against one of them.
//!
//! Answers for: deriving the published documents from the table's types, normalising what hosts written in PHP send,
//! validating it with the very document that is published. Does not know: what an action does. All faults of an
//! input are told at once.

pub mod admit;
pub mod dialect;
pub mod documents;
pub mod examples;
pub mod files;
pub mod openrpc;
pub mod problems;
pub mod tables;
