//! What a host leaves the plugin to begin with: open descriptors, a umask, limits of files and threads, no stdout.
//!
//! A shell between leaves it what no test can. Limits are set from outside, once the program runs: of a user that nothing
//! else runs as, so that what counts is what the plugin itself has.

use super::support::plugin::{Plugin, request};
use super::support::process::{holds_open, listeners};
use super::support::sandbox::Sandbox;
use super::support::{PATIENCE, TLS_YES, eventually, fault};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Sets a soft limit of a running plugin, such as `nproc` (prlimit(1)). By a process of the plugin's own user: even root
/// may need a privilege for anybody else's.
#[track_caller]
fn limit(plugin: &Plugin, user: Option<u32>, what: &str, most: u64) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={}", plugin.pid())).arg(format!("--{what}={most}:"));
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    assert!(command.status().unwrap().success(), "{what} {most}");
}

/// A figure of /proc/PID/status, such as `Umask`.
fn figure(pid: u32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a figure of the kernel");
    line.trim_start_matches(':').trim().to_owned()
}

/// Everything in a folder, at any depth.
fn all_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_in(&path) } else { vec![path] }).collect()
}

#[test]
fn what_a_host_has_open_stays_open_neither_in_the_plugin_nor_in_the_listener() {
    let sandbox = Sandbox::new();
    let file = sandbox.base().join("a file of the host");
    fs::write(&file, "").unwrap();
    let shell = r#"exec 3<"$FILE" 7<"$FILE"; exec "$@""#;
    let mut plugin = sandbox.launch().env("FILE", &file).under_shell(shell).spawn();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let holders = listeners(port).into_iter().chain([plugin.pid()]);
    assert_eq!(holders.filter(|pid| holds_open(*pid, &file)).count(), 0);
}

#[test]
fn the_umask_of_the_host_is_not_the_plugins() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().under_shell(r#"umask 0; exec "$@""#).spawn();
    sandbox.run(&mut plugin, TLS_YES);
    assert_eq!(figure(plugin.pid(), "Umask"), "0077");
    let open = all_in(&sandbox.state()).into_iter().filter(|path| {
        fs::symlink_metadata(path)
            .is_ok_and(|state| state.is_file() && state.permissions().mode() & 0o077 != 0)
    });
    assert_eq!(open.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

#[test]
fn a_file_that_may_not_grow_any_more_costs_no_answer() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let history = fs::metadata(sandbox.state().join("history.jsonl")).unwrap().len();
    limit(&plugin, None, "fsize", history + 100);
    sandbox.configure(&mut plugin, TLS_YES);
    let says_why = || plugin.stderr().contains("history.jsonl: File too large");
    eventually(PATIENCE, "the log says why the history was not written", says_why);
}

#[test]
fn without_stdout_and_stderr_nothing_that_is_said_gets_into_a_file() {
    let sandbox = Sandbox::new();
    let update = request(1, "update", json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}));
    let input = format!("{update}\n{update}\n");
    let launch = sandbox.launch().args(&["--log", "trace"]).under_shell(r#"exec "$@" >&- 2>&-"#);
    assert_eq!(launch.run_with(input.as_bytes()).code, Some(0));
    assert_eq!(sandbox.history().len(), 2);
    for path in all_in(&sandbox.state()) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(!text.contains("jsonrpc") && !text.contains("TRACE"), "{}: {text}", path.display());
    }
}

// Threads that cannot be had.

/// Calls `act` with a plugin that may have so many threads, of a user that nothing else runs as.
fn with_threads(user: u32, most: u64, act: impl FnOnce(&Sandbox, Plugin)) {
    let Some(sandbox) = Sandbox::of_user(user) else { return };
    // Whatever there is to log asks for a thread, too.
    let plugin = sandbox.launch().args(&["--log", "trace"]).spawn();
    limit(&plugin, Some(user), "nproc", most);
    act(&sandbox, plugin);
}

#[test]
fn a_session_that_can_have_no_thread_goes_on() {
    with_threads(54_320, 1, |_, mut plugin| {
        for _ in 0..3 {
            plugin.assert_answers();
        }
        assert_eq!(plugin.end().status.code(), Some(0));
    });
}

#[test]
fn a_session_that_can_have_no_thread_ends_at_a_signal() {
    with_threads(54_321, 1, |_, mut plugin| {
        plugin.assert_answers();
        plugin.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(plugin.wait().code(), Some(0));
    });
}

#[test]
fn a_change_for_which_no_thread_can_be_had_is_refused_and_can_be_asked_for_again() {
    with_threads(54_322, 1, |sandbox, mut plugin| {
        for _ in 0..2 {
            assert_eq!(fault(&plugin.ask("update", json!({"auth_mode": TLS_YES}))), -32603);
        }
        limit(&plugin, Some(54_322), "nproc", 100);
        sandbox.configure(&mut plugin, TLS_YES);
    });
}

#[test]
fn a_change_is_answered_where_its_thread_was_the_last_that_could_be_had() {
    let Some(sandbox) = Sandbox::of_user(54_323) else { return };
    let mut plugin = sandbox.plugin();
    limit(&plugin, Some(54_323), "nproc", 2);
    sandbox.configure(&mut plugin, TLS_YES);
    plugin.assert_answers();
    assert_eq!(plugin.end().status.code(), Some(0));
}
