//! What is true right now: who listens on the port.
//!
//! Answers for: "running", read from the kernel's socket table and tied to the MTA's own processes (contract,
//! section 7); and who else holds a port. Does not know: settings, plans. A sighting is remembered and re-checked
//! with two cheap look-ups; whatever does not match exactly is looked at afresh.

use std::sync::Mutex;

use crate::mta::{Mta, MtaError};
use crate::sys::{Held, Host, Process, Socket};
use crate::wire::text::foreign;

/// The last listener that was seen, and where.
#[derive(Debug, Default)]
pub struct Sighting(Mutex<Option<(u16, Held)>>);

impl Sighting {
    /// Whether `mta` itself listens on `port`.
    ///
    /// # Errors
    /// The socket table or a holder cannot be seen.
    pub fn running(&self, host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<bool, MtaError> {
        let mut last = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = |(seen, held): &(u16, Held)| {
            *seen == port && host.still_held(held) && mta.still_owns(host, held.pid)
        };
        if last.as_ref().is_some_and(known) {
            return Ok(true);
        }
        *last = owned(host, mta, port)?.into_iter().next().map(|held| (port, held));
        Ok(last.is_some())
    }
}

/// The listening sockets on `port` that `mta` itself holds.
///
/// # Errors
/// The socket table or a holder cannot be seen.
pub fn owned(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Vec<Held>, MtaError> {
    let sockets = host.listening(port)?;
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let owners = mta.owners(host)?;
    let mut held = Vec::new();
    for socket in &sockets {
        held.extend(host.holder_among(socket, &owners)?);
    }
    Ok(held)
}

/// Whether anybody listens on `port`.
///
/// # Errors
/// The socket table cannot be read.
pub fn listened(host: &dyn Host, port: u16) -> Result<bool, MtaError> {
    Ok(!host.listening(port)?.is_empty())
}

/// Whether a program of `mta` listens on `port`, be it its daemon or one that has outlived it.
///
/// # Errors
/// The socket table cannot be read.
pub fn orphaned(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<bool, MtaError> {
    let held = |socket: &Socket| host.holders(socket).iter().any(|holder| mta.is_own(host, holder));
    Ok(host.listening(port)?.iter().any(held))
}

/// The first socket on `port` that is not `mta`'s own, and who holds it as far as can be seen: nobody, where whoever
/// held it has just ended.
///
/// # Errors
/// The socket table cannot be read.
pub fn stranger(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
) -> Result<Option<(Socket, Vec<Process>)>, MtaError> {
    let sockets = host.listening(port)?;
    if sockets.is_empty() {
        return Ok(None);
    }
    let owners = mta.owners(host)?;
    for socket in sockets {
        // What cannot be looked into is not our MTA's: whoever may change an MTA may look into it.
        if !matches!(host.holder_among(&socket, &owners), Ok(Some(_))) {
            let holders = host.holders(&socket);
            return Ok(Some((socket, holders)));
        }
    }
    Ok(None)
}

/// Holders as a sentence names them: `nginx (pid 812)`.
pub fn name(host: &dyn Host, mta: &dyn Mta, holders: &[Process]) -> String {
    let [first, ..] = holders else { return "another program".to_owned() };
    let name = format!("{} (pid {})", foreign(&first.name), first.pid);
    if mta.is_own(host, first) {
        format!("{name}, which {} has left behind: end it, or it goes on listening", mta.kind())
    } else {
        name
    }
}
