//! Postfix: recognised and read; changes are still to be built.
//!
//! Answers for: the paths by which it is known. Does not know: how a listener of it would be made.

use super::Kind;
use super::recognised::Recognised;

/// Postfix.
pub const POSTFIX: Recognised = Recognised {
    kind: Kind::Postfix,
    daemons: &["/usr/lib/postfix/sbin/master", "/usr/libexec/postfix/master", "/usr/lib/postfix/master"],
    configurations: &["/etc/postfix/master.cf"],
};
