//! Whose a port is: free, ours already, another program's, or one that another entry of the mail server's configuration
//! speaks of.
//!
//! Asked before a change and, for the programs, once more right before the mail server is told. Fails with who holds it
//! (with pid) or which entry claims it; what cannot be seen is an error, never "nobody".

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::block;
use super::edits::{File, files};
use super::error::{ChangeError, refuse};
use super::live;
use super::verb::Verb;
use crate::mta::{Alternate, Claim, Claimant, Goal, Mta, Staged};
use crate::sys::Host;
use crate::wire::problem::Holder;
use crate::wire::text::printable;

/// The ports that the MTA's configuration without our block speaks of.
pub(super) fn claims(
    host: &dyn Host,
    alternate: &dyn Alternate,
    is_ours: Option<block::IsOurs>,
) -> Result<Vec<Claim>, ChangeError> {
    let files = files(host, alternate, &[Goal::Stopped], None, is_ours)?;
    let without_ours: Vec<Staged> = files.iter().map(File::staged).collect();
    Ok(alternate.claims(&without_ours)?)
}

/// Whether an entry of the administrator's speaks of `port`, for which it may be open.
pub(super) fn is_claimed(claims: &[Claim], port: u16) -> bool {
    claims.iter().any(|claim| claim.port == port)
}

/// Whether nothing else in the MTA's configuration speaks of the port.
pub(super) fn is_unclaimed(claims: &[Claim], verb: Verb, port: u16) -> Result<(), ChangeError> {
    match claims.iter().find(|claim| claim.port == port) {
        None => Ok(()),
        Some(Claim { claimant: Claimant::Entry(by), .. }) => {
            Err(ChangeError::PortClaimed { port, by: by.clone() })
        }
        Some(Claim { claimant: Claimant::Primary, .. })
            if matches!(verb, Verb::Update { port: Some(_), .. }) =>
        {
            Err(refuse(
                "alternate_smtp_port",
                "primary_port",
                format!("{port} is the primary server's own port"),
            ))
        }
        Some(Claim { claimant: Claimant::Primary, .. }) => {
            Err(ChangeError::PortClaimed { port, by: "the primary server".to_owned() })
        }
    }
}

/// Whether the mail server does not hold the port already, for an entry that its configuration does not have any more, or
/// has by a name that we do not know.
pub(super) fn is_not_held_already(host: &dyn Host, mta: &dyn Mta, port: u16) -> Result<(), ChangeError> {
    let Some(held) = live::owned(host, mta, port)?.into_iter().next() else { return Ok(()) };
    let holder = format!(
        "{} itself (pid {}), for an entry that is not, or not by that number, in its configuration: reload it, or take \
         the entry out",
        mta.kind(),
        held.pid
    );
    let (pid, address) = (Some(held.pid), Some(held.socket.address.to_string()));
    let program = host.process(held.pid).map(|process| printable(&process.name));
    Err(ChangeError::PortHeld {
        port,
        holder,
        who: Holder { pid, program, address, ..Holder::default() }.into(),
    })
}

/// Whether the port is free, or the MTA's own already; who is just ending may have it for a while `within` this time.
pub(super) fn is_ours_or_free(
    host: &dyn Host,
    mta: &dyn Mta,
    port: u16,
    addresses: &[IpAddr],
    within: Duration,
) -> Result<(), ChangeError> {
    if let Some(live::Stranger { name: holder, holder: who }) = live::stranger(host, mta, port, within)? {
        return Err(ChangeError::PortHeld { port, holder, who });
    }
    if live::listened(host, port)? {
        return Ok(());
    }
    for address in addresses {
        use std::io::ErrorKind;
        match host.try_bind(*address, port).map_err(|source| (source.kind(), source)) {
            Ok(()) | Err((ErrorKind::AddrNotAvailable, _)) => {}
            Err((ErrorKind::PermissionDenied, _)) => return Err(ChangeError::PortDenied { port }),
            Err((ErrorKind::AddrInUse, _)) => {
                let holder = "another program that does not listen on it".to_owned();
                let address = Some(SocketAddr::new(*address, port).to_string());
                return Err(ChangeError::PortHeld {
                    port,
                    holder,
                    who: Holder { address, ..Holder::default() }.into(),
                });
            }
            Err((_, source)) => return Err(ChangeError::PortOdd { port, source }),
        }
    }
    Ok(())
}
