//! What a host leaves the plugin to begin with: open descriptors, a umask, limits of files, no stdout.
//!
//! A shell between leaves it what no test can. Limits are set from outside, once the program runs: of a user that nothing
//! else runs as, so that what counts is what the plugin itself has.

use super::support::plugin::{Plugin, request};
use super::support::process::{holds_open, listeners};
use super::support::sandbox::Sandbox;
use super::support::{PATIENCE, TLS_YES, eventually};
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
