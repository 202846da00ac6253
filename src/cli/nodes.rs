//! `mail-smtp2 nodes`: what runs on every node of the cluster, as a table.
//!
//! The answer of `queryNodes`: state, port, mode and version of each node; what differs from this machine is marked, and
//! below a node stands why something is not known.

use std::fmt::Write;

use clap::Args;
use mail_smtp2::action;
use mail_smtp2::rpc::module::Plugin;
use mail_smtp2::wire::status::Status;
use serde::Deserialize;
use serde_json::json;

use super::call;
use super::lines::{Look, Mood, wrapped};
use super::output::{Ending, look};
use super::program::{Machine, Program, Watched};

#[derive(Debug, Args)]
pub(crate) struct Nodes {
    /// Print the envelope of queryNodes instead
    #[arg(long)]
    json: bool,
}

impl Nodes {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        if self.json {
            return call::envelope(&program, "queryNodes", None);
        }
        program.tell(|plugin| {
            let nodes = ask(plugin)?;
            let all = nodes.iter().all(|node| node.is_reachable == 1);
            Ok((text(&nodes, look()), u8::from(!all)))
        })
    }
}

/// A node, as `queryNodes` answers.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) is_reachable: u8,
    version: Option<String>,
    is_running: Option<u8>,
    alternate_smtp_port: Option<u16>,
    auth_mode: Option<String>,
    pub(super) differs: Vec<String>,
    message: Option<String>,
}

/// The answer of `queryNodes`.
pub(super) fn ask(plugin: &Plugin) -> Result<Vec<Node>, String> {
    let row = action::find("queryNodes").ok_or("queryNodes is missing")?;
    let envelope = plugin.cluster.run(&plugin.service, row, json!({}));
    match envelope.status {
        Status::Done => Vec::deserialize(&envelope.payload).map_err(|error| error.to_string()),
        _ => Err(envelope.payload.as_str().unwrap_or_default().to_owned()),
    }
}

fn text(nodes: &[Node], look: Look) -> String {
    let width = nodes.iter().map(|node| node.id.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("{:width$}  {:12} {:6} {:22} VERSION\n", "NODE", "STATE", "PORT", "MODE");
    for node in nodes {
        let marked = |name: &str, value: String| match node.differs.iter().any(|differs| differs == name) {
            true => format!("{value}*"),
            false => value,
        };
        let (state, mood) = match node.is_running {
            Some(1) => ("running", Mood::Good),
            Some(_) => ("not running", Mood::Doubtful),
            None => ("unknown", Mood::Bad),
        };
        // Painted once it is as wide as its column: colours have no width.
        let state = look.paint(mood, &format!("{:12}", marked("is_running", state.to_owned())));
        let port = node.alternate_smtp_port.map(|port| marked("alternate_smtp_port", port.to_string()));
        let mode = node.auth_mode.clone().map(|mode| match &*mode {
            "0" => "not configured".to_owned(),
            _ => marked("auth_mode", mode),
        });
        let dash = || "-".to_owned();
        let (port, mode) = (port.unwrap_or_else(dash), mode.unwrap_or_else(dash));
        let version = node.version.clone().unwrap_or_else(dash);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}  {state} {port:6} {mode:22} {version}", node.id);
        for line in node.message.iter().flat_map(|message| wrapped(message, 76)) {
            let _ = writeln!(text, "    {line}");
        }
    }
    if nodes.iter().any(|node| !node.differs.is_empty()) {
        text.push_str("* not as on this machine, which is the first\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_line_and_below_it_why_nothing_is_known() {
        let nodes: Vec<Node> = serde_json::from_value(json!([
            { "id": "node1.example.com", "is_reachable": 1, "version": "1.0.0", "is_running": 1,
              "alternate_smtp_port": 587, "auth_mode": "auth_yes/tls_yes", "differs": [] },
            { "id": "node2.example.com", "is_reachable": 1, "version": "1.1.0", "is_running": 0,
              "alternate_smtp_port": 2587, "auth_mode": "0", "differs": ["is_running", "alternate_smtp_port"] },
            { "id": "node3.example.com", "is_reachable": 0, "differs": [], "message": "502 ".to_owned() + &"no ".repeat(40) },
        ]))
        .unwrap();
        let text = text(&nodes, Look::Plain);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "node1.example.com  running      587    auth_yes/tls_yes       1.0.0");
        assert_eq!(lines[2], "node2.example.com  not running* 2587*  not configured         1.1.0");
        assert_eq!(lines[3], "node3.example.com  unknown      -      -                      -");
        assert!(lines[4].starts_with("    502 no") && lines.iter().all(|line| line.len() <= 80), "{text}");
        assert!(text.ends_with("which is the first\n"), "{text}");
    }
}
