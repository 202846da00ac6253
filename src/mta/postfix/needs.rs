//! What Postfix has to have before a listener of it can be made.
//!
//! It looks at certificate and key, at what is asked of clients' own certificates, and for somebody behind AUTH; what
//! is missing is an objection that says what to do about it. Whether the listener then works is found out by the proof.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::alternate::PostfixAlternate;
use super::master::{Service, words};
use crate::mta::machine::{is_there, text_of};
use crate::mta::sheet::{AuthMode, Listener, MtaError};
use crate::sys::tls;
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// Where Cyrus SASL looks for what Postfix offers, unless `cyrus_sasl_config_path` says otherwise.
const CYRUS: [&str; 4] = ["/etc/postfix/sasl", "/etc/sasl2", "/usr/lib/sasl2", "/usr/lib64/sasl2"];
/// What `smtpd_sasl_path` is unless it is set (postconf(5)).
const DEFAULT_PATH: &str = "smtpd";
/// Where Dovecot's documentation and SASL_README put its socket, below the queue directory.
const DOVECOT_PATH: &str = "private/auth";
/// How long the AUTH backend may take to accept a connection.
const BACKEND: Duration = Duration::from_secs(5);
/// What a PEM file with a certificate holds.
const CERTIFICATE: &str = "CERTIFICATE-----";
/// What a PEM file with a key holds.
const KEY: &str = "PRIVATE KEY-----";

fn unusable(parameter: &str, path: &str, why: &str) -> MtaError {
    MtaError::Cannot(
        Reason::CertificateUnusable,
        format!("{parameter} = {} {why}; both modes need TLS", printable(path)),
    )
}

/// Whether the text of a PEM file holds all that it should (RFC 7468).
fn holds(parameter: &str, path: &str, text: &str, parts: &[&str]) -> Result<(), MtaError> {
    match parts.iter().find(|part| !text.contains(**part)) {
        None => Ok(()),
        Some(part) => {
            Err(unusable(parameter, path, &format!("holds no {}", part.trim_matches('-').to_lowercase())))
        }
    }
}

impl PostfixAlternate<'_> {
    /// The text of the administrator's certificate or key.
    fn pem(&self, parameter: &str, path: &str) -> Result<String, MtaError> {
        let text = text_of(self.context.view, path).map_err(|why| unusable(parameter, path, &why))?;
        let missing = || {
            let what = format!("{parameter} = {} does not exist; both modes need TLS", printable(path));
            MtaError::Cannot(Reason::CertificateMissing, what)
        };
        text.ok_or_else(missing)
    }

    /// Where another entry has, for itself alone, what `main.cf` lacks: that this is not read, and where it has to stand.
    fn elsewhere(&self, parameters: &[&str]) -> Result<String, MtaError> {
        let has =
            |service: &&Service, parameter: &str| service.overrides.iter().any(|name| name == parameter);
        for service in self.services()?.iter().filter(|service| !service.ours) {
            if let Some(parameter) = parameters.iter().find(|parameter| has(&service, parameter)) {
                return Ok(format!(
                    "; the entry {} inet has {parameter} in -o of its own, which is not read for this listener: set it in \
                     main.cf (postconf -e)",
                    printable(service.name())
                ));
            }
        }
        Ok(String::new())
    }

    /// Whether a client may come without a certificate of its own: where TLS is optional, Postfix asks for none.
    pub(super) fn client_certificates(&self, listener: &Listener) -> Result<(), MtaError> {
        if listener.auth_mode == AuthMode::TlsOptional || self.parameter("smtpd_tls_req_ccert")? != "yes" {
            return Ok(());
        }
        Err(MtaError::Cannot(Reason::ClientCertificateAsked,
            "smtpd_tls_req_ccert = yes lets in only clients with a certificate of their own, and this listener is for all \
             who log in; take it out of main.cf, and set it with -o in the entries that need it"
                .to_owned(),
        ))
    }

    /// Where the certificate is that clients are shown.
    pub(super) fn shown(&self) -> Option<PathBuf> {
        let value = |name| self.parameter(name).ok().filter(|value| !value.is_empty() && *value != "none");
        let chain = value("smtpd_tls_chain_files").and_then(|chains| words(chains).next());
        chain.or_else(|| value("smtpd_tls_cert_file")).map(PathBuf::from)
    }

    pub(super) fn certificate(&self) -> Result<(), MtaError> {
        let chains = self.parameter("smtpd_tls_chain_files")?;
        if words(chains).next().is_some() {
            // Keys and certificates in any order, in as many files as one likes.
            let texts = words(chains).map(|path| self.pem("smtpd_tls_chain_files", path));
            let text = texts.collect::<Result<Vec<_>, _>>()?.concat();
            holds("smtpd_tls_chain_files", chains, &text, &[CERTIFICATE, KEY])?;
            return match tls::mismatched(text.as_bytes(), text.as_bytes()) {
                false => Ok(()),
                true => Err(unusable(
                    "smtpd_tls_chain_files",
                    chains,
                    "holds a key that is not its certificate's",
                )),
            };
        }
        let pairs = [
            ("smtpd_tls_cert_file", "smtpd_tls_key_file"),
            ("smtpd_tls_eccert_file", "smtpd_tls_eckey_file"),
        ];
        for (certificate, key) in pairs {
            let path = self.parameter(certificate)?;
            if path.is_empty() || path == "none" {
                continue;
            }
            let public = self.pem(certificate, path)?;
            holds(certificate, path, &public, &[CERTIFICATE])?;
            let key_path = self.parameter(key)?;
            let private = self.pem(key, key_path)?;
            holds(key, key_path, &private, &[KEY])?;
            if tls::mismatched(public.as_bytes(), private.as_bytes()) {
                let why = format!("is not the key of the certificate {}", printable(path));
                return Err(unusable(key, key_path, &why));
            }
            return Ok(());
        }
        Err(MtaError::Cannot(
            Reason::CertificateMissing,
            format!(
                "main.cf names no certificate (smtpd_tls_cert_file and smtpd_tls_key_file, or smtpd_tls_chain_files); both \
             modes need TLS{}",
                self.elsewhere(&["smtpd_tls_cert_file", "smtpd_tls_chain_files", "smtpd_tls_eccert_file"])?
            ),
        ))
    }

    /// What Dovecot and Postfix need to find each other, where `smtpd_sasl_path` was never set.
    fn dovecot(&self) -> Result<String, MtaError> {
        let socket = Path::new(self.parameter("queue_directory")?).join(DOVECOT_PATH);
        Ok(format!(
            "; smtpd_sasl_path is at its default, {DEFAULT_PATH}: for Dovecot, postconf -e smtpd_sasl_type=dovecot \
             smtpd_sasl_path={DOVECOT_PATH}, and in Dovecot's configuration: service auth {{ unix_listener {} {{ mode = 0660 \
             user = postfix group = postfix }} }} (each on a line of its own)",
            printable(socket.as_os_str().as_encoded_bytes())
        ))
    }

    pub(super) fn sasl(&self) -> Result<(), MtaError> {
        let path = self.parameter("smtpd_sasl_path")?;
        let elsewhere = self.elsewhere(&["smtpd_sasl_type", "smtpd_sasl_path"])?;
        let default = match (path, elsewhere.is_empty()) {
            (DEFAULT_PATH, true) => self.dovecot()?,
            _ => String::new(),
        };
        let nobody = |at: &str, why: &dyn std::fmt::Display| {
            let at = printable(at);
            Err(MtaError::Cannot(
                Reason::AuthMissing,
                format!("no SASL mechanism for AUTH: nobody answers at {at}: {why}{default}{elsewhere}"),
            ))
        };
        let soon = self.context.deadline.within(BACKEND);
        match (self.parameter("smtpd_sasl_type")?, path.strip_prefix("inet:")) {
            ("dovecot", Some(address)) => {
                // A name would have to be looked up; the proof will tell.
                let Ok(address) = address.parse() else { return Ok(()) };
                match self.context.view.refuses(address, soon) {
                    Ok(false) => Ok(()),
                    Ok(true) => nobody(path, &"connection refused"),
                    Err(error) => nobody(path, &error),
                }
            }
            ("dovecot", None) => {
                let path = path.strip_prefix("unix:").unwrap_or(path);
                let socket = Path::new(self.parameter("queue_directory")?).join(path);
                self.context
                    .view
                    .reaches(&socket, soon)
                    .or_else(|error| nobody(&socket.to_string_lossy(), &error))
            }
            (kind, _) => {
                let own = self.parameter("cyrus_sasl_config_path")?;
                let folders: Vec<&str> =
                    own.split(':').filter(|folder| !folder.is_empty()).chain(CYRUS).collect();
                let there = |folder: &&str| {
                    let file = Path::new(folder).join(format!("{path}.conf"));
                    is_there(self.context.view, &file)
                };
                if folders.iter().any(there) {
                    return Ok(());
                }
                Err(MtaError::Cannot(
                    Reason::AuthMissing,
                    format!(
                        "no SASL mechanism for AUTH: smtpd_sasl_type = {}, and there is no {}.conf in {}; set up Dovecot \
                     (smtpd_sasl_type = dovecot) or Cyrus SASL{default}{elsewhere}",
                        printable(kind),
                        printable(path),
                        printable(folders.join(" or "))
                    ),
                ))
            }
        }
    }
}
