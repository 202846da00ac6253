//! `mail-smtp2 check`: a monitoring plugin (the Monitoring Plugins Development Guidelines): one line and an exit code.
//!
//! 0 is as it should be, also where an action has stopped it; 2 is that it should run and does not; 3 is that nobody knows,
//! because it cannot be seen or was never configured.

use mail_smtp2::action::status::StatusPayload;

/// The line, with its performance data, and the exit code.
pub(crate) fn line(status: &StatusPayload) -> (String, u8) {
    let (word, code) = match (status.is_running, status.wanted) {
        (Some(1), _) | (Some(_), Some("stopped")) => ("OK", 0),
        (Some(_), Some(_)) => ("CRITICAL", 2),
        (None, _) | (_, None) => ("UNKNOWN", 3),
    };
    let port = status.alternate_smtp_port.map(|port| format!(" port {port}:")).unwrap_or_default();
    let running = status.is_running.map(|is| format!(" | running={is}")).unwrap_or_default();
    (format!("SMTP2 {word} -{port} {} ({}){running}", status.sentence, status.reason), code)
}
