//! What the service is called on the panel's page, and the values that several payloads have.
//!
//! The words are the panel's. On a host of another kind they mean nothing and do no harm.

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
