//! What a sheet has at hand while it answers: a view of the machine, and the mail server's own programs to ask.
//!
//! It is all that a sheet may do: look, run a program that changes nothing, and have copies laid out for that program to
//! read. Nothing is remembered from one question to the next. What cannot be asked is an [`MtaError`].

use std::path::Path;

use super::error::MtaError;
use crate::sys::{Command, Deadline, Host, Output, View};

/// What an answer sheet has at hand while it answers: a view of the machine, and the mail server's own programs to ask.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The machine.
    pub view: &'a dyn View,
    /// Until when the MTA's programs may take.
    pub deadline: Deadline,
    host: &'a dyn Host,
    staging: &'a Path,
}

impl<'a> Context<'a> {
    /// Of this machine; copies are laid out in the folder `staging`, which need not exist and goes afterwards.
    pub fn new(host: &'a dyn Host, staging: &'a Path, deadline: Deadline) -> Self {
        Self { view: host, deadline, host, staging }
    }

    /// Asks one of the mail server's programs, which change nothing of it.
    ///
    /// # Errors
    /// It cannot be started, or does not end in time.
    pub fn ask(&self, command: &Command) -> Result<Output, MtaError> {
        Ok(self.host.run(command, self.deadline)?)
    }

    /// Lays out copies that the mail server's programs are to read instead of its own files: in which folder.
    ///
    /// # Errors
    /// One of them cannot be written.
    pub fn lay_out(&self, copies: &[(&str, Copied<'_>)]) -> Result<&'a Path, MtaError> {
        self.host.make_dir(self.staging)?;
        for (name, copy) in copies {
            let path = self.staging.join(name);
            match copy {
                Copied::Bytes(bytes) => self.host.scratch(&path, bytes)?,
                Copied::Link(target) => self.host.link(&path, target)?,
            }
        }
        Ok(self.staging)
    }
}

/// What of a file is laid out.
#[derive(Debug, Clone, Copy)]
pub enum Copied<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A link to this file, as it is.
    Link(&'a Path),
}
