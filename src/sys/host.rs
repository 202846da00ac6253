//! What we ask of the machine, and the only seam for tests: the traits [`View`], which only looks, and [`Host`], which
//! acts.
//!
//! Files, commands, the kernel's socket table, processes, the clock, and SMTP dialogues as a client sees them. Every
//! call either answers what the machine shows at that instant or says which operation failed on what; nothing is
//! remembered. What an answer means for a mail server or a change is found out above.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::command::{Command, CommandError, Output};
use super::deadline::Deadline;
use super::files::{self, EditLock, Entry, FileError, Lock, LockError, LockHolder, Meta, Stamp};
use super::journal::Severity;
use super::net::Socket;
use super::process::{Process, SightError, Who};
use super::signal::Signal;
use super::smtp::{Dialogue, Question, Reply, SmtpError};
use super::sockets::{Held, SocketError};

/// The machine as it is looked at: nothing here changes it.
pub trait View: Debug + Send + Sync {
    /// The wall clock, for records.
    fn now(&self) -> SystemTime;

    // Files.
    /// The bytes of a file, `None` where there is none. Follows links.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError>;
    /// The last bytes of a file that others than root may have put there, at most `most`: a regular one, by no other name
    /// and through no link. `None` where there is no such file.
    fn end_of(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, FileError> {
        let bytes = self.read(path)?;
        Ok(bytes.map(|bytes| bytes[bytes.len().saturating_sub(most)..].to_vec()))
    }
    /// Cheap identity of a file's content, `None` where there is none. Follows links.
    fn stamp(&self, path: &Path) -> Result<Option<Stamp>, FileError>;
    /// Owner and permission bits of a file, `None` where there is none. Follows links.
    fn meta(&self, path: &Path) -> Result<Option<Meta>, FileError>;
    /// What stands in a directory, by name; nothing where there is none. Links are not followed.
    fn list(&self, path: &Path) -> Result<Vec<Entry>, FileError>;
    /// Whether something was written into a FIFO that its reader has not read yet; `false` where there is none of them.
    fn unread(&self, fifo: &Path) -> Result<bool, FileError>;
    /// Whether somebody has a FIFO open to read it; `false` where there is none.
    fn is_read(&self, fifo: &Path) -> Result<bool, FileError>;
    /// Who has a lock (see [`Host::lock`]), without taking it; `None` where nobody has it and whoever had it let go of it.
    fn lock_holder(&self, _: &Path) -> Result<Option<LockHolder>, FileError> {
        Ok(None)
    }

    // Sockets.
    /// All TCP sockets of this network namespace that listen on `port`, IPv4 first.
    fn listening(&self, port: u16) -> Result<Vec<Socket>, SocketError>;
    /// Whether `held.socket` still listens at its address under its inode and is still open as `held.pid`'s
    /// descriptor `held.fd`. Two cheap look-ups; `false` only means: look properly.
    fn still_held(&self, held: &Held) -> bool;
    /// The first of `pids` that holds `socket` open, and as which descriptor. [`SocketError::Denied`] if it cannot be
    /// known for want of privilege.
    fn holder_among(&self, socket: &Socket, pids: &[i32]) -> Result<Option<Held>, SocketError>;
    /// Every process that holds `socket` open (a walk over all of `/proc`); nobody, where whoever did has just ended or is
    /// in another pid namespace. [`SocketError::Denied`] if it cannot be known for want of privilege.
    fn holders(&self, socket: &Socket) -> Result<Vec<Process>, SocketError>;
    /// How many connections to `port` are established; `None` where the machine does not tell.
    fn sessions(&self, _port: u16) -> Option<usize> {
        None
    }
    /// Tries to bind (not listen) `port` on `address`, with `SO_REUSEADDR` and without `SO_REUSEPORT`.
    fn try_bind(&self, address: IpAddr, port: u16) -> io::Result<()>;
    /// Whether somebody accepts connections at the Unix socket `path`; [`io::ErrorKind::TimedOut`], if its queue of
    /// connections stays full until `deadline`.
    fn reaches(&self, path: &Path, deadline: Deadline) -> io::Result<()>;
    /// Whether a TCP connection to `address` is refused (`true`) or accepted (`false`).
    fn refuses(&self, address: SocketAddr, deadline: Deadline) -> io::Result<bool>;
    /// The addresses of this machine's interfaces, but for loopback and link-local ones.
    fn own_addresses(&self) -> io::Result<Vec<IpAddr>>;

    // Processes.
    /// What a process is, `None` once it is gone (a zombie is gone).
    fn process(&self, pid: i32) -> Option<Process>;
    /// Every process that really runs one of `programs`, as root or as a user to whom one of `homes` belongs: see
    /// [`processes`](super::process::processes).
    fn processes(&self, programs: &[&Path], homes: &[&Path]) -> Result<Vec<Process>, SightError>;
    /// Whether a process is root's or one of these users'.
    fn is_of(&self, pid: i32, users: &[u32]) -> bool;
    /// Who we are ourselves.
    fn ourselves(&self) -> Option<Who>;
    /// Whether we may do what only root may.
    fn is_root(&self) -> bool {
        true
    }
    /// Who has started us.
    fn starter(&self) -> Option<Who>;
    /// The parent of a process; `None` once it is gone.
    fn parent(&self, pid: i32) -> Option<i32>;
    /// Whether a process sees the same network, and `file` as the same file, as we do: see [`together`](super::process::together).
    fn together(&self, pid: i32, file: &Path) -> Result<(), SightError>;
    /// Whether a process that was not found to be the mail server's is therefore somebody else's: see
    /// [`recognised`](super::process::recognised).
    fn recognised(&self, _pid: i32) -> Result<(), SightError> {
        Ok(())
    }
}

/// The machine. [`Local`](super::Local) is the real one; a recorded one answers what was seen on a real one.
pub trait Host: View {
    /// Waits for `span`.
    fn sleep(&self, span: Duration);

    // Files: see `files` for what "durable" and "trusted" mean.
    /// Gives a file this owner and these permission bits. Follows links.
    fn give(&self, path: &Path, meta: Meta) -> Result<(), FileError>;
    /// Replaces a file durably and atomically, in the directory of what `path` finally points at; owner, mode and
    /// extended attributes of the file that it replaces are kept, a new file gets `mode`.
    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError>;
    /// Appends to a file (made with mode 0600 where missing) in one write.
    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError>;
    /// Renames a file or a folder within its directory, durably.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError>;
    /// Writes a file that nobody keeps: not durable, mode 0600.
    fn scratch(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError>;
    /// Makes the symbolic link `path`, which names `target`; one that does so already is no error.
    fn link(&self, path: &Path, target: &Path) -> Result<(), FileError>;
    /// Removes a file durably; one that is not there is no error.
    fn remove(&self, path: &Path) -> Result<(), FileError>;
    /// Removes what a `write` of `path` that was cut short may have left beside it.
    fn remove_aside(&self, path: &Path) -> Result<(), FileError> {
        self.remove(&files::aside(path))
    }
    /// Makes a directory (and missing parents) with mode 0700.
    fn make_dir(&self, path: &Path) -> Result<(), FileError>;
    /// Makes the folder of a file that is to have these permission bits: whoever may read the file gets there.
    fn make_room(&self, path: &Path, mode: u32) -> Result<(), FileError>;
    /// Removes a directory and all in it; one that is not there is no error.
    fn remove_dir(&self, path: &Path) -> Result<(), FileError>;
    /// Removes a directory with nothing in it; one that is not there is no error.
    fn remove_empty_dir(&self, path: &Path) -> Result<(), FileError>;
    /// Takes an exclusive `flock` on `path` (made where missing, as is its folder), waiting at most `wait`, and writes our
    /// pid into it.
    fn lock(&self, path: &Path, wait: Duration) -> Result<Lock, LockError>;
    /// Takes the lock of another program's editing protocol: an exclusive `flock` on the file `path`, which is made for
    /// it and removed before it is let go. `None` when somebody else keeps it longer than `wait`.
    fn edit_lock(&self, path: &Path, wait: Duration) -> Result<Option<EditLock>, FileError>;
    /// Writes into a FIFO in one go, without ever waiting; `false` where nobody reads it, or there is none. No bytes
    /// ask as [`View::is_read`] does.
    fn feed(&self, fifo: &Path, bytes: &[u8]) -> Result<bool, FileError>;

    /// Says a line to the machine's own log; see [`journal`](super::journal). Recordings have none.
    fn say(&self, _: Severity, _line: &str) {}

    // Commands and signals.
    /// Runs a control command to its end, or kills its process group at the deadline.
    fn run(&self, command: &Command, deadline: Deadline) -> Result<Output, CommandError>;
    /// Signals exactly this process: nobody, where it is gone or its pid is another's now.
    fn signal(&self, process: &Process, signal: Signal) -> io::Result<()>;

    // As a client.
    /// Connects, and hears the greeting alone.
    fn greeting(&self, address: SocketAddr, deadline: Deadline) -> Result<Reply, SmtpError>;
    /// Holds one of the dialogues that prove a listener: see [`dialogue`](super::smtp::dialogue()).
    fn dialogue(
        &self,
        address: SocketAddr,
        question: &Question,
        deadline: Deadline,
    ) -> Result<Dialogue, SmtpError>;
}
