//! `mail-smtp2 status`: is it up, and if not, why not.
//!
//! The answer of `queryStatus` as lines of a name and what there is to say. What could not be seen or does not apply has no
//! line.

use clap::Args;
use mail_smtp2::action::query_status::{Certificate, MailServer, Place, StatusPayload};
use mail_smtp2::rpc::module::Plugin;
use mail_smtp2::wire::text::chain;

use super::lines::{Lines, Look, Mood};
use super::output::{Ending, look};
use super::program::{Machine, Program, Watched};
use super::{call, history};

/// Whether the listener itself is asked, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// What can be seen.
    Seen,
    /// And what clients are answered.
    Probed,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Ask the listener itself, too: what it offers, and its certificate
    #[arg(long)]
    probe: bool,
    /// Print the envelope of queryStatus instead
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        if self.json {
            let params = format!("{{\"probe\":{}}}", u8::from(self.probe));
            return call::envelope(&program, "queryStatus", Some(&params));
        }
        let depth = if self.probe { Depth::Probed } else { Depth::Seen };
        program.tell(|plugin| Ok((text(&seen(plugin, depth)?, look()), 0)))
    }
}

/// The answer of `queryStatus`.
pub(super) fn seen(plugin: &Plugin, depth: Depth) -> Result<StatusPayload, String> {
    let seen = match depth {
        Depth::Seen => plugin.service.status().map(StatusPayload::from),
        Depth::Probed => {
            plugin.service.probe().map(|(status, probe)| StatusPayload::from(status).with(probe))
        }
    };
    let mut status = seen.map_err(|error| chain(&error))?;
    status.node = Some(plugin.cluster.own.clone());
    status.nodes = Some(plugin.cluster.nodes.iter().map(|node| node.id.clone()).collect());
    Ok(status)
}

/// The text, with a line end.
fn text(status: &StatusPayload, look: Look) -> String {
    let mut lines = Lines::default();
    let (state, mood) = state(status);
    lines.say_with("state", state, |line| look.paint(mood, line));
    if status.is_running != Some(1) {
        lines.say("reason", &format!("{} ({})", status.sentence, status.reason));
    }
    if let (Some(port), Some(mode)) = (status.alternate_smtp_port, status.auth_mode) {
        lines.say("set to", &format!("port {port}, {mode}"));
    }
    if !status.addresses.is_empty() {
        let whose = if status.is_running == Some(1) { "" } else { " (by whom cannot be seen)" };
        lines.say("listens on", &format!("{}{whose}", status.addresses.join(", ")));
    }
    if let Some(sessions) = status.sessions {
        lines.say("sessions", &sessions.to_string());
    }
    if let Some(process) = &status.process {
        lines.say("process", &format!("{} (pid {})", process.name, process.pid));
    }
    mail_server(&mut lines, &status.mta, look);
    for drift in &status.drift {
        let what = format!("our entry in {} is {}", drift.path, drift.what);
        lines.say_with("drift", &what, |line| look.paint(Mood::Doubtful, line));
    }
    status.probe.iter().flatten().for_each(|place| heard(&mut lines, place, look));
    if let Some(why) = &status.no_probe {
        lines.say("probe", why);
    }
    if let Some(changing) = &status.changing {
        let since = changing.since.as_ref().map(|since| format!(" since {since},")).unwrap_or_default();
        let who = changing
            .pid
            .map_or("by nobody any more: the next change ends it".into(), |pid| format!("by process {pid}"));
        lines.say("under way", &format!("{}{since} {who}", changing.action));
    }
    if let Some(last) = &status.last_change {
        lines.say("last change", &history::sentence(last));
    }
    if let (Some(node), Some(others)) = (&status.node, status.nodes.as_ref().filter(|ids| !ids.is_empty())) {
        lines.say("node", &format!("{node}; others: {}", others.join(", ")));
    }
    lines.say("version", status.version);
    lines.text()
}

/// Which mail server it is, by whom its listener is kept up, and why it cannot be changed, if so.
fn mail_server(lines: &mut Lines, mta: &MailServer, look: Look) {
    if let Some(kind) = mta.kind {
        let version = mta.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let unit = mta.unit.as_ref().map(|unit| format!(", kept up by {unit}"));
        let supervised = mta.service_dir.as_ref().map(|dir| format!(", supervised in {dir}"));
        lines.say("mail server", &format!("{kind}{version}{}", unit.or(supervised).unwrap_or_default()));
    }
    if let (Some(why), Some(reason)) = (&mta.why_not, mta.reason) {
        let what = format!("nothing: {why} ({reason})");
        lines.say_with("can change", &what, |line| look.paint(Mood::Doubtful, line));
    }
}

/// What was heard in one place.
fn heard(lines: &mut Lines, place: &Place, look: Look) {
    let mood = match place.outcome {
        "fits" => Mood::Good,
        "put_off" => Mood::Doubtful,
        _ => Mood::Bad,
    };
    let sentence = place.sentence.as_ref().map(|what| format!(": {what}")).unwrap_or_default();
    let outcome = format!("{} {}{sentence}", place.address, place.outcome);
    lines.say_with("probe", &outcome, |line| look.paint(mood, line));
    let offered = |name: &str, mechanisms: &Option<Vec<String>>| {
        let listed =
            mechanisms.as_ref().map(|list| if list.is_empty() { "none".into() } else { list.join(" ") });
        listed.map(|listed| format!("AUTH {name} TLS: {listed}"))
    };
    let starttls = place.starttls.map(|is| if is == 1 { "STARTTLS" } else { "no STARTTLS" }.to_owned());
    let parts =
        [starttls, offered("before", &place.auth_before_tls), offered("after", &place.auth_after_tls)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        lines.say("", &parts.join("; "));
    }
    if let Some(certificate) = &place.certificate {
        shown(lines, certificate, look);
    }
}

/// The certificate that clients are shown.
fn shown(lines: &mut Lines, certificate: &Certificate, look: Look) {
    let mood = match certificate.days_left {
        ..0 => Mood::Bad,
        0..21 => Mood::Doubtful,
        _ => Mood::Good,
    };
    let until = format!("valid until {} ({} days left)", certificate.not_after, certificate.days_left);
    lines.say("certificate", &certificate.subject);
    lines.say_with("", &until, |line| look.paint(mood, line));
    let by = if certificate.is_self_signed == 1 { "itself" } else { &*certificate.issuer };
    let names =
        if certificate.names.is_empty() { "no name".to_owned() } else { certificate.names.join(", ") };
    lines.say("", &format!("for {names}; signed by {by}"));
    if let Some(on_disk @ ("newer" | "other")) = certificate.on_disk {
        let what = format!(
            "the file holds {} one: the mail server has not loaded it",
            match on_disk {
                "newer" => "a newer",
                _ => "another",
            }
        );
        lines.say_with("", &what, |line| look.paint(Mood::Doubtful, line));
    }
}

fn state(status: &StatusPayload) -> (&'static str, Mood) {
    match (status.is_running, status.wanted) {
        (Some(1), _) => ("running", Mood::Good),
        (Some(_), Some("running")) => ("not running", Mood::Bad),
        (Some(_), _) => ("not running", Mood::Doubtful),
        (None, _) => ("unknown", Mood::Doubtful),
    }
}
