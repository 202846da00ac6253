//! The proof from outside, before `Success` is said (contract, section 8, step 7).
//!
//! Answers for: a listener is up when the MTA itself holds a socket on each address and a client's dialogue there
//! shows just what the mode promises; it is down when connections are refused. Does not know: how it got there.
//! Certificates may be self-signed or misnamed; names are not judged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{ChangeError, live};
use crate::mta::{Alternate, AuthMode, Listener, Mta};
use crate::sys::smtp::{Reply, Upgrade};
use crate::sys::{AuthTry, Deadline, Dialogue, Held, Host, Session, SmtpError};
use crate::wire::text::{chain, foreign};

/// How often is looked again.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a listener that does not behave is left alone, at first and at the most: each look is a session in its log.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(80));
/// How long an answer that does not fit the mode is asked for again: an MTA's older processes may still give it.
const PATIENCE: Duration = Duration::from_secs(6);

/// Waits until `listener` runs on all `addresses` and behaves, as long as it is `alive` to come.
///
/// # Errors
/// [`ChangeError::Unproven`] with what does not fit, [`ChangeError::Deadline`].
pub fn up(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    alive: &dyn Fn() -> Result<(), ChangeError>,
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let patience = deadline.within(PATIENCE);
    let mut lives = patience;
    let mut retry = RETRY.0;
    loop {
        match glance(host, mta, listener, addresses, deadline)? {
            Glance::Up => return Ok(()),
            Glance::Absent if deadline.passed() => {
                return Err(ChangeError::Deadline { step: "waiting for the listener".to_owned() });
            }
            Glance::Odd(what) if patience.passed() => return Err(ChangeError::Unproven(what)),
            Glance::Absent if patience.passed() && !live::owned(host, mta, listener.port)?.is_empty() => {
                let what = "it does not listen on all addresses of the primary server";
                return Err(ChangeError::Unproven(what.to_owned()));
            }
            Glance::Absent if lives.passed() => {
                return Err(ChangeError::Unproven("no daemon is left that could listen".to_owned()));
            }
            Glance::Absent => {
                alive()?;
                if !mta.owners(host)?.is_empty() {
                    lives = deadline.within(PATIENCE);
                }
                host.sleep(PAUSE);
            }
            Glance::Odd(_) => {
                host.sleep(retry);
                retry = (retry * 2).min(RETRY.1);
            }
        }
    }
}

/// Whether a listener that is absent may still come.
///
/// # Errors
/// [`ChangeError::Unproven`] with the reason why it will not.
pub fn alive(alternate: &dyn Alternate, listener: &Listener, primary_ran: bool) -> Result<(), ChangeError> {
    if primary_ran && !alternate.primary_runs()? {
        return Err(ChangeError::Unproven("the mail server has died of it".to_owned()));
    }
    alternate.hopeless(listener)?.map_or(Ok(()), |why| Err(ChangeError::Unproven(why)))
}

/// What one look shows.
#[derive(Debug, PartialEq, Eq)]
pub enum Glance {
    /// It runs and behaves.
    Up,
    /// Not on every address.
    Absent,
    /// It answers, but not as it should.
    Odd(String),
}

/// Looks once.
///
/// # Errors
/// The socket table or a holder cannot be seen.
pub fn glance(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<Glance, ChangeError> {
    let held = live::owned(host, mta, listener.port)?;
    if !on_all(&held, addresses) {
        return Ok(Glance::Absent);
    }
    if let Some(address) = beyond(&held, addresses) {
        return Ok(Glance::Odd(format!("it listens on {address} too, where the primary server does not")));
    }
    let auth = match listener.auth_mode {
        AuthMode::TlsYes => AuthTry::InClear,
        AuthMode::TlsOptional => AuthTry::Never,
    };
    let mut heard = 0;
    for address in addresses {
        let at = SocketAddr::new(reachable(*address), listener.port);
        let wrong = match host.dialogue(at, auth, deadline) {
            Ok(dialogue) => judge(listener.auth_mode, &dialogue),
            // A machine on which a family is switched off still lets a server bind all of it; no client is there.
            Err(error) if address.is_unspecified() && no_such_address(&error) => continue,
            Err(error) => Some(chain(&error)),
        };
        if let Some(wrong) = wrong {
            return Ok(Glance::Odd(format!("{at}: {wrong}")));
        }
        heard += 1;
    }
    Ok(if heard > 0 { Glance::Up } else { Glance::Odd("no address can be reached".to_owned()) })
}

fn no_such_address(error: &SmtpError) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    let SmtpError::Connect { source, .. } = error else { return false };
    matches!(source.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
}

/// Waits until `mta` itself listens on all `addresses`, whatever a client may say to it.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub fn listening(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let listens = || Ok(on_all(&live::owned(host, mta, port)?, addresses));
    wait(host, &|| "waiting for the listener".to_owned(), deadline, listens)
}

/// Waits until `mta` itself listens on `port` somewhere.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub fn held(host: &dyn Host, mta: &dyn Mta, port: u16, deadline: Deadline) -> Result<(), ChangeError> {
    let step = || format!("waiting for the listener on port {port}");
    wait(host, &step, deadline, || Ok(!live::owned(host, mta, port)?.is_empty()))
}

/// Waits until nobody of `mta` listens on `port` and connections are refused.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub fn down(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let closed = || is_down(host, mta, port, addresses, deadline);
    let step = || match live::stranger(host, mta, port) {
        Ok(Some((_, holders))) => {
            format!("waiting for {} to close port {port}", live::name(host, mta, &holders))
        }
        _ => format!("waiting for port {port} to close"),
    };
    wait(host, &step, deadline, closed)
}

/// Looks until it is so.
fn wait(
    host: &dyn Host,
    step: &dyn Fn() -> String,
    deadline: Deadline,
    is_so: impl Fn() -> Result<bool, ChangeError>,
) -> Result<(), ChangeError> {
    while !is_so()? {
        if deadline.passed() {
            return Err(ChangeError::Deadline { step: step() });
        }
        host.sleep(PAUSE);
    }
    Ok(())
}

/// Whether it is down, looked at once.
///
/// # Errors
/// The socket table or a holder cannot be seen.
pub fn is_down(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<bool, ChangeError> {
    if live::listened(host, port)? {
        // Whoever else listens there is none of our business, but for what an MTA that has died left behind.
        return Ok(live::owned(host, mta, port)?.is_empty() && !live::orphaned(host, mta, port)?);
    }
    let refused = |address: &IpAddr| {
        // Only an accepted connection speaks against it: an address that is gone refuses in its own way.
        !matches!(host.refuses(SocketAddr::new(reachable(*address), port), deadline), Ok(false))
    };
    Ok(addresses.iter().all(refused))
}

/// Whether there is one of the sockets at each of `addresses`.
fn on_all(held: &[Held], addresses: &[IpAddr]) -> bool {
    addresses.iter().all(|address| held.iter().any(|held| held.socket.address.ip() == *address))
}

/// The address of a socket that is at none of `addresses`.
fn beyond(held: &[Held], addresses: &[IpAddr]) -> Option<IpAddr> {
    let covered = |ip: IpAddr| {
        addresses.iter().any(|a| *a == ip || (a.is_unspecified() && a.is_ipv4() == ip.is_ipv4()))
    };
    held.iter().map(|held| held.socket.address.ip()).find(|ip| !covered(*ip))
}

/// Where a client on this machine reaches a listener that is bound to `address`.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(four) if four.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(six) if six.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        other => other,
    }
}

/// What in `dialogue` does not fit `mode`, the first thing.
fn judge(mode: AuthMode, dialogue: &Dialogue) -> Option<String> {
    let clear = &dialogue.clear;
    let complaint = match mode {
        AuthMode::TlsYes if !clear.auth.is_empty() => Some("AUTH is offered before TLS".to_owned()),
        AuthMode::TlsYes if clear.auth_try.as_ref().is_none_or(|reply| !refused(reply)) => {
            Some("AUTH is not refused before TLS".to_owned())
        }
        AuthMode::TlsYes if !refused(&clear.mail) => Some("MAIL is not refused before TLS".to_owned()),
        AuthMode::TlsOptional if clear.auth.is_empty() => Some("AUTH is not offered".to_owned()),
        _ => None,
    };
    complaint.or_else(|| open_without_auth(clear, "in clear")).or_else(|| {
        let tls = match &dialogue.upgrade {
            Upgrade::NotOffered => return Some("STARTTLS is not offered".to_owned()),
            Upgrade::Refused(reply) => {
                return Some(format!("STARTTLS is refused: {}", foreign(reply.to_string())));
            }
            Upgrade::Failed(why) => return Some(format!("TLS cannot be had: {}", foreign(why))),
            Upgrade::Done(session) => session,
        };
        if tls.auth.is_empty() {
            return Some("AUTH is not offered after TLS".to_owned());
        }
        open_without_auth(tls, "after TLS")
    })
}

fn refused(reply: &Reply) -> bool {
    reply.code >= 400
}

fn open_without_auth(session: &Session, when: &str) -> Option<String> {
    let closed = refused(&session.mail) || session.rcpt.as_ref().is_some_and(refused);
    (!closed).then(|| format!("mail is accepted {when} without AUTH"))
}
