//! How often a proof looks again, and how long it waits between two looks.
//!
//! What is looked at is the caller's. Past the deadline, a wait is [`ChangeError::Deadline`] with what was waited for.

use std::time::Duration;

use crate::change::error::ChangeError;
use crate::sys::{Deadline, Host};

/// How often is looked again.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

/// How long a listener that does not behave is left alone, at first and at the most, and how much longer each time: each
/// look is a session in its log.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// By how much longer it is left alone each time.
pub(super) const LONGER: u32 = 3;

/// Looks until it is so.
pub(super) fn wait(
    host: &dyn Host,
    step: &dyn Fn() -> String,
    deadline: Deadline,
    is_so: impl Fn() -> Result<bool, ChangeError>,
) -> Result<(), ChangeError> {
    while !is_so()? {
        if deadline.passed() {
            return Err(ChangeError::Deadline { step: step() });
        }
        host.sleep(PAUSE);
    }
    Ok(())
}
