//! `mail-smtp2 check`: a monitoring plugin (the Monitoring Plugins Development Guidelines): one line and an exit code.
//!
//! 0 is as it should be, also where an action has stopped it; 1 is to be looked at (a certificate that ends soon, an entry
//! that somebody has changed, a node that differs); 2 is that it should run and does not, or does not do what its mode
//! promises; 3 is that nobody knows: it cannot be seen from here, or was never configured. The worst of all counts.

use std::process::ExitCode;

use clap::Args;
use mail_smtp2::action::query_status::{Place, StatusPayload};
use mail_smtp2::rpc::module::Plugin;

use super::nodes::{self, Node};
use super::output::{Ending, print};
use super::program::{Machine, Program, Watched};
use super::status::{Depth, seen};

#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    limits: Limits,
    /// Ask every node of the cluster, too
    #[arg(long)]
    nodes: bool,
}

#[derive(Debug, Clone, Copy, Args)]
struct Limits {
    /// Warn if the certificate ends in fewer days
    #[arg(short, long, value_name = "DAYS", default_value_t = 21)]
    warning: u32,
    /// Be critical if it ends in fewer days
    #[arg(short, long, value_name = "DAYS", default_value_t = 7)]
    critical: u32,
}

impl Check {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        match Program::new(machine, Watched::ByNobody) {
            Ok(program) => program.tell(|plugin| Ok(self.report(plugin).line())),
            Err(error) => {
                let (line, code) = Report::unknown(error).line();
                Ok(print(&line, ExitCode::from(code)))
            }
        }
    }

    /// Looks.
    fn report(&self, plugin: &Plugin) -> Report {
        let mut report = match seen(plugin, Depth::Probed) {
            Ok(status) => here(&status, self.limits),
            Err(error) => Report::unknown(format!("it cannot be seen: {error}")),
        };
        if self.nodes {
            match nodes::ask(plugin) {
                Ok(nodes) => everybody(&mut report, &nodes),
                Err(error) => report.found.push((Level::Unknown, error)),
            }
        }
        report
    }
}

/// How bad it is, in the order of the guidelines' exit codes by weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Level {
    /// Its word and its exit code.
    fn told(self) -> (&'static str, u8) {
        match self {
            Self::Ok => ("OK", 0),
            Self::Warning => ("WARNING", 1),
            Self::Critical => ("CRITICAL", 2),
            Self::Unknown => ("UNKNOWN", 3),
        }
    }
}

/// What was found, and what a monitoring system may draw.
#[derive(Debug, Default)]
struct Report {
    found: Vec<(Level, String)>,
    data: Vec<String>,
}

/// What is said of this machine.
fn here(status: &StatusPayload, limits: Limits) -> Report {
    let mut report = Report::default();
    let level = match (status.is_running, status.wanted) {
        (Some(1), _) | (Some(_), Some("stopped")) => Level::Ok,
        (Some(_), Some(_)) => Level::Critical,
        (None, _) | (_, None) => Level::Unknown,
    };
    let port = status.alternate_smtp_port.map(|port| format!("port {port}: ")).unwrap_or_default();
    report.found.push((level, format!("{port}{} ({})", status.sentence, status.reason)));
    report.data.extend(status.is_running.map(|is| format!("running={is}")));
    report.data.extend(status.sessions.map(|sessions| format!("sessions={sessions}")));
    for drift in &status.drift {
        report.found.push((Level::Warning, format!("our entry in {} is {}", drift.path, drift.what)));
    }
    let places = status.probe.as_deref().unwrap_or_default();
    if status.is_running.is_none() && !places.is_empty() && places.iter().all(|place| place.outcome == "fits")
    {
        report.found.push((Level::Ok, "it answers as the mode promises".to_owned()));
    }
    places.iter().for_each(|place| heard(&mut report, place));
    report.found.extend(status.no_probe.iter().map(|why| (Level::Unknown, why.clone())));
    certificate(&mut report, places, limits);
    report
}

fn heard(report: &mut Report, place: &Place) {
    let level = match place.outcome {
        "fits" => return,
        "put_off" => Level::Warning,
        _ => Level::Critical,
    };
    report.found.push((level, place.sentence.clone().unwrap_or_else(|| place.address.clone())));
}

/// The certificate that ends first.
fn certificate(report: &mut Report, places: &[Place], limits: Limits) {
    let shown = places.iter().filter_map(|place| place.certificate.as_ref());
    let Some(certificate) = shown.min_by_key(|certificate| certificate.days_left) else { return };
    let (days, Limits { warning, critical }) = (certificate.days_left, limits);
    report.data.push(format!("certificate_days={days};{warning}:;{critical}:"));
    let level = match days {
        _ if days < i64::from(critical) => Level::Critical,
        _ if days < i64::from(warning) => Level::Warning,
        _ => return,
    };
    let what = if days < 0 { "has ended".to_owned() } else { format!("ends in {days} days") };
    let newer = match certificate.on_disk {
        Some("newer") => "; the file holds a newer one: reload the mail server",
        _ => "",
    };
    report.found.push((level, format!("the certificate {what} ({}){newer}", certificate.not_after)));
}

fn everybody(report: &mut Report, nodes: &[Node]) {
    let missing = nodes.iter().filter(|node| node.is_reachable != 1).count();
    report.data.push(format!("nodes={}", nodes.len()));
    report.data.push(format!("nodes_not_reached={missing}"));
    for node in nodes {
        if node.is_reachable != 1 {
            report.found.push((Level::Unknown, format!("{} was not reached", node.id)));
        } else if !node.differs.is_empty() {
            report
                .found
                .push((Level::Warning, format!("{} differs in {}", node.id, node.differs.join(", "))));
        }
    }
}

impl Report {
    /// Nobody knows, and why.
    fn unknown(why: String) -> Self {
        Self { found: vec![(Level::Unknown, why)], data: Vec::new() }
    }

    /// The line: what is worst comes first.
    fn line(mut self) -> (String, u8) {
        self.found.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        let level = self.found.first().map_or(Level::Unknown, |(level, _)| *level);
        let (word, code) = level.told();
        let said: Vec<&str> = self.found.iter().map(|(_, what)| &**what).collect();
        // A bar and a line's end have a meaning there.
        let said = said.join("; ").replace('|', "/").replace('\n', "; ");
        let data = if self.data.is_empty() { String::new() } else { format!(" | {}", self.data.join(" ")) };
        (format!("SMTP2 {word} - {said}{data}\n"), code)
    }
}

#[cfg(test)]
mod tests {
    use mail_smtp2::action::query_status::Certificate;

    use super::*;

    const LIMITS: Limits = Limits { warning: 21, critical: 7 };

    fn place(outcome: &'static str, days_left: i64) -> Place {
        let certificate = Certificate {
            subject: "CN=mail.example.com".into(),
            names: Vec::new(),
            issuer: "CN=mail.example.com".into(),
            sha256: "0".repeat(64),
            not_before: "2026-01-01T00:00:00Z".into(),
            not_after: "2027-01-01T00:00:00Z".into(),
            days_left,
            is_self_signed: 1,
            on_disk: Some("newer"),
        };
        Place {
            address: "127.0.0.1".into(),
            outcome,
            sentence: (outcome != "fits").then(|| "127.0.0.1:587: AUTH is not offered | odd".into()),
            greeting: None,
            starttls: Some(1),
            auth_before_tls: None,
            auth_after_tls: None,
            certificate: Some(certificate),
        }
    }

    fn line(places: &[Place]) -> (String, u8) {
        let mut report = Report { found: vec![(Level::Ok, "it runs (running)".into())], data: Vec::new() };
        places.iter().for_each(|place| heard(&mut report, place));
        certificate(&mut report, places, LIMITS);
        report.line()
    }

    #[test]
    fn the_certificate_that_ends_first_counts() {
        for (days, code) in [(100, 0), (21, 0), (20, 1), (7, 1), (6, 2), (-1, 2)] {
            let (line, ended) = line(&[place("fits", 400), place("fits", days)]);
            assert_eq!(ended, code, "{line}");
            assert!(line.ends_with(&format!(" | certificate_days={days};21:;7:\n")), "{line}");
        }
        assert!(line(&[place("fits", -3)]).0.contains("has ended"));
        assert!(line(&[place("fits", 3)]).0.contains("reload the mail server"));
    }

    #[test]
    fn the_worst_is_said_first_and_nothing_in_it_begins_the_data() {
        let (line, code) = line(&[place("put_off", 10), place("unfit", 100)]);
        assert_eq!(code, 2);
        assert!(line.starts_with("SMTP2 CRITICAL - 127.0.0.1:587: AUTH is not offered / odd; "), "{line}");
        assert_eq!(line.matches('|').count(), 1, "{line}");
    }

    #[test]
    fn where_nothing_can_be_seen_it_is_unknown_and_says_why() {
        let said = Report::unknown("no right\nto look".into()).line();
        assert_eq!(said, ("SMTP2 UNKNOWN - no right; to look\n".into(), 3));
    }

    #[test]
    fn a_node_that_is_not_reached_is_unknown_and_one_that_differs_a_warning() {
        let nodes: Vec<Node> = serde_json::from_value(serde_json::json!([
            { "id": "node1", "is_reachable": 1, "differs": [] },
            { "id": "node2", "is_reachable": 0, "differs": [] },
        ]))
        .unwrap();
        let mut report = Report { found: vec![(Level::Ok, "it runs".into())], data: Vec::new() };
        everybody(&mut report, &nodes);
        assert_eq!(
            report.line(),
            ("SMTP2 UNKNOWN - node2 was not reached; it runs | nodes=2 nodes_not_reached=1\n".into(), 3)
        );
    }
}
