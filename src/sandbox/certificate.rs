//! The sandbox's self-signed certificate, and the TLS configuration that is made with it.
//!
//! The pair of certificate and key is kept in a directory (`certificate.pem`, `key.pem`, 0600) or made anew. What is
//! said over TLS is `dialogue`'s. A kept pair that is missing, broken or does not match is no failure: it is replaced,
//! since nobody is ever asked to trust it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::NamedTempFile;

use crate::mta::sandbox::CERTIFICATE;

const KEY: &str = "key.pem";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No pair could be made.
    #[error("cannot make a certificate: {0}")]
    Make(rcgen::Error),
    /// TLS refuses the pair that was made.
    #[error("cannot use the certificate: {0}")]
    Use(rustls::Error),
    /// The pair could not be written.
    #[error("cannot keep {}: {source}", path.display())]
    Keep {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// TLS 1.2 and 1.3 for a server, with the pair kept in `dir` (made and kept there if need be), or with a pair that
/// ends with the process.
pub fn tls(dir: Option<&Path>) -> Result<Arc<ServerConfig>, CertificateError> {
    let Some(dir) = dir else { return fresh().and_then(|pair| pair.config()).map(Arc::new) };
    if let Some(config) = kept(dir) {
        return Ok(Arc::new(config));
    }
    let pair = fresh()?;
    // The key first: a certificate without its key is then never seen, and a key without its certificate is made anew.
    keep(dir.join(KEY), &pair.key)?;
    keep(dir.join(CERTIFICATE), &pair.certificate)?;
    pair.config().map(Arc::new)
}

struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn config(&self) -> Result<ServerConfig, CertificateError> {
        let unreadable = |error| CertificateError::Use(rustls::Error::General(format!("{error}")));
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(unreadable)?;
        config(certificate, key).map_err(CertificateError::Use)
    }
}

fn fresh() -> Result<Pair, CertificateError> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names).map_err(CertificateError::Make)?;
    params.distinguished_name.push(DnType::CommonName, "mail-smtp2 sandbox");
    let key = KeyPair::generate().map_err(CertificateError::Make)?;
    let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn kept(dir: &Path) -> Option<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(dir.join(CERTIFICATE)).ok()?;
    let key = PrivateKeyDer::from_pem_file(dir.join(KEY)).ok()?;
    config(certificate, key).ok()
}

fn keep(path: PathBuf, text: &str) -> Result<(), CertificateError> {
    // NamedTempFile makes its files 0600, and takes an unfinished one away again.
    let written = NamedTempFile::new_in(path.parent().unwrap_or(Path::new("/"))).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    });
    written.map(drop).map_err(|source| CertificateError::Keep { path, source })
}

fn config(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_pair_is_kept_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        tls(Some(dir.path())).unwrap();
        let first = fs::read(dir.path().join(CERTIFICATE)).unwrap();
        tls(Some(dir.path())).unwrap();
        assert_eq!(fs::read(dir.path().join(CERTIFICATE)).unwrap(), first);
    }

    #[test]
    fn both_files_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        tls(Some(dir.path())).unwrap();
        let mode = |name| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(CERTIFICATE), mode(KEY)], [0o600, 0o600]);
    }

    #[test]
    fn nothing_else_is_left_in_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        tls(Some(dir.path())).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_key_of_another_certificate_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        tls(Some(dir.path())).unwrap();
        let stranger = fresh().unwrap().key;
        fs::write(dir.path().join(KEY), &stranger).unwrap();
        tls(Some(dir.path())).unwrap();
        assert_ne!(fs::read_to_string(dir.path().join(KEY)).unwrap(), stranger);
    }

    #[test]
    fn a_torn_certificate_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(CERTIFICATE), "-----BEGIN CERTIF").unwrap();
        assert!(tls(Some(dir.path())).is_ok());
    }

    #[test]
    fn a_directory_that_is_gone_is_named() {
        let error = tls(Some(Path::new("/nonexistent/sandbox"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/sandbox/key.pem"), "{error}");
    }
}
