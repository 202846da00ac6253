//! The inputs of the actions as types; their published schemas are derived from these.
//!
//! Answers for: names, bounds and descriptions of the page's inputs. Does not know: normalising and validation,
//! which happen before a value gets here. Absent means "keep what is" throughout.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::mta::AuthMode;

/// No input at all.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// For actions that can be replayed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// Selecting this option (1) causes the action to be replayed on all nodes of the cluster automatically, as if
    /// you had logged in to each node manually. Absent is 0: this machine alone.
    #[schemars(extend("enum" = [0, 1], "examples" = [1]))]
    pub cascade_to_nodes: Option<u8>,
}

/// For `queryStatus`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Selecting this option (1) also asks the listener itself, as the proof of a change does, and the mail server's own
    /// programs: what is offered on each address, and the certificate as it is served. That takes seconds. Absent is 0.
    #[schemars(extend("enum" = [0, 1], "examples" = [1]))]
    pub probe: Option<u8>,
}

/// For actions on one node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnNode {
    /// The node that the action is for: this machine's own id, or one of the configured cluster. Absent is this
    /// machine.
    #[schemars(length(min = 1), extend("examples" = ["node1.example.com"]))]
    pub node_id: Option<String>,
}

/// For `update`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// The port to run the alternate SMTP server on. The recommended port is 587, but it can be any usable port on
    /// the machine: none of the primary server's own, and none that something else holds or means to hold. Absent
    /// keeps the current one; on an unconfigured machine that is 587.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [587]))]
    pub alternate_smtp_port: Option<u16>,
    /// SMTP AUTH is always required. TLS has to come first (auth_yes/tls_yes), or is optional
    /// (auth_yes/tls_optional). Absent keeps the current mode; an unconfigured machine has none, and it must be given
    /// once.
    #[schemars(extend("examples" = ["auth_yes/tls_yes"]))]
    pub auth_mode: Option<AuthMode>,
    /// Selecting this option (1) causes the action to be replayed on all nodes of the cluster automatically, as if
    /// you had logged in to each node manually. Absent is 0: this machine alone.
    #[schemars(extend("enum" = [0, 1], "examples" = [1]))]
    pub cascade_to_nodes: Option<u8>,
}

/// The schema of an input, as derived.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<T>()
}
