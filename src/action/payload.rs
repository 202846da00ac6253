//! The payloads of the actions that went well, as schemas.
//!
//! Answers for: what a host may expect in `payload` when `status` is 0 (page of the panel; schema/README.md,
//! "Actions"). Does not know: how a payload comes about. On failure every payload is a string.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::mta::AuthMode;

/// What the host has to check of its caller before it passes a request on (page of the panel).
pub const PERMISSION: &str = "EMAIL";
/// What the panel translates into "Alternate inbound SMTP server".
pub const GENERAL_NAME: &str = "##LG_ALTERNATE_INBOUND_SMTP_SERVER##";
/// The service's own id.
pub const SERVICE: &str = "smtp2";
/// The page that controls the service.
pub const PAGE: &str = "/nodeworx/mail/mta";
/// The controller.
pub const CONTROLLER: &str = "/nodeworx/mail/smtp2";

/// The mode of a service that was never configured.
pub const UNCONFIGURED: &str = "0";
/// What the mode of a service may be.
pub const MODES: [&str; 3] = [UNCONFIGURED, AuthMode::TlsYes.name(), AuthMode::TlsOptional.name()];

/// What the panel lists of a service.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(extend("examples" = [{
    "id": SERVICE, "name": GENERAL_NAME, "ports": "587", "page": PAGE, "ctrl": CONTROLLER, "is_running": 1
}]))]
pub struct ServiceInfo {
    /// The service's own id.
    #[schemars(extend("enum" = [SERVICE]))]
    pub id: &'static str,
    /// A token that the panel translates.
    #[schemars(extend("enum" = [GENERAL_NAME]))]
    pub name: &'static str,
    /// The port as a string, empty when unconfigured.
    #[schemars(regex(pattern = "^([1-9][0-9]{0,4})?$"))]
    pub ports: String,
    /// The page that controls the service.
    #[schemars(extend("enum" = [PAGE]))]
    pub page: &'static str,
    /// The controller.
    #[schemars(extend("enum" = [CONTROLLER]))]
    pub ctrl: &'static str,
    /// 1 if the service is running, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_running: u8,
}

/// `queryUpdate`.
#[derive(Debug, Serialize)]
pub struct Current {
    /// The port.
    pub alternate_smtp_port: u16,
    /// The mode, `"0"` when unconfigured.
    pub auth_mode: &'static str,
}

/// One entry of `queryNodes`. What could not be seen is absent.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct NodeState {
    /// The node's id.
    pub id: String,
    /// 1 if the plugin there answered, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_reachable: u8,
    /// The version of the plugin there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// 1 if the service is running there, else 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub is_running: Option<u8>,
    /// The port; 587 when unconfigured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub alternate_smtp_port: Option<u16>,
    /// The mode; the string 0 when unconfigured.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = MODES))]
    pub auth_mode: Option<String>,
    /// Which of is_running, alternate_smtp_port and auth_mode are not as on this machine; empty, too, where that is not
    /// known.
    #[schemars(extend("items" = { "type": "string", "enum": DIFFER }))]
    pub differs: Vec<&'static str>,
    /// Why something is absent: a status number and its sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What may differ between nodes.
pub const DIFFER: [&str; 3] = ["is_running", "alternate_smtp_port", "auth_mode"];

/// `isRunning`.
pub fn running(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "boolean",
        "description": "Whether the MTA itself listens on the configured port.",
        "examples": [true, false],
    })
}

/// `listGeneralName`.
pub fn general_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [GENERAL_NAME], "description": "A token that the panel translates." })
}

/// `listPortNumbers`.
pub fn ports(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "The port, or Success when unconfigured: the panel's word for an empty payload.",
        "pattern": "^([1-9][0-9]{0,4}|Success)$",
        "examples": ["587", "Success"],
    })
}

/// `listPortNumbersArray`.
pub fn ports_array(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "The port, or an empty string when unconfigured.",
        // Without a title of its own, typify has no name for its type.
        "items": { "title": "PortNumber", "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            // As an enum of the empty string, generators of OpenRPC would have a name of nothing to write.
            { "type": "string", "maxLength": 0 },
        ] },
        "minItems": 1,
        "maxItems": 1,
        "examples": [[587], [""]],
    })
}

/// `listRequiredPermissions`.
pub fn permissions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "What the host has to check of its caller.",
        "items": { "type": "string", "enum": [PERMISSION] },
        "examples": [[PERMISSION]],
    })
}

/// `listServiceInfo`.
pub fn service_info(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<ServiceInfo>()
}

/// `listServiceName`.
pub fn service_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [SERVICE], "description": "The service's own id." })
}

/// `listServicePage`.
pub fn service_page(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": [PAGE], "description": "The page that controls the service." })
}

/// Everything that changes something.
pub fn success(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Success"], "description": "Done, and proven from outside." })
}

/// `queryUpdate`.
pub fn query_update(_: &mut SchemaGenerator) -> Schema {
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

/// `queryNodes`.
pub fn query_nodes(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "description": "One entry per node, this machine first, then in the order of the configuration.",
        "items": generator.subschema_for::<NodeState>(),
        "minItems": 1,
        "examples": [[
            {
                "id": "node1.example.com", "is_reachable": 1, "version": "1.0.0", "is_running": 1,
                "alternate_smtp_port": 587, "auth_mode": "auth_yes/tls_yes", "differs": []
            },
            {
                "id": "node2.example.com", "is_reachable": 0, "differs": [],
                "message": "502 no ssh server answers there: ..."
            },
        ]],
    })
}
