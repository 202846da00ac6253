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

/// What a mode is in Postfix: the level of TLS, and whether AUTH is offered under it alone.
fn tls(mode: AuthMode) -> (&'static str, &'static str) {
    match mode {
        AuthMode::TlsYes => ("encrypt", "yes"),
        AuthMode::TlsOptional => ("may", "no"),
    }
}

/// The options that version 1.0.0 wrote, in its order. `has_maps`: whether `smtpd_sender_login_maps` names any.
fn options_of_1_0_0(mode: AuthMode, has_maps: bool) -> [(&'static str, &'static str); 18] {
    const LOGIN: &str = "permit_sasl_authenticated,reject";
    const OWN_SENDER: &str = "reject_sender_login_mismatch,permit_sasl_authenticated,reject";
    let (level, auth_only) = tls(mode);
    [
        ("syslog_name", SYSLOG_NAME),
        ("smtpd_tls_security_level", level),
        ("smtpd_tls_auth_only", auth_only),
        ("smtpd_tls_wrappermode", "no"),
        ("smtpd_sasl_auth_enable", "yes"),
        ("smtpd_sasl_security_options", NOANONYMOUS),
        ("smtpd_sasl_tls_security_options", NOANONYMOUS),
        ("smtpd_sasl_exceptions_networks", ""),
        ("smtpd_discard_ehlo_keywords", ""),
        ("smtpd_discard_ehlo_keyword_address_maps", ""),
        ("smtpd_upstream_proxy_protocol", ""),
        ("smtpd_delay_reject", "no"),
        ("smtpd_client_restrictions", ""),
        ("smtpd_helo_restrictions", ""),
        ("smtpd_sender_restrictions", if has_maps { OWN_SENDER } else { LOGIN }),
        ("smtpd_relay_restrictions", LOGIN),
        ("smtpd_recipient_restrictions", LOGIN),
        ("smtpd_etrn_restrictions", "reject"),
    ]
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
        let (level, auth_only) = tls(listener.auth_mode);
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
            ("smtpd_helo_restrictions", &rules.helo),
            ("smtpd_sender_restrictions", &rules.sender),
            ("smtpd_relay_restrictions", &rules.relay),
            ("smtpd_recipient_restrictions", &rules.recipient),
            ("smtpd_etrn_restrictions", "reject"),
            // As in Postfix's own sample: filters that sign mail know by it what has come from a mail program.
            ("milter_macro_daemon_name", "ORIGINATING"),
        ];
        self.entries_with(listener, &options)
    }

    /// The block that version 1.0.0 wrote for the same listener.
    pub(super) fn block_of_1_0_0(&self, listener: &Listener) -> Result<String, MtaError> {
        let has_maps = !self.parameter("smtpd_sender_login_maps")?.is_empty();
        self.entries_with(listener, &options_of_1_0_0(listener.auth_mode, has_maps))
    }

    /// A service with these options for each entry of the primary.
    fn entries_with(&self, listener: &Listener, options: &[(&str, &str)]) -> Result<String, MtaError> {
        let options: String = options.iter().map(|(name, value)| option(name, value)).collect();
        let mut block = String::new();
        for primary in self.primary()? {
            let (service, chroot) = (primary.with_port(listener.port), self.chroot(primary)?);
            block.push_str(&format!("{service} inet n - {chroot} - - smtpd\n{options}"));
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
    fn version_1_0_0_kept_senders_to_their_own_where_the_administrator_says_whose_they_are() {
        let sender = |has_maps| {
            let options = options_of_1_0_0(AuthMode::TlsYes, has_maps);
            options.into_iter().find(|(name, _)| *name == "smtpd_sender_restrictions").unwrap().1
        };
        assert_eq!(sender(false), "permit_sasl_authenticated,reject");
        assert_eq!(sender(true), "reject_sender_login_mismatch,permit_sasl_authenticated,reject");
    }

    #[test]
    fn a_value_with_blanks_is_set_in_braces() {
        assert_eq!(option("a", "b,c"), "  -o a=b,c\n");
        assert_eq!(option("a", "b,{ c d }"), "  -o { a = b,{ c d } }\n");
    }
}
