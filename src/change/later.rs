//! What is as it was asked for, and will be in somebody's way later.
//!
//! The one place where it is put together which warnings a change comes with; told with its `Success` and in a plan. Does
//! not know: what is wrong now, which is an error. Nothing here can fail.

use std::net::IpAddr;

use super::plan::Plan;
use crate::mta::{AuthMode, Goal, Listener, Warning, WarningKind};

/// The port on which mail programs begin with TLS (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// The port on which they begin with STARTTLS (RFC 6409).
const SUBMISSION: u16 = 587;

/// What there is to be known of the listener that a plan leads to; of one that runs beside no primary server nothing.
pub(super) fn warnings(plan: &Plan<'_>) -> Vec<Warning> {
    let Some(listener) = plan.phases.last().and_then(Goal::listener) else { return Vec::new() };
    if plan.mta.primary_port().is_none() {
        return Vec::new();
    }
    let mut warnings = told(listener, &plan.addresses);
    warnings.extend(plan.alternate.warnings(listener));
    warnings
}

/// What can be told from the listener alone, on these addresses.
fn told(listener: &Listener, addresses: &[IpAddr]) -> Vec<Warning> {
    let mut told = Vec::new();
    if addresses.iter().all(IpAddr::is_loopback) {
        let sentence =
            "the listener is on loopback alone, as the primary server is: nobody reaches it from elsewhere";
        told.push(Warning::new(WarningKind::LoopbackOnly, sentence));
    }
    if listener.port == SUBMISSIONS {
        let sentence = format!(
            "mail programs begin with TLS on port {SUBMISSIONS}, and this listener with STARTTLS: they expect it on \
             {SUBMISSION}"
        );
        told.push(Warning::new(WarningKind::ImplicitTlsPort, sentence));
    } else if listener.port != SUBMISSION && listener.auth_mode == AuthMode::TlsOptional {
        let sentence = format!(
            "mail programs do not know port {} and have to be set up by hand, and with TLS optional one that is set up \
             without it sends its password in clear: let its users choose STARTTLS, or take {}",
            listener.port,
            AuthMode::TlsYes.name()
        );
        told.push(Warning::new(WarningKind::UnusualPort, sentence));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(port: u16, auth_mode: AuthMode, address: &str) -> Vec<&'static str> {
        let told = told(&Listener { port, auth_mode }, &[address.parse().unwrap()]);
        told.iter().map(|warning| warning.kind.name()).collect()
    }

    #[test]
    fn a_listener_that_everybody_reaches_on_its_usual_port_is_told_nothing_of() {
        assert!(told_of(587, AuthMode::TlsYes, "0.0.0.0").is_empty());
        assert!(told_of(587, AuthMode::TlsOptional, "::").is_empty());
        assert!(told_of(2525, AuthMode::TlsYes, "0.0.0.0").is_empty());
    }

    #[test]
    fn a_port_that_is_not_587_and_loopback_are_told() {
        assert_eq!(told_of(465, AuthMode::TlsYes, "127.0.0.1"), ["loopback_only", "implicit_tls_port"]);
        assert_eq!(told_of(2525, AuthMode::TlsOptional, "::"), ["unusual_port"]);
    }
}
