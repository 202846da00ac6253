//! `mail-smtp2 history`: the latest changes, a line each.
//!
//! When, what, with which status, and the sentence of what failed; the newest first, as `queryHistory` has them.

use mail_smtp2::action::history::Change;

/// The text, with a line end after each change.
pub(crate) fn text(changes: &[Change]) -> String {
    if changes.is_empty() {
        return "nothing was changed yet\n".to_owned();
    }
    changes.iter().map(|change| line(change) + "\n").collect()
}

/// One change: `2026-11-28 09:30:12 UTC  start  409  port 587 is held by ...`.
pub(crate) fn line(change: &Change) -> String {
    let time = change.time.split('.').next().unwrap_or_default().replace('T', " ");
    let how = if change.status == 0 { "ok".to_owned() } else { change.status.to_string() };
    format!("{time} UTC  {:8} {how:4} {}", change.action, change.sentence).trim_end().to_owned()
}
