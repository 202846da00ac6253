//! The log: lines on stderr, behind the back of whoever says them.
//!
//! Answers for: a stderr that nobody reads, and a thread that cannot be had, hold nothing up and end nothing; what does
//! not fit into the queue is lost. (tracing-appender panics where it gets no thread, and a panic is itself a line of the
//! log.) Does not know: what is logged, nor how it is formatted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How many lines may wait.
const LINES: usize = 1024;
/// How long the last lines may take to get out.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The way to stderr, opened at the first line: most sessions never log one.
static WAY: Mutex<Option<Way>> = Mutex::new(None);

struct Way {
    lines: SyncSender<Vec<u8>>,
    /// Hangs up when the last line is out.
    end: Receiver<()>,
}

impl Way {
    fn open() -> io::Result<Self> {
        let (lines, waiting) = sync_channel::<Vec<u8>>(LINES);
        let (ended, end) = channel();
        thread::Builder::new().name("log".into()).spawn(move || {
            for line in waiting {
                let _ = io::stderr().write_all(&line);
            }
            drop::<std::sync::mpsc::Sender<()>>(ended);
        })?;
        Ok(Self { lines, end })
    }
}

/// Where a line is written in one piece.
pub(crate) struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut way = way();
        if way.is_none() {
            *way = Way::open().ok();
        }
        let _ = way.as_ref().map(|way| way.lines.try_send(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the lines so far a moment to get out.
pub(crate) fn flush() {
    let Some(Way { lines, end }) = way().take() else { return };
    drop(lines);
    let _ = end.recv_timeout(FLUSH_TIMEOUT);
}

fn way() -> MutexGuard<'static, Option<Way>> {
    WAY.lock().unwrap_or_else(PoisonError::into_inner)
}
