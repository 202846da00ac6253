//! OpenSMTPD, as far as it is known: the paths by which it is recognised.
//!
//! What is answered about it is `recognised`'s; changes of it are refused there. Nothing here fails.

use super::recognised::Recognised;
use super::sheet::Kind;

/// OpenSMTPD.
pub const OPENSMTPD: Recognised = Recognised {
    kind: Kind::new("opensmtpd", "OpenSMTPD"),
    daemons: &["/usr/sbin/smtpd"],
    configurations: &["/etc/smtpd.conf", "/etc/mail/smtpd.conf"],
};
