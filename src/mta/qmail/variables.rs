//! The variables of a service directory's `env/`: their names, and their values in each mode.
//!
//! An empty value means that the variable is to be unset. SMTP programs differ, and so do their patches: names and
//! values are the administrator's (`[mta.qmail]`), what a program makes of them is found out by the proof. Nothing here
//! fails.

use crate::mta::sheet::AuthMode;

/// The variables that `run` reads from `env/`, and what to set them to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variables {
    /// The name of the one for the port.
    pub port: String,
    /// The name of the one for AUTH.
    pub auth: String,
    /// Its value for AUTH required.
    pub auth_required: String,
    /// The name of the one for TLS.
    pub tls: String,
    /// Its value for AUTH under TLS only.
    pub tls_required: String,
    /// Its value for AUTH in clear, too.
    pub tls_optional: String,
    /// A second one for TLS, with its two values, where the program behind `run` needs it.
    pub second_tls: Option<(String, String, String)>,
}

impl Variables {
    /// The variables that make the mode, with their values; an empty one is to be unset.
    pub(super) fn mode(&self, mode: AuthMode) -> Vec<(&str, &str)> {
        let value = |required, optional| match mode {
            AuthMode::TlsYes => required,
            AuthMode::TlsOptional => optional,
        };
        let tls = (self.tls.as_str(), value(self.tls_required.as_str(), self.tls_optional.as_str()));
        let second = self
            .second_tls
            .as_ref()
            .map(|(name, required, optional)| (name.as_str(), value(required.as_str(), optional.as_str())));
        [(self.auth.as_str(), self.auth_required.as_str()), tls].into_iter().chain(second).collect()
    }
}

impl Default for Variables {
    /// As the common AUTH and TLS patches have them.
    fn default() -> Self {
        Self {
            port: "PORT".to_owned(),
            auth: "SMTPAUTH".to_owned(),
            auth_required: "!".to_owned(),
            tls: "FORCETLS".to_owned(),
            tls_required: "1".to_owned(),
            tls_optional: "0".to_owned(),
            second_tls: None,
        }
    }
}
