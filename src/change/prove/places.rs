//! Where clients on this machine reach a listener, and whether its sockets are on the addresses that it is to have.
//!
//! Which addresses these are is said by the mail server's sheet. What is bound to all addresses is also reached where it is
//! not loopback, since servers have other rules for other clients. Interfaces that cannot be seen are
//! [`ChangeError::Interfaces`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::change::error::ChangeError;
use crate::sys::{Held, Host, SmtpError};

/// Where a client reaches a listener.
pub(super) struct Place {
    pub(super) address: IpAddr,
    /// Whether the listener is bound to all addresses of the family, this among them.
    pub(super) is_one_of_all: bool,
}

/// Where clients reach listeners that are bound to `addresses`: what is bound to all of them also where it is not
/// loopback, since servers have other rules for other clients.
pub(super) fn places(host: &dyn Host, addresses: &[IpAddr]) -> Result<Vec<Place>, ChangeError> {
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

/// Whether there is no such address here that a connection could be made to.
pub(super) fn no_such_address(error: &SmtpError) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, HostUnreachable, NetworkUnreachable};
    let SmtpError::Connect { source, .. } = error else { return false };
    matches!(source.kind(), AddrNotAvailable | HostUnreachable | NetworkUnreachable)
}

/// Whether there is one of the sockets at each of `addresses`.
pub(super) fn on_all(held: &[Held], addresses: &[IpAddr]) -> bool {
    addresses.iter().all(|address| held.iter().any(|held| held.socket.address.ip() == *address))
}

/// The address of a socket that is at none of `addresses`.
pub(super) fn beyond(held: &[Held], addresses: &[IpAddr]) -> Option<IpAddr> {
    let covered = |ip: IpAddr| {
        addresses.iter().any(|a| *a == ip || (a.is_unspecified() && a.is_ipv4() == ip.is_ipv4()))
    };
    held.iter().map(|held| held.socket.address.ip()).find(|ip| !covered(*ip))
}

/// Where a client on this machine reaches a listener that is bound to `address`.
pub(super) fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(four) if four.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(six) if six.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    }
}
