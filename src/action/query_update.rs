//! `queryUpdate`: the settings as they are, which are what `update` would start from.
//!
//! Read from the settings; where the service was never configured the port is the recommended one and the mode "0".

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::Value;

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing};
use super::row::{Lane, Row, Scope, Since};
use super::service::{MODES, UNCONFIGURED};
use crate::change::settings::Settings;
use crate::change::{ChangeError, Service};
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "queryUpdate",
    about: "Answers what update would start from: the settings as they are.",
    since: Since::Ours("1.0.0"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("queryUpdate" / "configured"),
};

/// The settings.
#[derive(Debug, Serialize)]
pub(super) struct Current {
    /// The port.
    pub(super) alternate_smtp_port: u16,
    /// The mode, `"0"` when unconfigured.
    pub(super) auth_mode: &'static str,
}

fn payload(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "description": "What update would start from.",
        "properties": {
            "alternate_smtp_port": {
                "type": "integer", "minimum": 1, "maximum": 65535,
                "description": "The port; 587 when unconfigured.",
            },
            "auth_mode": {
                "type": "string",
                "enum": MODES,
                "description": "The mode; the string 0 when unconfigured.",
            },
        },
        "required": ["alternate_smtp_port", "auth_mode"],
        "examples": [
            { "alternate_smtp_port": 587, "auth_mode": "auth_yes/tls_yes" },
            { "alternate_smtp_port": 587, "auth_mode": "0" },
        ],
    })
}

fn run(service: &Service, _: &Value) -> Envelope {
    read(|| current(service))
}

/// The settings of this machine.
pub(super) fn current(service: &Service) -> Result<Current, ChangeError> {
    Ok(match service.settings()? {
        Some(Settings { listener, .. }) => {
            Current { alternate_smtp_port: listener.port, auth_mode: listener.auth_mode.name() }
        }
        None => Current { alternate_smtp_port: 587, auth_mode: UNCONFIGURED },
    })
}
