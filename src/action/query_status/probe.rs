//! `queryStatus` with `probe`: what clients are answered, and the certificate that they are shown, as a program reads it.
//!
//! The change floor holds the dialogues; here they become members with names. What the server or its certificate says is
//! anybody's text, made harmless here. What was not heard is absent.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;

use crate::change::probe::{self, OnDisk, Outcome};
use crate::sys;
use crate::wire::text::printable;

/// A day, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// A place where clients reach the listener.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("examples" = [{
    "address": "192.0.2.7", "outcome": "fits", "greeting": "220 mail.example.com ESMTP Postfix", "starttls": 1,
    "auth_before_tls": [], "auth_after_tls": ["PLAIN", "LOGIN"],
    "certificate": {
        "subject": "CN=mail.example.com", "names": ["mail.example.com"], "issuer": "C=US, O=Let's Encrypt, CN=R11",
        "sha256": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "not_before": "2026-10-01T00:00:00Z", "not_after": "2026-12-30T00:00:00Z", "days_left": 32,
        "is_self_signed": 0, "on_disk": "newer"
    }
}]))]
pub struct Place {
    /// The address that was connected to; of a listener on all addresses loopback, and one that is not.
    pub address: String,
    /// Whether all is as the mode promises (fits), something is not (unfit), the server said that it would another time
    /// (put_off), or the dialogues could not be held (failed).
    #[schemars(extend("enum" = Outcome::NAMES))]
    pub outcome: &'static str,
    /// What is wrong, if something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// What the server greets with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greeting: Option<String>,
    /// 1 if STARTTLS is offered, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub starttls: Option<u8>,
    /// The mechanisms of AUTH that are offered before TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_before_tls: Option<Vec<String>>,
    /// The mechanisms of AUTH that are offered after TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_after_tls: Option<Vec<String>>,
    /// The certificate as it is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
}

/// A certificate.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Certificate {
    /// Whom it is for, as a distinguished name.
    pub subject: String,
    /// The host names and addresses that it is for.
    pub names: Vec<String>,
    /// Who has signed it, as a distinguished name.
    pub issuer: String,
    /// Its fingerprint, SHA-256, in lower-case hexadecimal digits.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// From when it is valid, RFC 3339, UTC.
    pub not_before: String,
    /// Until when it is valid, RFC 3339, UTC.
    pub not_after: String,
    /// How many whole days it is still valid; negative when it is over.
    #[schemars(range(min = -4_000_000, max = 4_000_000))]
    pub days_left: i64,
    /// 1 if subject and issuer are the same, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_self_signed: u8,
    /// The certificate in the file: the same, a newer one that the mail server has not loaded yet, or another one; absent
    /// where the file cannot be told or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = OnDisk::NAMES))]
    pub on_disk: Option<&'static str>,
}

impl Place {
    /// What was heard in a place at this time.
    pub fn heard(place: probe::Place, at: SystemTime) -> Self {
        let on_disk = place.on_disk.map(OnDisk::name);
        Self {
            address: place.at.ip().to_string(),
            outcome: place.outcome.name(),
            sentence: place.sentence,
            greeting: place.greeting,
            starttls: place.starttls.map(u8::from),
            auth_before_tls: place.auth_before_tls,
            auth_after_tls: place.auth_after_tls,
            certificate: place.certificate.map(|read| Certificate::at(&read, on_disk, at)),
        }
    }
}

impl Certificate {
    fn at(read: &sys::Certificate, on_disk: Option<&'static str>, now: SystemTime) -> Self {
        let time = |time| humantime::format_rfc3339_seconds(time).to_string();
        Self {
            subject: printable(&read.subject),
            names: read.names.iter().map(printable).collect(),
            issuer: printable(&read.issuer),
            sha256: read.sha256.clone(),
            not_before: time(read.not_before),
            not_after: time(read.not_after),
            days_left: days(now, read.not_after),
            is_self_signed: read.is_self_signed.into(),
            on_disk,
        }
    }
}

/// Whole days from one time to the other; one that has begun to be too late is -1.
fn days(from: SystemTime, to: SystemTime) -> i64 {
    let seconds = |span: std::time::Duration| i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(left) => seconds(left) / DAY,
        Err(over) => -1 - seconds(over.duration()) / DAY,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn days_are_whole_ones_and_negative_once_it_is_over() {
        let now = UNIX_EPOCH + Duration::from_secs(100 * 86_400);
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        assert_eq!((days(now, now + hours(49)), days(now, now + hours(1)), days(now, now)), (2, 0, 0));
        assert_eq!((days(now, now - hours(1)), days(now, now - hours(25))), (-1, -2));
    }
}
