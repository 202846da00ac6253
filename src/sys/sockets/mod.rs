//! The kernel's table of listening TCP sockets, and which process holds one of them.
//!
//! Who listens on a port (`netlink`, which asks the kernel and connects to nobody; without it what `/proc/net` shows), whether
//! a known listener is still the same, who holds it, and whether a port can be bound. Whose port it ought to be is the sheets'
//! to say, what is spoken there `smtp`'s to hear; sockets of other network namespaces are not seen. A failure to ask is an
//! error, never an empty answer; that we may not look into a process is [`SocketError::Denied`], never "somebody else".

mod error;
mod netlink;

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6};
use nix::errno::Errno;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::signal::kill;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, UnixAddr, bind, connect, setsockopt, socket, sockopt,
};
use nix::unistd::Pid;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::deadline::Deadline;
use super::net::{self, Socket};
use super::process::{Process, has_ended, pids, process};
pub use error::SocketError;
use netlink::Line;

/// How often a question is asked anew, each time on a fresh netlink socket, before its failure is believed.
const ATTEMPTS: usize = 5;

/// How long until a queue of connections that was full is looked at again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

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
    let hidden = || pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::EPERM);
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) if hidden() => Err(io::ErrorKind::PermissionDenied.into()),
        Some(Errno::ENOENT | Errno::ESRCH) => Ok(()),
        Some(Errno::EACCES) if has_ended(pid) => Ok(()),
        _ => Err(error),
    }
}

/// What `/proc/PID/fd/FD` points at if it is this socket.
fn link(inode: u32) -> String {
    format!("socket:[{inode}]")
}

#[cfg(test)]
#[expect(clippy::disallowed_types, reason = "a test runs itself as another user")]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
    use std::os::fd::OwnedFd;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use netlink_packet_core::NLM_F_DUMP;
    use netlink_packet_sock_diag::inet::{SocketId, StateFlags};
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
        let until = Instant::now() + Duration::from_secs(30);
        while !at(address).is_empty() {
            assert!(Instant::now() < until, "{address} is still listened at");
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
        assert_eq!(socket.uid, nix::unistd::geteuid().as_raw());
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
        if nix::unistd::geteuid().is_root() {
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
