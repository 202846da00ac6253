//! That a listener is up: the mail server itself holds a socket on each address, and clients' dialogues there show just what
//! its mode promises.
//!
//! What is put off (4xx) or not settled yet is looked at again; one that does not come, or answers otherwise, is told with
//! what was seen. Whether an answer fits is `client`'s.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;

use super::pace::{LONGER, PAUSE, RETRY, is_passing, wait};
use super::places::{Place, beyond, no_such_address, on_all, places};
use crate::change::client::{Client, Suspect, Verdict, in_turn};
use crate::change::error::{ChangeError, Finding};
use crate::change::live;
use crate::mta::{Alternate, Listener, Mta};
use crate::sys::{Deadline, Dialogue, Host, SmtpError};
use crate::wire::reason::Reason;

/// How long an answer that does not fit the mode is asked for again: an MTA's older processes may still give it, and a
/// primary server that is just being reloaded shows half of its addresses.
const TIME_TO_SERVE: Duration = Duration::from_secs(6);

/// How long an address has to itself before the next one is asked, too.
const TURN: Duration = Duration::from_millis(100);

/// The addresses that the listener is to be bound to, as they are when it is called.
pub(in crate::change) type Addresses<'a> = dyn Fn() -> Result<Vec<IpAddr>, ChangeError> + 'a;

/// Waits until `listener` runs on all `addresses` and behaves, as long as it is `alive` to come; the dialogues that showed it.
///
/// # Errors
/// [`ChangeError::Unfit`] with what does not fit, [`ChangeError::Unproven`] with why it does not come,
/// [`ChangeError::Deadline`].
pub(in crate::change) fn up(
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
        let seen = match look(host, mta, listener, &addresses()?, &suspect, deadline) {
            Err(error) if is_passing(&error) && !serves_by.passed() => Seen::Absent,
            seen => seen?,
        };
        match seen {
            Seen::Up(heard) => return Ok(heard),
            Seen::Absent if deadline.passed() => {
                return Err(ChangeError::Deadline { step: "waiting for the listener".to_owned() });
            }
            Seen::Unfit(what) if serves_by.passed() => return Err(ChangeError::Unfit(what)),
            Seen::Odd(what) if deadline.passed() && !has_time => return Err(ChangeError::PutOff(what)),
            Seen::Odd(what) if serves_by.passed() => {
                return Err(ChangeError::Unproven(Reason::ListenerUnfit, what));
            }
            Seen::Absent if serves_by.passed() && !live::owned(host, mta, listener.port)?.is_empty() => {
                let what = "it does not listen on all addresses of the primary server";
                return Err(ChangeError::Unproven(Reason::ListenerAbsent, what.into()));
            }
            Seen::Absent if lives.passed() => {
                let what = "no daemon is left that could listen";
                return Err(ChangeError::Unproven(Reason::ListenerAbsent, what.into()));
            }
            Seen::Absent => {
                alive()?;
                if !mta.owners(host)?.is_empty() {
                    lives = deadline.within(TIME_TO_SERVE);
                }
                host.sleep(PAUSE);
            }
            seen @ (Seen::Unfit(_) | Seen::Odd(_) | Seen::PutOff(_)) => {
                if let Seen::PutOff(what) = seen {
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
pub(in crate::change) fn alive(
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
pub(in crate::change) enum Seen {
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
pub(in crate::change) fn look_once(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<Seen, ChangeError> {
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
) -> Result<Seen, ChangeError> {
    let held = live::owned(host, mta, listener.port)?;
    if !on_all(&held, addresses) {
        return Ok(Seen::Absent);
    }
    if let Some(address) = beyond(&held, addresses) {
        let what = format!("it listens on {address} too, where the primary server does not");
        return Ok(Seen::Odd(what.into()));
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
            Some(Ok(Verdict::Wrong(what))) => return Ok(Seen::Unfit(what)),
            Some(Ok(Verdict::PutOff(what))) => return Ok(Seen::PutOff(what)),
            // A machine on which a family is switched off still lets a server bind all of it; no client is there.
            Some(Err(error)) if place.is_one_of_all && no_such_address(&error) => {}
            Some(Err(error @ SmtpError::TimedOut { .. })) => return Ok(Seen::PutOff(error.into())),
            Some(Err(error)) => return Ok(Seen::Odd(error.into())),
        }
    }
    if heard == 0 {
        return Ok(Seen::Odd("no address can be reached".into()));
    }
    Ok(Seen::Up(dialogues.into_inner()))
}

/// What was heard in one place.
pub(in crate::change) struct Answers {
    /// Where.
    pub(in crate::change) at: SocketAddr,
    /// What it amounts to.
    pub(in crate::change) verdict: Result<Verdict, SmtpError>,
    /// The dialogues that could be held.
    pub(in crate::change) dialogues: Vec<Dialogue>,
}

/// Hears a listener out in each place where it is reached, whatever it answers.
///
/// # Errors
/// This machine's addresses cannot be seen.
pub(in crate::change) fn hear_all(
    host: &dyn Host,
    mta: &dyn Mta,
    listener: &Listener,
    addresses: &[IpAddr],
    deadline: Deadline,
) -> Result<Vec<Answers>, ChangeError> {
    let places = places(host, addresses)?;
    let hear = |place: &Place| {
        let heard = Mutex::default();
        let client = Client { host, mta, mode: listener.auth_mode, heard: &heard };
        let at = SocketAddr::new(place.address, listener.port);
        let verdict = client.hear(at, &Suspect::default(), deadline);
        let dialogues = heard.into_inner();
        Answers { at, verdict, dialogues }
    };
    let is_there = |place: &Place, answers: &Answers| {
        !(place.is_one_of_all && answers.verdict.as_ref().is_err_and(no_such_address))
    };
    let heard = places.iter().zip(in_turn(&places, TURN, hear, |_| true));
    Ok(heard.filter_map(|(place, answers)| answers.filter(|answers| is_there(place, answers))).collect())
}

/// Waits until `mta` itself listens on all `addresses`, whatever a client may say to it.
///
/// # Errors
/// [`ChangeError::Deadline`]; the socket table or a holder cannot be seen.
pub(in crate::change) fn listening(
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
pub(in crate::change) fn held(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    deadline: Deadline,
) -> Result<(), ChangeError> {
    let step = || format!("waiting for the listener on port {port}");
    wait(host, &step, deadline, || Ok(!live::owned(host, mta, port)?.is_empty()))
}
