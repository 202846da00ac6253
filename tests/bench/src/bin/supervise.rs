//! How long `start` of a supervised service takes, its proof included: the median of some rounds, in milliseconds.
//!
//! Runs on a machine whose alternate service is supervised and stopped (tests/bench/supervise makes one). `stop`, and
//! the second that a supervisor waits between two starts, lie between the rounds and are not measured. Exits with 1 if
//! the median is above the goal or anything is not answered as it should be.

use std::io::{BufRead, BufReader, Error, Write};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;

const GOAL: Duration = Duration::from_millis(100);
/// A supervisor starts a service at most once in this time.
const BETWEEN: Duration = Duration::from_millis(1_100);
const DONE: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"status\":0,\"payload\":\"Success\"}}\n";

/// Measures `start` of a supervised service.
#[derive(Debug, Parser)]
struct Options {
    /// The plugin
    plugin: String,
    /// How often it is started
    #[arg(long, default_value_t = 15)]
    rounds: usize,
}

struct Session {
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Session {
    /// Asks, and waits for the answer, which has to be that it is done.
    fn change(&mut self, method: &str, params: &str) -> Result<Duration, Error> {
        let began = Instant::now();
        writeln!(
            self.requests,
            "{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\",\"params\":{params}}}"
        )?;
        let mut reply = String::new();
        self.replies.read_line(&mut reply)?;
        let took = began.elapsed();
        if reply == DONE { Ok(took) } else { Err(Error::other(format!("{method} was answered {reply}"))) }
    }
}

fn measure(options: &Options) -> Result<Vec<Duration>, Error> {
    let mut child = Command::new(&options.plugin).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::other("a child without pipes"));
    };
    let mut session = Session { requests, replies: BufReader::new(replies) };
    session.change("update", "{\"alternate_smtp_port\":2587,\"auth_mode\":\"auth_yes/tls_yes\"}")?;
    let mut took = Vec::new();
    for _ in 0..options.rounds.max(1) {
        took.push(session.change("start", "{}")?);
        session.change("stop", "{}")?;
        sleep(BETWEEN);
    }
    took.sort();
    drop(session);
    child.wait()?;
    Ok(took)
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(took) => {
            let median = took[took.len() / 2];
            let milliseconds = |span: Duration| span.as_secs_f64() * 1e3;
            let (least, most) = (took[0], took[took.len() - 1]);
            println!(
                "start, proven: median {:.1} ms of {} (least {:.1}, most {:.1}; goal: below {:.0})",
                milliseconds(median),
                took.len(),
                milliseconds(least),
                milliseconds(most),
                milliseconds(GOAL)
            );
            if median < GOAL { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("supervise: {error}");
            ExitCode::from(2)
        }
    }
}
