//! Every node at once, but not too many.
//!
//! Visits all nodes, at most 16 at a time, and makes one answer out of all of theirs; of the channels that this opened at
//! most 16 stay. What is asked is the caller's. A visit that dies of a fault of ours costs that node its answer and no
//! other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;

use super::node::{Failure, Node};
use crate::wire::envelope::Envelope;
use crate::wire::problem::Problem;
use crate::wire::reason::Reason;
use crate::wire::status::Status;

/// How many nodes are visited at once, and how many channels stay open afterwards.
pub const AT_ONCE: usize = 16;

/// A node that has been visited.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Its id.
    pub node: &'a str,
    /// Its failure's number, if it failed.
    pub failed: Option<u16>,
    /// How many have been visited, this one included.
    pub visited: usize,
    /// How many there are.
    pub of: usize,
}

/// Who is told of each node that has been visited.
pub type Tick = fn(&Progress<'_>);

/// Visits every node; what each answered, in the order of the nodes. `None` is a fault of ours.
pub fn each<T: Send>(
    nodes: &[Node],
    tick: Tick,
    visit: impl Fn(&Node) -> Result<T, Failure> + Sync,
) -> Vec<Option<Result<T, Failure>>> {
    let next = AtomicUsize::new(0);
    let visited = Mutex::new((0, nodes.iter().map(|_| None).collect::<Vec<_>>()));
    let work = || {
        while let Some((at, node)) = nodes.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = visit(node);
            if nodes.iter().filter(|node| node.is_open()).count() > AT_ONCE {
                node.release();
            }
            let failed = answer.as_ref().err().map(|failure| failure.number);
            let mut visited = visited.lock();
            visited.0 += 1;
            visited.1[at] = Some(answer);
            // Under the lock, so that the ticks come in their order.
            tick(&Progress { node: &node.id, failed, visited: visited.0, of: nodes.len() });
        }
    };
    thread::scope(|scope| {
        let work = &work;
        let spawn = |_| thread::Builder::new().name("cascade".into()).spawn_scoped(scope, work).ok();
        let workers: Vec<_> = (0..AT_ONCE.min(nodes.len())).filter_map(spawn).collect();
        if workers.is_empty() {
            // No thread is to be had: one after the other is better than not at all.
            work();
        }
        for worker in workers {
            // A panic is logged where it happens; its node has no answer.
            let _ = worker.join();
        }
    });
    visited.into_inner().1
}

/// The answer of a cascade that was done here, from those of the nodes.
pub fn merged<T>(nodes: &[Node], answers: Vec<Option<Result<T, Failure>>>) -> Envelope {
    let failed = nodes.iter().zip(answers).filter_map(|(node, answer)| match answer {
        Some(Ok(_)) => None,
        Some(Err(failure)) => Some((node, failure)),
        None => Some((node, Failure::new(Reason::NodeLost, OURS))),
    });
    let failed: Vec<(&Node, Failure)> = failed.collect();
    if failed.is_empty() {
        return Envelope::done("Success".into());
    }
    let mut text = format!("done here; {} of {} nodes failed", failed.len(), nodes.len());
    for (node, failure) in &failed {
        text += &format!("\n{}: {}", node.id, failure.line());
    }
    let nodes = failed.iter().map(|(node, failure)| failure.of_node(&node.id)).collect();
    Envelope::failed(Status::Node, text, Problem { nodes, ..Reason::NodesFailed.into() })
}

/// What is said of a node whose visit died.
const OURS: &str = "a fault of ours; whether the change was made there is not known: see with queryNodes";
