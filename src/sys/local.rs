//! The real machine behind [`Host`].
//!
//! Each call goes to the file of this floor that carries it out, with its errors; nothing is decided here.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::command::{self, Command, CommandError, Output};
use super::deadline::Deadline;
use super::files::{self, EditLock, Entry, FileError, Lock, LockError, LockHolder, Meta, Stamp};
use super::host::{Host, View};
use super::journal::{self, Severity};
use super::net::Socket;
use super::process::{self, Process, SightError, Who};
use super::signal::{self, Signal};
use super::smtp::{self, Dialogue, Question, Reply, SmtpError};
use super::sockets::{self, Held, SocketError};

/// This machine.
#[derive(Debug, Default)]
pub struct Local {
    diag: sockets::Diag,
}

impl View for Local {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        files::read(path)
    }

    fn end_of(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, FileError> {
        files::end_of(path, most)
    }

    fn stamp(&self, path: &Path) -> Result<Option<Stamp>, FileError> {
        Ok(files::state(path)?.map(|state| Stamp::of(&state)))
    }

    fn meta(&self, path: &Path) -> Result<Option<Meta>, FileError> {
        use std::os::unix::fs::MetadataExt;
        let meta = |state: std::fs::Metadata| Meta {
            uid: state.uid(),
            gid: state.gid(),
            mode: state.mode() & 0o7777,
        };
        Ok(files::state(path)?.map(meta))
    }

    fn list(&self, path: &Path) -> Result<Vec<Entry>, FileError> {
        files::list(path)
    }

    fn is_read(&self, fifo: &Path) -> Result<bool, FileError> {
        files::feed(fifo, b"")
    }

    fn unread(&self, fifo: &Path) -> Result<bool, FileError> {
        files::unread(fifo)
    }

    fn listening(&self, port: u16) -> Result<Vec<Socket>, SocketError> {
        self.diag.listening(port)
    }

    fn still_held(&self, held: &Held) -> bool {
        self.diag.still_held(held)
    }

    fn holder_among(&self, socket: &Socket, pids: &[i32]) -> Result<Option<Held>, SocketError> {
        sockets::holder_among(socket, pids)
    }

    fn holders(&self, socket: &Socket) -> Result<Vec<Process>, SocketError> {
        sockets::holders(socket)
    }

    fn sessions(&self, port: u16) -> Option<usize> {
        self.diag.sessions(port)
    }

    fn try_bind(&self, address: IpAddr, port: u16) -> io::Result<()> {
        sockets::try_bind(address, port)
    }

    fn process(&self, pid: i32) -> Option<Process> {
        process::process(pid)
    }

    fn processes(&self, programs: &[&Path], homes: &[&Path]) -> Result<Vec<Process>, SightError> {
        process::processes(programs, homes)
    }

    fn is_of(&self, pid: i32, users: &[u32]) -> bool {
        process::belongs_to(pid, users)
    }

    fn ourselves(&self) -> Option<Who> {
        process::who(std::process::id().cast_signed())
    }

    fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }

    fn lock_holder(&self, path: &Path) -> Result<Option<LockHolder>, FileError> {
        files::lock_holder(path)
    }

    fn starter(&self) -> Option<Who> {
        process::who(process::parent(std::process::id().cast_signed())?)
    }

    fn parent(&self, pid: i32) -> Option<i32> {
        process::parent(pid)
    }

    fn together(&self, pid: i32, file: &Path) -> Result<(), SightError> {
        process::together(pid, file)
    }

    fn recognised(&self, pid: i32) -> Result<(), SightError> {
        process::recognised(pid)
    }

    fn reaches(&self, path: &Path, deadline: Deadline) -> io::Result<()> {
        sockets::reaches(path, deadline)
    }

    fn refuses(&self, address: SocketAddr, deadline: Deadline) -> io::Result<bool> {
        smtp::refuses(address, deadline)
    }

    fn own_addresses(&self) -> io::Result<Vec<IpAddr>> {
        sockets::own_addresses()
    }
}

impl Host for Local {
    fn say(&self, severity: Severity, line: &str) {
        journal::say(severity, line);
    }

    fn sleep(&self, span: Duration) {
        std::thread::sleep(span);
    }

    fn give(&self, path: &Path, meta: Meta) -> Result<(), FileError> {
        files::give(path, meta)
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
        files::write(path, bytes, mode)
    }

    fn append(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        files::append(path, bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        files::rename(from, to)
    }

    fn scratch(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        files::scratch(path, bytes)
    }

    fn link(&self, path: &Path, target: &Path) -> Result<(), FileError> {
        files::link(path, target)
    }

    fn remove(&self, path: &Path) -> Result<(), FileError> {
        files::remove(path)
    }

    fn remove_aside(&self, path: &Path) -> Result<(), FileError> {
        files::remove_aside(path)
    }

    fn make_dir(&self, path: &Path) -> Result<(), FileError> {
        files::make_dir(path)
    }

    fn make_room(&self, path: &Path, mode: u32) -> Result<(), FileError> {
        files::make_room(path, mode)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), FileError> {
        files::remove_dir(path)
    }

    fn remove_empty_dir(&self, path: &Path) -> Result<(), FileError> {
        files::remove_empty_dir(path)
    }

    fn lock(&self, path: &Path, wait: Duration) -> Result<Lock, LockError> {
        files::lock(path, wait)
    }

    fn edit_lock(&self, path: &Path, wait: Duration) -> Result<Option<EditLock>, FileError> {
        files::edit_lock(path, wait)
    }

    fn feed(&self, fifo: &Path, bytes: &[u8]) -> Result<bool, FileError> {
        files::feed(fifo, bytes)
    }

    fn run(&self, command: &Command, deadline: Deadline) -> Result<Output, CommandError> {
        command::run(command, deadline)
    }

    fn signal(&self, process: &Process, signal: Signal) -> io::Result<()> {
        signal::signal(process, signal)
    }

    fn greeting(&self, address: SocketAddr, deadline: Deadline) -> Result<Reply, SmtpError> {
        smtp::greeting(address, deadline)
    }

    fn dialogue(
        &self,
        address: SocketAddr,
        question: &Question,
        deadline: Deadline,
    ) -> Result<Dialogue, SmtpError> {
        smtp::dialogue(address, question, deadline)
    }
}
