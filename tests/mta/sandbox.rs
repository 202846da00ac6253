//! The sandbox as a subject: no root, no namespaces; its machine is a state directory with some ports.

use super::subject::Subject;
use super::support::plugin::{Launch, Plugin};
use super::support::process::{is_ours, listeners};
use super::support::sandbox::Sandbox;
use std::path::PathBuf;
use std::process::Command;

impl Subject for Sandbox {
    const NAME: &'static str = "sandbox";
    const PRIMARY: Option<u16> = None;

    fn fresh(toml: &str) -> Option<Self> {
        let sandbox = Self::with_config(toml);
        sandbox.write_mta_config(b"# The administrator's first line.\n\n# And the last one.\n");
        Some(sandbox)
    }

    fn launch(&self) -> Launch {
        Self::launch(self)
    }

    fn process(&self, plugin: &Plugin) -> u32 {
        plugin.pid()
    }

    fn command(&self, program: &str) -> Command {
        Command::new(program)
    }

    fn join_network(&self) {}

    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn state(&self) -> PathBuf {
        Self::state(self)
    }

    fn account(&self) -> (&'static str, &'static str) {
        ("sandbox", "sandbox")
    }

    fn mailbox(&self) -> &'static str {
        "anyone@example.com"
    }

    fn received(&self, _text: &str) -> Option<bool> {
        None
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        vec![self.mta_config()]
    }

    fn break_configuration(&self) {
        self.write_mta_config(b"this is [ no TOML\n");
    }

    fn pulse(&self, port: u16) -> Vec<String> {
        listeners(port).into_iter().map(|pid| pid.to_string()).collect()
    }

    fn listens(&self, port: u16) -> bool {
        listeners(port).iter().any(is_ours)
    }

    fn evidence(&self) -> String {
        std::fs::read_to_string(self.mta_config()).unwrap_or_default()
    }
}
