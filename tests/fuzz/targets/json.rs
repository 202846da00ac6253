//! JSON as a reader sees it that shares nothing with `wire`: whether some object names a member twice.
//!
//! Goes through the letters of a text that is JSON, and leaves to serde_json what a name spells. Fails on what is no JSON.

use std::collections::BTreeSet;

/// Whether any object of this JSON text names a member twice.
pub(super) fn doubled(text: &str) -> bool {
    // One set of names for each object that is open, none for an array.
    let mut open: Vec<Option<BTreeSet<String>>> = Vec::new();
    let mut names_next = false;
    let letters = text.as_bytes();
    let mut at = 0;
    while at < letters.len() {
        match letters[at] {
            b'{' => {
                open.push(Some(BTreeSet::new()));
                names_next = true;
            }
            b'[' => open.push(None),
            b'}' | b']' => drop(open.pop()),
            b',' => names_next = matches!(open.last(), Some(Some(_))),
            b'"' => {
                let begin = at;
                at += 1;
                while letters[at] != b'"' {
                    at += 1 + usize::from(letters[at] == b'\\');
                }
                if let (true, Some(Some(names))) = (names_next, open.last_mut())
                    && !names.insert(serde_json::from_str(&text[begin..=at]).unwrap())
                {
                    return true;
                }
                names_next = false;
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// A text that the independent reader reads as something else: names by which serde_json keeps raw text.
pub(super) fn is_inside_serde(text: &str) -> bool {
    text.contains("serde_json")
}
