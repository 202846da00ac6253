//! `[cluster]`: this machine's own id, the other nodes, and the program that reaches them.
//!
//! How they are reached is `cluster`'s. A name that would break a sentence, and a destination that ssh would take for an
//! option, are refused.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use mail_smtp2::wire::text::printable;

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

impl Cluster {
    /// The first node whose id a node before it has.
    pub(super) fn named_twice(&self) -> Option<(usize, &Spanned<Word>)> {
        let nodes = &self.node;
        let twice = |(at, node): &(usize, &Node)| nodes[..*at].iter().any(|other| other.id == node.id);
        nodes.iter().enumerate().find(twice).map(|(at, node)| (at, &node.id))
    }
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
pub(super) struct Word(String);

impl Word {
    /// As it stands in sentences.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

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
