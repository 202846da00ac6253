//! The machine's own log: a line for the journal or syslog, whichever listens at `/dev/log` (syslog(3)).
//!
//! A line is one datagram with the identifier `mail-smtp2`, which is never waited for: where the queue is full, or
//! nobody listens, the line is lost. What is worth a line is decided by whoever says it, and made fit to be shown
//! there.

use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// Where journald or a syslog daemon listens.
const SOCKET: &str = "/dev/log";
/// Who speaks.
const IDENTIFIER: &str = "mail-smtp2";
/// The facility of mail servers (RFC 5424, section 6.2.1), by which their own lines are found.
const MAIL: u8 = 2;

/// How much it matters (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something stands half done.
    Error = 3,
    /// Something failed.
    Warning = 4,
    /// Something was done.
    Info = 6,
}

/// Says a line, if somebody listens who has room for it.
pub fn say(severity: Severity, line: &str) {
    say_to(Path::new(SOCKET), severity, line);
}

fn say_to(socket: &Path, severity: Severity, line: &str) {
    let priority = MAIL * 8 + severity as u8;
    let text = format!("<{priority}>{IDENTIFIER}[{}]: {line}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|datagram| {
        datagram.set_nonblocking(true)?;
        datagram.send_to(text.as_bytes(), socket)
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "the machine's log did not take a line");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_datagram_with_priority_and_identifier() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        say_to(&path, Severity::Warning, "start: 409 port 587 is held");
        let mut bytes = [0; 256];
        let length = log.recv(&mut bytes).unwrap();
        let expected = format!("<20>mail-smtp2[{}]: start: 409 port 587 is held", std::process::id());
        assert_eq!(String::from_utf8_lossy(&bytes[..length]), expected);
    }

    #[test]
    fn nobody_there_and_a_full_queue_are_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        say_to(&path, Severity::Info, "nobody");
        let _log = UnixDatagram::bind(&path).unwrap();
        for _ in 0..10_000 {
            say_to(&path, Severity::Info, "nobody reads");
        }
    }
}
