//! `update`: port and mode of the listener; the first one configures the service.
//!
//! Turns the request into a change (`change::transaction`), which says how it ended. `cascade_to_nodes` has been dealt with
//! by then (`cluster::route`).

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::answer::success;
use super::example::example;
use super::input;
use super::row::{Lane, Row, Scope, Since};
use crate::change::{Service, Verb};
use crate::mta::AuthMode;
use crate::wire::envelope::Envelope;
use crate::wire::reason::Reason;
use crate::wire::status::Status;

pub(super) const ROW: Row = Row {
    name: "update",
    about: "Change the auth settings for the alternate port SMTP server.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Change,
    scope: Scope::EveryNodeIfAsked,
    inputs: &["alternate_smtp_port", "auth_mode", "cascade_to_nodes"],
    input: input::schema::<Update>,
    payload: success,
    run,
    example: example!("update" / "first"),
};

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

fn run(service: &Service, input: &Value) -> Envelope {
    match serde_json::from_value::<Update>(input.clone()) {
        Ok(update) => {
            let verb = Verb::Update { port: update.alternate_smtp_port, auth_mode: update.auth_mode };
            service.change(verb, input)
        }
        // The schema is made from the same type, so that this is a fault of ours.
        Err(error) => {
            let what = format!("the admitted input is not understood: {error}");
            Envelope::failed(Status::Fault, what, Reason::Internal)
        }
    }
}
