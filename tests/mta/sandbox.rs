//! The sandbox as a subject: no root, no namespaces; its machine is a state directory with some ports.

use super::machine::Node;
use super::subject::Subject;
use super::support::plugin::{Launch, Plugin};
use super::support::process::{is_ours, listeners};
use super::support::sandbox::Sandbox;
use std::path::PathBuf;
use std::process::Command;

const NO_SWAKS: &str = "swaks is installed on machines of their own alone";

impl Subject for Sandbox {
    const NAME: &'static str = "sandbox";
    const PRIMARY: Option<u16> = None;
    const LEFT_OUT: &'static [(&'static str, &'static str)] = &[
        ("primary", "it has no primary server"),
        ("sight", "it is no part of the machine: whose sockets it cannot see is whoever starts it"),
        ("hangs", "its control commands are the program itself, in this machine's own folders"),
        ("truth::where_tls_is_required_swaks_finds_what_is_promised", NO_SWAKS),
        ("truth::where_tls_is_optional_swaks_finds_what_is_promised", NO_SWAKS),
        (
            "truth::a_message_accepted_after_auth_arrives_in_the_mailbox",
            "every message is accepted and dropped",
        ),
        (
            "conflicts::a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder",
            "it binds 127.0.0.1 and ::1, never the wildcard",
        ),
        ("conflicts::the_primarys_own_port_is_refused_input", "it has no primary server"),
        (
            "administrator::nothing_is_left_beside_the_edited_files",
            "its file stands in the state directory, among files that come and go",
        ),
    ];
    const PROGRAMS: &'static [&'static str] = &[];

    fn fresh(toml: &str) -> Option<Self> {
        let sandbox = Self::with_config(toml);
        sandbox.write_mta_config(b"# The administrator's first line.\n\n# And the last one.\n");
        Some(sandbox)
    }

    fn launch_under(&self, words: &[&str]) -> Launch {
        Self::launch(self).under(words)
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

    fn received(&self, _text: &str) -> bool {
        unreachable!("every message is accepted and dropped")
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        vec![self.mta_config()]
    }

    fn edited_file(&self) -> PathBuf {
        self.mta_config()
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

    fn node(&self) -> &Node {
        unreachable!("its machine is this one")
    }

    fn evidence(&self) -> String {
        std::fs::read_to_string(self.mta_config()).unwrap_or_default()
    }
}
