//! What is left of a mail server that has gone: the files in which our block may still stand.
//!
//! A block is taken out of files that nobody reads any more, and what of ours still runs is ended. A listener cannot be
//! made here: that is answered with an error.

use std::net::IpAddr;

use super::machine::or_loopback;
use super::sheet::{Alternate, Claim, Content, Edit, Goal, Listener, Mta, MtaError, Objection, Staged, Tell};
use crate::sys::{Command, View};
use crate::wire::reason::Reason;

/// A mail server whose daemon or configuration is missing.
#[derive(Debug)]
pub struct Gone<'a> {
    /// Which one.
    pub mta: &'a dyn Mta,
    /// The machine.
    pub host: &'a dyn View,
}

impl Alternate for Gone<'_> {
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError> {
        Ok(or_loopback(Vec::new()))
    }

    fn claims(&self, _: &[Staged]) -> Result<Vec<Claim>, MtaError> {
        Ok(Vec::new())
    }

    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError> {
        if goal.listener().is_some() {
            return Err(MtaError::Cannot(
                Reason::MtaMissing,
                format!("{} is not on this machine any more", self.mta.kind()),
            ));
        }
        let edit = |path| Edit { path, content: Content::Block(None), mode: 0o600, lock: None };
        Ok(self.mta.blocks().into_iter().map(edit).collect())
    }

    fn ready(&self, _: &Listener, _: &mut Objection<'_>) -> Result<(), MtaError> {
        Err(MtaError::Cannot(
            Reason::MtaMissing,
            format!("{} is not on this machine any more", self.mta.kind()),
        ))
    }

    fn check(&self, _: &[Staged], _: &Goal) -> Result<Option<Command>, MtaError> {
        Ok(None)
    }

    fn tell_before(&self, _: &Goal) -> Result<Vec<Tell>, MtaError> {
        self.mta.remains(self.host)
    }

    fn tell(&self, _: &Goal, _: &[IpAddr]) -> Result<Vec<Tell>, MtaError> {
        Ok(Vec::new())
    }

    fn primary_runs(&self) -> Result<bool, MtaError> {
        Ok(false)
    }

    fn start_primary(&self) -> Vec<Tell> {
        Vec::new()
    }
}
