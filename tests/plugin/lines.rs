//! Very many generated lines through one session, and for each id exactly one reply.
//!
//! Requests that are answered, refused, wrong in each part, alone and in batches, notifications, lines that are no JSON and
//! lines that are no text: a line's kind is chosen at random from a printed seed, and with it is known what has to come back.
//! `MAIL_SMTP2_LINES` is their number: 100,000 in the gate, 20 million in the soak; 10^8 take minutes with
//! `cargo test --release`.

use super::support::sandbox::Sandbox;
use super::support::{collect, program, repetitions, seed};
use fastrand::Rng;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{Command, Stdio};
use std::thread;

/// What stands before an id in every reply.
const HEAD: &[u8] = br#"{"jsonrpc":"2.0","id":"#;

/// What is known of the replies before they come.
#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    /// One reply each, from 1 on.
    ids: u64,
    /// Replies with no id that could be told.
    nameless: u64,
}

/// A request's members but for its id, each of which is answered once.
const ANSWERED: [&str; 16] = [
    r#""method":"isRunning""#,
    r#""method":"listServiceName","params":{}"#,
    r#""method":"listPortNumbersArray","params":[]"#,
    r#""method":"listRequiredPermissions","params":null"#,
    r#""method":"queryUpdate""#,
    r#""method":"list\u0047eneralName""#,
    r#""method":"update","params":{"alternate_smtp_port":0,"colour":"gr\u00fcn"}"#,
    r#""method":"isRunningOnNode","params":[1,2,3]"#,
    r#""method":"noSuchMethod","params":{"a":[{"b":[[]]}]}"#,
    r#""method":"isRunning","params":7"#,
    r#""method":7"#,
    r#""params":{}"#,
    r#""method":"isRunning","method":"stop""#,
    r#""method":"isRunning","params":{"a":1,"a":2}"#,
    r#""method":"isRunning","more":{"x":[null,true,1e3,"\\\""]}"#,
    r#""method":"queryHistory","params":{"limit":"1001"}"#,
];

/// Lines that are answered with no id.
const NAMELESS: [&[u8]; 8] = [
    b"{",
    br#"{"jsonrpc":"2.0","id":1,"method":"isRunning""#,
    b"[]",
    b"true",
    b"\"\xff\"",
    br#"{"jsonrpc":"2.0","id":{},"method":"isRunning"}"#,
    br#"[{"jsonrpc":"2.0","id":1},"#,
    b"\0",
];

/// A request with the next id, in one of the forms of ids.
fn request(out: &mut Vec<u8>, random: &mut Rng, expected: &mut Expected) {
    expected.ids += 1;
    let id = expected.ids;
    let members = ANSWERED[random.usize(..ANSWERED.len())];
    let form = match random.u8(..8) {
        0 => write!(out, r#"{{"jsonrpc":"2.0","id":"{id}",{members}}}"#),
        1 => write!(out, r#"{{"jsonrpc":"2.0",{members},"id":-{id}}}"#),
        2 => write!(out, r#"{{"id":{id}.0,"jsonrpc":"2.0",{members}}}"#),
        3 => write!(out, "{{\"jsonrpc\" : \"2.0\",\"id\":\"{id}\u{2028}\",{members}}}"),
        _ => write!(out, r#"{{"jsonrpc":"2.0","id":{id},{members}}}"#),
    };
    form.unwrap();
}

/// A line.
fn line(out: &mut Vec<u8>, random: &mut Rng, expected: &mut Expected) {
    match random.u8(..) {
        0..8 => {
            let bad = NAMELESS[random.usize(..NAMELESS.len())];
            out.extend_from_slice(bad);
            expected.nameless += 1;
        }
        8..16 => out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"isRunning"}"#),
        16..24 => {
            out.push(b'[');
            for at in 0..random.usize(1..=5) {
                out.extend_from_slice(if at == 0 { b"" } else { b"," });
                request(out, random, expected);
            }
            // A notification among them has no reply.
            out.extend_from_slice(br#",{"jsonrpc":"2.0","method":"isRunning"}]"#);
        }
        24..28 => out.extend_from_slice(b" \t"),
        _ => request(out, random, expected),
    }
    out.extend_from_slice(if random.u8(..16) == 0 { b"\r\n" } else { b"\n" });
}

/// Counts what comes back; each id but once.
fn hear(replies: impl BufRead) -> Expected {
    let mut heard = Expected::default();
    let mut seen: Vec<u64> = Vec::new();
    for reply in replies.split(b'\n') {
        let reply = reply.unwrap();
        let mut left = &reply[..];
        let mut found = 0;
        while let Some(at) = left.windows(HEAD.len()).position(|window| window == HEAD) {
            left = &left[at + HEAD.len()..];
            found += 1;
            let number = if matches!(left[0], b'"' | b'-') { &left[1..] } else { left };
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
            let id = digits.fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
            if id == 0 {
                assert!(left.starts_with(b"null"), "{}", String::from_utf8_lossy(&reply));
                heard.nameless += 1;
                continue;
            }
            let (place, bit) = (usize::try_from(id / 64).unwrap(), 1 << (id % 64));
            if seen.len() <= place {
                seen.resize(place + 1, 0);
            }
            assert_eq!(seen[place] & bit, 0, "a second reply: {}", String::from_utf8_lossy(&reply));
            seen[place] |= bit;
            heard.ids += 1;
            // A reply is short, and a single one needs no further look.
            if reply.starts_with(b"{") {
                break;
            }
        }
        assert!(found > 0, "no reply: {}", String::from_utf8_lossy(&reply));
    }
    heard
}

#[test]
fn of_very_many_lines_each_id_gets_exactly_one_reply() {
    let lines = repetitions("MAIL_SMTP2_LINES", 100_000, 20_000_000);
    let mut random = Rng::with_seed(seed());
    let sandbox = Sandbox::new();
    let mut child = Command::new(program())
        .args(["--mta", "sandbox", "--log", "error", "--config"])
        .arg(sandbox.config())
        .arg("--state-dir")
        .arg(sandbox.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
    let output = BufReader::with_capacity(1 << 16, child.stdout.take().unwrap());
    let (expected, heard) = thread::scope(|scope| {
        let writer = scope.spawn(move || {
            let (mut out, mut expected) = (Vec::new(), Expected::default());
            for _ in 0..lines {
                out.clear();
                line(&mut out, &mut random, &mut expected);
                input.write_all(&out).unwrap();
            }
            input.flush().unwrap();
            expected
        });
        let heard = hear(output);
        (writer.join().unwrap(), heard)
    });
    assert_eq!(heard, expected);
    assert!(child.wait().unwrap().success());
    eprintln!("{lines} lines, {} ids, one reply each", heard.ids);
    collect("MAIL_SMTP2_FIGURES", &format!("{lines} generated lines answered"));
}
