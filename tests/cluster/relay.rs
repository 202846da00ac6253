//! A relay between ssh and sshd that holds every byte back for a while, or for good.
//!
//! The kernel of a container need not have netem; what is between two machines can be a program as well. It lives in the
//! manager's network and ends with the test.

use super::machine::Node;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Takes connections on the manager's port 2222, and goes on to port 22 of `to`.
pub(crate) struct Relay {
    stalled: Arc<AtomicBool>,
}

impl Relay {
    /// Holds every portion back for `delay`.
    pub(crate) fn between(manager: &Node, to: &'static str, delay: Duration) -> Self {
        let stalled = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&stalled);
        thread::scope(|scope| {
            // A thread that has joined a network stays there, and so do the threads that it starts.
            scope.spawn(|| {
                manager.join_network();
                let listener = TcpListener::bind("10.99.0.1:2222").unwrap();
                thread::spawn(move || {
                    for near in listener.incoming() {
                        let (near, far) = (near.unwrap(), TcpStream::connect((to, 22)).unwrap());
                        for (from, into) in [(&near, &far), (&far, &near)] {
                            let (from, into) = (from.try_clone().unwrap(), into.try_clone().unwrap());
                            let stalled = Arc::clone(&shared);
                            thread::spawn(move || pass(from, into, delay, &stalled));
                        }
                    }
                });
            });
        });
        Self { stalled }
    }

    /// From now on nothing passes any more, and nothing is closed.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, delay: Duration, stalled: &AtomicBool) {
    let mut portion = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut portion) {
        thread::sleep(delay);
        while stalled.load(Ordering::Relaxed) {
            thread::sleep(delay);
        }
        if into.write_all(&portion[..count]).is_err() {
            break;
        }
    }
    let _ = into.shutdown(Shutdown::Both);
}
