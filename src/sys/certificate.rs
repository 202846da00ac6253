//! What an X.509 certificate says of itself (RFC 5280), as a server sends it or as a PEM file holds it (RFC 7468).
//!
//! Subject, issuer, names, validity and fingerprint of one certificate; whether it is to be trusted is not asked. What it
//! says is anybody's text: escape it before showing it. What cannot be read is `None`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;

/// The last second that RFC 3339 can write, in seconds since 1970.
const LAST: u64 = 253_402_300_799;
/// The most names that are told.
const NAMES: usize = 100;

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as a distinguished name.
    pub subject: String,
    /// Who has signed it, as a distinguished name.
    pub issuer: String,
    /// The host names, addresses and mail addresses that it is for (`subjectAltName`), at most 100.
    pub names: Vec<String>,
    /// The SHA-256 of its DER, in lower-case hexadecimal digits.
    pub sha256: String,
    /// From when it is valid; not before 1970.
    pub not_before: SystemTime,
    /// Until when it is valid; not after the year 9999.
    pub not_after: SystemTime,
    /// Whether subject and issuer are the same.
    pub is_self_signed: bool,
}

impl Certificate {
    /// Reads one in DER.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = x509_parser::parse_x509_certificate(der).ok()?;
        let names = read.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(name);
        Some(Self {
            subject: read.subject().to_string(),
            issuer: read.issuer().to_string(),
            names: names.take(NAMES).collect(),
            sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(der)),
            not_before: time(read.validity().not_before.timestamp()),
            not_after: time(read.validity().not_after.timestamp()),
            is_self_signed: read.subject().as_raw() == read.issuer().as_raw(),
        })
    }

    /// Reads the first one of a PEM file.
    pub fn in_pem(text: &[u8]) -> Option<Self> {
        Self::of(&CertificateDer::from_pem_slice(text).ok()?)
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let four = <[u8; 4]>::try_from(*bytes).map(|four| IpAddr::from(Ipv4Addr::from(four)));
            let six = || <[u8; 16]>::try_from(*bytes).map(|six| IpAddr::from(Ipv6Addr::from(six)));
            four.or_else(|_| six()).ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

fn time(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0).min(LAST))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn made() -> rcgen::Certificate {
        let names = ["mail.example.com".to_owned(), "192.0.2.7".to_owned(), "2001:db8::7".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "mail.example.com");
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2027, 1, 2);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        let made = made();
        let read = Certificate::of(made.der()).unwrap();
        assert_eq!(read.subject, "CN=mail.example.com");
        assert_eq!(read.names, ["mail.example.com", "192.0.2.7", "2001:db8::7"]);
        assert_eq!(humantime::format_rfc3339_seconds(read.not_after).to_string(), "2027-01-02T00:00:00Z");
        assert_eq!((read.is_self_signed, read.sha256.len()), (true, 64));
        assert_eq!(Certificate::in_pem(made.pem().as_bytes()), Some(read), "the same in a file");
    }

    #[test]
    fn a_certificate_that_somebody_else_has_issued_is_not_self_signed() {
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        let issuer = rcgen::Issuer::new(authority, KeyPair::generate().unwrap());
        let mine = CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
        let issued = mine.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        assert!(!Certificate::of(issued.der()).unwrap().is_self_signed);
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        let der = made().der().to_vec();
        for cut in 0..der.len() {
            assert_eq!(Certificate::of(&der[..cut]), None);
        }
        assert_eq!(Certificate::in_pem(b"-----BEGIN CERTIFICATE-----\nrubbish\n"), None);
    }

    #[test]
    fn times_that_nobody_can_write_are_moved_to_where_they_can_be() {
        assert_eq!(time(-1), UNIX_EPOCH);
        assert_eq!(humantime::format_rfc3339_seconds(time(i64::MAX)).to_string(), "9999-12-31T23:59:59Z");
    }
}
