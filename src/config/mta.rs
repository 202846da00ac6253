//! `[mta]`: which mail server is meant, and how a qmail differs from the usual one.
//!
//! What is made of it is on the sheets of the mail servers. A kind that there is not, a name that is no variable's and a path
//! that root must not rely on are refused with what was expected.

use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

use mail_smtp2::change::Choice;
use mail_smtp2::mta::qmail::{self, Variables};
use mail_smtp2::mta::{self, Kind};
use mail_smtp2::wire::text::printable;

use super::trust::trust;

/// `[mta]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mta {
    pub(crate) kind: MtaKind,
    pub(crate) qmail: Qmail,
}

/// `[mta.qmail]`.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "QmailKeys")]
pub(crate) struct Qmail(pub(crate) qmail::Qmail);

/// The keys of `[mta.qmail]` as they stand in the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QmailKeys {
    #[serde(deserialize_with = "absolute")]
    service_dir: Option<PathBuf>,
    #[serde(deserialize_with = "absolute")]
    template: Option<PathBuf>,
    port: Option<Variable>,
    auth: Option<Variable>,
    auth_required: Option<Value>,
    tls: Option<Variable>,
    tls_required: Option<Value>,
    tls_optional: Option<Value>,
    second_tls: Option<Variable>,
    second_tls_required: Option<Value>,
    second_tls_optional: Option<Value>,
}

impl TryFrom<QmailKeys> for Qmail {
    type Error = String;

    fn try_from(keys: QmailKeys) -> Result<Self, String> {
        let default = Variables::default();
        let name = |key: Option<Variable>, default| key.map_or(default, |Variable(name)| name);
        let value = |key: Option<Value>, default| key.map_or(default, |Value(value)| value);
        let variables = Variables {
            port: name(keys.port, default.port),
            auth: name(keys.auth, default.auth),
            auth_required: value(keys.auth_required, default.auth_required),
            tls: name(keys.tls, default.tls),
            tls_required: value(keys.tls_required, default.tls_required),
            tls_optional: value(keys.tls_optional, default.tls_optional),
            second_tls: match (keys.second_tls, keys.second_tls_required, keys.second_tls_optional) {
                (None, None, None) => None,
                (Some(Variable(name)), Some(Value(required)), Some(Value(optional))) => {
                    Some((name, required, optional))
                }
                _ => {
                    return Err("second_tls, second_tls_required and second_tls_optional are given together"
                        .to_owned());
                }
            },
        };
        let Variables { port, auth, tls, second_tls, .. } = &variables;
        let second = second_tls.as_ref().map(|(name, ..)| name);
        let names: Vec<&String> = [port, auth, tls].into_iter().chain(second).collect();
        if names.iter().enumerate().any(|(at, name)| names[..at].contains(name)) {
            return Err("port, auth, tls and second_tls have to name different variables".to_owned());
        }
        Ok(Self(qmail::Qmail { service_dir: keys.service_dir, template: keys.template, variables }))
    }
}

/// The name of a variable, which is a file's name in `env/` (envdir(8)).
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Variable(String);

impl TryFrom<String> for Variable {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match name.starts_with(|first: char| part(first) && !first.is_ascii_digit()) && name.chars().all(part)
        {
            true => Ok(Self(name)),
            false => Err("expected the name of a variable: letters, digits and _, no digit first"),
        }
    }
}

/// The value of a variable: what envdir(8) reads back from a file of one line.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Value(String);

impl TryFrom<String> for Value {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        let read_back = !value.contains(['\n', '\0']) && value.trim_end_matches([' ', '\t']) == value;
        match read_back {
            true => Ok(Self(value)),
            false => Err("expected a value of one line, without NUL and without blanks at its end"),
        }
    }
}

fn absolute<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    // As root, what root is going to execute has to be root's; a link to it may stand anywhere that is root's.
    let real = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    match path.is_absolute() {
        true => trust(&real).map(|()| Some(path)).map_err(serde::de::Error::custom),
        false => Err(serde::de::Error::custom("expected an absolute path")),
    }
}

/// A mail server's name, or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MtaKind(pub(crate) Option<Kind>);

impl MtaKind {
    pub(crate) fn choice(self) -> Choice {
        self.0.map_or(Choice::Auto, Choice::Only)
    }
}

impl FromStr for MtaKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        mta::named(text).map(|kind| Self(Some(kind))).ok_or_else(|| {
            let names: Vec<&str> = mta::kinds().into_iter().map(Kind::name).collect();
            format!("unknown mail server {}, expected auto, {}", printable(text), names.join(", "))
        })
    }
}

impl<'de> Deserialize<'de> for MtaKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
