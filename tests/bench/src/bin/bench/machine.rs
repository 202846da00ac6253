//! What is asked of the machine: one CPU to run on, ports that nobody holds.
//!
//! Unpinned, a round trip is either some 5 µs or some 50 µs, depending on where the scheduler puts the two
//! ends. Programs started from a pinned thread are pinned with it. It measures nothing.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::fault::Fault;

// Below the ports that Linux gives to outgoing connections, so that none of those takes ours meanwhile.
const LOW: u16 = 20_000;
const HIGH: u16 = 32_000;

/// The calling thread bound to the first CPU that it may use, until dropped.
pub struct Pinned {
    before: CpuSet,
    pub cpu: usize,
}

impl Pinned {
    pub fn to_one_cpu() -> Result<Pinned, Fault> {
        let fault = |e| Fault::Machine { doing: "binding to one CPU".into(), source: io::Error::from(e) };
        let before = sched_getaffinity(None).map_err(fault)?;
        let cpu = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap_or(0);
        let mut one = CpuSet::new();
        one.set(cpu);
        sched_setaffinity(None, &one).map_err(fault)?;
        Ok(Pinned { before, cpu })
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before; should it fail, the rest runs on one CPU, which is slower and not wrong.
        let _ = sched_setaffinity(None, &self.before);
    }
}

/// Two ports that are free on both loopback addresses.
pub fn two_free_ports() -> Result<[u16; 2], Fault> {
    let start = LOW + (std::process::id() % u32::from(HIGH - LOW)) as u16;
    let mut free = (start..HIGH).chain(LOW..start).filter(|port| is_free(*port));
    match (free.next(), free.next()) {
        (Some(one), Some(other)) => Ok([one, other]),
        _ => Err(Fault::NoPort { low: LOW, high: HIGH }),
    }
}

fn is_free(port: u16) -> bool {
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    addresses.into_iter().all(|address| match TcpListener::bind((address, port)) {
        Ok(_) => true,
        // A machine without IPv6 holds nothing there.
        Err(fault) => !matches!(fault.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied),
    })
}
