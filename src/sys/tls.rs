//! Whether a certificate and a private key belong together, as PEM files hold them (RFC 7468).
//!
//! Looks at the first certificate and the first key of what it is given; names, validity and chains are not its business.
//! What it cannot read (an encrypted key, an algorithm that it does not speak) is not judged.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

/// Whether the key is certainly that of another certificate.
pub fn mismatched(certificate: &[u8], key: &[u8]) -> bool {
    let (Ok(certificate), Ok(key)) =
        (CertificateDer::from_pem_slice(certificate), PrivateKeyDer::from_pem_slice(key))
    else {
        return false;
    };
    let pair = CertifiedKey::from_der(vec![certificate], key, &ring::default_provider());
    matches!(pair, Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["mail.example.com".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_belong_together() {
        let (certificate, key) = pair();
        assert!(!mismatched(certificate.as_bytes(), key.as_bytes()));
    }

    #[test]
    fn another_certificates_key_does_not_belong_to_it() {
        let (certificate, other) = (pair().0, pair().1);
        assert!(mismatched(certificate.as_bytes(), other.as_bytes()));
    }

    #[test]
    fn one_file_may_hold_both_in_any_order() {
        let (certificate, key) = pair();
        let both = format!("{key}{certificate}");
        assert!(!mismatched(both.as_bytes(), both.as_bytes()));
    }

    #[test]
    fn what_cannot_be_read_is_not_judged() {
        assert!(!mismatched(pair().0.as_bytes(), b"-----BEGIN PRIVATE KEY-----\nrubbish\n"));
    }
}
