//! How often a proof looks again, and how long it waits between two looks.
//!
//! What is looked at is the caller's. Past the deadline, a wait is [`ChangeError::Deadline`] with what was waited for.

use std::time::Duration;

use crate::change::error::ChangeError;
use crate::mta::MtaError;
use crate::sys::{Deadline, Host, SocketError};

/// How often is looked again.
pub(super) const PAUSE: Duration = Duration::from_millis(3);

/// How long a listener that does not behave is left alone, at first and at the most, and how much longer each time: each
/// look is a session in its log.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// By how much longer it is left alone each time.
pub(super) const LONGER: u32 = 3;

/// Whether a look has met a socket whose holder is not to be seen, as for a moment after a mail server was told something: a
/// process that has let go of it may take its time to end on a busy machine. It is looked again then, until the deadline.
pub(super) fn is_passing(error: &ChangeError) -> bool {
    matches!(error, ChangeError::Mta(MtaError::Socket(SocketError::Elsewhere { .. })))
}

/// Looks until it is so.
pub(super) fn wait(
    host: &dyn Host,
    step: &dyn Fn() -> String,
    deadline: Deadline,
    is_so: impl Fn() -> Result<bool, ChangeError>,
) -> Result<(), ChangeError> {
    loop {
        match is_so() {
            Ok(true) => return Ok(()),
            Ok(false) if deadline.passed() => return Err(ChangeError::Deadline { step: step() }),
            Err(error) if deadline.passed() || !is_passing(&error) => return Err(error),
            Ok(false) | Err(_) => host.sleep(PAUSE),
        }
    }
}
