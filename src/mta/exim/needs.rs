//! What Exim has to have before an alternate listener of it can be begun with.
//!
//! Answers for: the list of trusted configurations, certificate and key, the authenticators; what is missing is named
//! with what to do about it. Does not know: whether it works, which the proof finds out; what Exim expands anew in each
//! session is left to it.

use std::path::Path;

use super::alternate::Here;
use super::conf::NOTLS;
use super::read;
use crate::mta::sheet::{AuthMode, Listener, MtaError};
use crate::sys::{FileError, tls};
use crate::wire::text::{chain, foreign};

fn missing(what: String) -> MtaError {
    MtaError::Precondition(what)
}

impl Here<'_> {
    /// Whether Exim keeps the privilege to deliver with the configurations of the list that is to name ours.
    pub(super) fn list_is_trusted(&self) -> Result<(), MtaError> {
        let list = self.layout.trusted;
        let version = self.run(self.exim().args(["-d", "-bV"]))?;
        match read::trusted(&String::from_utf8_lossy(&version.stdout)) {
            Some(path) if path == Path::new(list) => {}
            other => {
                let other =
                    other.map_or("none".to_owned(), |path| foreign(path.as_os_str().as_encoded_bytes()));
                return Err(MtaError::Unsupported(format!(
                    "this Exim was built with TRUSTED_CONFIG_LIST = {other}, not {list}; mail accepted with a second \
                     configuration would stick"
                )));
            }
        }
        match self.desk.host.meta(Path::new(list))? {
            Some(meta) if meta.uid != 0 || meta.mode & 0o022 != 0 => Err(missing(format!(
                "{list} has to belong to root and be writable by nobody else (chown root {list}; chmod go-w {list}), or \
                 Exim does not trust it"
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn certificate(&self) -> Result<(), MtaError> {
        let says = &self.primary()?.says;
        if says.option("tls_advertise_hosts").is_empty() {
            let debian = "MAIN_TLS_ENABLE = yes in Debian's configuration";
            return Err(missing(format!(
                "tls_advertise_hosts is empty ({debian} fills it); both modes need TLS"
            )));
        }
        let certificate = says.option("tls_certificate");
        if certificate.is_empty() {
            return Err(missing(
                "no tls_certificate and tls_privatekey are set (MAIN_TLS_ENABLE = yes, with MAIN_TLS_CERTIFICATE and \
                 MAIN_TLS_PRIVATEKEY, does it in Debian's configuration); both modes need TLS"
                    .to_owned(),
            ));
        }
        let public = self.pem("tls_certificate", certificate, "CERTIFICATE-----")?;
        let key = match says.option("tls_privatekey") {
            "" => certificate,
            key => key,
        };
        let private = self.pem("tls_privatekey", key, "PRIVATE KEY-----")?;
        if tls::mismatched(public.as_bytes(), private.as_bytes()) {
            let (key, certificate) = (foreign(key), foreign(certificate));
            return Err(missing(format!(
                "tls_privatekey = {key} is not the key of the certificate {certificate}; both modes need TLS"
            )));
        }
        Ok(())
    }

    /// The text of each file of a list, if it is there for Exim's sessions and holds what it should (RFC 7468).
    fn pem(&self, option: &str, value: &str, part: &str) -> Result<String, MtaError> {
        let mut all = String::new();
        // What is expanded in each session anew is left to the proof.
        for path in read::list(value).iter().filter(|_| !value.contains('$')) {
            let unusable =
                |why: &str| missing(format!("{option} = {} {why}; both modes need TLS", foreign(path)));
            let text = match self.desk.host.read(Path::new(path)) {
                Ok(Some(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
                Ok(None) => return Err(unusable("does not exist")),
                Err(FileError::Irregular { kind, .. }) => {
                    return Err(unusable(&format!("is {kind}, not a regular file")));
                }
                Err(error) => return Err(unusable(&format!("cannot be read ({})", chain(&error)))),
            };
            if !text.contains(part) {
                return Err(unusable(&format!("holds no {}", part.trim_matches('-').to_lowercase())));
            }
            match self.desk.host.meta(Path::new(path))? {
                Some(meta) if meta.uid == 0 && meta.mode & 0o044 == 0 => {
                    return Err(unusable("can be read by root alone, and Exim reads it as its own user"));
                }
                _ => {}
            }
            all += &text;
        }
        Ok(all)
    }

    pub(super) fn authenticators(&self, listener: &Listener) -> Result<(), MtaError> {
        let made = self.made(listener)?;
        let serving: Vec<_> = made.says.authenticators.iter().filter(|a| a.serves()).collect();
        if serving.is_empty() {
            return Err(missing(
                "no authenticator of Exim's serves clients, so that there is no AUTH; set one up (Debian's \
                 configuration has examples such as plain_server, commented out)"
                    .to_owned(),
            ));
        }
        let hidden: Vec<_> = serving.iter().map_while(|a| Some((a, a.needs_tls()?))).collect();
        match hidden.first() {
            Some((authenticator, condition))
                if listener.auth_mode == AuthMode::TlsOptional && hidden.len() == serving.len() =>
            {
                Err(missing(format!(
                    "no authenticator of Exim's is offered without TLS, as {} asks for: {} has \
                     server_advertise_condition = {}; put .ifndef {NOTLS} before that line and .endif after it",
                    listener.auth_mode.name(),
                    foreign(&authenticator.name),
                    foreign(condition)
                )))
            }
            _ => Ok(()),
        }
    }
}
