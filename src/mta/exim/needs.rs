//! What Exim has to have before a listener of it can be made.
//!
//! It looks for the list of trusted configurations, certificate and key, and the authenticators; what is missing is an
//! objection that says what to do about it. Whether the listener then works is found out by the proof; what Exim
//! expands anew in each session is left to it.

use std::path::{Path, PathBuf};

use super::alternate::EximAlternate;
use super::conf::NOTLS;
use super::daemons::BUILT;
use super::read;
use crate::mta::machine::text_of;
use crate::mta::sheet::{AuthMode, Listener, MtaError};
use crate::mta::warning::Warning;
use crate::sys::{Certificate, tls};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

use Reason::{AuthMissing, AuthNeedsTls, CertificateMissing, CertificateUnusable, ListUntrusted};

fn missing(reason: Reason, what: String) -> MtaError {
    MtaError::Cannot(reason, what)
}

/// What it is built from, as far as administrators usually write there, and itself.
const SOURCES: [&str; 5] = [
    "/etc/exim4/exim4.conf.localmacros",
    "/etc/exim4/exim4.conf.template",
    "/etc/exim4/conf.d/main/000_localmacros",
    "/etc/exim4/conf.d/auth/30_exim4-config_examples",
    "/etc/exim4/update-exim4.conf.conf",
];
/// How a certificate is made for trying it, and how Exim comes to read it.
const SELF_SIGNED: &str = "; a self-signed one is made with openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj \
                           /CN=$(hostname -f) -keyout KEY -out CERTIFICATE, and Exim's user has to be able to read both";
/// Where macros go in Debian's configuration.
const MACROS: &str = "macros go into /etc/exim4/exim4.conf.localmacros (with split configuration \
                      /etc/exim4/conf.d/main/000_localmacros), then run update-exim4.conf";
/// Where authenticators stand there.
const AUTHENTICATORS: &str = "the example plain_server is in /etc/exim4/exim4.conf.template (with split configuration \
                              /etc/exim4/conf.d/auth/30_exim4-config_examples): take the # before its lines away, put \
                              lines NAME:HASH (openssl passwd -6) into /etc/exim4/passwd, which Exim's user has to be able to \
                              read, then run update-exim4.conf";

impl EximAlternate<'_> {
    /// Whether Exim keeps the privilege to deliver with the configurations of the list that is to name ours.
    pub(super) fn list_is_trusted(&self) -> Result<(), MtaError> {
        let list = self.layout.trusted;
        let version = self.run(self.exim().args(["-d", "-bV"]))?;
        match read::trusted(&String::from_utf8_lossy(&version.stdout)) {
            Some(path) if path == Path::new(list) => {}
            other => {
                let other =
                    other.map_or("none".to_owned(), |path| printable(path.as_os_str().as_encoded_bytes()));
                return Err(MtaError::Cannot(
                    Reason::SetupUnsupported,
                    format!(
                        "this Exim was built with TRUSTED_CONFIG_LIST = {other}, not {list}, and mail \
                     accepted with a second configuration would stick; build it with TRUSTED_CONFIG_LIST={list} in \
                     Local/Makefile, or have the panel build it so"
                    ),
                ));
            }
        }
        match self.context.view.meta(Path::new(list))? {
            Some(meta) if meta.uid != 0 || meta.mode & 0o022 != 0 => Err(missing(
                ListUntrusted,
                format!(
                    "{list} has to belong to root and be writable by nobody else (chown root {list}; chmod go-w {list}), or \
                 Exim does not trust it"
                ),
            )),
            _ => Ok(()),
        }
    }

    /// How an administrator of Debian's configuration goes on: what of his is not built in yet, or else `next`.
    fn built(&self, next: &str) -> Result<String, MtaError> {
        if self.primary()?.path != Path::new(BUILT) {
            return Ok(String::new());
        }
        let stamp = |path: &str| self.context.view.stamp(Path::new(path)).ok().flatten();
        let built = stamp(BUILT);
        let is_later = |path: &&&str| {
            built
                .as_ref()
                .is_some_and(|built| stamp(path).is_some_and(|written| written.is_later_than(built)))
        };
        Ok(match SOURCES.iter().find(is_later) {
            Some(path) => {
                format!("; {path} was written after Exim's configuration was built: run update-exim4.conf")
            }
            None => format!("; {next}"),
        })
    }

    /// Where the certificate is that clients are shown, unless each session finds that out anew.
    pub(super) fn shown(&self) -> Option<PathBuf> {
        let value = self.primary().ok()?.says.option("tls_certificate");
        let first = read::list(value).first().map(PathBuf::from);
        first.filter(|path| path.is_absolute() && !value.contains('$'))
    }

    pub(super) fn certificate(&self) -> Result<(), MtaError> {
        let says = &self.primary()?.says;
        if says.option("tls_advertise_hosts").is_empty() {
            let debian = "MAIN_TLS_ENABLE = yes in Debian's configuration";
            return Err(missing(
                CertificateMissing,
                format!(
                    "tls_advertise_hosts is empty ({debian} fills it); both modes need TLS{}",
                    self.built(MACROS)?
                ),
            ));
        }
        let certificate = says.option("tls_certificate");
        if certificate.is_empty() {
            return Err(missing(
                CertificateMissing,
                format!(
                    "no tls_certificate and tls_privatekey are set (MAIN_TLS_ENABLE = yes, with MAIN_TLS_CERTIFICATE and \
                 MAIN_TLS_PRIVATEKEY, does it in Debian's configuration); both modes need TLS{}{SELF_SIGNED}",
                    self.built(MACROS)?
                ),
            ));
        }
        let public = self.pem("tls_certificate", certificate, "CERTIFICATE-----")?;
        let key = match says.option("tls_privatekey") {
            "" => certificate,
            key => key,
        };
        let private = self.pem("tls_privatekey", key, "PRIVATE KEY-----")?;
        if tls::mismatched(public.as_bytes(), private.as_bytes()) {
            let (key, certificate) = (printable(key), printable(certificate));
            return Err(missing(
                CertificateUnusable,
                format!(
                    "tls_privatekey = {key} is not the key of the certificate {certificate}; both modes need TLS"
                ),
            ));
        }
        Ok(())
    }

    /// The text of each file of a list, if it is there for Exim's sessions and holds what it should (RFC 7468).
    fn pem(&self, option: &str, value: &str, part: &str) -> Result<String, MtaError> {
        let mut all = String::new();
        // What is expanded in each session anew is left to the proof.
        for path in read::list(value).iter().filter(|_| !value.contains('$')) {
            let unusable = |why: &str| {
                missing(
                    CertificateUnusable,
                    format!("{option} = {} {why}; both modes need TLS", printable(path)),
                )
            };
            let Some(text) = text_of(self.context.view, path).map_err(|why| unusable(&why))? else {
                return Err(missing(
                    CertificateMissing,
                    format!(
                        "{option} = {} does not exist; both modes need TLS{SELF_SIGNED}",
                        printable(path)
                    ),
                ));
            };
            if !text.contains(part) {
                return Err(unusable(&format!("holds no {}", part.trim_matches('-').to_lowercase())));
            }
            match self.context.view.meta(Path::new(path))? {
                Some(meta) if meta.uid == 0 && meta.mode & 0o044 == 0 => {
                    return Err(unusable(
                        "can be read by root alone, and Exim reads it as its own user (chgrp to its group, chmod 640)",
                    ));
                }
                _ => {}
            }
            all += &text;
        }
        Ok(all)
    }

    /// What an administrator should know, though nothing is missing.
    pub(super) fn what_to_know(&self, listener: &Listener) -> Vec<Warning> {
        let mut known = Vec::new();
        if let Some(path) = self.shown()
            && let Ok(Some(bytes)) = self.context.view.read(&path)
            && Certificate::in_pem(&bytes).is_some_and(|it| it.is_self_signed)
        {
            known.push(Warning::self_signed(&printable(path.as_os_str().as_encoded_bytes())));
        }
        if let Ok(made) = self.made(listener) {
            let serving = made.says.authenticators.iter().filter(|a| a.serves());
            known.extend(Warning::of_mechanisms(serving.map(read::Authenticator::mechanism)));
        }
        known
    }

    pub(super) fn authenticators(&self, listener: &Listener) -> Result<(), MtaError> {
        let made = self.made(listener)?;
        let serving: Vec<_> = made.says.authenticators.iter().filter(|a| a.serves()).collect();
        if serving.is_empty() {
            return Err(missing(
                AuthMissing,
                format!(
                    "no authenticator of Exim's serves clients, so that there is no AUTH; set one up{}",
                    self.built(AUTHENTICATORS)?
                ),
            ));
        }
        let hidden: Vec<_> = serving.iter().map_while(|a| Some((a, a.needs_tls()?))).collect();
        match hidden.first() {
            Some((authenticator, condition))
                if listener.auth_mode == AuthMode::TlsOptional && hidden.len() == serving.len() =>
            {
                Err(missing(
                    AuthNeedsTls,
                    format!(
                        "no authenticator of Exim's is offered without TLS, as {} asks for: {} has \
                     server_advertise_condition = {}; put .ifndef {NOTLS} before that line and .endif after it",
                        listener.auth_mode.name(),
                        printable(&authenticator.name),
                        printable(condition)
                    ),
                ))
            }
            _ => Ok(()),
        }
    }
}
