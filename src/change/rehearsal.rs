//! Failures and delays to try a host against: `[sandbox] fail` and `delay` of the configuration.
//!
//! An action that is named fails as asked, with nothing done and nothing written down; every change takes longer by the
//! delay. Only the sandbox does this, and the sentence says that the failure was asked for. How a failure comes about
//! on a real machine is the other files'. Nothing here fails by itself.

use std::time::Duration;

use crate::wire::reason::Reason;
use crate::wire::status::Status;

/// What is rehearsed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// The actions that fail.
    pub fail: Vec<Scene>,
    /// How much longer every change takes.
    pub delay: Duration,
}

/// One action that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Which.
    pub action: String,
    /// With which status.
    pub status: Status,
    /// With which reason.
    pub reason: Reason,
}

impl Rehearsal {
    /// The failure of this action, if it is to fail.
    pub(super) fn of(&self, action: &str) -> Option<&Scene> {
        self.fail.iter().find(|scene| scene.action == action)
    }
}

impl Scene {
    /// What a person is told.
    pub(super) fn sentence(&self) -> String {
        format!("rehearsed by [sandbox] fail: {}; nothing was changed", self.reason.row().meaning)
    }
}
