//! OpenSMTPD: recognised and read; changes are still to be built.
//!
//! Answers for: the paths by which it is known. Does not know: how a listener of it would be made.

use super::recognised::Recognised;
use super::sheet::Kind;

/// OpenSMTPD.
pub const OPENSMTPD: Recognised = Recognised {
    kind: Kind::Opensmtpd,
    daemons: &["/usr/sbin/smtpd"],
    configurations: &["/etc/smtpd.conf", "/etc/mail/smtpd.conf"],
};
