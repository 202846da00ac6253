//! The lines that make an alternate listener of Postfix.
//!
//! They are one entry of `master.cf` for each of the primary's, bound as it is, with every parameter that the promise
//! needs. The marks around them and the writing are `change`'s. What cannot be put into an entry is an [`MtaError`].
//! Source: postconf(5).

use super::alternate::PostfixAlternate;
use super::instance::SYSLOG_NAME;
use super::master::words;
use crate::mta::sheet::{AuthMode, Listener, MtaError};

/// The security option without which AUTH is no AUTH.
const NOANONYMOUS: &str = "noanonymous";

/// A parameter of a service's own; a value with blanks is set in braces (master(5)).
fn option(name: &str, value: &str) -> String {
    match value.contains(char::is_whitespace) {
        true => format!("  -o {{ {name} = {value} }}\n"),
        false => format!("  -o {name}={value}\n"),
    }
}

/// What EHLO is not to list, but for what the mode promises.
fn without(keywords: &str, promised: &[&str]) -> String {
    let is_promised = |keyword: &&str| promised.iter().any(|word| word.eq_ignore_ascii_case(keyword));
    words(keywords).filter(|keyword| !is_promised(keyword)).collect::<Vec<_>>().join(",")
}

/// Which mechanisms are not to be offered; among them always one that lets in everybody.
fn with_noanonymous(options: &str) -> String {
    let others = words(options).filter(|option| !option.eq_ignore_ascii_case(NOANONYMOUS));
    [NOANONYMOUS].into_iter().chain(others).collect::<Vec<_>>().join(",")
}

impl PostfixAlternate<'_> {
    /// The lines of our block: one service for each entry of the primary, bound as it is.
    pub(super) fn block(&self, listener: &Listener) -> Result<String, MtaError> {
        let (level, auth_only) = match listener.auth_mode {
            AuthMode::TlsYes => ("encrypt", "yes"),
            AuthMode::TlsOptional => ("may", "no"),
        };
        let rules = self.rules()?;
        let discarded = without(self.parameter("smtpd_discard_ehlo_keywords")?, &["starttls", "auth"]);
        let options_of = |name: &str| Ok::<_, MtaError>(with_noanonymous(self.parameter(name)?));
        let options = [
            ("syslog_name", SYSLOG_NAME),
            ("smtpd_tls_security_level", level),
            ("smtpd_tls_auth_only", auth_only),
            ("smtpd_tls_wrappermode", "no"),
            ("smtpd_sasl_auth_enable", "yes"),
            ("smtpd_sasl_security_options", &options_of("smtpd_sasl_security_options")?),
            ("smtpd_sasl_tls_security_options", &options_of("smtpd_sasl_tls_security_options")?),
            ("smtpd_sasl_exceptions_networks", ""),
            ("smtpd_discard_ehlo_keywords", &discarded),
            ("smtpd_discard_ehlo_keyword_address_maps", ""),
            ("smtpd_upstream_proxy_protocol", ""),
            ("smtpd_authorized_xclient_hosts", ""),
            ("smtpd_authorized_xforward_hosts", ""),
            ("smtpd_delay_reject", "no"),
            // Nobody who has not logged in is put off till later.
            ("soft_bounce", "no"),
            ("smtpd_client_restrictions", ""),
            ("smtpd_helo_restrictions", ""),
            ("smtpd_sender_restrictions", &rules.sender),
            ("smtpd_relay_restrictions", &rules.relay),
            ("smtpd_recipient_restrictions", &rules.recipient),
            ("smtpd_etrn_restrictions", "reject"),
            // As in Postfix's own sample: filters that sign mail know by it what has come from a mail program.
            ("milter_macro_daemon_name", "ORIGINATING"),
        ];
        let mut block = String::new();
        for primary in self.primary()? {
            let service = primary.with_port(listener.port);
            block.push_str(&format!("{service} inet n - {} - - smtpd\n", self.chroot(primary)?));
            for (name, value) in options {
                block.push_str(&option(name, value));
            }
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_mode_promises_is_listed_again() {
        let promised = ["starttls", "auth"];
        assert_eq!(without("chunking, STARTTLS silent-discard,auth", &promised), "chunking,silent-discard");
        assert_eq!(without("", &promised), "");
    }

    #[test]
    fn the_administrators_security_options_are_kept() {
        assert_eq!(with_noanonymous("noplaintext, NoAnonymous"), "noanonymous,noplaintext");
        assert_eq!(with_noanonymous(""), "noanonymous");
    }

    #[test]
    fn a_value_with_blanks_is_set_in_braces() {
        assert_eq!(option("a", "b,c"), "  -o a=b,c\n");
        assert_eq!(option("a", "b,{ c d }"), "  -o { a = b,{ c d } }\n");
    }
}
