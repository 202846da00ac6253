//! The kernel's own answer to who listens on a port: `sock_diag(7)` over netlink.
//!
//! One question at a time on a socket of our own, which is connected to the kernel alone. What to do when a question fails,
//! and who holds a socket, is `sockets`'s. An answer that cannot be understood, or was cut short by a change of the table, is
//! an error.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_ESTABLISHED, TCP_LISTEN};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagMessage;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::error::SocketError;
use crate::sys::net::Socket;

/// How long the kernel, which answers within the call, may take.
const NETLINK_TIMEOUT: TimeVal = TimeVal::new(1, 0);
/// Room for one netlink datagram. The kernel fills up to 32 KiB of what the reader offers.
const DATAGRAM: usize = 32 * 1024;

/// An open netlink socket, connected to the kernel, so that nobody else can write to it.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) fd: OwnedFd,
    pub(super) sequence: u32,
    pub(super) buffer: Vec<u8>,
}

impl Line {
    pub(super) fn open() -> nix::Result<Self> {
        let family = AddressFamily::Netlink;
        let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkSockDiag)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &NETLINK_TIMEOUT)?;
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Self { fd, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    pub(super) fn dump(&mut self, family: u8, port: u16) -> Result<Vec<Socket>, SocketError> {
        let mut found = Vec::new();
        self.each(family, port, StateFlags::LISTEN, |response| found.extend(listener(response)))?;
        found.retain(|socket| socket.address.port() == port);
        Ok(found)
    }

    pub(super) fn established(&mut self, family: u8, port: u16) -> Result<usize, SocketError> {
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

    pub(super) fn exact(&mut self, socket: &Socket) -> Result<Option<Socket>, SocketError> {
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

    pub(super) fn send(
        &mut self,
        flags: u16,
        family: u8,
        states: StateFlags,
        socket_id: SocketId,
    ) -> nix::Result<()> {
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
