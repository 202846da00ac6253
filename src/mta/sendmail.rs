//! Sendmail, as far as it is known: the paths by which it is recognised.
//!
//! What is answered about it is `recognised`'s; changes of it are refused there. Nothing here fails.

use super::recognised::Recognised;
use super::sheet::Kind;

/// Sendmail.
pub const SENDMAIL: Recognised = Recognised {
    kind: Kind::new("sendmail", "Sendmail"),
    daemons: &["/usr/sbin/sendmail-mta", "/usr/sbin/sendmail.sendmail", "/usr/libexec/sendmail/sendmail"],
    configurations: &["/etc/mail/sendmail.cf"],
};
