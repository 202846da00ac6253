//! The watchdog: nobody waits for ever, and ctrl-C ends a run in an orderly way.
//!
//! Every process of a run is watched through its pidfd. One that overruns its time is killed; on SIGINT, SIGTERM or
//! SIGHUP each is asked to end and killed three seconds later. A blocked read in the main thread then sees the end of
//! its pipe, and its owner asks here why. What the processes do, and reaping them, is their owners'.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::fault::Fault;

const TICK: Duration = Duration::from_millis(100);
const GRACE: Duration = Duration::from_secs(3);

struct Watched {
    process: OwnedFd,
    deadline: Option<Instant>,
    overran: bool,
}

#[derive(Default)]
struct Kennel {
    watched: BTreeMap<u64, Watched>,
    next: u64,
    interrupted: bool,
}

#[derive(Clone)]
pub struct Watchdog {
    kennel: Arc<Mutex<Kennel>>,
    patience: Duration,
}

/// A process under watch, until dropped.
pub struct Watch {
    dog: Watchdog,
    key: u64,
}

impl Watchdog {
    pub fn start(patience: Duration) -> Result<Watchdog, Fault> {
        let dog = Watchdog { kennel: Arc::default(), patience };
        let mut signals =
            Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Fault::machine("watching for signals"))?;
        let (ticking, listening) = (dog.clone(), dog.clone());
        thread::spawn(move || {
            loop {
                thread::sleep(TICK);
                ticking.kill_late();
            }
        });
        thread::spawn(move || {
            for _ in signals.forever() {
                listening.interrupt();
            }
        });
        Ok(dog)
    }

    /// Takes a process under watch; one that cannot be watched is not left running.
    pub fn watch(&self, child: &mut Child) -> Result<Watch, Fault> {
        let process = match pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
            Ok(process) => process,
            Err(fault) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Fault::Machine { doing: "pidfd_open".into(), source: fault.into() });
            }
        };
        let mut kennel = self.kennel();
        let key = kennel.next;
        kennel.next += 1;
        kennel.watched.insert(key, Watched { process, deadline: None, overran: false });
        drop(kennel);
        let watch = Watch { dog: self.clone(), key };
        watch.renew();
        Ok(watch)
    }

    pub fn interrupted(&self) -> Result<(), Fault> {
        if self.kennel().interrupted { Err(Fault::Interrupted) } else { Ok(()) }
    }

    fn kennel(&self) -> MutexGuard<'_, Kennel> {
        self.kennel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill_late(&self) {
        let now = Instant::now();
        for watched in self.kennel().watched.values_mut() {
            if watched.deadline.is_some_and(|deadline| deadline < now) {
                watched.overran = true;
                // Gone already is as good as killed.
                let _ = pidfd_send_signal(&watched.process, Signal::KILL);
            }
        }
    }

    fn interrupt(&self) {
        let mut kennel = self.kennel();
        kennel.interrupted = true;
        for watched in kennel.watched.values_mut() {
            let _ = pidfd_send_signal(&watched.process, Signal::TERM);
            watched.deadline = Some(Instant::now() + GRACE);
        }
    }
}

impl Watch {
    /// Another full measure of patience from now.
    pub fn renew(&self) {
        self.set(Some(Instant::now() + self.dog.patience));
    }

    /// For a process that only waits for its own end.
    pub fn rest(&self) {
        self.set(None);
    }

    /// Why a pipe ended: the fault itself, or what was done to the process from here.
    pub fn explain(&self, fault: Fault) -> Fault {
        let kennel = self.dog.kennel();
        if kennel.interrupted {
            return Fault::Interrupted;
        }
        match kennel.watched.get(&self.key) {
            Some(watched) if watched.overran => Fault::Hung { seconds: self.dog.patience.as_secs() },
            _ => fault,
        }
    }

    fn set(&self, deadline: Option<Instant>) {
        let mut kennel = self.dog.kennel();
        // After an interruption the short deadline stands.
        let stands = kennel.interrupted;
        if let Some(watched) = kennel.watched.get_mut(&self.key) {
            watched.deadline = if stands { Some(Instant::now() + GRACE) } else { deadline };
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.dog.kennel().watched.remove(&self.key);
    }
}
