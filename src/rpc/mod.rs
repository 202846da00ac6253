//! JSON-RPC 2.0: from a message's bytes to its reply's bytes.
//!
//! Answers for: methods on jsonrpsee's `RpcModule`, batches, notifications, error objects, the lanes. Does not
//! know: file descriptors, signals, framing beyond naming it. Ids are raw text; jsonrpsee's `Id` never carries one.

pub mod dispatch;
pub mod lanes;
pub mod module;
pub mod remote;
