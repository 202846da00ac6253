//! The configuration file and a few flags, made into each floor's own settings (mail-smtp2.toml(5)).
//!
//! Names, defaults and bounds of every key stand here; what a setting does is said by the floor that has it. An error names
//! file, line, key and value. This is the only place that reads the environment.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use mail_smtp2::action;
use mail_smtp2::change::Choice;
use mail_smtp2::change::rehearsal::{Rehearsal, Scene};
use mail_smtp2::mta::Kind;
use mail_smtp2::mta::qmail::{self, Variables};
use mail_smtp2::sys::{FileError, files};
use mail_smtp2::wire::text::{chain, printable};
use mail_smtp2::wire::{reason, status};

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

impl std::str::FromStr for MtaKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let known = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        known.map(|kind| Self(Some(kind))).ok_or_else(|| {
            let names = Kind::ALL.map(Kind::name).join(", ");
            format!("unknown mail server {}, expected auto, {names}", printable(text))
        })
    }
}

impl<'de> Deserialize<'de> for MtaKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
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

/// `[sandbox]`: what a host is to be tried against.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sandbox {
    /// The actions that fail: one, or a list of them.
    fail: Scenes,
    /// How much longer a change takes.
    #[serde(deserialize_with = "delay")]
    delay: Duration,
}

impl Sandbox {
    pub(crate) fn rehearsal(&self) -> Rehearsal {
        let scenes = match &self.fail {
            Scenes::One(scene) => std::slice::from_ref(scene),
            Scenes::Several(scenes) => scenes,
        };
        Rehearsal { fail: scenes.iter().map(|Scripted(scene)| scene.clone()).collect(), delay: self.delay }
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected ACTION:STATUS:REASON, such as start:409:port_held, or a list of them"
)]
enum Scenes {
    One(Scripted),
    Several(Vec<Scripted>),
}

impl Default for Scenes {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// `start:409:port_held`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Scripted(Scene);

impl TryFrom<String> for Scripted {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words: Vec<&str> = text.split(':').collect();
        let [action, number, reason] = words[..] else { return Err("expected ACTION:STATUS:REASON") };
        let action = action::find(action).ok_or("no such action")?.name.to_owned();
        let status = status::TABLE.iter().find(|row| row.number != 0 && row.number.to_string() == number);
        let reason = reason::TABLE.iter().find(|row| row.name == reason);
        let (status, reason) = status.zip(reason).ok_or("no such status of a failure, or no such reason")?;
        Ok(Self(Scene { action, status: status.status, reason: reason.this }))
    }
}

fn delay<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match (0.0..=60.0).contains(&value) {
        true => Ok(Duration::from_secs_f64(value)),
        false => Err(serde::de::Error::custom("expected a number of seconds from 0 to 60")),
    }
}

/// `[cluster]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cluster {
    /// This machine's own id.
    #[serde(rename = "self")]
    pub(crate) own: Option<String>,
    /// The program that reaches nodes.
    pub(crate) ssh_program: Program,
    /// The other nodes.
    pub(crate) node: Vec<Node>,
}

/// `[[cluster.node]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Node {
    /// Its id.
    id: Spanned<Word>,
    /// The destination for ssh.
    ssh: Destination,
}

impl Node {
    /// Id and destination.
    pub(crate) fn split(self) -> (String, String) {
        (self.id.into_inner().0, self.ssh.0.0)
    }
}

/// A program by its full path.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) PathBuf);

impl Default for Program {
    fn default() -> Self {
        Self("/usr/bin/ssh".into())
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = PathBuf::deserialize(deserializer)?;
        let absolute = path.is_absolute().then_some(Self(path));
        absolute.ok_or_else(|| serde::de::Error::custom("expected a program by its full path"))
    }
}

/// A name that stands in sentences and in arguments.
#[derive(Debug, PartialEq)]
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if (1..=255).contains(&word.len()) && !word.contains(odd) && printable(&word) == word {
            Ok(Self(word))
        } else {
            Err(serde::de::Error::custom("expected 1 to 255 bytes without blanks and control characters"))
        }
    }
}

/// Where ssh goes.
#[derive(Debug)]
struct Destination(Word);

impl<'de> Deserialize<'de> for Destination {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Word::deserialize(deserializer)?;
        // ssh would take it for an option, and an option can name a command to run.
        let option = word.0.starts_with('-');
        if option { Err(serde::de::Error::custom("a destination begins with no -")) } else { Ok(Self(word)) }
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
    if let Some((at, id)) = named_twice(&config.cluster.node) {
        let what = format!("cluster.node[{at}].id = {:?}: a node above has this id", id.get_ref().0);
        return Err(wrong(Some(line(&bytes, id.span().start)), what));
    }
    Ok(config)
}

/// The first node whose id a node before it has.
fn named_twice(nodes: &[Node]) -> Option<(usize, &Spanned<Word>)> {
    let twice = |(at, node): &(usize, &Node)| nodes[..*at].iter().any(|other| other.id == node.id);
    nodes.iter().enumerate().find(twice).map(|(at, node)| (at, &node.id))
}

fn line(text: &[u8], at: usize) -> usize {
    1 + text.iter().take(at).filter(|b| **b == b'\n').count()
}

/// As root, a path that others can bend is not relied upon.
pub(crate) fn trust(path: &Path) -> Result<(), String> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    files::trusted(&path).map_err(|e| format!("not to be trusted: {}", chain(&e)))
}

/// This machine's own id: the configured one, or its host name.
pub(crate) fn own_id(config: &Config) -> String {
    config.cluster.own.clone().unwrap_or_else(|| {
        nix::unistd::gethostname()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|_| "localhost".into())
    })
}

/// What ssh is given of the environment: where its own files are, and who keeps the keys.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn for_ssh() -> Vec<(OsString, OsString)> {
    let given = |name: &str| Some((name.into(), std::env::var_os(name)?));
    ["HOME", "SSH_AUTH_SOCK"].into_iter().filter_map(given).collect()
}

/// Whether the environment has nothing against colours (no-color.org; a terminal without any).
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn allows_colour() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// The log filter of the environment.
#[allow(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn log_filter() -> Option<String> {
    std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty())
}
