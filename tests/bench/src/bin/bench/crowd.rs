//! Other sockets on the machine: connections over loopback, held open by a process of their own.
//!
//! That process is this program again, so that neither the sockets nor the raised limit of open files reach
//! the servers that are measured. It ends with its stdin, and closes without TIME_WAIT. A limit that does not
//! allow the number is no fault: the figures are skipped and the reason is said.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::fault::Fault;
use crate::watchdog::{Watch, Watchdog};

pub const FLAG: &str = "--hold-sockets";
const READY: &str = "ready";
// What the holder itself and its listeners have open.
const SPARE: u64 = 64;
// Of one listener's connections each needs another outgoing port; another listener's may use the same again.
const PAIRS_EACH: usize = 5_000;

pub struct Crowd {
    child: Child,
    watch: Watch,
}

impl Crowd {
    pub fn open(sockets: usize, dog: &Watchdog) -> Result<Crowd, Fault> {
        dog.interrupted()?;
        let program = std::env::current_exe().map_err(Fault::machine("finding this program"))?;
        let mut command = Command::new(&program);
        command
            .arg(FLAG)
            .arg(sockets.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|source| Fault::Spawn { program, source })?;
        let stdout = child.stdout.take();
        let crowd = Crowd { watch: dog.watch(&mut child)?, child };
        let mut said = String::new();
        if let Some(stdout) = stdout {
            BufReader::new(stdout)
                .read_line(&mut said)
                .map_err(Fault::machine("listening to the socket holder"))?;
        }
        if said.trim() == READY {
            crowd.watch.rest();
            return Ok(crowd);
        }
        Err(crowd.watch.explain(Fault::NotNow(said.trim().to_owned())))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other process: opens, says so, waits for the end of its stdin.
pub fn hold(sockets: usize) -> ExitCode {
    let held =
        allow(sockets).and_then(|()| pairs(sockets / 2).map_err(|fault| format!("opening sockets: {fault}")));
    let said = held.as_ref().map_or_else(String::as_str, |_| READY);
    if writeln!(io::stdout(), "{said}").is_err() || held.is_err() {
        return ExitCode::FAILURE;
    }
    let _ = io::stdin().read(&mut [0]);
    ExitCode::SUCCESS
}

fn allow(sockets: usize) -> Result<(), String> {
    let needed = sockets as u64 + SPARE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    // Above the hard limit only a privileged user may go.
    let maximum = maximum.map(|hard| hard.max(needed));
    setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum }).map_err(|fault| {
        format!("they need {needed} open files in one process, more than `ulimit -Hn` allows: {fault}")
    })
}

fn pairs(count: usize) -> io::Result<Vec<[TcpStream; 2]>> {
    let mut open = Vec::with_capacity(count);
    while open.len() < count {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        for _ in 0..PAIRS_EACH.min(count - open.len()) {
            let near = TcpStream::connect(address)?;
            let (far, _) = listener.accept()?;
            for end in [&near, &far] {
                set_socket_linger(end, Some(Duration::ZERO))?;
            }
            open.push([near, far]);
        }
    }
    Ok(open)
}
