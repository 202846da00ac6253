//! The documents of `schema/` in the hands of a host in Rust, and what all their readers are tried on.
//!
//! [`types`] is what typify makes of each document; [`corpus`] is every request of the golden conversations as the
//! schema judges it. Readers in other languages are given the corpus by `tests/consumers/run`. A document that cannot
//! be read fails the build.

pub mod corpus;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Error, Value};

/// What typify makes of the documents, and a table of them by path.
#[allow(clippy::all, clippy::unwrap_used, clippy::expect_used, rustdoc::all, reason = "generated")]
pub mod types {
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

/// A value read into a document's type and written again.
pub type Again = fn(Value) -> Result<Value, Error>;

/// The value as `T` has it.
///
/// # Errors
/// It is no `T`.
pub fn again<T: DeserializeOwned + Serialize>(value: Value) -> Result<Value, Error> {
    serde_json::to_value(serde_json::from_value::<T>(value)?)
}
