//! `isRunning`: the truth, or why it cannot be seen.
//!
//! Answers for: `true` or `false` as the kernel's socket table has it. Does not know: units, pid files, exit
//! statuses. What cannot be seen for want of privilege is 403, never `false`.

use serde_json::Value;

use super::listing::read;
use crate::change::Service;
use crate::wire::envelope::Envelope;

/// `isRunning`.
pub fn is_running(service: &Service, _: &Value) -> Envelope {
    read(|| service.running())
}
