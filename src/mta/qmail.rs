//! qmail under supervise: recognised and read; changes are still to be built.
//!
//! Answers for: the paths by which it is known. Does not know: how a listener of it would be made.

use super::Kind;
use super::recognised::Recognised;

/// qmail under supervise.
pub const QMAIL: Recognised = Recognised {
    kind: Kind::Qmail,
    daemons: &["/var/qmail/bin/qmail-send"],
    configurations: &["/var/qmail/control"],
};
