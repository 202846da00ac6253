//! `listServiceInfo`: name, port, page and state of the service in one answer.
//!
//! Whether it runs is what `isRunning` answers, as 0 or 1; what cannot be seen is 403. The names are constants.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::answer::read;
use super::example::example;
use super::input::{self, Nothing};
use super::list_port_numbers::ports;
use super::row::{Lane, Row, Scope, Since};
use super::service::{CONTROLLER, GENERAL_NAME, PAGE, SERVICE};
use crate::change::Service;
use crate::wire::envelope::Envelope;

pub(super) const ROW: Row = Row {
    name: "listServiceInfo",
    about: "Lists the service name, ports, page, and status.",
    since: Since::Panel("4.2.0-260"),
    lane: Lane::Read,
    scope: Scope::Here,
    inputs: &[],
    input: input::schema::<Nothing>,
    payload,
    run,
    example: example!("listServiceInfo" / "while-it-runs"),
};

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

fn payload(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<ServiceInfo>()
}

fn run(service: &Service, _: &Value) -> Envelope {
    read(|| {
        Ok(ServiceInfo {
            id: SERVICE,
            name: GENERAL_NAME,
            ports: ports(service.settings()?),
            page: PAGE,
            ctrl: CONTROLLER,
            is_running: u8::from(service.running()?),
        })
    })
}
