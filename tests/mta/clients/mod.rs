//! Mail clients that are not ours: Python's smtplib, swaks, and one that never stops looking at a port.
//!
//! They see the machine's network as any other program there would. What they report is compared with what is promised
//! of the mode (schema/README.md, "What the words mean"), never with what the plugin says.

use super::subject::{Subject, in_network};
use super::support::smtp::Session;
use super::support::{PATIENCE, TLS_YES, eventually};
use serde_json::{Map, Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What smtplib finds at an address: fact, and whether it is so. Nothing where this machine has no Python.
#[track_caller]
pub(crate) fn smtplib_facts(
    machine: &impl Subject,
    at: SocketAddr,
    text: &str,
) -> Option<Map<String, Value>> {
    let (account, password) = machine.account();
    let mut command = Command::new("python3");
    command.args(["-c", include_str!("probe.py"), &at.ip().to_string(), &at.port().to_string()]);
    let output = match command.args([account, password, machine.mailbox(), text]).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            super::support::skip("no python3 on this machine");
            return None;
        }
        output => output.unwrap(),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "smtplib at {at}: {complaint}");
    Some(serde_json::from_slice(&output.stdout).expect("the facts are JSON"))
}

/// What a client is promised to find.
pub(crate) fn promised(mode: &str) -> Map<String, Value> {
    let optional = mode != TLS_YES;
    let facts = json!({
        "clear: STARTTLS offered": true,
        "clear: AUTH offered": optional,
        "clear: local mail without AUTH": false,
        "clear: mail for elsewhere without AUTH": false,
        "clear: ETRN without AUTH": false,
        "clear: AUTH with a wrong password": false,
        "clear: mail after that": false,
        "clear: AUTH": optional,
        "clear: local mail after AUTH": optional,
        "clear: mail for elsewhere after AUTH": optional,
        "tls: STARTTLS offered": false,
        "tls: AUTH offered": true,
        "tls: local mail without AUTH": false,
        "tls: mail for elsewhere without AUTH": false,
        "tls: ETRN without AUTH": false,
        "tls: AUTH with a wrong password": false,
        "tls: mail after that": false,
        "tls: AUTH": true,
        "tls: local mail after AUTH": true,
        "tls: mail for elsewhere after AUTH": true,
    });
    let Value::Object(facts) = facts else { unreachable!("an object was written down") };
    facts
}

/// What swaks was told, how it may end, and why.
pub(crate) struct SwaksRow {
    pub(crate) flags: &'static [&'static str],
    /// 0 is sent, 23 MAIL refused, 24 RCPT refused, 28 AUTH refused or not offered.
    pub(crate) ends: &'static [i32],
}

/// What swaks finds where TLS is required.
pub(crate) const SWAKS_TLS_YES: [SwaksRow; 5] = [
    SwaksRow { flags: &[], ends: &[23] },
    SwaksRow { flags: &["--auth", "PLAIN"], ends: &[28] },
    SwaksRow { flags: &["--tls"], ends: &[23, 24] },
    SwaksRow { flags: &["--tls", "--auth", "PLAIN"], ends: &[0] },
    SwaksRow { flags: &["--tls", "--auth", "LOGIN"], ends: &[0] },
];

/// What swaks finds where TLS is optional.
pub(crate) const SWAKS_TLS_OPTIONAL: [SwaksRow; 4] = [
    SwaksRow { flags: &[], ends: &[23, 24] },
    SwaksRow { flags: &["--auth", "PLAIN"], ends: &[0] },
    SwaksRow { flags: &["--tls"], ends: &[23, 24] },
    SwaksRow { flags: &["--tls", "--auth", "PLAIN"], ends: &[0] },
];

/// How swaks ends, and what it saw.
#[track_caller]
pub(crate) fn swaks(machine: &impl Subject, at: SocketAddr, flags: &[&str], body: &str) -> (i32, String) {
    let (account, password) = machine.account();
    let mailbox = machine.mailbox();
    let mut command = machine.command("swaks");
    command.args(["--server", &at.ip().to_string(), "--port", &at.port().to_string()]);
    command.args(["--timeout", "30", "--helo", "client.lab.test", "--from", mailbox, "--to", mailbox]);
    command.args(["--body", body]).args(flags);
    if flags.contains(&"--auth") {
        command.args(["--auth-user", account, "--auth-password", password]);
    }
    let output = command.stdin(Stdio::null()).output().expect("swaks runs");
    let seen = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), seen + &String::from_utf8_lossy(&output.stderr))
}

/// What a watch saw.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) connects: u32,
    /// Connections that were refused, cut, or not greeted with 220.
    pub(crate) refused: Vec<String>,
    pub(crate) slowest: Duration,
    /// What became of the session that was held open; empty when it lives.
    pub(crate) held: String,
}

/// Looks at a port again and again, with one session held open on it throughout, while something else is done. That may
/// wait until the port has been looked at once more, from beginning to end.
#[track_caller]
pub(crate) fn watching<S: Subject>(machine: &S, port: u16, work: impl FnOnce(&dyn Fn())) -> Watched {
    let (over, looks) = (AtomicBool::new(false), AtomicU32::new(0));
    let at: SocketAddr = ([127, 0, 0, 1], port).into();
    thread::scope(|scope| {
        let watch =
            scope.spawn(|| in_network(machine, || watch(at, &over, &looks)).expect("the watch goes on"));
        let look_again = || {
            // The one that is under way may have begun before.
            let enough = looks.load(Ordering::Relaxed) + 2;
            eventually(PATIENCE, "the port is looked at", || looks.load(Ordering::Relaxed) >= enough);
        };
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&look_again)));
        over.store(true, Ordering::Relaxed);
        let watched = watch.join().expect("the watch goes on");
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        watched
    })
}

fn watch(at: SocketAddr, over: &AtomicBool, looks: &AtomicU32) -> Watched {
    let mut held = Session::open(at);
    let mut watched = Watched::default();
    // A transaction that has begun would be lost with the session.
    held.say("MAIL FROM:<>");
    let mut heard = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        if let Err(error) = greeted(at) {
            watched.refused.push(format!("connect {}: {error}", watched.connects));
        }
        watched.connects += 1;
        looks.store(watched.connects, Ordering::Relaxed);
        watched.slowest = watched.slowest.max(begun.elapsed());
        // Exim hangs up at the eleventh NOOP, the sandbox's server after a minute without a word.
        if heard.elapsed() > Duration::from_secs(20) {
            heard = Instant::now();
            if !held.is_alive() {
                watched.held = format!("lost before connect {}", watched.connects);
            }
        }
        // Postfix and Exim refuse whom they hear from too often.
        thread::sleep(Duration::from_millis(20));
    }
    if watched.held.is_empty() && held.say("RCPT TO:<bob@lab.test>").0 != 250 {
        watched.held = "the transaction was lost".to_owned();
    }
    watched
}

fn greeted(at: SocketAddr) -> Result<(), String> {
    let mut stream = TcpStream::connect_timeout(&at, Duration::from_secs(10)).map_err(|e| e.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| e.to_string())?;
    let mut greeting = [0; 512];
    let length = stream.read(&mut greeting).map_err(|e| e.to_string())?;
    let _ = stream.write_all(b"QUIT\r\n");
    let said = String::from_utf8_lossy(&greeting[..length]);
    if said.starts_with("220") { Ok(()) } else { Err(format!("greeted with {said:?}")) }
}
