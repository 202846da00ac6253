//! The inputs that several actions have, as types; the published schemas are derived from the types.
//!
//! An input of one action stands in that action's file. Values have been normalised and validated (`schema::admit`) before
//! they get here. What is absent keeps what is.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

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

/// For actions on one node.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnNode {
    /// The node that the action is for: this machine's own id, or one of the configured cluster. Absent is this
    /// machine.
    #[schemars(length(min = 1), extend("examples" = ["node1.example.com"]))]
    pub node_id: Option<String>,
}

/// The schema of an input, as derived.
pub fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<T>()
}
