//! Which mail server: its kind, and the name that it has in the configuration.
//!
//! Which of them is on a machine is found out by `detect`, what one does by its sheet. Nothing here fails.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Postfix.
    Postfix,
    /// Exim 4.
    Exim,
    /// qmail or one of its heirs, under supervise.
    Qmail,
    /// OpenSMTPD.
    Opensmtpd,
    /// Sendmail.
    Sendmail,
    /// The built-in stand-in.
    Sandbox,
}

impl Kind {
    /// All of them; `auto` looks for them in this order.
    pub const ALL: [Self; 6] =
        [Self::Postfix, Self::Exim, Self::Qmail, Self::Opensmtpd, Self::Sendmail, Self::Sandbox];

    /// As it stands in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix => "postfix",
            Self::Exim => "exim",
            Self::Qmail => "qmail",
            Self::Opensmtpd => "opensmtpd",
            Self::Sendmail => "sendmail",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
