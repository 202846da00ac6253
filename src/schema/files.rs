//! The folder `schema/`: every document by its path, written, or compared with what is there.
//!
//! Answers for: stable bytes (sorted members, LF, the same on every machine) and saying how files on disk differ. Does
//! not know: what a document says. JSON files among ours that are none of ours any more go when we write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::{documents, openrpc};
use crate::action::TABLE;

/// Every document, by its path below `schema/`.
pub fn all() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for dialect in Dialect::all() {
        let folder = Path::new(dialect.folder);
        for row in &TABLE {
            let file = format!("{}.json", row.name);
            files.insert(folder.join("params").join(&file), text(&documents::params(row, dialect)));
            files.insert(folder.join("payload").join(&file), text(&documents::payload(row, dialect)));
        }
        files.insert(folder.join("envelope.json"), text(&documents::envelope(dialect)));
    }
    files.insert("status-codes.json".into(), text(&documents::status_codes()));
    files.insert("openrpc.json".into(), text(openrpc::document()));
    files
}

/// A document's bytes: members sorted, two spaces, LF at the end.
fn text(value: &Value) -> String {
    let mut text = format!("{:#}", sorted(value));
    text.push('\n');
    text
}

/// The same value with its members in order, whatever the features of serde_json are.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            Value::Object(
                sorted.into_iter().map(|(k, v)| (k.clone(), self::sorted(v))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// Writes every document below `dir`, and takes away JSON files there that are none of ours any more.
///
/// # Errors
/// The file system.
pub fn write(dir: &Path) -> io::Result<()> {
    let files = all();
    for (path, text) in &files {
        let path = dir.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            fs::write(path, text)?;
        }
    }
    for path in strays(dir, &files)? {
        fs::remove_file(dir.join(path))?;
    }
    Ok(())
}

/// How the documents below `dir` differ from what they should be; empty when they do not.
///
/// # Errors
/// The file system.
pub fn check(dir: &Path) -> io::Result<String> {
    let files = all();
    let mut differences = String::new();
    for (path, expected) in &files {
        let shown = dir.join(path);
        match fs::read_to_string(&shown) {
            Ok(found) if found == *expected => {}
            Ok(found) => {
                let line = found.lines().zip(expected.lines()).take_while(|(a, b)| a == b).count() + 1;
                let _ = writeln!(differences, "{} differs from line {line} on", shown.display());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let _ = writeln!(differences, "{} is missing", shown.display());
            }
            Err(e) => return Err(e),
        }
    }
    for path in strays(dir, &files)? {
        let _ = writeln!(differences, "{} is no document of this version", dir.join(path).display());
    }
    Ok(differences)
}

/// JSON files below `dir` where our documents stand, but which are none of them.
fn strays(dir: &Path, files: &BTreeMap<PathBuf, String>) -> io::Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    let kinds =
        |dialect: &Dialect| ["", "params", "payload"].map(|kind| Path::new(dialect.folder).join(kind));
    for folder in Dialect::all().into_iter().flat_map(kinds) {
        let entries = match fs::read_dir(dir.join(&folder)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        for entry in entries {
            let path = folder.join(entry?.file_name());
            if path.extension().is_some_and(|ending| ending == "json") && !files.contains_key(&path) {
                strays.push(path);
            }
        }
    }
    strays.sort();
    Ok(strays)
}
