//! The sandbox: a small SMTP server for trying the plugin, a program of its own that `main` starts (mail-smtp2-sandbox(7)).
//!
//! `daemon` is its commands, `serve` the life of its server process, `server` its sessions on streams, `dialogue` what is said
//! in them, `certificate` their TLS, `configuration` what the administrator and the plugin tell it. It is as far from the rest
//! of this program as any mail server is: the plugin runs its commands, and reads and writes its files (`mta/sandbox.rs`);
//! nothing but `main` imports it. A server that cannot begin says why in one line.

pub mod certificate;
pub mod configuration;
pub mod daemon;
pub mod dialogue;
mod error;
mod lock;
pub mod serve;
pub mod server;
