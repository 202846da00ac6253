//! The `list…` actions and `queryUpdate`: what the service is called and how it is set.
//!
//! Answers for: the payloads of the page's example outputs, on configured and unconfigured machines alike. Does not
//! know: sockets. A machine without any MTA answers all of them.

use serde::Serialize;
use serde_json::{Value, json};

use super::payload::{
    CONTROLLER, Current, GENERAL_NAME, PAGE, PERMISSION, SERVICE, ServiceInfo, UNCONFIGURED,
};
use crate::change::settings::Settings;
use crate::change::{ChangeError, Service};
use crate::wire::envelope::Envelope;
use crate::wire::text::chain;

/// `listGeneralName`.
pub fn general_name(_: &Service, _: &Value) -> Envelope {
    Envelope::done(GENERAL_NAME.into())
}

/// `listPortNumbers`.
pub fn port_numbers(service: &Service, _: &Value) -> Envelope {
    read(|| Ok(ports(service.settings()?)))
}

/// `listPortNumbersArray`.
pub fn port_numbers_array(service: &Service, _: &Value) -> Envelope {
    read(|| {
        Ok(match service.settings()? {
            Some(settings) => json!([settings.listener.port]),
            None => json!([""]),
        })
    })
}

/// `listRequiredPermissions`.
pub fn required_permissions(_: &Service, _: &Value) -> Envelope {
    Envelope::done(json!([PERMISSION]))
}

/// `listServiceInfo`.
pub fn service_info(service: &Service, _: &Value) -> Envelope {
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

/// `listServiceName`.
pub fn service_name(_: &Service, _: &Value) -> Envelope {
    Envelope::done(SERVICE.into())
}

/// `listServicePage`.
pub fn service_page(_: &Service, _: &Value) -> Envelope {
    Envelope::done(PAGE.into())
}

/// `queryUpdate`.
pub fn query_update(service: &Service, _: &Value) -> Envelope {
    read(|| current(service))
}

/// `queryNodes`, as far as it is about this machine; the cluster makes an entry of it.
pub fn query_node(service: &Service, _: &Value) -> Envelope {
    read(|| {
        let Current { alternate_smtp_port, auth_mode } = current(service)?;
        let is_running = u8::from(service.running()?);
        Ok(json!({
            "is_running": is_running, "alternate_smtp_port": alternate_smtp_port, "auth_mode": auth_mode
        }))
    })
}

fn current(service: &Service) -> Result<Current, ChangeError> {
    Ok(match service.settings()? {
        Some(Settings { listener, .. }) => {
            Current { alternate_smtp_port: listener.port, auth_mode: listener.auth_mode.name() }
        }
        None => Current { alternate_smtp_port: 587, auth_mode: UNCONFIGURED },
    })
}

/// The panel's string of ports, empty when unconfigured.
fn ports(settings: Option<Settings>) -> String {
    settings.map(|settings| settings.listener.port.to_string()).unwrap_or_default()
}

/// The envelope of something that only looks.
pub fn read<T: Serialize>(look: impl FnOnce() -> Result<T, ChangeError>) -> Envelope {
    match look() {
        Ok(payload) => Envelope::done(json!(payload)),
        Err(error) => {
            let sentence =
                format!("{}; the state of the alternate SMTP server cannot be seen", chain(&error));
            Envelope::failed(error.status(), sentence, error.problem())
        }
    }
}
