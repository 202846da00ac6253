//! The processes of a supervised service: the one that its supervisor has started, and what a script has started.
//!
//! It tells who may hold the service's socket, and who has to be ended besides the supervised process. A supervisor
//! signals that one and nobody else (svc(8), runsv(8)): where it is a shell that has not become the server, for want of
//! `exec` or because of a pipe, the server is the shell's child and would go on. Which of them listens is
//! `change::live`'s. Processes that end while they are looked at are left out.

use std::path::{Path, PathBuf};

use crate::sys::{Process, View};

/// What runs scripts, by the names of its files.
const SHELLS: [&str; 8] = ["sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"];
/// What the kernel calls a script of that file's name while it has not become another program (execve(2)).
const SCRIPT: &str = "run";

/// The children of a process. A server has one for each session: what they are is not looked at.
pub(super) fn children(host: &dyn View, pid: i32) -> Vec<i32> {
    let path = PathBuf::from(format!("/proc/{pid}/task/{pid}/children"));
    let text = host.read(&path).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// What a process has started, if it is a script, and what scripts among that have; each before its own children.
pub(super) fn started_by(host: &dyn View, process: &Process) -> Vec<Process> {
    if !is_script(process) {
        return Vec::new();
    }
    let mut started = Vec::new();
    for child in children(host, process.pid).into_iter().filter_map(|child| host.process(child)) {
        let below = started_by(host, &child);
        started.push(child);
        started.extend(below);
    }
    started
}

fn is_script(process: &Process) -> bool {
    let exe = process.exe.as_deref().and_then(Path::file_name);
    process.name == SCRIPT || exe.is_some_and(|exe| SHELLS.iter().any(|shell| exe == *shell))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(name: &str, exe: &str) -> Process {
        Process { pid: 7, started: 1, exe: Some(exe.into()), name: name.to_owned() }
    }

    #[test]
    fn a_script_is_known_by_its_name_or_by_its_shell() {
        for (name, exe, script) in [
            ("run", "/usr/bin/perl", true),
            ("sh", "/usr/bin/dash", true),
            ("tcpserver", "/usr/bin/tcpserver", false),
            ("sh", "/usr/bin/tcpserver", false),
        ] {
            assert_eq!(is_script(&process(name, exe)), script, "{name} {exe}");
        }
    }
}
