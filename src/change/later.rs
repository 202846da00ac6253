//! What is as it was asked for, and will be in somebody's way later.
//!
//! Said in the log with `Success`, and so on the command line. Does not know: what is wrong now, which is an error. Nothing
//! here can fail.

use std::net::IpAddr;

use crate::mta::Listener;

/// The port on which mail programs begin with TLS (RFC 8314).
const SUBMISSIONS: u16 = 465;

/// The sentences about a listener that runs beside a primary server, on these addresses.
pub(super) fn told(listener: &Listener, addresses: &[IpAddr]) -> Vec<String> {
    let mut told = Vec::new();
    if addresses.iter().all(IpAddr::is_loopback) {
        told.push(
            "the listener is on loopback alone, as the primary server is: nobody reaches it from elsewhere"
                .to_owned(),
        );
    }
    if listener.port == SUBMISSIONS {
        told.push(format!(
            "mail programs begin with TLS on port {SUBMISSIONS}, and this listener with STARTTLS: they expect it on 587"
        ));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mta::AuthMode;

    fn told_of(port: u16, address: &str) -> usize {
        told(&Listener { port, auth_mode: AuthMode::TlsYes }, &[address.parse().unwrap()]).len()
    }

    #[test]
    fn a_listener_that_everybody_reaches_on_its_usual_port_is_told_nothing_of() {
        assert_eq!((told_of(587, "0.0.0.0"), told_of(587, "::1"), told_of(465, "127.0.0.1")), (0, 1, 2));
    }
}
