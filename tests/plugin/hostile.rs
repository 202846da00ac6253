//! Hosts that mean harm or are broken: an error where one is due, no crash, no growth past 32 MB, no orphan after a
//! second, and the next request is answered.

use super::support::parent::{ALIVE, under};
use super::support::plugin::{Framing, Plugin, notification, request};
use super::support::process::{alive, listeners, memory};
use super::support::sandbox::Sandbox;
use super::support::smtp::is_closed;
use super::support::{PATIENCE, TLS_YES, eventually, fault, repetitions, seed, status};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// The growth that is allowed.
const ALLOWED_KIB: u64 = 32 * 1024;

const MEGABYTE: usize = 1_000_000;

/// The memory of a plugin that has done a bit of everything.
struct Memory {
    pid: u32,
    before: u64,
}

impl Memory {
    #[track_caller]
    fn of(plugin: &mut Plugin) -> Self {
        plugin.call("isRunning", Value::Null);
        plugin.call("update", json!({"colour": 1}));
        Self { pid: plugin.pid(), before: memory(plugin.pid(), "VmRSS") }
    }

    #[track_caller]
    fn assert_modest(&self) {
        let most = memory(self.pid, "VmHWM");
        assert!(most.saturating_sub(self.before) < ALLOWED_KIB, "grew from {} to {most} KiB", self.before);
    }
}

/// Sends a message that must be answered with this fault, and checks that the plugin took no harm.
#[track_caller]
fn assert_survives(message: &[u8], code: i64) {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory::of(&mut plugin);
    plugin.send(message);
    let reply = plugin.receive();
    assert_eq!((fault(&reply), &reply["id"]), (code, &Value::Null), "{reply}");
    plugin.assert_answers();
    memory.assert_modest();
}

/// A line of 64 MB that looks like a request.
fn send_64_megabytes(plugin: &Plugin) {
    plugin.send_raw(r#"{"jsonrpc":"2.0","id":1,"method":""#);
    for _ in 0..64 {
        plugin.send_raw(vec![b'x'; MEGABYTE]);
    }
    plugin.send_raw("\"}\n");
}

/// Some JSON or other, never an object with a `method`.
fn any_json(random: &mut fastrand::Rng, depth: usize) -> Value {
    match random.u8(0..if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(random.i64(..)),
        3 => json!(random.f64() * 10f64.powi(random.i32(-300..300))),
        4 => json!(random.u8(..)),
        5 => json!((0..random.usize(0..20)).map(|_| random.char(..)).collect::<String>()),
        6 => (0..random.usize(0..5)).map(|_| any_json(random, depth - 1)).collect(),
        _ => (0..random.usize(0..5)).map(|n| (format!("{n}\u{2028}"), any_json(random, depth - 1))).collect(),
    }
}

/// Random numbers that a failing run can be repeated with.
fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(seed())
}

/// How many random messages: ten times as many in the soak.
fn trials(few: usize) -> usize {
    repetitions("MAIL_SMTP2_TRIALS", few, few * 10)
}

#[test]
fn json_of_every_kind_gets_one_answer_each() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let mut random = random();
    for _ in 0..trials(500) {
        let message = any_json(&mut random, 5).to_string();
        plugin.send(&message);
        let reply = plugin.receive();
        assert!(reply.is_array() || fault(&reply) == -32600, "{message} got {reply}");
    }
    plugin.assert_answers();
}

#[test]
fn params_of_every_kind_get_one_answer_each() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let mut random = random();
    for id in 0..trials(500) {
        let method = ["update", "isRunningOnNode", "isRunning", "queryUpdate"][id % 4];
        let params = json!({"colour": [1, any_json(&mut random, 4)], "auth_mode": any_json(&mut random, 4)});
        plugin.send_request(id, method, params.clone());
        let reply = plugin.receive_reply(id);
        assert_eq!(reply["result"]["status"], 11, "{method} {params} got {reply}");
    }
    plugin.assert_answers();
}

#[test]
fn a_request_with_random_bytes_in_it_never_harms_the_next_one() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let mut random = random();
    let sound = request(1, "isRunningOnNode", json!({"node_id": "grüße"})).to_string().into_bytes();
    for round in 0..trials(50) {
        for _ in 0..20 {
            let mut bytes = sound.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            plugin.send(bytes);
        }
        let id = format!("round {round}");
        plugin.send_request(id.as_str(), "listServiceName", Value::Null);
        assert_eq!(plugin.receive_reply(id)["result"]["payload"], "smtp2");
    }
}

#[test]
fn a_number_beyond_all_reason_gets_an_answer() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for number in ["1e999", "-1e999", "1e-999", &"9".repeat(100_000), &format!("0.{}1", "0".repeat(100_000))]
    {
        plugin.send(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"update","params":{{"alternate_smtp_port":{number}}}}}"#
        ));
        let reply = plugin.receive();
        assert!(reply["result"]["status"] == 11 || fault(&reply) == -32700, "{reply}");
    }
    plugin.assert_answers();
}

#[test]
fn bad_utf8_is_a_parse_error() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for bytes in [
        b"\xff".as_slice(),
        b"\x80",
        b"\xc3",
        b"\xc0\xaf",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
    ] {
        for place in ["method", "id", "extra"] {
            let mut message = request(1, "listServiceName", json!({})).to_string().into_bytes();
            message.pop();
            message.extend_from_slice(format!(r#","{place}":""#).as_bytes());
            message.extend_from_slice(bytes);
            message.extend_from_slice(b"\"}");
            plugin.send(&message);
            let reply = plugin.receive();
            assert_eq!((fault(&reply), &reply["id"]), (-32700, &Value::Null), "{bytes:x?} in {place}");
        }
        plugin.send(bytes);
        assert_eq!(fault(&plugin.receive()), -32700, "{bytes:x?} alone");
    }
    plugin.assert_answers();
}

#[test]
fn half_a_surrogate_pair_is_its_own_requests_fault() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud800x"] {
        plugin.send(format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"update","params":{{"auth_mode":"{half}"}}}}"#
        ));
        let reply = plugin.receive();
        assert_eq!((&reply["id"], status(&reply["result"])), (&json!(1), 11), "{half}: {reply}");
        plugin.send(format!(r#"{{"jsonrpc":"2.0","id":2,"method":"{half}"}}"#));
        let reply = plugin.receive();
        assert_eq!((&reply["id"], fault(&reply)), (&json!(2), -32600), "{half}: {reply}");
    }
    plugin.assert_answers();
}

#[test]
fn zero_bytes_are_a_parse_error() {
    assert_survives(&[0; 1000], -32700);
}

#[test]
fn two_hundred_thousand_open_brackets_are_a_parse_error() {
    assert_survives(&[b'['; 200_000], -32700);
}

#[test]
fn two_hundred_thousand_pairs_of_brackets_are_a_parse_error() {
    assert_survives(&[[b'['; 200_000], [b']'; 200_000]].concat(), -32700);
}

#[test]
fn deeply_nested_objects_are_a_parse_error() {
    assert_survives(r#"{"a":"#.repeat(150_000).as_bytes(), -32700);
}

#[test]
fn deeply_nested_params_are_a_parse_error() {
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let message = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"update","params":{nested}}}"#);
    assert_survives(message.as_bytes(), -32700);
}

#[test]
fn a_line_of_64_megabytes_is_too_big() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory::of(&mut plugin);
    send_64_megabytes(&plugin);
    let reply = plugin.receive();
    assert_eq!((fault(&reply), &reply["id"]), (-32007, &Value::Null), "{reply}");
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_framed_message_of_64_megabytes_is_too_big() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    let memory = Memory::of(&mut plugin);
    plugin.send_raw(format!("Content-Length: {}\r\n\r\n", 64 * MEGABYTE));
    for _ in 0..64 {
        plugin.send_raw(vec![b'x'; MEGABYTE]);
    }
    assert_eq!(fault(&plugin.receive()), -32007);
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_promised_length_beyond_all_reason_reserves_nothing() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    let memory = Memory::of(&mut plugin);
    plugin.send_raw(format!("Content-Length: {}\r\n\r\n{{", u64::MAX / 4));
    plugin.send_raw(vec![b'x'; MEGABYTE]);
    eventually(PATIENCE, "the plugin reads on", || plugin.taken() > MEGABYTE / 2 || !alive(plugin.pid()));
    if alive(plugin.pid()) {
        memory.assert_modest();
    }
    assert!(plugin.end().status.code().is_some(), "it did not end by itself");
}

#[test]
fn a_header_without_end_does_not_grow_the_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    let memory = Memory::of(&mut plugin);
    plugin.send_raw("Content-Length: 5\r\nX-Padding: ");
    for _ in 0..64 {
        plugin.send_raw(vec![b'x'; MEGABYTE]);
    }
    eventually(PATIENCE, "the plugin reads on", || plugin.taken() > 60 * MEGABYTE || !alive(plugin.pid()));
    if alive(plugin.pid()) {
        memory.assert_modest();
    }
    assert!(plugin.end().status.code().is_some(), "it did not end by itself");
}

#[test]
fn a_million_blank_lines_are_passed_over() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory::of(&mut plugin);
    plugin.send_raw(vec![b'\n'; MEGABYTE]);
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_hundred_thousand_notifications_are_passed_over() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory::of(&mut plugin);
    plugin.send_raw(format!("{}\n", notification("isRunning", json!({}))).repeat(100_000));
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_flood_of_changes_does_not_grow_the_plugin() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let memory = Memory::of(&mut plugin);
    let _lock = sandbox.hold_lock();
    let padding = "x".repeat(10_000);
    for id in 0..5_000 {
        plugin.send_request(id, "update", json!({"auth_mode": padding}));
    }
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_host_that_reads_nothing_for_a_while_gets_all_its_answers() {
    const REQUESTS: usize = 100_000;
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory { pid: plugin.pid(), before: Memory::of(&mut sandbox.plugin()).before };
    let one = format!("{}\n", request(1, "listServiceInfo", Value::Null));
    for _ in 0..REQUESTS / 1000 {
        plugin.send_raw(one.repeat(1000));
    }
    plugin.await_standstill();
    assert!(plugin.taken() < one.len() * REQUESTS, "the plugin read on though nobody read its answers");
    memory.assert_modest();
    for _ in 0..REQUESTS {
        let reply = plugin.receive_raw();
        assert!(reply.ends_with(b"}"), "{}", String::from_utf8_lossy(&reply));
    }
    plugin.assert_answers();
    memory.assert_modest();
}

#[test]
fn a_killed_host_leaves_no_orphan() {
    let sandbox = Sandbox::new();
    let (mut host, plugin) = under(&sandbox, sandbox.launch_ephemeral(), ALIVE);
    let port = sandbox.run(&mut host, TLS_YES);
    let listening = listeners(port);
    assert!(!listening.is_empty(), "nobody listens on {port}");
    host.signal(Signal::SIGKILL);
    host.wait();
    drop(host);
    eventually(PATIENCE, "plugin and listener are gone", || {
        !alive(plugin) && is_closed(port) && !listening.iter().any(|pid| alive(*pid))
    });
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_no_answer() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().args(&["--log", "trace"]).unread_stderr().spawn();
    let memory = Memory::of(&mut plugin);
    for id in 0..20_000 {
        plugin.send_request(id, "isRunning", Value::Null);
    }
    for _ in 0..20_000 {
        plugin.receive_raw();
    }
    sandbox.run(&mut plugin, TLS_YES);
    memory.assert_modest();
    assert_eq!(plugin.end().status.code(), Some(0));
}

#[test]
fn a_trace_level_from_the_environment_holds_up_no_answer_either() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().env("RUST_LOG", "trace").unread_stderr().spawn();
    for id in 0..5_000 {
        plugin.send_request(id, "isRunning", Value::Null);
    }
    for _ in 0..5_000 {
        plugin.receive_raw();
    }
    assert_eq!(plugin.end().status.code(), Some(0));
}

#[test]
fn a_session_that_begins_with_nothing_but_blanks_does_not_grow_the_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let memory = Memory { pid: plugin.pid(), before: Memory::of(&mut sandbox.plugin()).before };
    for _ in 0..24 {
        plugin.send_raw(vec![b'\n'; 1 << 20]);
    }
    plugin.assert_answers();
    memory.assert_modest();
}
