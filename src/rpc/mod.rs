//! JSON-RPC 2.0: from a message's bytes to its reply's bytes.
//!
//! `dispatch` takes requests, notifications and batches apart and puts replies together, `lanes` and `remote` decide
//! where and when they run, `module` registers the actions on jsonrpsee's `RpcModule`. Bytes, signals and the end of
//! input are `transport`'s. Faults of the conversation are error objects; ids are raw text, and jsonrpsee's `Id` never
//! carries one.

pub mod dispatch;
pub mod lanes;
pub mod module;
pub mod remote;
