//! The lines that make an alternate listener of Postfix.
//!
//! Answers for: one entry of `master.cf` for each of the primary's, bound as it is, with every parameter that the promise
//! needs. Does not know: the marks around them, and who writes them.
//! Source: postconf(5).

use super::SYSLOG_NAME;
use super::alternate::Here;
use crate::mta::{AuthMode, Listener, MtaError};

/// A parameter of a service's own; a value with blanks is set in braces (master(5)).
fn option(name: &str, value: &str) -> String {
    match value.contains(char::is_whitespace) {
        true => format!("  -o {{ {name} = {value} }}\n"),
        false => format!("  -o {name}={value}\n"),
    }
}

impl Here<'_> {
    /// The lines of our block: one service for each entry of the primary, bound as it is.
    pub(super) fn block(&self, listener: &Listener) -> Result<String, MtaError> {
        let (level, auth_only) = match listener.auth_mode {
            AuthMode::TlsYes => ("encrypt", "yes"),
            AuthMode::TlsOptional => ("may", "no"),
        };
        let rules = self.rules()?;
        let delay_reject = if rules.wait_for_recipients() { "yes" } else { "no" };
        let options = [
            ("syslog_name", SYSLOG_NAME),
            ("smtpd_tls_security_level", level),
            ("smtpd_tls_auth_only", auth_only),
            ("smtpd_tls_wrappermode", "no"),
            ("smtpd_sasl_auth_enable", "yes"),
            ("smtpd_sasl_security_options", "noanonymous"),
            ("smtpd_sasl_tls_security_options", "noanonymous"),
            ("smtpd_sasl_exceptions_networks", ""),
            ("smtpd_discard_ehlo_keywords", ""),
            ("smtpd_discard_ehlo_keyword_address_maps", ""),
            ("smtpd_upstream_proxy_protocol", ""),
            ("smtpd_authorized_xclient_hosts", ""),
            ("smtpd_authorized_xforward_hosts", ""),
            ("smtpd_delay_reject", delay_reject),
            ("smtpd_client_restrictions", &rules.client),
            ("smtpd_helo_restrictions", &rules.helo),
            ("smtpd_sender_restrictions", &rules.sender),
            ("smtpd_relay_restrictions", &rules.relay),
            ("smtpd_recipient_restrictions", &rules.recipient),
            ("smtpd_etrn_restrictions", "reject"),
        ];
        let mut block = String::new();
        for primary in self.primary()? {
            let service = primary.with_port(listener.port);
            block.push_str(&format!("{service} inet n - {} - - smtpd\n", primary.chroot));
            for (name, value) in options {
                block.push_str(&option(name, value));
            }
        }
        Ok(block)
    }
}
