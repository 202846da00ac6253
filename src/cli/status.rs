//! `mail-smtp2 status`: is it up, and if not, why not.
//!
//! The answer of `queryStatus` as lines of a name and what there is to say. What could not be seen or does not apply has no
//! line.

use std::fmt::Write;

use mail_smtp2::action::status::StatusPayload;

/// The text, with a line end.
pub(crate) fn text(status: &StatusPayload) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:12} {what}");
    };
    line("state", format!("{} ({})", state(status), status.reason));
    line("reason", status.sentence.clone());
    if let (Some(port), Some(mode)) = (status.alternate_smtp_port, status.auth_mode) {
        line("set to", format!("port {port}, {mode}"));
    }
    if !status.addresses.is_empty() {
        line("listens on", status.addresses.join(", "));
    }
    if let Some(process) = &status.process {
        line("process", format!("{} (pid {})", process.name, process.pid));
    }
    if let Some(mta) = &status.mta {
        let why = mta.why_not.as_ref().map(|why| format!("; cannot be changed: {why}"));
        line("mail server", format!("{}{}", mta.kind, why.unwrap_or_default()));
    }
    if let Some(changing) = &status.changing {
        let who = changing
            .pid
            .map_or("by nobody any more: the next change ends it".into(), |pid| format!("by process {pid}"));
        line("under way", format!("{} {who}", changing.action));
    }
    if let Some(last) = &status.last_change {
        line("last change", super::history::line(last));
    }
    line("version", status.version.to_owned());
    text
}

fn state(status: &StatusPayload) -> &'static str {
    match status.is_running {
        Some(1) => "running",
        Some(_) => "not running",
        None => "unknown",
    }
}
