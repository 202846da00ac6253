//! The folder `schema/`: every document by its path, written, or compared with what is there.
//!
//! The bytes are stable (sorted members, LF, the same on every machine), and it can say how files on disk differ. What
//! a document says is its maker's. Of a `README.md` only the tables are ours, each between `<!-- name -->` and `<!--
//! /name -->`; where there is none, none is made. JSON files among ours that are no longer made are removed when we
//! write. A file that cannot be read or written is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::{documents, openrpc, problems, tables};
use crate::action::TABLE;

/// The page that says in words what the documents say.
const README: &str = "README.md";

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
    files.insert("reasons.json".into(), text(&problems::reasons()));
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

/// The tables of `README.md`, by the names of their places.
fn tables() -> [(&'static str, String); 6] {
    let (actions, inputs, statuses) = (tables::actions(), tables::inputs(), tables::statuses());
    let warnings = tables::warnings();
    [
        ("actions", actions),
        ("inputs", inputs),
        ("warnings", warnings),
        ("states", tables::states()),
        ("statuses", statuses),
        ("reasons", problems::table()),
    ]
}

/// Every file below `dir` as it should be: the documents, and a `README.md` that is there with its tables.
fn wanted(dir: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    let mut files = all();
    match fs::read_to_string(dir.join(README)) {
        Ok(text) => drop(files.insert(README.into(), with_tables(text)?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    Ok(files)
}

/// `text` with every table in its place.
fn with_tables(mut text: String) -> io::Result<String> {
    for (name, table) in tables() {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
        let places = text.find(&begin).map(|at| at + begin.len()).zip(text.find(&end));
        match places.filter(|(from, to)| from <= to) {
            Some((from, to)) => text.replace_range(from..to, &table),
            None => {
                let what =
                    format!("{README} has no place for a table between <!-- {name} --> and <!-- /{name} -->");
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
    }
    Ok(text)
}

/// Writes every document below `dir`, and takes away JSON files there that are none of ours any more.
///
/// # Errors
/// The file system.
pub fn write(dir: &Path) -> io::Result<()> {
    let files = wanted(dir)?;
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
    let files = wanted(dir)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A page with a place for each table, and a line around each.
    fn page(table: impl Fn(&str) -> String) -> String {
        let place =
            |(name, _): (&str, String)| format!("a\n<!-- {name} -->\n{}<!-- /{name} -->\nb\n", table(name));
        tables().map(place).concat()
    }

    #[test]
    fn old_tables_give_way_to_new_ones_and_all_else_stays() {
        let new = page(|name| tables().into_iter().find(|(other, _)| *other == name).unwrap().1);
        assert_eq!(with_tables(page(|_| "| old |\n".to_owned())).unwrap(), new);
        assert_eq!(with_tables(new.clone()).unwrap(), new);
    }

    #[test]
    fn a_page_without_a_place_for_a_table_is_an_error_that_names_it() {
        let error = with_tables(page(|_| String::new()).replace("<!-- /inputs -->", "")).unwrap_err();
        assert!(error.to_string().contains("<!-- inputs -->"), "{error}");
    }

    #[test]
    fn a_page_whose_tables_differ_is_told_and_one_that_is_not_there_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path()).unwrap();
        assert_eq!((check(dir.path()).unwrap().as_str(), dir.path().join(README).exists()), ("", false));
        fs::write(dir.path().join(README), page(|_| String::new())).unwrap();
        assert!(check(dir.path()).unwrap().contains("README.md differs"));
        write(dir.path()).unwrap();
        assert_eq!(check(dir.path()).unwrap(), "");
    }
}
