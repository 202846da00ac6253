//! Why it cannot be said who listens on a port, or who holds a socket.
//!
//! One variant for each way in which the kernel may not be asked, not answer, or not let us look; none of them means that
//! nobody listens. Status numbers are given by the floors above.

use std::io;
use std::net::SocketAddr;

use crate::sys::process::IT_TAKES;

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
