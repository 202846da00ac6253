//! What stands on the disk: our block among an administrator's lines, the history, the settings, the record of a change.
//!
//! A block that is put in and taken out leaves every byte; what is read is what is written again, and what other members a
//! document has changes nothing.
#![allow(clippy::unwrap_used, reason = "a target fails by panicking")]

use std::collections::HashSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::block::{IsOurs, find, restore, set};
use super::history::{History, Record};
use super::journal::{Intent, OldBlock, OldFile};
use super::settings::Settings;
use crate::mta::Mta;
use crate::mta::postfix::Postfix;

/// Two blocks of ours.
const OURS: [&str; 2] = [
    "587 inet n - n - - smtpd\n  -o syslog_name=postfix/smtp2\n",
    "2525 inet n - n - - smtpd\n  -o syslog_name=postfix/smtp2\n  -o { smtpd_sasl_security_options = noanonymous }\n",
];

/// A file with or without our block.
pub fn block(data: &[u8]) {
    for is_ours in [None, Postfix.is_ours()] {
        in_and_out(data, is_ours);
    }
}

fn in_and_out(file: &[u8], is_ours: Option<IsOurs>) {
    let shown = || String::from_utf8_lossy(file).into_owned();
    let Ok(found) = find(file, is_ours) else {
        assert!(set(Some(file), Some(OURS[0]), is_ours).is_err() && set(Some(file), None, is_ours).is_err());
        return;
    };
    let old: Vec<(usize, Vec<u8>)> = found.as_ref().map_or_else(Vec::new, |found| {
        found.pieces.iter().map(|piece| (piece.start, file[piece.clone()].to_vec())).collect()
    });
    let without = set(Some(file), None, is_ours).unwrap();
    let back = restore(without.as_deref(), &old, is_ours);
    // What is left may look like ours where lines of it have come together; that is nobody's configuration.
    let left = find(without.as_deref().unwrap_or_default(), is_ours);
    if left == Ok(None) {
        assert_eq!(back.unwrap().as_deref(), Some(file), "taken out and put back: {}", shown());
    }
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split_inclusive(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_vec()).collect()
    };
    let before: HashSet<Vec<u8>> = lines(file).into_iter().collect();
    for line in lines(without.as_deref().unwrap_or_default()) {
        assert!(before.contains(&line), "{}: a line that was not there: {line:?}", shown());
    }
    for inner in OURS {
        let new = set(Some(file), Some(inner), is_ours).unwrap().unwrap();
        let seen = find(&new, is_ours).unwrap().unwrap();
        if left == Ok(None) {
            assert_eq!(seen.text(&new), inner, "{}", shown());
            assert_eq!(
                set(Some(&new), Some(inner), is_ours).unwrap().as_ref(),
                Some(&new),
                "twice: {}",
                shown()
            );
            let undone = restore(Some(&new), &old, is_ours).unwrap();
            assert_eq!(undone.as_deref(), Some(file), "written and put back: {}", shown());
        }
        if found.is_none() {
            assert_eq!(set(Some(&new), None, is_ours).unwrap().as_deref(), Some(file), "{}", shown());
        }
    }
}

/// A history: as many records and broken lines as it has lines, the last of them first; one more line is the first then.
pub fn history(data: &[u8]) {
    let lines: Vec<&[u8]> =
        data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    let good = |line: &&[u8]| serde_json::from_slice::<Record>(line).ok();
    let expected: Vec<Record> = lines.iter().rev().filter_map(good).collect();
    let mut history = History::of(data);
    let records: Vec<Record> = history.by_ref().collect();
    assert_eq!(records.len() + history.broken, lines.len());
    assert_eq!(records, expected);
    // serde_json reads a fraction, and what it has written for it, as neighbours sometimes.
    let is_exact = |record: &&Record| !record.input.to_string().contains(['.', 'e']);
    for record in records.iter().filter(is_exact) {
        same(record);
        let mut longer = [data, b"\n"].concat();
        serde_json::to_writer(&mut longer, record).unwrap();
        assert_eq!(History::of(&longer).next().as_ref(), Some(record));
    }
}

/// What is read of a document is written so that it is read the same; the text of it.
fn same<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> Value {
    let written = serde_json::to_vec(value).unwrap();
    assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), *value);
    serde_json::from_slice(&written).unwrap()
}

/// Settings: what they say is what stands in the file.
pub fn settings(data: &[u8]) {
    let Ok(settings) = serde_json::from_slice::<Settings>(data) else { return };
    let (written, read) = (same(&settings), serde_json::from_slice::<Value>(data));
    // A document that holds what no value can is no settings of ours, and says what ours say all the same.
    let Ok(Value::Object(mut read)) = read else { return };
    for member in ["format", "mta", "port", "auth_mode", "wanted"] {
        assert_eq!(written[member], read[member], "{member}");
    }
    assert_eq!(settings.made().len(), settings.saved.values().filter(|was| was.is_none()).count());
    read.insert("of_a_newer_version".into(), json!([1]));
    assert_eq!(serde_json::from_value::<Settings>(read.into()).unwrap(), settings);
}

/// The record of a change, and what it keeps of files.
pub fn intent(data: &[u8]) {
    let kept = OldFile::new(Some(data));
    assert_eq!(kept.decode().as_deref(), Some(data));
    assert_eq!(OldBlock::new(data.len(), data).decode(), Some((data.len(), data.to_vec())));
    let Ok(intent) = serde_json::from_slice::<Intent>(data) else { return };
    let written = same(&intent);
    assert_eq!(written["files"].as_array().map(Vec::len), Some(intent.files.len()));
    for file in &intent.files {
        for (at, bytes) in file.blocks.iter().filter_map(OldBlock::decode) {
            assert_eq!(OldBlock::new(at, &bytes).decode(), Some((at, bytes)));
        }
    }
}
