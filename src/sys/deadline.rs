//! A point in time by which something has to be over.
//!
//! Every wait of this program has one, and what is made up of several waits hands its own on to them. It is on the
//! monotonic clock, and so not moved by an administrator who sets the time. What is done when it has passed is up to
//! whoever waits.

use std::time::{Duration, Instant};

/// A point in time by which something has to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline `span` from now.
    pub fn after(span: Duration) -> Self {
        Self(Instant::now() + span)
    }

    /// What is left of it, zero once it has passed.
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }

    /// The earlier of this deadline and `span` from now.
    pub fn within(&self, span: Duration) -> Self {
        Self(self.0.min(Instant::now() + span))
    }
}
