//! Every request of the golden conversations as the schema sees it, and what it was answered.
//!
//! They are found below `fixtures/`, their parameters normalised as the plugin does it, with the keywords that a case's
//! `refused.jsonl` says they are refused by. Judging them is the validators'. A request that is refused before a schema
//! sees it (too many positions, no JSON) is left out, and so is one of no action.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mail_smtp2::action;
use mail_smtp2::schema::admit;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// What a schema refuses: the keyword, by the JSON Pointer of what it speaks of.
pub type Keywords = BTreeMap<String, String>;

/// One request.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Host, action and case.
    pub case: String,
    /// Its id in that conversation.
    pub id: Value,
    /// What it asks for.
    pub action: String,
    /// Its parameters, normalised.
    pub params: Value,
    /// By what the schema refuses them; nothing if it does not.
    pub refused: Keywords,
    /// Its envelope, if it was answered with one.
    pub envelope: Option<Value>,
}

/// A line of a case's `refused.jsonl`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The request's id.
    pub id: Value,
    /// Why.
    pub refused: Keywords,
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Value,
    method: String,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Reply {
    id: Value,
    result: Option<Value>,
}

/// Where the conversations are.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fixtures")
}

/// The folders of all cases, in order.
pub fn cases() -> Vec<PathBuf> {
    let level = |folders: Vec<PathBuf>| folders.iter().flat_map(|folder| inside(folder)).collect::<Vec<_>>();
    let cases = level(level(inside(&fixtures())));
    cases.into_iter().filter(|case| case.join("request.jsonl").exists()).collect()
}

fn inside(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Every request of every case.
pub fn corpus() -> Vec<Entry> {
    cases().iter().flat_map(|case| entries(case)).collect()
}

/// Every request of one case.
pub fn entries(case: &Path) -> Vec<Entry> {
    let read = |name| fs::read_to_string(case.join(name)).unwrap_or_default();
    let (requests, replies, refused) = (read("request.jsonl"), read("response.jsonl"), read("refused.jsonl"));
    let replies: Vec<Reply> = replies.lines().flat_map(messages).collect();
    let refused: Vec<Refused> = refused.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let name = case.strip_prefix(fixtures()).unwrap_or(case).display().to_string();
    let entry = |request: Request<'_>| {
        let row = action::find(&request.method)?;
        let params = admit::normalise(row, request.params.map(RawValue::get)).ok()?;
        Some(Entry {
            case: name.clone(),
            action: request.method,
            params,
            refused: find(&refused, |line| line.id == request.id, |line| line.refused.clone())
                .unwrap_or_default(),
            envelope: find(&replies, |reply| reply.id == request.id, |reply| reply.result.clone()).flatten(),
            id: request.id,
        })
    };
    requests.lines().flat_map(messages).filter_map(entry).collect()
}

fn find<T, U>(all: &[T], is: impl Fn(&T) -> bool, take: impl Fn(&T) -> U) -> Option<U> {
    all.iter().find(|one| is(one)).map(take)
}

/// The messages of a line, which is one or a batch of them; what is no message is left out.
fn messages<'a, T: Deserialize<'a>>(line: &'a str) -> Vec<T> {
    match serde_json::from_str::<Vec<&RawValue>>(line) {
        Ok(batch) => batch.into_iter().filter_map(|one| serde_json::from_str(one.get()).ok()).collect(),
        Err(_) => serde_json::from_str(line).into_iter().collect(),
    }
}
