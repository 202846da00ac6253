//! Stands in for ssh in the benchmark of the cluster: the destination, KIND.NUMBER, says what is behind it.
//!
//! `plugin` is the plugin beside this program, on the sandbox in `nodes/NUMBER` below HOME; `second` answers every change
//! after a second, and does nothing. What cannot be started ends with exit status 127, as a shell's command would.

use std::io::{BufRead, Write, stdin, stdout};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // ... -- DESTINATION mail-smtp2
    let destination = words.iter().rev().nth(1).map(String::as_str).unwrap_or_default();
    match destination.split_once('.') {
        Some(("plugin", number)) => plugin(number),
        Some(("second", _)) => second(),
        _ => ExitCode::from(127),
    }
}

fn plugin(number: &str) -> ExitCode {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let mut command = Command::new(home.join("mail-smtp2"));
    command.arg("--config").arg(home.join("node.toml")).args(["--mta", "sandbox", "--state-dir"]);
    let fault = command.arg(home.join("nodes").join(number)).exec();
    eprintln!("cluster-node: {fault}");
    ExitCode::from(127)
}

/// The ids of a channel count from 0, which is the greeting's.
fn second() -> ExitCode {
    for (id, line) in stdin().lock().lines().enumerate() {
        let Ok(line) = line else { break };
        let greeting = line.contains("\"rpc.discover\"");
        let result =
            if greeting { r#"{"info":{"version":"1.0.0"}}"# } else { r#"{"status":0,"payload":"Success"}"# };
        if !greeting {
            std::thread::sleep(Duration::from_secs(1));
        }
        let mut out = stdout().lock();
        let reply = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n");
        if out.write_all(reply.as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}
