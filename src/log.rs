//! The log: lines on stderr, which hold up nobody who writes them.
//!
//! Neither a stderr that nobody reads nor a thread that cannot be started delays or ends anything; what does not fit
//! into the queue is lost. (tracing-appender panics where it gets no thread, and a panic is itself a line of the log.)
//! What is logged is said where it happens, through `tracing`. A filter that cannot be understood is an error at the
//! start.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use parking_lot::Mutex;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// How many lines may wait.
const LINES: usize = 1024;
/// How long the last lines may take to get out.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Logging {
    /// What is logged: off, error, warn, info, debug, trace, or target=level,... [default: RUST_LOG, else warn]
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<Targets>,
    /// How it is logged, on stderr
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true)]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Begins to log; `variable` is what RUST_LOG holds.
pub(crate) fn start(flags: &Logging, variable: Option<String>) -> Result<(), String> {
    let filter = match (&flags.log, variable) {
        (Some(filter), _) => filter.clone(),
        (None, Some(text)) => text.parse().map_err(|e| format!("RUST_LOG: {e}"))?,
        (None, None) => Targets::new().with_default(tracing::Level::WARN),
    };
    let lines = fmt::layer().with_writer(|| Line).with_ansi(false);
    let layer = match flags.log_format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload();
        let what = what.downcast_ref::<&str>().copied().or(what.downcast_ref::<String>().map(String::as_str));
        tracing::error!(
            what = what.unwrap_or("no message"),
            at = panic.location().map(tracing::field::display),
            "a fault of ours"
        );
    }));
    Ok(())
}

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
struct Line;

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut way = WAY.lock();
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
    let Some(Way { lines, end }) = WAY.lock().take() else { return };
    drop(lines);
    let _ = end.recv_timeout(FLUSH_TIMEOUT);
}
