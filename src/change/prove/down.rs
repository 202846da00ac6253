//! That nobody listens any more: the mail server holds no socket on the port, and connections are refused.
//!
//! A port that the administrator's own configuration opens may go on being open for that. Who else listens there is named,
//! and none of our business. What cannot be seen is an error, never "closed".

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::pace::{PAUSE, wait};
use super::places::reachable;
use crate::change::error::ChangeError;
use crate::change::{live, ports};
use crate::mta::{Claim, Mta, Serves};
use crate::sys::{Deadline, Host};

/// How long a mail server may take to start a process for whoever connects.
const WAKING: Duration = Duration::from_secs(2);

/// Waits until nobody of `mta` listens on `port` and connections are refused, or the port is open for an entry of the
/// administrator's alone.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub(in crate::change) fn down(
    host: &dyn Host,
    mta: &dyn Mta,
    claims: &[Claim],
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let closed = || is_down(host, mta, claims, port, addresses, deadline);
    let step = || match live::stranger(host, mta, port, live::ENDING) {
        Ok(Some(holder)) => format!("port {port} is still held by {}", holder.name),
        _ => format!("waiting for port {port} to close"),
    };
    wait(host, &step, deadline, closed)
}

/// Whether it is down, looked at once.
///
/// # Errors
/// The socket table or a holder cannot be seen.
pub(in crate::change) fn is_down(
    host: &dyn Host,
    mta: &dyn Mta,
    claims: &[Claim],
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<bool, ChangeError> {
    if live::listened(host, port)? {
        // Whoever else listens there is none of our business, but for what an MTA that has died left behind.
        if live::orphaned(host, mta, port)? {
            return Ok(false);
        }
        let is_claimed = mta.shares_its_process() && ports::is_claimed(claims, port);
        return Ok(live::owned(host, mta, port)?.is_empty()
            || is_claimed && is_an_entrys(host, mta, port, addresses, deadline)?);
    }
    let refused = |address: &IpAddr| {
        // Only an accepted connection speaks against it: an address that is gone refuses in its own way.
        !matches!(host.refuses(SocketAddr::new(reachable(*address), port), deadline), Ok(false))
    };
    Ok(addresses.iter().all(refused))
}

/// Whether the mail server's own process listens on `port` for an entry of the administrator's: whoever connects is served
/// by a process whose arguments say for which entry.
///
/// # Errors
/// The socket table or a holder cannot be seen.
fn is_an_entrys(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<bool, ChangeError> {
    let mut serves = live::serves(host, mta, port)?;
    if serves.is_none() {
        for address in addresses {
            let _ = host.refuses(SocketAddr::new(reachable(*address), port), deadline);
        }
        let woken = deadline.within(WAKING);
        while serves.is_none() && !woken.passed() {
            host.sleep(PAUSE);
            serves = live::serves(host, mta, port)?;
        }
    }
    Ok(serves == Some(Serves::Entry))
}
