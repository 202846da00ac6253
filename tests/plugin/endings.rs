//! How a session ends (section 2): end of input, signals, a dead parent, a host that hangs up; and what becomes of
//! the change that has begun.
//!
//! A change is kept under way by holding the lock of all changes. Where a parent dies, a shell plays it and the test
//! adopts the orphan, to learn its exit code.

use super::support::parent::{ALIVE, LONG_GONE, under};
use super::support::plugin::{Killed, Launch, Plugin, request, wait};
use super::support::process::{alive, as_pid, holds_open};
use super::support::sandbox::Sandbox;
use super::support::{PATIENCE, TLS_YES, eventually, fault, success};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{ChildStdin, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Queues another update behind the one that has begun.
fn queue_a_change(sandbox: &Sandbox, plugin: &Plugin) {
    plugin.send_request(
        "queued",
        "update",
        json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}),
    );
}

/// A plugin that says when it has learned of its end.
fn remarking(sandbox: &Sandbox) -> Launch {
    sandbox.launch().args(&["--log", "info"])
}

/// Waits until nothing more is begun: what the lock keeps waiting may go on then.
#[track_caller]
fn await_the_end(plugin: &Plugin) {
    eventually(PATIENCE, "the plugin learns of its end", || plugin.stderr().contains("the session ends"));
}

/// While this is held, orphans of the test come back to it, and their exit codes can be read.
struct Adoption(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

impl Adoption {
    fn begin() -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        Self(guard)
    }

    #[track_caller]
    fn exit_code(&self, pid: u32, limit: Duration) -> i32 {
        let mut code = None;
        eventually(limit, "the orphan ends", || {
            if let Ok(WaitStatus::Exited(_, number)) = waitpid(as_pid(pid), Some(WaitPidFlag::WNOHANG)) {
                code = Some(number);
            }
            code.is_some()
        });
        code.unwrap()
    }
}

impl Drop for Adoption {
    fn drop(&mut self) {
        let _ = nix::sys::prctl::set_child_subreaper(false);
    }
}

// End of input.

#[test]
fn at_the_end_of_input_everything_received_is_answered() {
    let sandbox = Sandbox::new();
    let plugin = sandbox.plugin();
    for id in 0..1000 {
        plugin.send_request(id, "isRunning", Value::Null);
    }
    let ending = plugin.end();
    assert_eq!((ending.replies.len(), ending.status.code()), (1000, Some(0)));
}

#[test]
fn at_the_end_of_input_changes_that_wait_are_answered_too() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, _) = sandbox.begin_a_change(&plugin, plugin.pid());
    queue_a_change(&sandbox, &plugin);
    plugin.send_request("last", "isRunningOnNode", Value::Null);
    plugin.close_stdin();
    drop(lock);
    let ending = plugin.drain();
    let done = ending.values().iter().filter(|reply| reply["result"]["status"] == 0).count();
    assert_eq!((done, ending.status.code()), (3, Some(0)));
}

#[test]
fn an_idle_plugin_ends_with_its_input() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(0));
}

// Signals.

#[test]
fn an_idle_plugin_ends_at_a_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let sandbox = Sandbox::new();
        let mut plugin = sandbox.plugin();
        plugin.assert_answers();
        plugin.signal(signal);
        assert_eq!(plugin.wait().code(), Some(0), "{signal}");
    }
}

#[test]
fn a_change_that_has_begun_is_answered_after_a_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let sandbox = Sandbox::patient();
        let mut plugin = sandbox.plugin();
        let (lock, port) = sandbox.begin_a_change(&plugin, plugin.pid());
        plugin.signal(signal);
        drop(lock);
        assert_eq!(plugin.receive_reply("begun")["result"], success(), "{signal}");
        assert_eq!(
            (sandbox.settings()["port"].clone(), plugin.wait().code()),
            (json!(port), Some(0)),
            "{signal}"
        );
    }
}

#[test]
fn a_change_that_waits_is_told_of_the_shutdown() {
    let sandbox = Sandbox::patient();
    let mut plugin = remarking(&sandbox).spawn();
    let (lock, port) = sandbox.begin_a_change(&plugin, plugin.pid());
    queue_a_change(&sandbox, &plugin);
    plugin.assert_answers();
    plugin.signal(Signal::SIGTERM);
    await_the_end(&plugin);
    drop(lock);
    assert_eq!(fault(&plugin.receive_reply("queued")), -32099);
    assert_eq!((plugin.drain().status.code(), sandbox.settings()["port"].clone()), (Some(0), json!(port)));
}

#[test]
fn a_signal_ends_a_plugin_whose_host_reads_nothing() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let many = format!("{}\n", request(1, "listServiceInfo", Value::Null)).repeat(100_000);
    plugin.send_raw(many);
    plugin.await_standstill();
    plugin.signal(Signal::SIGTERM);
    plugin.wait();
}

// A host that hangs up.

#[test]
fn an_idle_plugin_ends_when_stdout_is_closed() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.close_stdout();
    assert_eq!(plugin.wait().code(), Some(1));
}

#[test]
fn an_answer_that_nobody_can_read_ends_the_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.close_stdout();
    plugin.send_request(1, "isRunning", Value::Null);
    assert_eq!(plugin.wait().code(), Some(1));
}

#[test]
fn a_closed_stdout_wins_over_the_end_of_input() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.close_stdout();
    plugin.close_stdin();
    assert_eq!(plugin.wait().code(), Some(1));
}

#[test]
fn a_change_that_has_begun_runs_to_its_end_when_stdout_is_closed() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, port) = sandbox.begin_a_change(&plugin, plugin.pid());
    plugin.close_stdout();
    drop(lock);
    assert_eq!((plugin.wait().code(), sandbox.settings()["port"].clone()), (Some(1), json!(port)));
}

#[test]
fn changes_that_wait_are_dropped_when_stdout_is_closed() {
    let sandbox = Sandbox::patient();
    let mut plugin = remarking(&sandbox).spawn();
    let (lock, port) = sandbox.begin_a_change(&plugin, plugin.pid());
    queue_a_change(&sandbox, &plugin);
    plugin.close_stdout();
    await_the_end(&plugin);
    drop(lock);
    plugin.wait();
    assert_eq!(sandbox.settings()["port"], port);
}

// A stdout that takes nothing.

/// Standard outputs of which every write fails, with a name each, and what keeps them so.
fn useless() -> Vec<(&'static str, Stdio, Option<UnixStream>)> {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let unwritable = File::open("/dev/null").unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    far.shutdown(Shutdown::Read).unwrap();
    vec![
        ("full", full.into(), None),
        ("not open for writing", unwritable.into(), None),
        ("shut down", OwnedFd::from(near).into(), Some(far)),
    ]
}

/// Starts a plugin with this stdout, and keeps its stdin open.
fn answering_into(sandbox: &Sandbox, stdout: Stdio) -> (Killed, ChildStdin) {
    let mut command = sandbox.launch().command();
    let mut child = Killed(command.stdin(Stdio::piped()).stdout(stdout).spawn().unwrap());
    let stdin = child.0.stdin.take().unwrap();
    (child, stdin)
}

#[test]
fn a_stdout_that_takes_nothing_ends_the_session() {
    for (name, stdout, _kept) in useless() {
        let sandbox = Sandbox::new();
        let (mut plugin, mut stdin) = answering_into(&sandbox, stdout);
        writeln!(stdin, "{}", request(1, "isRunning", Value::Null)).unwrap();
        assert_eq!(wait(&mut plugin.0, PATIENCE).code(), Some(1), "{name}");
    }
}

#[test]
fn a_stdout_that_takes_nothing_wins_over_the_end_of_input() {
    for (name, stdout, _kept) in useless() {
        let sandbox = Sandbox::new();
        let (mut plugin, mut stdin) = answering_into(&sandbox, stdout);
        let change = json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES});
        writeln!(stdin, "{}", request(1, "update", change)).unwrap();
        drop(stdin);
        assert_eq!(wait(&mut plugin.0, PATIENCE).code(), Some(1), "{name}");
    }
}

#[test]
fn changes_that_wait_are_dropped_when_the_answer_to_one_cannot_be_written() {
    for (name, stdout, _kept) in useless() {
        let sandbox = Sandbox::patient();
        let (mut plugin, mut stdin) = answering_into(&sandbox, stdout);
        let lock = sandbox.hold_lock();
        let [first, second] = [sandbox.port(), sandbox.port()];
        for port in [first, second] {
            let change = json!({"alternate_smtp_port": port, "auth_mode": TLS_YES});
            writeln!(stdin, "{}", request(port, "update", change)).unwrap();
        }
        let waits = || holds_open(plugin.0.id(), &sandbox.lock());
        eventually(PATIENCE, "the first change waits for the lock", waits);
        drop(lock);
        assert_eq!(wait(&mut plugin.0, PATIENCE).code(), Some(1), "{name}");
        assert_eq!(sandbox.settings()["port"], first, "{name}");
    }
}

// A parent that dies.

#[test]
fn an_idle_plugin_ends_with_its_parent_though_the_pipes_stay_open() {
    let sandbox = Sandbox::new();
    let adoption = Adoption::begin();
    let (mut shell, plugin) = under(&sandbox, sandbox.launch(), ALIVE);
    shell.assert_answers();
    shell.signal(Signal::SIGKILL);
    shell.wait();
    assert_eq!(adoption.exit_code(plugin, PATIENCE), 1);
}

#[test]
fn a_dead_parent_wins_over_the_end_of_input() {
    let sandbox = Sandbox::patient();
    let adoption = Adoption::begin();
    let (mut shell, plugin) = under(&sandbox, sandbox.launch(), ALIVE);
    let (lock, _) = sandbox.begin_a_change(&shell, plugin);
    shell.signal(Signal::SIGKILL);
    shell.wait();
    shell.close_stdin();
    drop(lock);
    assert_eq!(adoption.exit_code(plugin, PATIENCE), 1);
}

#[test]
fn a_change_that_has_begun_runs_to_its_end_when_the_parent_dies() {
    let sandbox = Sandbox::patient();
    let (mut shell, plugin) = under(&sandbox, remarking(&sandbox), ALIVE);
    let (lock, port) = sandbox.begin_a_change(&shell, plugin);
    queue_a_change(&sandbox, &shell);
    shell.signal(Signal::SIGKILL);
    shell.wait();
    await_the_end(&shell);
    drop(lock);
    eventually(PATIENCE, "the plugin ends", || !alive(plugin));
    assert_eq!(sandbox.settings()["port"], port);
}

#[test]
fn a_parent_that_was_gone_at_the_start_is_no_reason_to_end() {
    let sandbox = Sandbox::new();
    let (mut shell, plugin) = under(&sandbox, sandbox.launch(), LONG_GONE);
    shell.wait();
    shell.assert_answers();
    shell.close_stdin();
    eventually(PATIENCE, "the plugin ends with its input", || !alive(plugin));
}

#[test]
fn the_end_of_the_thread_that_spawned_the_plugin_is_no_reason_to_end() {
    let sandbox = Sandbox::new();
    let mut plugin = std::thread::scope(|scope| scope.spawn(|| sandbox.plugin()).join().unwrap());
    for _ in 0..3 {
        plugin.assert_answers();
    }
    assert_eq!(plugin.end().status.code(), Some(0));
}

// A host that reads nothing.

/// A host that asks for far more than a pipe holds and reads none of it.
fn deaf(sandbox: &Sandbox) -> Plugin {
    let plugin = sandbox.plugin();
    let mut much = Vec::new();
    for id in 0..60 {
        much.extend_from_slice(format!("{}\n", request(id, "rpc.discover", Value::Null)).as_bytes());
    }
    plugin.send_raw(much);
    plugin
}

/// Whether the program has come so far that a SIGTERM is its own business (proc(5), SigBlk).
fn blocks_sigterm(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    blocked & (1 << (Signal::SIGTERM as u32 - 1)) != 0
}

#[test]
fn a_signal_ends_a_plugin_whose_very_first_answers_nobody_reads() {
    let sandbox = Sandbox::new();
    let mut plugin = deaf(&sandbox);
    eventually(PATIENCE, "the plugin blocks signals", || blocks_sigterm(plugin.pid()));
    plugin.signal(Signal::SIGTERM);
    assert_eq!(plugin.wait().code(), Some(0));
}

#[test]
fn a_signal_ends_a_plugin_whose_refusals_of_waiting_changes_nobody_reads() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let (lock, _) = sandbox.begin_a_change(&plugin, plugin.pid());
    for id in 0..40 {
        plugin.send_request(format!("{id}{}", "x".repeat(4000)), "restart", Value::Null);
    }
    plugin.send_raw(format!("{}\n", request(1, "rpc.discover", Value::Null)).repeat(60));
    eventually(PATIENCE, "the requests are taken", || plugin.taken() > 160_000);
    plugin.signal(Signal::SIGTERM);
    drop(lock);
    assert_eq!(plugin.wait().code(), Some(0));
}

#[test]
fn what_a_batch_has_not_begun_when_a_signal_comes_is_not_begun() {
    let sandbox = Sandbox::patient();
    let mut plugin = sandbox.plugin();
    let lock = sandbox.hold_lock();
    let change =
        |id| request(id, "update", json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}));
    plugin.send(Value::from((0..60).map(change).collect::<Vec<_>>()).to_string());
    let waits = || holds_open(plugin.pid(), &sandbox.lock());
    eventually(PATIENCE, "the first change waits for the lock", waits);
    plugin.signal(Signal::SIGTERM);
    let near = |reply: Value| reply["error"]["code"] == -32099;
    eventually(PATIENCE, "the end is near", || near(plugin.ask("isRunning", Value::Null)));
    drop(lock);
    let replies = plugin.receive();
    let refused = replies.as_array().unwrap().iter().filter(|reply| reply["error"]["code"] == -32099).count();
    assert_eq!(refused, 59, "{replies}");
}
