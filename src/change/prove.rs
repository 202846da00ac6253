//! The proof from outside, before `Success` is said (schema/README.md, "How a change is made", step 7).
//!
//! A listener is up when the mail server itself holds a socket on each address and clients' dialogues there (`client`) show
//! just what the mode promises; it is down when connections are refused; the primary answers as it did before. What is put
//! off (4xx) or not settled yet is looked at again until the deadline. Certificates are not judged.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;

use super::client::{Client, Suspect, Verdict, at_once, in_turn};
use super::error::{ChangeError, Finding};
use super::{live, ports};
use crate::mta::{Alternate, Claim, Listener, Mta, Serves};
use crate::sys::{Deadline, Dialogue, Held, Host, SmtpError};
use crate::wire::reason::Reason;

/// How often is looked again.
const PAUSE: Duration = Duration::from_millis(3);
/// How long a listener that does not behave is left alone, at first and at the most, and how much longer each time: each
/// look is a session in its log.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));
const LONGER: u32 = 3;
/// How long an answer that does not fit the mode is asked for again: an MTA's older processes may still give it, and a
/// primary server that is just being reloaded shows half of its addresses.
const TIME_TO_SERVE: Duration = Duration::from_secs(6);
/// How long an address has to itself before the next one is asked, too.
const TURN: Duration = Duration::from_millis(100);
/// How long the primary server may take to greet before a change.
const GREETING: Duration = Duration::from_secs(3);

/// How long a mail server may take to start a process for whoever connects.
const WAKING: Duration = Duration::from_secs(2);

/// The addresses that the listener is to be bound to, as they are when it is called.
pub(super) type Addresses<'a> = dyn Fn() -> Result<Vec<IpAddr>, ChangeError> + 'a;

/// Waits until `listener` runs on all `addresses` and behaves, as long as it is `alive` to come; the dialogues that showed it.
///
/// # Errors
/// [`ChangeError::Unfit`] with what does not fit, [`ChangeError::Unproven`] with why it does not come,
/// [`ChangeError::Deadline`].
pub(super) fn up(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &Addresses<'_>,
    alive: &dyn Fn() -> Result<(), ChangeError>,
    deadline: Deadline,
) -> Result<Vec<Dialogue>, ChangeError> {
    let serves_by = deadline.within(TIME_TO_SERVE);
    let mut lives = serves_by;
    let mut retry = RETRY.0;
    let mut put_off = None;
    let suspect = Suspect::default();
    // What has had less time to behave was cut short.
    let has_time = deadline.left() >= TIME_TO_SERVE;
    loop {
        if let (true, Some(what)) = (deadline.passed(), put_off.take()) {
            return Err(ChangeError::PutOff(what));
        }
        match look(host, mta, listener, &addresses()?, &suspect, deadline)? {
            Glance::Up(heard) => return Ok(heard),
            Glance::Absent if deadline.passed() => {
                return Err(ChangeError::Deadline { step: "waiting for the listener".to_owned() });
            }
            Glance::Unfit(what) if serves_by.passed() => return Err(ChangeError::Unfit(what)),
            Glance::Odd(what) if deadline.passed() && !has_time => return Err(ChangeError::PutOff(what)),
            Glance::Odd(what) if serves_by.passed() => {
                return Err(ChangeError::Unproven(Reason::ListenerUnfit, what));
            }
            Glance::Absent if serves_by.passed() && !live::owned(host, mta, listener.port)?.is_empty() => {
                let what = "it does not listen on all addresses of the primary server";
                return Err(ChangeError::Unproven(Reason::ListenerAbsent, what.into()));
            }
            Glance::Absent if lives.passed() => {
                let what = "no daemon is left that could listen";
                return Err(ChangeError::Unproven(Reason::ListenerAbsent, what.into()));
            }
            Glance::Absent => {
                alive()?;
                if !mta.owners(host)?.is_empty() {
                    lives = deadline.within(TIME_TO_SERVE);
                }
                host.sleep(PAUSE);
            }
            glance @ (Glance::Unfit(_) | Glance::Odd(_) | Glance::PutOff(_)) => {
                if let Glance::PutOff(what) = glance {
                    put_off = Some(what);
                }
                host.sleep(retry.min(deadline.left()));
                retry = (retry * LONGER).min(RETRY.1);
            }
        }
    }
}

/// Whether a listener that is absent may still come.
///
/// # Errors
/// [`ChangeError::Unproven`] with the reason why it will not.
pub(super) fn alive(
    alternate: &dyn Alternate,
    listener: &Listener,
    primary_ran: bool,
) -> Result<(), ChangeError> {
    if primary_ran && !alternate.primary_runs()? {
        return Err(ChangeError::Unproven(Reason::PrimaryDisturbed, "the mail server has died of it".into()));
    }
    let cannot = alternate.cannot_start(listener)?;
    cannot.map_or(Ok(()), |why| Err(ChangeError::Unproven(Reason::ListenerAbsent, why.into())))
}

/// What one look shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Glance {
    /// It runs and behaves, as these dialogues show.
    Up(Vec<Dialogue>),
    /// Not on every address.
    Absent,
    /// It answers, but not as its mode promises.
    Unfit(Finding),
    /// It does not do otherwise what a listener does.
    Odd(Finding),
    /// It did not answer in time, or said that it would another time: to be asked again.
    PutOff(Finding),
}

/// Looks once.
///
/// # Errors
/// The socket table or a holder cannot be seen.
pub(super) fn glance(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<Glance, ChangeError> {
    look(host, mta, listener, addresses, &Suspect::default(), deadline)
}

/// Looks again, first at what did not fit the last time.
fn look(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    suspect: &Suspect,
    deadline: Deadline,
) -> Result<Glance, ChangeError> {
    let held = live::owned(host, mta, listener.port)?;
    if !on_all(&held, addresses) {
        return Ok(Glance::Absent);
    }
    if let Some(address) = beyond(&held, addresses) {
        let what = format!("it listens on {address} too, where the primary server does not");
        return Ok(Glance::Odd(what.into()));
    }
    let dialogues = Mutex::default();
    let client = Client { host, mta, mode: listener.auth_mode, heard: &dialogues };
    let (places, mut heard) = (places(host, addresses)?, 0);
    // One address that takes its time takes none of the others'.
    let hear = |place: &Place| client.hear(SocketAddr::new(place.address, listener.port), suspect, deadline);
    let fits = |result: &Result<Verdict, SmtpError>| match result {
        Ok(verdict) => matches!(verdict, Verdict::Fits),
        Err(error) => no_such_address(error),
    };
    for (place, result) in places.iter().zip(in_turn(&places, TURN, hear, fits)) {
        match result {
            None => {}
            Some(Ok(Verdict::Fits)) => heard += 1,
            Some(Ok(Verdict::Wrong(what))) => return Ok(Glance::Unfit(what)),
            Some(Ok(Verdict::PutOff(what))) => return Ok(Glance::PutOff(what)),
            // A machine on which a family is switched off still lets a server bind all of it; no client is there.
            Some(Err(error)) if place.is_one_of_all && no_such_address(&error) => {}
            Some(Err(error @ SmtpError::TimedOut { .. })) => return Ok(Glance::PutOff(error.into())),
            Some(Err(error)) => return Ok(Glance::Odd(error.into())),
        }
    }
    if heard == 0 {
        return Ok(Glance::Odd("no address can be reached".into()));
    }
    Ok(Glance::Up(dialogues.into_inner()))
}

/// What was heard in one place.
pub(super) struct Witness {
    /// Where.
    pub(super) at: SocketAddr,
    /// What it amounts to.
    pub(super) verdict: Result<Verdict, SmtpError>,
    /// The dialogues that could be held.
    pub(super) dialogues: Vec<Dialogue>,
}

/// Hears a listener out in each place where it is reached, whatever it answers.
///
/// # Errors
/// This machine's addresses cannot be seen.
pub(super) fn hear_all(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<Vec<Witness>, ChangeError> {
    let places = places(host, addresses)?;
    let hear = |place: &Place| {
        let heard = Mutex::default();
        let client = Client { host, mta, mode: listener.auth_mode, heard: &heard };
        let at = SocketAddr::new(place.address, listener.port);
        let verdict = client.hear(at, &Suspect::default(), deadline);
        let dialogues = heard.into_inner();
        Witness { at, verdict, dialogues }
    };
    let is_there = |place: &Place, witness: &Witness| {
        !(place.is_one_of_all && witness.verdict.as_ref().is_err_and(no_such_address))
    };
    let heard = places.iter().zip(in_turn(&places, TURN, hear, |_| true));
    Ok(heard.filter_map(|(place, witness)| witness.filter(|witness| is_there(place, witness))).collect())
}

/// Where a client reaches a listener.
struct Place {
    address: IpAddr,
    /// Whether the listener is bound to all addresses of the family, this among them.
    is_one_of_all: bool,
}

/// Where clients reach listeners that are bound to `addresses`: what is bound to all of them also where it is not
/// loopback, since servers have other rules for other clients.
fn places(host: &dyn Host, addresses: &[IpAddr]) -> Result<Vec<Place>, ChangeError> {
    let mut places: Vec<Place> = Vec::new();
    for address in addresses {
        let is_one_of_all = address.is_unspecified();
        places.push(Place { address: reachable(*address), is_one_of_all });
        if is_one_of_all {
            let own = host.own_addresses().map_err(ChangeError::Interfaces)?;
            let other = own.into_iter().find(|own| own.is_ipv4() == address.is_ipv4());
            places.extend(other.map(|address| Place { address, is_one_of_all }));
        }
    }
    Ok(places)
}

/// Where the primary server greets its clients now.
pub(super) fn greeting_now(
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
pub(super) fn greets(host: &dyn Host, places: &[SocketAddr], deadline: Deadline) -> Result<(), ChangeError> {
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

fn no_such_address(error: &SmtpError) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    let SmtpError::Connect { source, .. } = error else { return false };
    matches!(source.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
}

/// Waits until `mta` itself listens on all `addresses`, whatever a client may say to it.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub(super) fn listening(
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
pub(super) fn held(host: &dyn Host, mta: &dyn Mta, port: u16, deadline: Deadline) -> Result<(), ChangeError> {
    let step = || format!("waiting for the listener on port {port}");
    wait(host, &step, deadline, || Ok(!live::owned(host, mta, port)?.is_empty()))
}

/// Waits until nobody of `mta` listens on `port` and connections are refused, or the port is open for an entry of the
/// administrator's alone.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub(super) fn down(
    host: &dyn Host,
    mta: &dyn Mta,
    claims: &[Claim],
    port: u16,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let closed = || is_down(host, mta, claims, port, addresses, deadline);
    let step = || match live::stranger(host, mta, port) {
        Ok(Some(holder)) => format!("port {port} is still held by {}", holder.name),
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
pub(super) fn is_down(
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
