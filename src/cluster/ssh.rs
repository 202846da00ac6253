//! OpenSSH as the way to a node: how it is called, and what its end means.
//!
//! Answers for: the options that are ours to pin (the user's own configuration keeps all others: keys, jump hosts, a
//! shared connection), and a meaning for what ssh says when it gives up. Does not know: channels, or what is said on
//! them. Its exit status tells ssh's own failures (255) from those of the program there, whatever either has printed.

use std::path::Path;

use super::fault::Fault;
use crate::sys::{Command, Ended};
use crate::wire::text::printable;

/// The plugin, on the node's own PATH.
const PROGRAM: &str = "mail-smtp2";

/// What may not be left to anybody's configuration (`ssh_config(5)`).
const PINNED: [&str; 13] = [
    // Nobody is there to be asked, and a host that is not known stays unknown.
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    // Until the session stands; afterwards a dead link is noticed within 15 s.
    "ConnectTimeout=10",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    // A node gets nothing of this machine's.
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "Tunnel=no",
    // A shared connection is used where there is one. We leave none behind, and nobody's session ends with ours.
    "ControlMaster=no",
    // The command is the one below, the bytes are only ours, and failures are told.
    "PermitLocalCommand=no",
    "EscapeChar=none",
    "LogLevel=INFO",
];

/// What has to be pinned, too, and is known from OpenSSH 7.6 on: before, ssh ends with [`UNKNOWN`].
const SINCE_7_6: &str = "RemoteCommand=none";
/// What an ssh says that does not know [`SINCE_7_6`].
const UNKNOWN: &str = "Bad configuration option: remotecommand";

/// Which ssh is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ssh {
    /// OpenSSH 7.6 or newer.
    Usual,
    /// An older one.
    Older,
}

/// The command that speaks with the plugin at `destination`.
pub fn command(ssh: Ssh, program: &Path, destination: &str) -> Command {
    let newer = (ssh == Ssh::Usual).then_some(SINCE_7_6);
    let pinned = PINNED.into_iter().chain(newer).flat_map(|option| ["-o", option]);
    Command::new(program).arg("-T").args(pinned).args(["--", destination, PROGRAM])
}

/// What ssh says, in the order in which it is looked for, and what it means.
const COMPLAINTS: [(&str, &str); 18] = [
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that known_hosts has for it: either the node was set up anew, or somebody answers \
         in its place; find out which, then replace the key (ssh-keygen -R, and log in once by hand)",
    ),
    (
        "Host key verification failed",
        "its host key is not known here: log in once by hand, as the user that runs this plugin, and compare the key",
    ),
    (
        "no matching",
        "it offers nothing that is accepted here: see HostKeyAlgorithms, KexAlgorithms and Ciphers in ssh_config",
    ),
    (
        "Permission denied",
        "it does not accept our key: put this machine's public key into authorized_keys there, and see that the private \
         one can be read here without a passphrase",
    ),
    ("Too many authentication failures", "it does not accept our keys: name the right one with IdentityFile"),
    (
        "stdio forwarding failed",
        "its jump host does not let us through: see AllowTcpForwarding and authorized_keys there",
    ),
    ("Could not resolve hostname", "its name cannot be resolved: look at its ssh entry in the configuration"),
    ("Connection refused", "no ssh server answers there: start sshd, or look at the port"),
    ("No route to host", "it cannot be reached: the machine is off, or the network between is cut"),
    ("Network is unreachable", "it cannot be reached: this machine has no route to it"),
    ("not responding", "it went silent: the machine is off, or the network between is cut"),
    ("timed out", "it does not answer: the machine is off, or a firewall drops what is sent"),
    (
        "Bad configuration option",
        "the ssh here does not know an option: look at its version and at ssh_config",
    ),
    ("Bad owner or permissions", "ssh does not trust its own configuration here"),
    ("onnection reset", CLOSED),
    ("onnection closed", CLOSED),
    ("closed by remote host", CLOSED),
    ("Broken pipe", CLOSED),
];

/// A line of ssh's without its name and its frame.
fn bare(line: &str) -> &str {
    let line = line.trim_matches(['@', ' ', '\r']);
    line.strip_prefix("ssh: ").unwrap_or(line)
}

const CLOSED: &str = "the connection was closed by the node: look at sshd's log there";

/// Why ssh ended, from how it did and what it last said on stderr. `None` is one that was killed.
pub fn reason(ended: Option<Ended>, stderr: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(stderr);
    let last = || printable(text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing"));
    match ended {
        Some(Ended::Exited(127)) => Fault::NotInstalled { said: last() },
        Some(Ended::Exited(126)) => Fault::NotExecutable { said: last() },
        Some(Ended::Exited(255)) if text.contains(UNKNOWN) => Fault::Older { said: last() },
        Some(Ended::Exited(255)) => {
            let found = COMPLAINTS
                .iter()
                .find_map(|(needle, told)| Some((text.lines().rfind(|line| line.contains(needle))?, *told)));
            match found {
                Some((line, told)) => Fault::Ssh { told, said: printable(bare(line)) },
                None => Fault::Ssh { told: "ssh gave up", said: last() },
            }
        }
        Some(Ended::Exited(code)) => Fault::Ended { code, said: last() },
        Some(Ended::Signalled(_)) | None => Fault::Broke,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stderr: &str) -> String {
        reason(Some(Ended::Exited(255)), stderr.as_bytes()).to_string()
    }

    #[test]
    fn the_destination_stands_behind_the_options() {
        for ssh in [Ssh::Usual, Ssh::Older] {
            let argv: Vec<_> = command(ssh, Path::new("/usr/bin/ssh"), "root@node2").argv().to_vec();
            assert_eq!(argv[..2], ["/usr/bin/ssh", "-T"]);
            assert_eq!(argv[argv.len() - 3..], ["--", "root@node2", "mail-smtp2"]);
        }
    }

    #[test]
    fn a_changed_key_is_told_before_the_failure_that_follows_from_it() {
        let stderr = "@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@\r\nIT IS \
                      POSSIBLE\r\nHost key verification failed.\r\n";
        assert!(told(stderr).contains("is not the one"), "{}", told(stderr));
    }

    #[test]
    fn what_the_program_there_prints_is_not_taken_for_the_words_of_ssh() {
        let fault = reason(Some(Ended::Exited(1)), b"Permission denied\n");
        assert_eq!(fault, Fault::Ended { code: 1, said: "Permission denied".into() });
    }

    #[test]
    fn a_complaint_that_nobody_knows_is_quoted() {
        assert_eq!(told("something\nodd \x1b[31m\n"), "ssh gave up (ssh says: odd \u{FFFD}[31m)");
    }

    #[test]
    fn a_shell_without_the_plugin_says_so_by_its_exit_status() {
        let fault = reason(Some(Ended::Exited(127)), b"sh: 1: mail-smtp2: not found\n");
        assert!(matches!(fault, Fault::NotInstalled { .. }), "{fault}");
    }

    #[test]
    fn each_complaint_is_found_by_its_own_words() {
        for (needle, meaning) in COMPLAINTS {
            assert!(told(&format!("ssh: {needle} by x\n")).starts_with(meaning), "{needle}");
        }
    }
}
