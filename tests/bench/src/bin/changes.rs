//! How long each change takes on a mail server, its proof included, and each of two looks: medians of some rounds, in
//! milliseconds.
//!
//! Runs on a machine with a mail server and nothing of ours (tests/bench/changes makes some). One plugin is asked by one
//! caller over pipes; what is measured is from the request to its reply. Between the rounds lies the second that a supervisor
//! waits between two starts. Exits with 1 if the median of `start` is above what is demanded, with 2 if anything is not
//! answered as it should be.

use std::io::{BufRead, BufReader, Error, Write};
use std::process::{ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};

/// A supervisor starts a service at most once in this time.
const BETWEEN: Duration = Duration::from_millis(1_100);
/// What is measured, in the order of a round, which begins and ends with a stopped service.
const MEASURED: [&str; 6] = ["start", "isRunning", "queryStatus", "update", "restart", "stop"];
/// Those that only look.
const READS: [&str; 2] = ["isRunning", "queryStatus"];
/// How often it is looked in one round: a look takes a fraction of a millisecond.
const LOOKS: usize = 20;

/// Measures the changes of the alternate SMTP server on this machine.
#[derive(Debug, Parser)]
struct Options {
    /// The plugin
    plugin: String,
    /// How many rounds are measured
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// The most milliseconds that the median of `start` may take
    #[arg(long)]
    start_below: Option<f64>,
}

struct Session {
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Session {
    /// Asks, and waits for the answer, whose payload has to be right; how long that took, in milliseconds.
    fn ask(&mut self, method: &str, params: &Value, is_right: impl Fn(&Value) -> bool) -> Result<f64, Error> {
        let request =
            json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string() + "\n";
        let mut reply = String::new();
        let began = Instant::now();
        self.requests.write_all(request.as_bytes())?;
        self.replies.read_line(&mut reply)?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        let result = serde_json::from_str::<Value>(&reply)?["result"].take();
        if result["status"] == 0 && is_right(&result["payload"]) {
            Ok(took)
        } else {
            Err(Error::other(format!("{method} was answered {reply}")))
        }
    }
}

/// The times of each of [`MEASURED`], sorted.
fn measure(options: &Options) -> Result<[Vec<f64>; MEASURED.len()], Error> {
    let mut child = Command::new(&options.plugin).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (Some(requests), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(Error::other("a child without pipes"));
    };
    let mut session = Session { requests, replies: BufReader::new(replies) };
    let port = |port: u16| json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_yes"});
    let none = json!({});
    let is_right = |method: &str, payload: &Value| match method {
        "isRunning" => *payload == true,
        "queryStatus" => payload["is_running"] == 1,
        _ => payload == "Success",
    };
    session.ask("update", &port(2587), |payload| is_right("update", payload))?;
    let mut took = [const { Vec::new() }; MEASURED.len()];
    for round in 0..options.rounds {
        for (method, took) in MEASURED.iter().zip(&mut took) {
            // To another port each time, or nothing would change.
            let params = if *method == "update" { port(2588 - round % 2) } else { none.clone() };
            let looks = READS.contains(method);
            for _ in 0..if looks { LOOKS } else { 1 } {
                took.push(session.ask(method, &params, |payload| is_right(method, payload))?);
            }
            if !looks {
                sleep(BETWEEN);
            }
        }
    }
    took.iter_mut().for_each(|took| took.sort_by(f64::total_cmp));
    drop(session);
    child.wait()?;
    Ok(took)
}

fn main() -> ExitCode {
    let options = Options::parse();
    let took = match measure(&options) {
        Ok(took) => took,
        Err(error) => {
            eprintln!("changes: {error}");
            return ExitCode::from(2);
        }
    };
    for (method, took) in MEASURED.iter().zip(&took) {
        let (least, median, most) = (took[0], took[took.len() / 2], took[took.len() - 1]);
        println!(
            "  {method:<11} median {median:8.2} ms of {:3} (least {least:.2}, most {most:.2})",
            took.len()
        );
    }
    let start = took[0][took[0].len() / 2];
    match options.start_below {
        Some(goal) if start >= goal => {
            eprintln!("changes: start takes {start:.1} ms, and is to take less than {goal}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
