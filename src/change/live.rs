//! What is true right now: who listens on the port.
//!
//! "Running" is read from the kernel's socket table and tied to the mail server's own processes (schema/README.md,
//! "What the words mean"), and so is who else holds a port. There are three answers: ours; somebody else's or nobody's
//! for certain; and "it cannot be seen", which is an error. What was seen is remembered and checked again with two
//! quick look-ups; whatever does not match exactly is looked up anew. Whether a listener behaves is proven by `prove`.

use std::time::Duration;

use parking_lot::Mutex;

use super::error::ChangeError;
use super::site::Site;
use crate::mta::{Mta, MtaError, Serves};
use crate::sys::{Deadline, Held, Host, Process, Socket, SocketError};
use crate::wire::problem::Holder;
use crate::wire::text::printable;

/// The last listener that was seen, and where.
#[derive(Debug, Default)]
pub(super) struct Sighting(Mutex<Option<(u16, Held)>>);

impl Sighting {
    /// Whether the mail server itself listens on the configured port.
    ///
    /// # Errors
    /// It cannot be seen.
    pub(super) fn is_running(&self, site: &Site) -> Result<bool, ChangeError> {
        let Some(settings) = site.settings()? else { return Ok(false) };
        Ok(self.running(&*site.host, site.mta(settings.mta), settings.listener.port)?)
    }

    /// Whether `mta` itself listens on `port`.
    ///
    /// # Errors
    /// The socket table or a holder cannot be seen.
    fn running(&self, host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<bool, MtaError> {
        let mut last = self.0.lock();
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

/// How long a socket may be seen whose holder is not: the threads of a process end one after the other, and the last one
/// closes what the first could not be asked for any more.
pub(super) const ENDING: Duration = Duration::from_secs(1);
/// The same in the middle of a change: a process of ours with several threads ends late on a busy machine.
pub(super) const LEAVING: Duration = Duration::from_secs(10);
/// How often is looked whether it has.
const PAUSE: Duration = Duration::from_millis(3);

/// Whose a listening socket is.
#[derive(Debug)]
enum Whose {
    /// The mail server itself holds it.
    Ours(Held),
    /// It does not; these do.
    Others(Vec<Process>),
}

/// Every listening socket on `port`, and whose it is.
///
/// # Errors
/// The socket table cannot be read, or a socket's holder cannot be seen: that is no answer, neither yes nor no.
fn sockets(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Vec<(Socket, Whose)>, MtaError> {
    let is_ending =
        |seen: &Result<_, _>| matches!(seen, Err(MtaError::Socket(SocketError::Elsewhere { .. })));
    once_ended(host, ENDING, || look_once(host, mta, port), is_ending)
}

/// What `look` shows once nothing in it `is_ending` any more, or what it shows at last.
fn once_ended<T>(
    host: &dyn Host,
    within: Duration,
    look: impl Fn() -> T,
    is_ending: impl Fn(&T) -> bool,
) -> T {
    let deadline = Deadline::after(within);
    loop {
        let seen = look();
        if deadline.passed() || !is_ending(&seen) {
            return seen;
        }
        host.sleep(PAUSE);
    }
}

fn look_once(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Vec<(Socket, Whose)>, MtaError> {
    let found = host.listening(port)?;
    let owners = mta.owners(host)?;
    owners.iter().try_for_each(|owner| host.together(*owner, mta.view()))?;
    let whose = |socket: Socket| {
        if let Some(held) = host.holder_among(&socket, &owners)? {
            return Ok((socket, Whose::Ours(held)));
        }
        match host.holders(&socket) {
            Err(_) if mta.runs_as_we_do() => Ok((socket, Whose::Others(Vec::new()))),
            Ok(nobody) if nobody.is_empty() => Err(SocketError::Elsewhere { address: socket.address }.into()),
            holders => {
                let holders = holders?;
                holders.iter().try_for_each(|holder| host.recognised(holder.pid))?;
                Ok((socket, Whose::Others(holders)))
            }
        }
    };
    found.into_iter().map(whose).collect()
}

/// The listening sockets on `port` that `mta` itself holds.
///
/// # Errors
/// It cannot be seen.
pub(super) fn owned(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Vec<Held>, MtaError> {
    let ours = |(_, whose)| match whose {
        Whose::Ours(held) => Some(held),
        Whose::Others(_) => None,
    };
    Ok(sockets(host, mta, port)?.into_iter().filter_map(ours).collect())
}

/// Whether anybody listens on `port`.
///
/// # Errors
/// The socket table cannot be read.
pub(super) fn listened(host: &dyn Host, port: u16) -> Result<bool, MtaError> {
    Ok(!host.listening(port)?.is_empty())
}

/// Whether a program of `mta` listens on `port`, be it its daemon or one that has outlived it.
///
/// # Errors
/// It cannot be seen.
pub(super) fn orphaned(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<bool, MtaError> {
    let left = |(_, whose): &(Socket, Whose)| match whose {
        Whose::Ours(held) => host.process(held.pid).is_some_and(|holder| mta.is_own(host, &holder)),
        Whose::Others(holders) => holders.iter().any(|holder| mta.is_own(host, holder)),
    };
    Ok(sockets(host, mta, port)?.iter().any(left))
}

/// For whom the sockets on `port` are served that `mta` shares with its other entries: the alternate listener, if one
/// process serves it. `None` while none serves any.
///
/// # Errors
/// It cannot be seen.
pub(super) fn serves(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<Option<Serves>, MtaError> {
    let mut found = None;
    for socket in host.listening(port)? {
        let holders = host.holders(&socket)?;
        let serves = holders.iter().filter_map(|holder| mta.serves(host, holder));
        found = serves.chain(found).reduce(|one, other| if one == Serves::Alternate { one } else { other });
    }
    Ok(found)
}

/// Somebody else who holds a port.
#[derive(Debug)]
pub(super) struct Stranger {
    /// As a sentence names it: `nginx (pid 812)`.
    pub(super) name: String,
    /// The same for a program.
    pub(super) holder: Box<Holder>,
}

/// Who holds the first socket on `port` that is not `mta`'s own; `None` where there is none. A holder that is not to be seen is
/// looked for again `within` this time: it may be just ending.
///
/// # Errors
/// It cannot be seen.
pub(super) fn stranger(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    within: Duration,
) -> Result<Option<Stranger>, MtaError> {
    let others = |(socket, whose)| match whose {
        Whose::Ours(_) => None,
        Whose::Others(holders) => Some((socket, holders)),
    };
    let look = || Ok(sockets(host, mta, port)?.into_iter().find_map(others));
    // Of a listener of ours that is just ending, too, the holder is not to be seen for a moment.
    let is_ending =
        |found: &Result<_, MtaError>| matches!(found, Ok(Some((_, holders))) if Vec::is_empty(holders));
    let found: Option<(Socket, Vec<Process>)> = once_ended(host, within, look, is_ending)?;
    Ok(found.map(|(socket, holders)| {
        let address = Some(socket.address.to_string());
        let Some(first) = holders.first() else {
            let holder = Holder { address, ..Holder::default() };
            return Stranger { name: "another program".to_owned(), holder: holder.into() };
        };
        let program = printable(&first.name);
        let mut name = format!("{program} (pid {})", first.pid);
        if mta.is_own(host, first) {
            name += &format!(", which {} has left behind: end it, or it goes on listening", mta.kind());
        }
        let (pid, program) = (Some(first.pid), Some(program));
        Stranger { name, holder: Holder { pid, program, address, ..Holder::default() }.into() }
    }))
}
