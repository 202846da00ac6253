//! The configuration file and a few flags, made into each floor's own settings (mail-smtp2.toml(5)).
//!
//! Names, defaults and bounds of every key stand here, larger tables in files of their own; what a setting does is said by
//! the floor that has it. An error names file, line, key and value.

mod cluster;
mod environment;
mod mta;
mod sandbox;
mod trust;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use mail_smtp2::sys::{FileError, files};
use mail_smtp2::wire::text::{chain, printable};

pub(crate) use cluster::{Cluster, Node};
pub(crate) use environment::{allows_colour, for_ssh, log_filter};
pub(crate) use mta::{Mta, MtaKind};
pub(crate) use sandbox::Sandbox;
pub(crate) use trust::trust;

/// Where the configuration is, unless `--config` says otherwise.
pub(crate) const DEFAULT_PATH: &str = "/etc/mail-smtp2.toml";

/// Where the state is, unless `--state-dir` says otherwise.
pub(crate) const DEFAULT_STATE: &str = "/var/lib/mail-smtp2";

/// The lock that all plugins of a machine share.
pub(crate) const MACHINE_LOCK: &str = "/run/mail-smtp2/lock";

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) mta: Mta,
    pub(crate) wire: Wire,
    pub(crate) deadlines: Deadlines,
    pub(crate) cluster: Cluster,
    pub(crate) sandbox: Sandbox,
}

/// `[wire]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wire {
    /// The greatest length of a message, in bytes.
    #[serde(deserialize_with = "bytes")]
    pub(crate) max_message: usize,
}

impl Default for Wire {
    fn default() -> Self {
        Self { max_message: 1 << 20 }
    }
}

fn bytes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let (least, most) = (1 << 10, 1 << 30);
    let value = i64::deserialize(deserializer)?;
    match usize::try_from(value) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ => Err(serde::de::Error::custom(format_args!("expected {least} to {most} bytes"))),
    }
}

/// `[deadlines]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Deadlines {
    #[serde(deserialize_with = "seconds")]
    pub(crate) lock: Duration,
    #[serde(deserialize_with = "seconds")]
    pub(crate) change: Duration,
    /// A node's, from the connection to its answer.
    #[serde(deserialize_with = "seconds")]
    pub(crate) node: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { lock: Duration::from_secs(10), change: Duration::from_secs(20), node: Duration::from_secs(50) }
    }
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value > 0.0 && value <= 3600.0 {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(serde::de::Error::custom("expected a number of seconds above 0, at most 3600"))
    }
}

/// Where a configuration is wrong.
#[derive(Debug)]
pub(crate) struct ConfigError {
    path: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Reads the configuration; a default path that does not exist is an empty file.
pub(crate) fn read(path: Option<&Path>) -> Result<Config, ConfigError> {
    let asked = path.is_some();
    let path = path.unwrap_or(Path::new(DEFAULT_PATH));
    let wrong = |line, what: String| ConfigError { path: path.to_owned(), line, what };
    trust(path).map_err(|what| wrong(None, what))?;
    let bytes = match files::read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) if !asked => return Ok(Config::default()),
        Ok(None) => return Err(wrong(None, "does not exist".into())),
        Err(FileError::Read { source, .. }) => return Err(wrong(None, format!("cannot be read: {source}"))),
        Err(FileError::Irregular { kind, .. }) => {
            return Err(wrong(None, format!("is {kind}, not a regular file")));
        }
        Err(error) => return Err(wrong(None, chain(&error))),
    };
    let text = std::str::from_utf8(&bytes)
        .map_err(|e| wrong(Some(line(&bytes, e.valid_up_to())), "not UTF-8".into()))?;
    let said = |error: &toml::de::Error| {
        let at = error.span().map(|span| line(&bytes, span.start));
        let value = error.span().and_then(|span| text.get(span)).unwrap_or_default();
        (at, printable(value), printable(error.message()))
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| {
        let (at, _, message) = said(&error);
        wrong(at, message)
    })?;
    let config: Config = serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let (at, value, message) = said(error.inner());
        wrong(at, format!("{} = {value}: {message}", printable(error.path().to_string())))
    })?;
    if let Some((at, id)) = config.cluster.named_twice() {
        let what = format!("cluster.node[{at}].id = {:?}: a node above has this id", id.get_ref().text());
        return Err(wrong(Some(line(&bytes, id.span().start)), what));
    }
    Ok(config)
}

fn line(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|b| **b == b'\n').count()
}

/// This machine's own id: the configured one, or its host name.
pub(crate) fn own_id(config: &Config) -> String {
    config.cluster.own.clone().unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|_| "localhost".into())
    })
}
