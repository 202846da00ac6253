//! A connection to a server, in the clear or encrypted, which ends at one deadline and receives only so much.
//!
//! What is said on it is `session`'s. Past the deadline every read and write is `TimedOut`; beyond the limit a read fails
//! with [`Excess`], however slowly the bytes came.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::sys::deadline::Deadline;

/// How many bytes a server may send in one dialogue, TLS included.
pub(super) const LIMIT: usize = 64 * 1024;

pub(super) fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<TcpStream> {
    let left = deadline.left();
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let stream = TcpStream::connect_timeout(&address, left)?;
    // A dialogue waits for every answer: what is held back to be sent together waits for a timer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The connection of a dialogue.
pub(super) enum Wire {
    /// As it was made.
    Clear(Paced),
    /// After STARTTLS.
    Tls(Box<StreamOwned<ClientConnection, Paced>>),
}

impl Wire {
    /// What both go over.
    pub(super) fn paced(&mut self) -> &mut Paced {
        match self {
            Self::Clear(paced) => paced,
            Self::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(paced) => paced.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(paced) => paced.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(paced) => paced.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A connection on which everything together ends at one deadline (`TimedOut`), and on which only so much is received
/// ([`Excess`]).
pub(super) struct Paced {
    pub(super) stream: TcpStream,
    pub(super) deadline: Deadline,
    pub(super) left: usize,
}

impl Paced {
    fn span(&self) -> io::Result<Option<Duration>> {
        match self.deadline.left() {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        if buffer.is_empty() {
            return Err(io::Error::other(Excess));
        }
        self.stream.set_read_timeout(self.span()?)?;
        // A server may hold its reply back until what it sent before is acknowledged (RFC 896), as after a TLS session ticket;
        // the kernel would put that off for 40 ms, and forgets between two reads that it should not (tcp(7)).
        let _only_slower_without = self.stream.set_quickack(true);
        let read = self.stream.read(buffer).map_err(late)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.span()?)?;
        self.stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket's own timeout (`socket(7)`, `SO_RCVTIMEO`) ends with `EAGAIN`.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

/// A server has sent more than it may.
#[derive(Debug, thiserror::Error)]
#[error("more than {LIMIT} bytes")]
pub(super) struct Excess;
