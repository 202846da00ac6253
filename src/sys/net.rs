//! What `/proc/net` tells of sockets and addresses, for machines that have no netlink: a kernel without it (gVisor), a
//! unit with `RestrictAddressFamilies=`, a container whose kernel lacks `tcp_diag`.
//!
//! It reads the listening TCP sockets and the addresses of this network namespace, as proc_pid_net(5) shows them.
//! Whether netlink is to be had is `sockets`'s to find out; to which interface a socket is bound is not told here. A
//! table that cannot be read, or that changes too fast to be read, is an error, never an empty answer; a line that is
//! not understood is skipped.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// A TCP socket that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Where. The scope id is set for link-local addresses only.
    pub address: SocketAddr,
    /// The index of the one interface that it is bound to (`SO_BINDTODEVICE`, or a link-local address), 0 for none.
    pub interface: u32,
    /// The inode that names it in `/proc/PID/fd`.
    pub inode: u32,
    /// The user that made it.
    pub uid: u32,
    /// Whether an IPv6 socket leaves IPv4 alone (`IPV6_V6ONLY`); false for an IPv4 socket.
    pub only_v6: bool,
}

/// How often a table is read until it has been the same twice.
const ATTEMPTS: usize = 5;
/// The state `TCP_LISTEN`, as the tables write it.
const LISTEN: &str = "0A";
/// The state `TCP_ESTABLISHED`.
const ESTABLISHED: &str = "01";

/// All TCP sockets that listen on `port`, IPv4 first; `only_v6` is what can be concluded: whoever leaves room for a
/// listener on IPv4 leaves IPv4 alone.
///
/// # Errors
///
/// A table cannot be read (one of IPv6 need not be there); [`io::ErrorKind::ResourceBusy`] where it changes all the time.
pub(super) fn listening(port: u16) -> io::Result<Vec<Socket>> {
    let mut last = rows(port)?;
    for _ in 1..ATTEMPTS {
        // A row that goes while the table is read can hide one that stays.
        let now = rows(port)?;
        if now == last {
            let on_v4 = now.iter().any(|socket| socket.address.is_ipv4());
            let told = |socket: Socket| Socket { only_v6: socket.address.is_ipv6() && on_v4, ..socket };
            return Ok(now.into_iter().map(told).collect());
        }
        last = now;
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// How many connections to `port` are established.
///
/// # Errors
///
/// The table of IPv4 cannot be read (that of IPv6 need not be there).
pub(super) fn sessions(port: u16) -> io::Result<usize> {
    let own = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        fields.next().is_some_and(|local| local.ends_with(&own)) && fields.nth(1) == Some(ESTABLISHED)
    };
    let tables = [fs::read_to_string("/proc/net/tcp")?, optional("/proc/net/tcp6")?];
    Ok(tables.iter().map(|table| table.lines().skip(1).filter(is_one).count()).sum())
}

fn rows(port: u16) -> io::Result<Vec<Socket>> {
    let mut found = listeners(&fs::read_to_string("/proc/net/tcp")?);
    found.extend(listeners(&optional("/proc/net/tcp6")?));
    found.retain(|socket| socket.address.port() == port);
    Ok(found)
}

/// The addresses of all interfaces.
///
/// # Errors
///
/// The table of IPv4 cannot be read (that of IPv6 need not be there).
pub(super) fn addresses() -> io::Result<Vec<IpAddr>> {
    let mut found = local_v4(&fs::read_to_string("/proc/net/fib_trie")?);
    found.extend(local_v6(&optional("/proc/net/if_inet6")?));
    Ok(found)
}

/// The text of a file; empty where there is none.
fn optional(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    }
}

/// The rows of `/proc/net/tcp` or `/proc/net/tcp6` that listen.
fn listeners(table: &str) -> Vec<Socket> {
    let row = |line: &str| {
        // sl, local address, remote address, state, queues, timer, retransmits, user, timeout, inode.
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        let address = SocketAddr::new(address_in(address)?, u16::from_str_radix(port, 16).ok()?);
        let (uid, inode) = (fields.get(7)?.parse().ok()?, fields.get(9)?.parse().ok()?);
        let listens = *fields.get(3)? == LISTEN;
        listens.then_some(Socket { address, interface: 0, inode, uid, only_v6: false })
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// An address as the kernel's tables of sockets write it: words of 32 bits in the machine's own byte order.
fn address_in(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into())
        }
        _ => None,
    }
}

/// The machine's own addresses in `/proc/net/fib_trie`: the leaves with a host's route of the local kind.
fn local_v4(table: &str) -> Vec<IpAddr> {
    let mut leaf = None;
    let mut found = Vec::new();
    for line in table.lines().map(str::trim_start) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.trim_end().parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(leaf.map(IpAddr::V4));
        }
    }
    found
}

/// The addresses in `/proc/net/if_inet6`.
fn local_v6(table: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let digits = line.split_ascii_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into())
    };
    table.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::sockets::Diag;
    use super::*;

    #[test]
    fn the_table_tells_of_a_listener_what_netlink_tells() {
        for address in ["127.0.0.3:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            let told = |mut all: Vec<Socket>| {
                all.retain(|socket| socket.address == address);
                all.iter_mut().for_each(|socket| socket.only_v6 = false);
                all
            };
            let expected = told(Diag::default().listening(address.port()).unwrap());
            assert_eq!((told(listening(address.port()).unwrap()), expected.len()), (expected, 1));
        }
    }

    #[test]
    fn a_port_without_a_listener_is_empty() {
        let bound = TcpListener::bind("127.0.0.3:0").unwrap();
        let _client = std::net::TcpStream::connect(bound.local_addr().unwrap()).unwrap();
        let ours = _client.local_addr().unwrap();
        assert!(listening(ours.port()).unwrap().iter().all(|socket| socket.address.ip() != ours.ip()));
    }

    #[test]
    fn rows_that_do_not_listen_and_rows_that_are_none_are_passed_over() {
        let table = "  sl  local_address rem_address   st\n   \
             0: 0100007F:0019 00000000:0000 0A 00000000:00000000 00:00000000 00000000    33        0 4711 1 0 100\n   \
             1: 0100007F:0019 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000    33        0 4712 1 0 20\n   \
             2: 0100007F 0\n   3: \u{e9}100007:0019 0 0A 0 0 0 33 0 4713\n";
        let found = listeners(table);
        let [one] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((one.address.port(), one.uid, one.inode), (25, 33, 4711));
    }

    #[test]
    fn the_addresses_are_those_that_netlink_tells() {
        let mut told: Vec<IpAddr> = nix::ifaddrs::getifaddrs()
            .unwrap()
            .filter_map(|interface| {
                let address = interface.address?;
                let four = address.as_sockaddr_in().map(|four| four.ip().into());
                four.or_else(|| address.as_sockaddr_in6().map(|six| six.ip().into()))
            })
            .collect();
        let mut read = addresses().unwrap();
        for all in [&mut told, &mut read] {
            all.sort_unstable();
            all.dedup();
        }
        assert_eq!(read, told);
    }

    #[test]
    fn a_network_and_its_broadcast_are_no_addresses_of_ours() {
        let table = "Local:\n  +-- 192.0.2.0/24 2 0 2\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.2\n        \
                     /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(table), [IpAddr::from([192, 0, 2, 2])]);
    }
}
