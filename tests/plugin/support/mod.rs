//! What every test module shares: how long to wait, how to poll, and how to read an answer.
//!
//! `plugin` spawns the program and talks to it, `parent` puts a shell between, `sandbox` is a throw-away state
//! directory with its ports, `faults` makes system calls fail, `kernel` is one that can do less, `terminal` is one, `smtp` is the independent mail client, `process` reads /proc. Nothing
//! here knows a test.

pub(crate) mod faults;
pub(crate) mod kernel;
pub(crate) mod parent;
pub(crate) mod plugin;
pub(crate) mod process;
pub(crate) mod sandbox;
pub(crate) mod smtp;
pub(crate) mod terminal;

use mail_smtp2::action::TABLE;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test calls it a hang: more than a change and its rollback together.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program under test: the one that was built with the tests, or the one that `MAIL_SMTP2_PROGRAM` names, such as a
/// package's.
pub(crate) fn program() -> PathBuf {
    let given = std::env::var_os("MAIL_SMTP2_PROGRAM").filter(|path| !path.is_empty());
    given.map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_mail-smtp2")), PathBuf::from)
}

/// The two values of `auth_mode`.
pub(crate) const TLS_YES: &str = "auth_yes/tls_yes";
pub(crate) const TLS_OPTIONAL: &str = "auth_yes/tls_optional";

/// Every action.
pub(crate) const ACTIONS: [&str; TABLE.len()] = {
    let (mut names, mut at) = ([""; TABLE.len()], 0);
    while at < names.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
};

/// Input of `update`.
pub(crate) fn settings(port: u16, mode: &str) -> Value {
    json!({ "alternate_smtp_port": port, "auth_mode": mode })
}

/// Polls until the condition holds; says whether it did within the limit.
pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    // Many tests wait at once, some of them by going through all processes: who has waited for long looks less often.
    let mut pause = Duration::from_millis(2);
    loop {
        if condition() {
            return true;
        }
        if begun.elapsed() > limit {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 5 / 4).min(Duration::from_millis(50));
    }
}

/// Polls until the condition holds, and fails the test when it never does.
#[track_caller]
pub(crate) fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(within(limit, condition), "not within {limit:?}: {what}");
}

/// Says why a test proves nothing on this machine: on stderr, and in the file where `tests/run` collects it.
pub(crate) fn skip(reason: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("skipped: {reason}");
    collect("MAIL_SMTP2_SKIPPED", &format!("{test}: {reason}"));
}

/// Appends a line to the file that an environment variable names, if it does.
pub(crate) fn collect(variable: &str, line: &str) {
    if let Some(path) = std::env::var_os(variable) {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        // One write for the whole line, or those of other tests come between.
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// How often a test repeats itself: as often as the variable says; otherwise `few` times in the gate (`tests/run`), `full`
/// times in the soak (`tests/soak`), which sets `MAIL_SMTP2_SOAK`.
pub(crate) fn repetitions(variable: &str, few: usize, full: usize) -> usize {
    let usual = if std::env::var_os("MAIL_SMTP2_SOAK").is_some() { full } else { few };
    number(variable).map_or(usual, |given| usize::try_from(given).unwrap())
}

/// The seed of a test's random choices: `MAIL_SMTP2_SEED`, or a new one; it is printed, to repeat the choices with.
pub(crate) fn seed() -> u64 {
    let seed = number("MAIL_SMTP2_SEED").unwrap_or_else(|| fastrand::u64(..));
    let test = thread::current().name().unwrap_or("a test").to_owned();
    eprintln!("{test}: MAIL_SMTP2_SEED={seed}");
    seed
}

/// The envelope of a success that has nothing to tell.
pub(crate) fn success() -> Value {
    json!({"status": 0, "payload": "Success"})
}

/// The status of an envelope.
#[track_caller]
pub(crate) fn status(envelope: &Value) -> i64 {
    envelope["status"].as_i64().unwrap_or_else(|| panic!("no integer status in {envelope}"))
}

/// The payload of an envelope that holds text.
#[track_caller]
pub(crate) fn text(envelope: &Value) -> &str {
    envelope["payload"].as_str().unwrap_or_else(|| panic!("no text in {envelope}"))
}

/// The text of a failure, after checking its status.
#[track_caller]
pub(crate) fn failure(envelope: &Value, expected: i64) -> &str {
    assert_eq!(status(envelope), expected, "{envelope}");
    text(envelope)
}

/// The fields that a refused input names, in the order of its lines.
#[track_caller]
pub(crate) fn refused_fields(envelope: &Value) -> Vec<&str> {
    let lines = failure(envelope, 11).lines().skip(1);
    lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("not `field: message`: {line}")).0)
        .collect()
}

/// The error number of a reply, for faults of the conversation.
#[track_caller]
pub(crate) fn fault(reply: &Value) -> i64 {
    reply["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error object in {reply}"))
}

/// Whether the text holds the number as a word of its own.
pub(crate) fn names_number(text: &str, number: u32) -> bool {
    let number = number.to_string();
    text.split(|letter: char| !letter.is_ascii_digit()).any(|word| word == number)
}
