//! The kernel's table of listening TCP sockets, and which process holds one of them.
//!
//! Answers for: who listens on a port (`sock_diag(7)`, which asks the kernel and connects to nobody; without netlink what
//! `/proc/net` shows), whether a known
//! listener is still the same, who holds it, and whether a port can be bound. Does not know: whose port it ought to be,
//! what is spoken there, the sockets of other network namespaces. A failure to ask is an error, never an empty answer;
//! that we may not look into a process is [`SocketError::Denied`], never "somebody else".

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED, TCP_LISTEN};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagMessage;
use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, UnixAddr, bind,
    connect, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::net::{self, Socket};
use super::process::{IT_TAKES, Process, pids, process};

/// How often a question is asked anew, each time on a fresh netlink socket, before its failure is believed.
const ATTEMPTS: usize = 5;

/// How long until a queue of connections that was full is looked at again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long the kernel, which answers within the call, may take.
const NETLINK_TIMEOUT: TimeVal = TimeVal::new(1, 0);

/// Room for one netlink datagram. The kernel fills up to 32 KiB of what the reader offers.
const DATAGRAM: usize = 32 * 1024;

/// A socket and one who holds it open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The socket.
    pub socket: Socket,
    /// The process.
    pub pid: i32,
    /// Its descriptor for the socket.
    pub fd: i32,
}

/// Why the kernel's table could not be read, or a holder not be known.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// This machine has neither netlink nor the tables below `/proc/net`.
    #[error(
        "this machine does not tell who listens: it has no sock_diag(7), and /proc/net/tcp cannot be read"
    )]
    Untold {
        /// Why not the latter.
        source: io::Error,
    },
    /// The kernel could not be asked, or its answer not be received.
    #[error("cannot ask the kernel for the listeners on port {port}")]
    Ask {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The kernel answered with an error.
    #[error("the kernel does not tell the listeners on port {port}")]
    Refused {
        /// The port.
        port: u16,
        /// Its answer.
        source: io::Error,
    },
    /// The kernel's answer could not be understood.
    #[error("the kernel's answer for port {port} cannot be read: {reason}")]
    Malformed {
        /// The port.
        port: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// The table changed under each attempt to read it.
    #[error("the kernel's socket table changes too fast to be read (port {port})")]
    Changing {
        /// The port.
        port: u16,
    },
    /// A process that may hold the socket could not be looked into for another reason than privilege.
    #[error("cannot see whether process {pid} holds the listener on {address}")]
    Unseen {
        /// Where the socket listens.
        address: SocketAddr,
        /// The process.
        pid: i32,
        /// Why.
        source: io::Error,
    },
    /// We may not look into a process that may hold the socket.
    #[error("not allowed to see whether process {pid} holds the listener on {address}: {IT_TAKES}")]
    Denied {
        /// Where the socket listens.
        address: SocketAddr,
        /// The process.
        pid: i32,
    },
    /// None of the processes that we see holds the socket.
    #[error(
        "cannot see who holds the listener on {address}: no process of this plugin's pid namespace does; run the plugin \
         where the mail server runs"
    )]
    Elsewhere {
        /// Where the socket listens.
        address: SocketAddr,
    },
}

/// Our line to `sock_diag`: opened at the first question, kept open, opened anew after a failure.
#[derive(Debug, Default)]
pub struct Diag(Mutex<Option<Line>>);

impl Diag {
    /// All TCP sockets of this network namespace that listen on `port`, IPv4 first. About 20 µs, whatever the number
    /// of connections on the machine.
    ///
    /// # Errors
    ///
    /// All but [`SocketError::Denied`].
    pub fn listening(&self, port: u16) -> Result<Vec<Socket>, SocketError> {
        let told = self.ask(|line| {
            let mut sockets = line.dump(AF_INET, port)?;
            sockets.extend(line.dump(AF_INET6, port)?);
            Ok(sockets)
        });
        told.unwrap_or_else(|| shown(port))
    }

    /// How many connections to `port` are established; `None` where the kernel does not tell. It looks through its table
    /// of all connections, which takes longer the more room that has.
    pub fn sessions(&self, port: u16) -> Option<usize> {
        let told = self.ask(|line| Ok(line.established(AF_INET, port)? + line.established(AF_INET6, port)?));
        told.map_or_else(|| net::sessions(port).ok(), Result::ok)
    }

    /// The socket that listens exactly at the address and interface of `socket`, as it is now. Of several that share
    /// the address (`SO_REUSEPORT`) the kernel picks one. About 3 µs.
    ///
    /// # Errors
    ///
    /// All but [`SocketError::Denied`].
    pub fn exact(&self, socket: &Socket) -> Result<Option<Socket>, SocketError> {
        let told = self.ask(|line| line.exact(socket));
        let is_it = |other: &Socket| other.address == socket.address && other.interface == socket.interface;
        told.unwrap_or_else(|| Ok(shown(socket.address.port())?.into_iter().find(is_it)))
    }

    /// Whether `held.socket` still listens under its inode and still is `held.pid`'s descriptor `held.fd`. `false` only
    /// means: look properly.
    pub fn still_held(&self, held: &Held) -> bool {
        let same = |now: &Socket| now.inode == held.socket.inode && now.address == held.socket.address;
        matches!(self.exact(&held.socket), Ok(Some(now)) if same(&now))
            && fs::read_link(format!("/proc/{}/fd/{}", held.pid, held.fd))
                .is_ok_and(|target| target == Path::new(&link(held.socket.inode)))
    }

    /// The kernel's answer; `None` where there is no netlink, or nobody behind it who knows of TCP.
    fn ask<T>(
        &self,
        question: impl Fn(&mut Line) -> Result<T, SocketError>,
    ) -> Option<Result<T, SocketError>> {
        let mut slot = self.0.lock();
        let mut attempt = 1;
        loop {
            // Only an answer brings the line back: after a failure an unread rest may still be in it.
            let mut line = match slot.take() {
                Some(line) => line,
                None => Line::open().ok()?,
            };
            match question(&mut line) {
                Ok(answer) => {
                    *slot = Some(line);
                    return Some(Ok(answer));
                }
                // The kernel's module for it is not there.
                Err(SocketError::Refused { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return None;
                }
                Err(error) if attempt == ATTEMPTS => return Some(Err(error)),
                Err(_) => attempt += 1,
            }
        }
    }
}

/// The listeners on the port, as `/proc/net` shows them.
fn shown(port: u16) -> Result<Vec<Socket>, SocketError> {
    net::listening(port).map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy => SocketError::Changing { port },
        _ => SocketError::Untold { source },
    })
}

/// The first of `pids` that holds `socket` open, and as which descriptor (the lowest). Processes that are gone hold
/// nothing.
///
/// # Errors
///
/// If none that we could look into holds it: [`SocketError::Denied`] where there is one that we may not look into,
/// [`SocketError::Unseen`] where looking failed otherwise.
pub fn holder_among(socket: &Socket, pids: &[i32]) -> Result<Option<Held>, SocketError> {
    let address = socket.address;
    let mut unknown = None;
    for pid in pids.iter().copied() {
        match descriptor(pid, socket.inode) {
            Ok(Some(fd)) => return Ok(Some(Held { socket: socket.clone(), pid, fd })),
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                unknown = unknown.or(Some(SocketError::Denied { address, pid }));
            }
            Err(source) => unknown = unknown.or(Some(SocketError::Unseen { address, pid, source })),
        }
    }
    unknown.map_or(Ok(None), Err)
}

/// Every process that holds `socket` open, as far as we may look into them: a walk over the descriptors of all processes.
/// Nobody, where whoever held it has just ended, or is not in our pid namespace.
///
/// # Errors
///
/// [`SocketError::Denied`] if nobody is seen to hold it, but there is one that we may not look into.
pub fn holders(socket: &Socket) -> Result<Vec<Process>, SocketError> {
    let (mut found, mut hidden) = (Vec::new(), None);
    for pid in pids() {
        match descriptor(pid, socket.inode) {
            Ok(Some(_)) => found.extend(process(pid)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => hidden = hidden.or(Some(pid)),
            Ok(None) | Err(_) => {}
        }
    }
    match hidden {
        Some(pid) if found.is_empty() => Err(SocketError::Denied { address: socket.address, pid }),
        _ => Ok(found),
    }
}

/// Tries to bind (not listen) `port` on `address`: with `SO_REUSEADDR`, so that connections that are over do not count,
/// without `SO_REUSEPORT`, so that a listener does, and for IPv6 without IPv4 (`IPV6_V6ONLY`).
///
/// # Errors
///
/// What `socket(2)` and `bind(2)` say, with the raw OS error: `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL`.
/// A link-local address, which needs an interface that [`IpAddr`] cannot name, is `EINVAL`.
pub fn try_bind(address: IpAddr, port: u16) -> io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = match socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None) {
        // A kernel without the family has no such address either.
        Err(Errno::EAFNOSUPPORT) => return Err(Errno::EADDRNOTAVAIL.into()),
        fd => fd?,
    };
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, port)))?;
    Ok(())
}

/// Whether somebody accepts connections at the Unix socket `path`.
///
/// # Errors
///
/// What `connect(2)` says; [`io::ErrorKind::TimedOut`], if the queue of connections is full until `deadline`: whoever is to
/// accept them does not.
pub fn reaches(path: &Path, deadline: Deadline) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    let address = UnixAddr::new(path)?;
    loop {
        match connect(fd.as_raw_fd(), &address) {
            Err(Errno::EAGAIN) if !deadline.passed() => std::thread::sleep(BETWEEN_LOOKS),
            Err(Errno::EAGAIN) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "it accepts no connections, its queue is full",
                ));
            }
            done => return Ok(done?),
        }
    }
}

/// The addresses of this machine's interfaces, but for loopback and link-local ones, each once.
///
/// # Errors
///
/// What `getifaddrs(3)` says.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    let told = |interface: InterfaceAddress| {
        let address = interface.address?;
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
    };
    let all = match getifaddrs() {
        Ok(interfaces) => interfaces.filter_map(told).collect(),
        // It asks netlink. What it says is why there is no answer, if there is none.
        Err(errno) => net::addresses().map_err(|_| errno)?,
    };
    let mut found = Vec::new();
    for address in all {
        let is_local = match address {
            IpAddr::V4(four) => four.is_loopback() || four.is_link_local(),
            IpAddr::V6(six) => six.is_loopback() || six.is_unicast_link_local(),
        };
        if !is_local && !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

/// The lowest descriptor of a process that is this socket; none if the process is gone.
fn descriptor(pid: i32, inode: u32) -> io::Result<Option<i32>> {
    let wanted = link(inode);
    let mut fds = Vec::new();
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(entries) => entries,
        Err(error) => return gone(pid, error).map(|()| None),
    };
    for entry in entries {
        let target = entry.and_then(|entry| Ok((fs::read_link(entry.path())?, entry)));
        match target {
            Ok((target, entry)) if target == Path::new(&wanted) => {
                fds.extend(entry.file_name().to_str().and_then(|fd| fd.parse::<i32>().ok()));
            }
            Ok(_) => {}
            // Closed between the listing and the look, or the whole process has ended.
            Err(error) => gone(pid, error)?,
        }
    }
    Ok(fds.into_iter().min())
}

/// Whether what is not to be seen in `/proc` really is not there.
fn gone(pid: i32, error: io::Error) -> io::Result<()> {
    // `/proc` mounted with hidepid shows other users' processes as missing; the kernel still knows them.
    let hidden = || {
        let pid = rustix::process::Pid::from_raw(pid);
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::PERM))
    };
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if hidden() => Err(io::ErrorKind::PermissionDenied.into()),
        Some(Errno::ENOENT | Errno::ESRCH) => Ok(()),
        _ => Err(error),
    }
}

/// What `/proc/PID/fd/FD` points at if it is this socket.
fn link(inode: u32) -> String {
    format!("socket:[{inode}]")
}

/// An open netlink socket, connected to the kernel, so that nobody else can write to it.
#[derive(Debug)]
struct Line {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Line {
    fn open() -> nix::Result<Self> {
        let family = AddressFamily::Netlink;
        let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &NETLINK_TIMEOUT)?;
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    fn dump(&mut self, family: u8, port: u16) -> Result<Vec<Socket>, SocketError> {
        let mut found = Vec::new();
        self.each(family, port, StateFlags::LISTEN, |response| found.extend(listener(response)))?;
        found.retain(|socket| socket.address.port() == port);
        Ok(found)
    }

    fn established(&mut self, family: u8, port: u16) -> Result<usize, SocketError> {
        let mut count = 0;
        self.each(family, port, StateFlags::ESTABLISHED, |response| {
            let header = &response.header;
            count += usize::from(header.state == TCP_ESTABLISHED && header.socket_id.source_port == port);
        })?;
        Ok(count)
    }

    /// Hands out each socket of a family that is in one of these states on our `port`.
    fn each(
        &mut self,
        family: u8,
        port: u16,
        states: StateFlags,
        mut take: impl FnMut(&InetResponse),
    ) -> Result<(), SocketError> {
        let mut id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
        // The kernel skips the other ports by itself.
        id.source_port = port;
        self.send(NLM_F_DUMP, family, states, id)
            .map_err(|errno| SocketError::Ask { port, source: errno.into() })?;
        loop {
            let mut done = false;
            self.receive(port, |header, payload| {
                if header.flags & NLM_F_DUMP_INTR != 0 {
                    return Err(SocketError::Changing { port });
                }
                match payload {
                    Answer::Socket(response) => take(&response),
                    Answer::End(0) => done = true,
                    Answer::End(code) => return Err(SocketError::Refused { port, source: os_error(code) }),
                }
                Ok(())
            })?;
            if done {
                return Ok(());
            }
        }
    }

    fn exact(&mut self, socket: &Socket) -> Result<Option<Socket>, SocketError> {
        let port = socket.address.port();
        let (family, mut id) = match socket.address {
            SocketAddr::V4(_) => (AF_INET, SocketId::new_v4()),
            SocketAddr::V6(_) => (AF_INET6, SocketId::new_v6()),
        };
        id.source_address = socket.address.ip();
        id.source_port = port;
        id.interface_id = socket.interface;
        // -1: whichever socket it is.
        id.cookie = [0xff; 8];
        self.send(0, family, StateFlags::LISTEN, id)
            .map_err(|errno| SocketError::Ask { port, source: errno.into() })?;
        let mut found = None;
        while found.is_none() {
            self.receive(port, |_, payload| {
                found = match payload {
                    Answer::Socket(response) => Some(listener(&response)),
                    Answer::End(code) if code.abs() == Errno::ENOENT as i32 => Some(None),
                    Answer::End(code) => return Err(SocketError::Refused { port, source: os_error(code) }),
                };
                Ok(())
            })?;
        }
        Ok(found.flatten())
    }

    fn send(&mut self, flags: u16, family: u8, states: StateFlags, socket_id: SocketId) -> nix::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let request = InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id,
        };
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        loop {
            match send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty()) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Receives one datagram and hands out each message in it that answers our last question.
    fn receive(
        &mut self,
        port: u16,
        mut each: impl FnMut(NetlinkHeader, Answer) -> Result<(), SocketError>,
    ) -> Result<(), SocketError> {
        let length = loop {
            // With MSG_TRUNC the length is the datagram's own, however much of it has found room.
            match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                length => break length.map_err(|errno| SocketError::Ask { port, source: errno.into() })?,
            }
        };
        let malformed = |reason: String| SocketError::Malformed { port, reason };
        let mut rest = match self.buffer.get(..length) {
            Some(datagram) if length > 0 => datagram,
            _ => return Err(malformed(format!("a datagram of {length} bytes"))),
        };
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| malformed(error.to_string()))?;
            let (header, payload) = message.into_parts();
            let size = usize::try_from(header.length).unwrap_or(usize::MAX).next_multiple_of(4);
            rest = rest.get(size.max(4)..).unwrap_or_default();
            if header.sequence_number != self.sequence {
                continue;
            }
            let answer = match payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) => {
                    Answer::Socket(response)
                }
                NetlinkPayload::Done(done) => Answer::End(done.code),
                NetlinkPayload::Error(error) => Answer::End(error.raw_code()),
                NetlinkPayload::Overrun(_) => return Err(malformed("data lost".to_owned())),
                _ => continue,
            };
            each(header, answer)?;
        }
        Ok(())
    }
}

/// One message of the kernel's: a socket, or the end with an error number (0 for none).
enum Answer {
    Socket(Box<InetResponse>),
    End(i32),
}

fn os_error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_abs())
}

/// The socket that a message tells of, if it listens.
fn listener(response: &InetResponse) -> Option<Socket> {
    let header = &response.header;
    let id = &header.socket_id;
    let address = match id.source_address {
        IpAddr::V4(ip) => SocketAddr::V4(SocketAddrV4::new(ip, id.source_port)),
        IpAddr::V6(ip) => {
            let scope = if ip.is_unicast_link_local() { id.interface_id } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(ip, id.source_port, 0, scope))
        }
    };
    let only_v6 = response.nlas.iter().any(|nla| matches!(nla, Nla::SkV6Only(true)));
    let socket =
        Socket { address, interface: id.interface_id, inode: header.inode, uid: header.uid, only_v6 };
    (header.state == TCP_LISTEN).then_some(socket)
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "a test runs itself as another user")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use nix::sys::socket::{Backlog, getsockname, listen};

    use super::*;

    fn us() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    /// The listeners at this address; another test may have the port at another address.
    fn at(address: SocketAddr) -> Vec<Socket> {
        let mut found = Diag::default().listening(address.port()).unwrap();
        found.retain(|socket| socket.address == address);
        found
    }

    #[test]
    fn connections_to_a_port_are_counted_with_netlink_and_without() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (server, socket) = one(address);
            let (at, port) = (server.local_addr().unwrap(), socket.address.port());
            let before = Diag::default().sessions(port).unwrap();
            let _ours = [TcpStream::connect(at).unwrap(), TcpStream::connect(at).unwrap()];
            let _theirs = [server.accept().unwrap(), server.accept().unwrap()];
            assert_eq!(Diag::default().sessions(port), Some(before + 2));
            assert_eq!(net::sessions(port).unwrap(), before + 2);
        }
    }

    /// A listener, and what the kernel says of it.
    fn one(address: &str) -> (TcpListener, Socket) {
        let listener = TcpListener::bind(address).unwrap();
        let mut found = at(listener.local_addr().unwrap());
        assert_eq!(found.len(), 1, "{found:?}");
        (listener, found.remove(0))
    }

    /// Closes a listener, and waits until nobody has it any more: what another test just forks has it for a moment longer.
    fn close(listener: TcpListener) {
        let address = listener.local_addr().unwrap();
        drop(listener);
        let patience = Instant::now() + Duration::from_secs(30);
        while !at(address).is_empty() {
            assert!(Instant::now() < patience, "{address} is still listened at");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn bound(address: SocketAddr, option: impl FnOnce(&OwnedFd)) -> (OwnedFd, SocketAddr) {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        option(&fd);
        bind(fd.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
        let name: SockaddrStorage = getsockname(fd.as_raw_fd()).unwrap();
        let port =
            name.as_sockaddr_in().map_or_else(|| name.as_sockaddr_in6().unwrap().port(), |name| name.port());
        (fd, SocketAddr::new(address.ip(), port))
    }

    fn held(socket: &Socket) -> Held {
        holder_among(socket, &[us()]).unwrap().unwrap()
    }

    #[test]
    fn a_listener_is_found_by_its_port() {
        let (listener, socket) = one("127.0.0.1:0");
        assert_eq!(socket.address, listener.local_addr().unwrap());
        assert_eq!(socket.uid, rustix::process::geteuid().as_raw());
        assert!(
            fs::read_link(format!("/proc/self/fd/{}", listener.as_raw_fd())).unwrap()
                == Path::new(&link(socket.inode))
        );
    }

    #[test]
    fn a_port_without_a_listener_is_empty() {
        let (listener, socket) = one("127.0.0.1:0");
        close(listener);
        assert_eq!(at(socket.address), []);
    }

    #[test]
    fn a_bound_socket_that_does_not_listen_is_not_found() {
        let (_fd, address) = bound("127.0.0.1:0".parse().unwrap(), |_| {});
        assert_eq!(at(address), []);
    }

    #[test]
    fn connections_to_a_port_are_no_listeners() {
        let (listener, socket) = one("127.0.0.1:0");
        let _client = TcpStream::connect(socket.address).unwrap();
        let _served = listener.accept().unwrap();
        assert_eq!(at(socket.address), [socket]);
    }

    #[test]
    fn v4_comes_before_v6() {
        let (_v6, socket) = one("[::1]:0");
        let port = socket.address.port();
        let _v4 = TcpListener::bind(("127.0.0.2", port)).unwrap();
        let found = Diag::default().listening(port).unwrap();
        let families: Vec<bool> = found.iter().map(|socket| socket.address.is_ipv6()).collect();
        assert!(
            families.contains(&false) && families.contains(&true) && families.is_sorted(),
            "{families:?}"
        );
    }

    #[test]
    fn whether_a_v6_socket_takes_ipv4_is_told() {
        let any: SocketAddr = "[::]:0".parse().unwrap();
        for only in [true, false] {
            let (fd, address) = bound(any, |fd| setsockopt(fd, sockopt::Ipv6V6Only, &only).unwrap());
            listen(&fd, Backlog::new(1).unwrap()).unwrap();
            assert_eq!(at(address)[0].only_v6, only);
        }
    }

    #[test]
    fn more_listeners_than_fit_one_datagram_are_all_found() {
        let share = |fd: &OwnedFd| setsockopt(fd, sockopt::ReusePort, &true).unwrap();
        let (first, address) = bound("127.0.0.1:0".parse().unwrap(), share);
        let mut all = vec![first];
        all.extend((1..700).map(|_| bound(address, share).0));
        for fd in &all {
            listen(fd, Backlog::new(1).unwrap()).unwrap();
        }
        let mut inodes: Vec<u32> =
            Diag::default().listening(address.port()).unwrap().iter().map(|socket| socket.inode).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), 700);
    }

    #[test]
    fn the_exact_look_up_finds_the_same_socket() {
        let diag = Diag::default();
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let (_listener, socket) = one(address);
            assert_eq!(diag.exact(&socket).unwrap(), Some(socket));
        }
    }

    #[test]
    fn the_exact_look_up_is_about_one_address() {
        let (_listener, mut socket) = one("127.0.0.2:0");
        socket.address.set_ip(Ipv4Addr::LOCALHOST.into());
        assert_eq!(Diag::default().exact(&socket).unwrap(), None);
    }

    #[test]
    fn a_line_that_broke_is_opened_anew() {
        let (_listener, socket) = one("127.0.0.1:0");
        let diag = Diag::default();
        let broken = fs::File::open("/dev/null").unwrap().into();
        *diag.0.lock() = Some(Line { fd: broken, sequence: 0, buffer: Vec::new() });
        assert_eq!(diag.exact(&socket).unwrap(), Some(socket));
    }

    #[test]
    fn answers_to_an_earlier_question_are_passed_over() {
        let (_listener, socket) = one("127.0.0.1:0");
        let (_other, another) = one("127.0.0.1:0");
        let mut line = Line::open().unwrap();
        let mut id = SocketId::new_v4();
        id.source_port = another.address.port();
        line.send(NLM_F_DUMP, AF_INET, StateFlags::LISTEN, id).unwrap();
        assert_eq!(line.exact(&socket).unwrap(), Some(socket));
    }

    #[test]
    fn a_listener_that_we_hold_is_still_held() {
        let (_listener, socket) = one("127.0.0.1:0");
        assert!(Diag::default().still_held(&held(&socket)));
    }

    #[test]
    fn a_listener_that_is_closed_is_no_longer_held() {
        let (listener, socket) = one("127.0.0.1:0");
        let held = held(&socket);
        drop(listener);
        assert!(!Diag::default().still_held(&held));
    }

    #[test]
    fn a_listener_that_was_replaced_is_no_longer_held() {
        let (listener, socket) = one("127.0.0.1:0");
        let held = held(&socket);
        close(listener);
        let _another = TcpListener::bind(socket.address).unwrap();
        assert!(!Diag::default().still_held(&held));
    }

    #[test]
    fn a_listener_that_only_another_holds_is_no_longer_held() {
        let (_listener, socket) = one("127.0.0.1:0");
        let held = Held { pid: 1, ..held(&socket) };
        assert!(!Diag::default().still_held(&held));
    }

    #[test]
    fn the_holder_is_named_with_its_descriptor() {
        let (listener, socket) = one("127.0.0.1:0");
        let wanted = Held { socket: socket.clone(), pid: us(), fd: listener.as_raw_fd() };
        assert_eq!(holder_among(&socket, &[i32::MAX, us()]).unwrap(), Some(wanted));
    }

    #[test]
    fn one_who_is_gone_holds_nothing() {
        let (_listener, socket) = one("127.0.0.1:0");
        assert_eq!(holder_among(&socket, &[i32::MAX]).unwrap(), None);
    }

    #[test]
    fn one_who_may_not_be_looked_into_is_denied() {
        if rustix::process::geteuid().is_root() {
            // Root may look into everyone: ask again as somebody else.
            let name = "one_who_may_not_be_looked_into_is_denied";
            let output = Command::new("/proc/self/exe").arg(name).uid(65534).gid(65534).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        } else {
            let (_listener, socket) = one("127.0.0.1:0");
            assert!(matches!(holder_among(&socket, &[1]), Err(SocketError::Denied { pid: 1, .. })));
        }
    }

    #[test]
    fn one_who_may_not_be_looked_into_does_not_hide_the_holder() {
        let (_listener, socket) = one("127.0.0.1:0");
        assert_eq!(holder_among(&socket, &[1, us()]).unwrap().unwrap().pid, us());
    }

    #[test]
    fn we_are_among_the_holders_of_our_listener() {
        let (_listener, socket) = one("127.0.0.1:0");
        assert!(holders(&socket).unwrap().iter().any(|process| process.pid == us()));
    }

    #[test]
    fn a_unix_socket_whose_queue_is_full_is_waited_for_and_not_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let soon = || Deadline::after(Duration::from_millis(50));
        assert_eq!(reaches(&path, soon()).unwrap_err().kind(), io::ErrorKind::NotFound);
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(fd.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
        assert_eq!(reaches(&path, soon()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        listen(&fd, Backlog::new(1).unwrap()).unwrap();
        reaches(&path, soon()).unwrap();
        let full = (0..9).find_map(|_| reaches(&path, soon()).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_free_port_can_be_bound() {
        let (listener, socket) = one("127.0.0.1:0");
        close(listener);
        try_bind(socket.address.ip(), socket.address.port()).unwrap();
    }

    #[test]
    fn a_port_with_a_listener_cannot_be_bound() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (_listener, socket) = one(address);
            let error = try_bind(socket.address.ip(), socket.address.port()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(Errno::EADDRINUSE as i32));
        }
    }

    #[test]
    fn a_listener_that_shares_its_port_still_keeps_it() {
        let share = |fd: &OwnedFd| setsockopt(fd, sockopt::ReusePort, &true).unwrap();
        let (fd, address) = bound("127.0.0.1:0".parse().unwrap(), share);
        listen(&fd, Backlog::new(1).unwrap()).unwrap();
        assert_eq!(try_bind(address.ip(), address.port()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn connections_that_are_over_do_not_keep_a_port() {
        let (listener, socket) = one("127.0.0.1:0");
        let client = TcpStream::connect(socket.address).unwrap();
        // The side that closes first, the server's, goes into TIME_WAIT.
        drop(listener.accept().unwrap());
        drop(client);
        close(listener);
        try_bind(socket.address.ip(), socket.address.port()).unwrap();
    }

    #[test]
    fn v6_is_bound_without_v4() {
        let (_listener, socket) = one("127.0.0.1:0");
        try_bind(Ipv6Addr::UNSPECIFIED.into(), socket.address.port()).unwrap();
    }

    #[test]
    #[ignore = "a measurement"]
    fn how_long_it_takes() {
        let (_listener, socket) = one("127.0.0.1:0");
        let (diag, held, port) = (Diag::default(), held(&socket), socket.address.port());
        let median = |name: &str, question: &dyn Fn()| {
            let mut times: Vec<_> = (0..20_000)
                .map(|_| {
                    let begun = Instant::now();
                    question();
                    begun.elapsed()
                })
                .collect();
            times.sort_unstable();
            println!("{name}: {:?}", times[times.len() / 2]);
        };
        median("listening", &|| assert_eq!(diag.listening(port).unwrap().len(), 1));
        median("exact", &|| assert!(diag.exact(&socket).unwrap().is_some()));
        median("still_held", &|| assert!(diag.still_held(&held)));
    }
}
