//! Sendmail: recognised and read; changes are still to be built.
//!
//! Answers for: the paths by which it is known. Does not know: how a listener of it would be made.

use super::recognised::Recognised;
use super::sheet::Kind;

/// Sendmail.
pub const SENDMAIL: Recognised = Recognised {
    kind: Kind::Sendmail,
    daemons: &["/usr/sbin/sendmail-mta", "/usr/sbin/sendmail.sendmail", "/usr/libexec/sendmail/sendmail"],
    configurations: &["/etc/mail/sendmail.cf"],
};
