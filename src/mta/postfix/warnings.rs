//! What an administrator of Postfix should know of a listener that comes up as it should.
//!
//! These are a self-signed certificate, and what other entries have in `-o` for themselves alone. Whether the listener
//! works is proven elsewhere; what cannot be read is no warning.

use super::alternate::PostfixAlternate;
use super::master::{Service, words};
use crate::mta::machine::text_of;
use crate::mta::warning::{Warning, WarningKind};
use crate::sys::Certificate;
use crate::wire::text::printable;

/// What names the certificate, in the order in which Postfix prefers it.
const CERTIFICATES: [&str; 3] = ["smtpd_tls_chain_files", "smtpd_tls_cert_file", "smtpd_tls_eccert_file"];
/// What entries often have for themselves, and an administrator may take for granted.
const TAKEN_FOR_GRANTED: [&str; 9] = [
    "cleanup_service_name",
    "content_filter",
    "smtpd_milters",
    "smtpd_sasl_path",
    "smtpd_sasl_type",
    "smtpd_sender_login_maps",
    "smtpd_tls_cert_file",
    "smtpd_tls_chain_files",
    "smtpd_tls_key_file",
];

impl PostfixAlternate<'_> {
    /// All that can be told.
    pub(super) fn what_to_know(&self) -> Vec<Warning> {
        let others = self.services().ok().into_iter().flatten().filter(|service| !service.ours);
        self.self_signed().into_iter().chain(others.filter_map(for_itself)).collect()
    }

    fn self_signed(&self) -> Option<Warning> {
        let named = CERTIFICATES.iter().filter_map(|name| words(self.parameter(name).ok()?).next());
        let path = named.into_iter().find(|path| *path != "none")?;
        let text = text_of(self.context.view, path).ok()??;
        let certificate = Certificate::in_pem(text.as_bytes())?;
        certificate.is_self_signed.then(|| Warning::self_signed(&printable(path)))
    }
}

/// What an entry has that does not hold for others.
fn for_itself(service: &Service) -> Option<Warning> {
    let has = |name: &&&str| service.overrides.iter().any(|other| other == **name);
    let own: Vec<&str> = TAKEN_FOR_GRANTED.iter().filter(has).copied().collect();
    if own.is_empty() || service.program != "smtpd" {
        return None;
    }
    let sentence = format!(
        "the entry {} inet has {} in -o of its own, which does not apply to this listener: what it is to have, too, stands \
         in main.cf (postconf -e)",
        printable(service.name()),
        own.join(", ")
    );
    Some(Warning::new(WarningKind::OtherEntries, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::postfix::master::{INET, parse};

    fn told(entry: &str) -> Vec<String> {
        let services = parse(entry, INET);
        services.iter().filter_map(for_itself).map(|warning| warning.sentence).collect()
    }

    #[test]
    fn what_an_entry_has_for_itself_is_named_with_the_entry() {
        let told =
            told("submission inet n - y - - smtpd -o smtpd_milters=inet:localhost:8891 -o syslog_name=a\n");
        assert!(
            matches!(&told[..], [one] if one.contains("submission inet has smtpd_milters in")),
            "{told:?}"
        );
    }

    #[test]
    fn what_every_submission_entry_has_is_not_told() {
        assert!(told("submission inet n - y - - smtpd -o smtpd_tls_security_level=encrypt\n").is_empty());
    }
}
