//! OpenSSH as the way to a node: how it is called, and what its end means.
//!
//! It sets the options that we depend on (the user's own configuration keeps all others: keys, jump hosts, a shared
//! connection), and finds the meaning of what ssh says when it gives up. What goes over the connection is `channel`'s.
//! ssh's own words, the banner of the node, and what a shell or the plugin there prints come on one stderr: its exit
//! status, the line with which it notes that the login is over, and where a line stands tell them apart. What is not
//! recognised is a fault with ssh's last line.

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
    // The command is the one below, the bytes are only ours, and failures are told; so is the end of the login.
    "PermitLocalCommand=no",
    "EscapeChar=none",
    "LogLevel=VERBOSE",
];

/// What has to be pinned, too, but ends an ssh that is too old to know it: from OpenSSH 7.6 on, and from 8.7 on.
const NEWER: [&[&str]; 2] =
    [&["RemoteCommand=none"], &["StdinNull=no", "ForkAfterAuthentication=no", "SessionType=default"]];
/// What an ssh says of an option on its command line that it does not know; the name follows, in small letters.
const UNKNOWN: &str = "command-line: line 0: Bad configuration option: ";

/// How many of the groups of newer options an ssh may know, which is one more than there are groups.
pub const AGES: usize = NEWER.len() + 1;

/// The command that speaks with the plugin at `destination`, for an ssh that knows the first `known` groups of newer
/// options.
pub fn command(known: usize, program: &Path, destination: &str) -> Command {
    let newer = NEWER.iter().take(known).flat_map(|group| group.iter().copied());
    let pinned = PINNED.into_iter().chain(newer).flat_map(|option| ["-o", option]);
    Command::new(program).arg("-T").args(pinned).args(["--", destination, PROGRAM])
}

/// How many groups of newer options the ssh knows that has said this; `None` if it says nothing about that.
fn known(text: &str) -> Option<usize> {
    let unknown = text.lines().find_map(|line| line.strip_prefix(UNKNOWN))?.trim();
    let named =
        |option: &&str| option.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case(unknown));
    NEWER.iter().position(|group| group.iter().any(named))
}

/// What stands before [`STRANGER`] where the key is not unknown, but another one.
const CHANGED: (&str, &str) = (
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "its host key is not the one that known_hosts has for it: either the node was set up anew, or somebody answers in \
     its place; find out which, then replace the key (ssh-keygen -R, and log in once by hand)",
);
const STRANGER: &str = "Host key verification failed";

/// What ssh says and what it means. It ends with its reason: the last that is found counts.
const COMPLAINTS: [(&str, &str); 17] = [
    (
        STRANGER,
        "its host key is not known here: log in once by hand, as the user that runs this plugin, and compare the key",
    ),
    (
        "no matching",
        "it offers nothing that is accepted here: see HostKeyAlgorithms, KexAlgorithms and Ciphers in ssh_config",
    ),
    (
        "Permission denied (",
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

const CLOSED: &str = "the connection was closed by the node: look at sshd's log there";

/// How the lines begin with which ssh itself ends a session; all others are the node's.
const ENDS: [&str; 13] = [
    "Timeout, server ",
    "Connection to ",
    "Connection reset by ",
    "Connection closed by ",
    "Connection timed out",
    "Shared connection to ",
    "Read from remote host ",
    "Received disconnect from ",
    "Disconnected from ",
    "Disconnecting ",
    "Write failed: ",
    "client_loop: ",
    "ssh_dispatch_run_fatal: ",
];

/// What ssh notes of the login, and of its end: no reasons.
const LOGGED_IN: &str = "Authenticated to ";
const COUNTED: [&str; 2] = ["Transferred: ", "Bytes per second: "];
/// What ssh says when the jump host's ssh, or another command that connects it, has ended: that one has the reason.
const THROUGH: &str = "UNKNOWN port 65535";

/// What came on stdout before the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Not a byte.
    Nothing,
    /// This line, which is none of the plugin's, and nothing of the plugin.
    Text(String),
    /// The plugin has greeted.
    Plugin,
}

/// Why ssh ended, from how it did, what it last said on stderr, and what was heard. `None` is one that was killed.
pub fn reason(ended: Option<Ended>, stderr: &[u8], heard: &Heard) -> Fault {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| is_said(line)).collect();
    let login = lines.iter().rposition(|line| is_login(line));
    // What stands before the login is the banner.
    let said = login.map_or(&*lines, |at| &lines[at + 1..]);
    let in_session = login.is_some() || *heard != Heard::Nothing;
    match (ended, heard) {
        (Some(Ended::Exited(127)), _) => not_found(said),
        (Some(Ended::Exited(126)), _) => Fault::NotExecutable { said: last(said) },
        (Some(Ended::Exited(255)), _) if !in_session => before_login(&text, said),
        (Some(Ended::Exited(255)), _) => in_the_session(said).unwrap_or_else(|| match heard {
            Heard::Text(line) => Fault::LoginEnded { said: both(line, said) },
            _ => Fault::Killed { said: last(said) },
        }),
        (Some(Ended::Exited(_)), Heard::Text(line)) => Fault::LoginEnded { said: both(line, said) },
        (Some(Ended::Exited(code)), _) => Fault::Ended { code, said: last(said) },
        (Some(Ended::Signalled(_)) | None, Heard::Text(line)) => Fault::Rubbish(line.clone()),
        (Some(Ended::Signalled(_)) | None, _) => Fault::Broke,
    }
}

/// Whether a line says anything about the end.
fn is_said(line: &str) -> bool {
    !line.trim().is_empty() && !COUNTED.iter().any(|begin| line.starts_with(begin))
}

/// Whether ssh notes with this line that it has logged in.
fn is_login(line: &str) -> bool {
    line.starts_with(LOGGED_IN) && (line.contains(" ([") || line.contains(" (via proxy)"))
}

/// The last line.
fn last(lines: &[&str]) -> String {
    printable(lines.last().unwrap_or(&"nothing"))
}

/// What came on stdout, and the last line behind it, if there is one.
fn both(line: &str, said: &[&str]) -> String {
    let more = said.last().map(|last| format!("; {}", printable(last))).unwrap_or_default();
    format!("{line}{more}")
}

/// A shell, or the loader of programs, that ends with 127: the plugin is missing, or something else is.
fn not_found(lines: &[&str]) -> Fault {
    let line = lines.iter().rfind(|line| line.contains(PROGRAM)).or(lines.last()).unwrap_or(&"nothing");
    // A path is not what we asked for, but what authorized_keys says; a library is missing to one that is there.
    let is_ours = line.contains(PROGRAM) && !line.contains('/');
    let missing = ["not found", "nknown command"].iter().any(|words| line.contains(words));
    let said = printable(line);
    if is_ours && missing { Fault::NotInstalled { said } } else { Fault::NotStarted { said } }
}

/// Why there was no login; the node's banner may stand among ssh's own words, and those of a jump host's ssh before them.
fn before_login(text: &str, lines: &[&str]) -> Fault {
    if let Some(known) = known(text) {
        return Fault::Older { known, said: last(lines) };
    }
    let own = match lines {
        [before @ .., identification, through]
            if through.contains(THROUGH) && identification.starts_with("kex_exchange_identification") =>
        {
            before
        }
        [before @ .., through] if through.contains(THROUGH) => before,
        all => all,
    };
    match find(own).or_else(|| find(lines)) {
        Some((line, _)) if line.contains(STRANGER) && text.contains(CHANGED.0) => {
            let line = lines.iter().rfind(|line| line.contains(CHANGED.0)).copied().unwrap_or(line);
            Fault::Ssh { told: CHANGED.1, said: printable(bare(line)) }
        }
        Some((line, told)) => Fault::Ssh { told, said: printable(line) },
        None => Fault::Ssh { told: "ssh gave up", said: last(lines) },
    }
}

/// The last line that means something, and what.
fn find<'l>(lines: &[&'l str]) -> Option<(&'l str, &'static str)> {
    lines.iter().rev().find_map(|&line| Some((bare(line), meaning(line)?)))
}

/// Why ssh gave up a session that stood; `None` if it did not say anything itself.
fn in_the_session(lines: &[&str]) -> Option<Fault> {
    let line = lines.last().filter(|line| ENDS.iter().any(|begin| line.starts_with(begin)))?;
    Some(Fault::Ssh { told: meaning(line).unwrap_or(CLOSED), said: printable(bare(line)) })
}

/// What a line of ssh's means; the last words that are known count, as a banner may end without a line's end.
fn meaning(line: &str) -> Option<&'static str> {
    let found = COMPLAINTS.iter().filter_map(|(words, told)| Some((line.rfind(words)?, *told)));
    found.max_by_key(|(at, _)| *at).map(|(_, told)| told)
}

/// A line of ssh's without its name and its frame.
fn bare(line: &str) -> &str {
    let line = line.trim_matches(['@', ' ', '\r']);
    line.strip_prefix("ssh: ").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &str = "Authenticated to node2 ([10.99.0.2]:22) using \"publickey\".\r\n";

    fn ended(code: i32, stderr: &str, heard: &Heard) -> String {
        reason(Some(Ended::Exited(code)), stderr.as_bytes(), heard).to_string()
    }

    fn told(stderr: &str) -> String {
        ended(255, stderr, &Heard::Nothing)
    }

    #[test]
    fn the_destination_stands_behind_the_options() {
        for known in 0..AGES {
            let argv: Vec<_> = command(known, Path::new("/usr/bin/ssh"), "root@node2").argv().to_vec();
            assert_eq!(argv[..2], ["/usr/bin/ssh", "-T"]);
            assert_eq!(argv[argv.len() - 3..], ["--", "root@node2", "mail-smtp2"]);
        }
    }

    #[test]
    fn an_option_that_ssh_does_not_know_says_how_old_it_is() {
        for (option, age) in
            [("remotecommand", 0), ("stdinnull", 1), ("forkafterauthentication", 1), ("sessiontype", 1)]
        {
            let stderr = format!("command-line: line 0: Bad configuration option: {option}\r\n");
            let fault = reason(Some(Ended::Exited(255)), stderr.as_bytes(), &Heard::Nothing);
            assert!(matches!(fault, Fault::Older { known, .. } if known == age), "{option}: {fault}");
        }
        let users = "/root/.ssh/config: line 3: Bad configuration option: stdinnull\r\n/root/.ssh/config: terminating, \
                     1 bad configuration options\r\n";
        assert!(told(users).starts_with("the ssh here does not know an option"), "{}", told(users));
    }

    #[test]
    fn a_changed_key_is_told_before_the_failure_that_follows_from_it() {
        let stderr = "@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@\r\nIT IS \
                      POSSIBLE\r\nHost key verification failed.\r\n";
        assert!(told(stderr).contains("is not the one"), "{}", told(stderr));
    }

    #[test]
    fn what_the_program_there_prints_is_not_taken_for_the_words_of_ssh() {
        let fault = reason(Some(Ended::Exited(1)), b"Permission denied (x)\n", &Heard::Nothing);
        assert_eq!(fault, Fault::Ended { code: 1, said: "Permission denied (x)".into() });
    }

    #[test]
    fn a_complaint_that_nobody_knows_is_quoted() {
        assert_eq!(told("something\nodd \x1b[31m\n"), "ssh gave up (ssh says: odd \u{FFFD}[31m)");
    }

    #[test]
    fn a_shell_without_the_plugin_says_so_by_its_exit_status() {
        for words in ["sh: 1: mail-smtp2: not found", "zsh:1: command not found: mail-smtp2"] {
            let said =
                ended(127, &format!("{LOGIN}{words}\ngoodbye\nTransferred: sent 1\r\n"), &Heard::Nothing);
            assert!(said.starts_with("no mail-smtp2 is on the PATH") && said.contains(words), "{said}");
        }
    }

    #[test]
    fn what_else_is_missing_there_is_said_in_the_shells_words() {
        for words in [
            "bash: line 1: /opt/mail-smtp2: No such file or directory",
            "mail-smtp2: error while loading shared libraries: libx.so.1: cannot open shared object file",
            "bash: line 1: wrapper: command not found",
        ] {
            let said = ended(127, &format!("Welcome\n{LOGIN}{words}\n"), &Heard::Nothing);
            assert!(!said.contains("PATH") && said.contains(words), "{said}");
        }
        assert!(ended(127, &format!("Welcome\n{LOGIN}"), &Heard::Nothing).contains("nothing"));
    }

    #[test]
    fn each_complaint_is_found_by_its_own_words() {
        for (needle, meaning) in COMPLAINTS {
            assert!(told(&format!("ssh: {needle} by x\n")).starts_with(meaning), "{needle}");
        }
    }

    #[test]
    fn before_the_login_the_last_complaint_counts_and_not_the_banner() {
        let banner =
            "Host key verification failed? Sessions are timed out, strangers get Connection refused\n";
        let denied = told(&format!("{banner}root@node2: Permission denied (publickey).\r\n"));
        let told_so = denied.starts_with("it does not accept our key");
        assert!(
            told_so && denied.ends_with("(ssh says: root@node2: Permission denied (publickey).)"),
            "{denied}"
        );
        let closed = told(&format!("{}Connection closed by 10.99.0.2 port 22\r\n", banner.trim_end()));
        assert!(closed.starts_with(CLOSED), "a banner without a line's end: {closed}");
    }

    #[test]
    fn after_the_login_no_fault_of_a_login_is_told() {
        let before = "Permission denied (all). Sessions are timed out\n";
        let noise = "root@other: Permission denied (publickey).\nssh: connect to host x port 22: Connection refused\n";
        for heard in [Heard::Nothing, Heard::Plugin] {
            let cut = format!("{before}{LOGIN}{noise}Connection to node2 closed by remote host.\r\n");
            assert!(ended(255, &cut, &heard).starts_with(CLOSED), "{}", ended(255, &cut, &heard));
            let killed = ended(255, &format!("{before}{LOGIN}{noise}"), &heard);
            assert!(killed.starts_with("the plugin there was killed"), "{killed}");
        }
        // Through a shared connection ssh notes no login; that the plugin has spoken is enough.
        let killed = ended(255, before, &Heard::Plugin);
        assert!(killed.starts_with("the plugin there was killed"), "{killed}");
    }

    #[test]
    fn the_reason_of_a_jump_host_is_not_hidden_by_what_follows_from_it() {
        for (jump, wanted) in [
            (
                "channel 0: open failed: x\r\nstdio forwarding failed\r\n",
                "its jump host does not let us through",
            ),
            ("root@jump: Permission denied (publickey).\r\n", "it does not accept our key"),
        ] {
            let stderr = format!(
                "{jump}kex_exchange_identification: Connection closed by remote host\r\nConnection closed by \
                 UNKNOWN port 65535\r\n"
            );
            assert!(told(&stderr).starts_with(wanted), "{}", told(&stderr));
        }
        assert!(told("Connection closed by UNKNOWN port 65535\r\n").starts_with(CLOSED));
    }

    #[test]
    fn text_and_then_an_end_is_a_login_that_ended() {
        let text = Heard::Text("This account is currently not available.".into());
        let said = ended(1, LOGIN, &text);
        assert!(said.contains("not available.") && said.starts_with("the login there ended"), "{said}");
        let cut = ended(255, &format!("{LOGIN}Timeout, server node2 not responding.\r\n"), &text);
        assert!(cut.starts_with("it went silent"), "{cut}");
        let missing = ended(127, &format!("{LOGIN}sh: 1: mail-smtp2: not found\n"), &text);
        assert!(missing.starts_with("no mail-smtp2"), "{missing}");
    }
}
