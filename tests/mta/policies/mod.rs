//! The policies: what the contract promises of every mail server, written once against [`Subject`].
//!
//! Each function is one policy and takes the subject as its type. `main.rs` lists which of them a subject has to hold;
//! what only one MTA can be asked stands in a module of that MTA's name.
//!
//! [`Subject`]: super::subject::Subject

pub(crate) mod administrator;
pub(crate) mod conflicts;
pub(crate) mod crashes;
pub(crate) mod hangs;
pub(crate) mod idempotence;
pub(crate) mod life;
pub(crate) mod primary;
pub(crate) mod truth;
pub(crate) mod two;
