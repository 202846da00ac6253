//! The golden conversations: every case below `fixtures/` is held in this process, through the program's own path
//! from the parsed line to the reply, against a machine that answers only what was recorded on a real one.
//!
//! ```text
//! fixtures/<host>/root/             files that the plugin finds there, at their real paths
//! fixtures/<host>/commands.json     commands as they were run there: argv, files, scene before, outcome, scene after
//! fixtures/<host>/smtp.jsonl        the scenes: socket table, processes, and what a client is told on each socket
//! fixtures/<host>/<action>/<case>/  request.jsonl, and what came of it: response.jsonl and effects.txt
//!                                   given.jsonl: what went before it: requests, or what others did (a command,
//!                                   a signal, a neighbour on a port, an edit)
//!                                   root/: files over those of the host; faults.jsonl: what is not as recorded
//!                                   refused.jsonl: the keywords by which the schema refuses what is asked, if it does
//! ```
//!
//! Replies and effects are compared byte for byte. Of a file that was there before, `effects.txt` shows the difference.
//! Two switches rewrite:
//!
//! * `MAIL_SMTP2_BLESS=1 cargo test --test plugin golden` takes what came out for `response.jsonl` and `effects.txt`;
//! * `MAIL_SMTP2_RECORD=<host>[,<host>] cargo test --test plugin golden` holds the conversations of these hosts with
//!   the real thing and writes their `root/`, `commands.json` and `smtp.jsonl` anew. It fails if a conversation goes
//!   otherwise than it then does with the recording. The ports of the cases have to be free and ours to bind, so that
//!   a network of its own is best: `unshare -rn sh -c 'ip link set lo up && MAIL_SMTP2_RECORD=sandbox cargo test …'`.
//!
//! `postfix-debian`, `exim-debian` and `qmail-daemontools` need a machine with Debian's mail server, which is then theirs
//! to stop, start and edit: `tests/plugin/golden/record-postfix` and its like make one and record on it, as root on any
//! Debian 12, in a few minutes.
//!
//! A case with faults cannot be held with the real thing. The faults alone are made up: what the plugin does then,
//! it must have done once in a case without, in the same scene and with the same files.

mod case;
mod faults;
mod recorded;
mod recorder;
mod recording;

use case::{Case, Played, play};
use mail_smtp2::action::TABLE;
use recorded::Replay;
use recorder::Recorder;
use recording::Recording;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

const BLESS: &str = "MAIL_SMTP2_BLESS";
const RECORD: &str = "MAIL_SMTP2_RECORD";

/// The example outputs of the panel's page, in its order.
const PAGE: [(&str, &str); 8] = [
    ("isRunning", r#"{"status":0,"payload":false}"#),
    ("listGeneralName", r###"{"status":0,"payload":"##LG_ALTERNATE_INBOUND_SMTP_SERVER##"}"###),
    ("listPortNumbers", r#"{"status":0,"payload":"Success"}"#),
    ("listPortNumbersArray", r#"{"status":0,"payload":[""]}"#),
    ("listRequiredPermissions", r#"{"status":0,"payload":["EMAIL"]}"#),
    // The only one with members.
    (
        "listServiceInfo",
        concat!(
            r###"{"status":0,"payload":{"id":"smtp2","name":"##LG_ALTERNATE_INBOUND_SMTP_SERVER##","ports":"","###,
            r#""page":"/nodeworx/mail/mta","ctrl":"/nodeworx/mail/smtp2","is_running":0}}"#
        ),
    ),
    ("listServiceName", r#"{"status":0,"payload":"smtp2"}"#),
    ("listServicePage", r#"{"status":0,"payload":"/nodeworx/mail/mta"}"#),
];

/// Where the fixtures are.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Every conversation there is, held once for all tests.
static HELD: LazyLock<Vec<(Case, Played)>> = LazyLock::new(|| {
    let cases = Case::all(&fixtures());
    assert!(!cases.is_empty(), "no case below {}", fixtures().display());
    let hosts: BTreeSet<String> = cases.iter().map(|case| case.host.clone()).collect();
    let recording = |host: &String| {
        let folder = fixtures().join(host);
        let mine = cases.iter().filter(|case| case.host == *host);
        let recording = match std::env::var(RECORD) {
            Ok(asked) if asked.split(',').any(|asked| asked == host) => Ok(record(&folder, mine)),
            _ => Recording::load(&folder),
        };
        (host.clone(), recording.map(Arc::new))
    };
    let recordings: BTreeMap<_, Result<Arc<Recording>, String>> = hosts.iter().map(recording).collect();
    let held = cases.into_iter().map(|case| {
        let played = match &recordings[&case.host] {
            Ok(recording) => play(&case, Box::new(Replay(Arc::clone(recording)))),
            Err(why) => Played::not(why),
        };
        if std::env::var(BLESS).is_ok_and(|on| on == "1") && played.trouble.is_empty() {
            fs::write(case.replies(), &played.replies).unwrap();
            fs::write(case.effects(), &played.effects).unwrap();
        }
        (case, played)
    });
    held.collect()
});

/// Holds a host's conversations with the real thing, and keeps what it did; each has to go as it does with the
/// recording.
fn record<'c>(folder: &Path, cases: impl Iterator<Item = &'c Case>) -> Recording {
    let recording = Arc::new(Mutex::new(Recording::begin(folder)));
    let cases: Vec<&Case> = cases.filter(|case| case.faults.is_none()).collect();
    let real: Vec<Played> = cases
        .iter()
        .map(|case| play(case, Box::new(Recorder::new(&case.host, Arc::clone(&recording)))))
        .collect();
    let recording = recording.lock().unwrap().clone();
    recording.save(folder);
    let recording = Recording::load(folder).unwrap();
    for (case, real) in cases.into_iter().zip(real) {
        let again = play(case, Box::new(Replay(Arc::new(recording.clone()))));
        assert_eq!(real, again, "{}: the real thing (left) and its recording (right) differ", case.name());
    }
    recording
}

/// What stands in a file and what came out, compared; with the switch that accepts the difference.
fn differences(file: fn(&Case) -> PathBuf, came: fn(&Played) -> &[u8]) -> String {
    let mut all = String::new();
    for (case, played) in HELD.iter().filter(|(_, played)| played.trouble.is_empty()) {
        let stands = fs::read(file(case)).unwrap_or_default();
        if stands == came(played) {
            continue;
        }
        let (old, new) = (String::from_utf8_lossy(&stands), String::from_utf8_lossy(came(played)));
        let diff = similar::TextDiff::from_lines(&old, &new);
        let name = file(case);
        let name = name.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&name).display().to_string();
        write!(all, "{}", diff.unified_diff().context_radius(2).header(&name, "what came out")).unwrap();
    }
    if !all.is_empty() {
        write!(all, "to accept all of this: {BLESS}=1 cargo test --test plugin golden").unwrap();
    }
    all
}

/// The envelopes that a case's own action was answered with, single requests only.
fn envelopes(case: &Case, played: &Played) -> Vec<Value> {
    let lines = |bytes: &[u8]| -> Vec<Value> {
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    };
    let asked: Vec<Value> = lines(&case.request).into_iter().filter(|r| r["method"] == case.action).collect();
    let answers = lines(&played.replies).into_iter();
    answers.filter(|a| asked.iter().any(|r| r["id"] == a["id"])).map(|a| a["result"].clone()).collect()
}

#[test]
fn every_question_to_the_machine_had_been_recorded() {
    let trouble = HELD.iter().flat_map(|(case, played)| {
        played.trouble.iter().map(|trouble| format!("{}: {trouble}\n", case.name()))
    });
    let trouble: String = trouble.collect();
    assert!(trouble.is_empty(), "\n{trouble}to record anew: {RECORD}=<host> cargo test --test plugin golden");
}

#[test]
fn every_reply_is_as_it_was() {
    let differences = differences(Case::replies, |played| &played.replies);
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn every_effect_is_as_it_was() {
    let differences = differences(Case::effects, |played| played.effects.as_bytes());
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn every_action_has_a_good_case_and_a_refused_one() {
    let mut lacks = String::new();
    for row in &TABLE {
        let mine = HELD.iter().filter(|(case, _)| case.action == row.name);
        let statuses: Vec<Value> =
            mine.flat_map(|(case, played)| envelopes(case, played)).map(|e| e["status"].clone()).collect();
        for (kind, status) in [("good", 0), ("refused", 11)] {
            if !statuses.contains(&json!(status)) {
                writeln!(lacks, "{} has no {kind} case (status {status})", row.name).unwrap();
            }
        }
    }
    assert!(lacks.is_empty(), "\n{lacks}");
}

#[test]
fn every_case_belongs_to_an_action() {
    let known = |case: &Case| TABLE.iter().any(|row| row.name == case.action);
    let strays: Vec<String> =
        HELD.iter().map(|(case, _)| case).filter(|case| !known(case)).map(Case::name).collect();
    assert!(strays.is_empty(), "{strays:?}");
}

#[test]
fn every_example_output_of_the_page_is_answered_on_an_unconfigured_machine() {
    for (action, example) in PAGE {
        let file = fixtures().join("unconfigured").join(action).join("as-the-page-shows/response.jsonl");
        let reply = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let answered = reply.contains(&format!("\"result\":{example}}}"));
        assert!(answered, "{action}: the page shows {example}, but here is {reply}");
    }
}
