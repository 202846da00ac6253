//! The primary server: where it greets its clients before a change, and that it does so afterwards.
//!
//! It is connected to and heard, nothing more. What does not greet before a change is not asked for afterwards; what did and
//! does not any more is [`ChangeError::Primary`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::pace::{LONGER, RETRY};
use super::places::reachable;
use crate::change::client::at_once;
use crate::change::error::ChangeError;
use crate::mta::Mta;
use crate::sys::{Deadline, Host, SmtpError};

/// How long the primary server may take to greet before a change.
const GREETING: Duration = Duration::from_secs(3);

/// Where the primary server greets its clients now.
pub(in crate::change) fn greeting_now(
    host: &dyn Host,
    mta: &dyn Mta,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Vec<SocketAddr> {
    let Some(port) = mta.primary_port() else { return Vec::new() };
    let places = addresses.iter().map(|address| SocketAddr::new(reachable(*address), port));
    let places: Vec<SocketAddr> = places.collect();
    // What does not greet is not waited for so long that the change itself could not be made any more.
    let soon = deadline.within(GREETING.min(deadline.left() / 4));
    let heard = at_once(&places, |at| host.greeting(*at, soon).is_ok());
    places.into_iter().zip(heard).filter_map(|(at, greets)| greets.then_some(at)).collect()
}

/// Waits until the primary server greets its clients in all these places, as it did before.
///
/// # Errors
/// [`ChangeError::Primary`].
pub(in crate::change) fn greets(
    host: &dyn Host,
    places: &[SocketAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let greeted = at_once(places, |at| {
        let mut retry = RETRY.0;
        while let Err(source) = host.greeting(*at, deadline) {
            if deadline.passed() {
                return Err(match source {
                    SmtpError::TimedOut { .. } => ChangeError::Deadline {
                        step: format!("waiting for the mail server to greet at {at} as it did before"),
                    },
                    source => ChangeError::Primary { at: *at, source },
                });
            }
            host.sleep(retry);
            retry = (retry * LONGER).min(RETRY.1);
        }
        Ok(())
    });
    greeted.into_iter().collect()
}
