//! The benchmark of the cluster: what a cascade costs beside its slowest node, and what 200 nodes leave behind.
//!
//! The nodes are simulated: in the place of ssh stands `cluster-node`, which runs the plugin on a sandbox of its own for
//! each. It answers for the command line and for the figures and their goals; a goal that is not met is exit status 1, a
//! run that cannot be made one sentence on stderr and 2.

mod fleet;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::fleet::Fleet;
use crate::session::Session;

#[derive(Parser)]
#[command(
    name = "cluster",
    about = "Shows what a cascade of mail-smtp2 costs on this machine, over simulated nodes."
)]
struct Options {
    /// The mail-smtp2 to measure [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    plugin: Option<PathBuf>,
    /// How many nodes are restarted in one call
    #[arg(long, value_name = "N", default_value_t = 200)]
    nodes: usize,
}

/// A fault: what was done, and why it did not work.
type Fault = String;

/// How many nodes take a second, as many as are visited at once.
const SLOW: usize = 16;
/// What a cascade may take beyond its parts.
const OVERHEAD: f64 = 1.1;
/// What a warm question to a node may take.
const WARM: Duration = Duration::from_millis(2);
/// By how much the plugin's memory may grow with its nodes, in KiB.
const MEMORY: u64 = 8 * 1024;
/// How many descriptors an open channel has: three pipes and the process.
const EACH: usize = 4;
/// How many channels stay open after a cascade.
const KEPT: usize = 16;

fn main() -> ExitCode {
    let options = Options::parse();
    if cfg!(debug_assertions) {
        eprintln!("cluster: built without --release, so is what it finds beside it: the times mean little");
    }
    match measure(&options) {
        Ok(met) if met.iter().all(|met| *met) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("cluster: {fault}");
            ExitCode::from(2)
        }
    }
}

fn measure(options: &Options) -> Result<Vec<bool>, Fault> {
    let mut met = slow_nodes(options)?;
    met.extend(many_nodes(options)?);
    Ok(met)
}

/// Whether the goal is met; prints the line.
fn show(title: &str, value: &str, goal: &str, met: bool) -> bool {
    println!("{title:<58} {value:>12}   {goal:<22} {}", if met { "met" } else { "NOT MET" });
    met
}

/// A warm cascade over nodes that take a second, beside what its parts take.
fn slow_nodes(options: &Options) -> Result<Vec<bool>, Fault> {
    let fleet = Fleet::new(options.plugin.as_deref(), "second", SLOW)?;
    let mut session = fleet.session()?;
    fleet.configure_here(&mut session)?;
    let cascade = r#"{"cascade_to_nodes":1}"#;
    session.succeed("restart", cascade)?;
    let own = median((0..5).map(|_| session.succeed("restart", "{}")).collect::<Result<_, _>>()?);
    let on_node = |at| format!("{{\"node_id\":\"node{at}\"}}");
    let nodes: Vec<Duration> =
        (0..3).map(|at| session.succeed("restartOnNode", &on_node(at))).collect::<Result<_, _>>()?;
    let slowest = nodes.into_iter().max().unwrap_or_default();
    let whole = median((0..5).map(|_| session.succeed("restart", cascade)).collect::<Result<_, _>>()?);
    session.end()?;
    let ratio = whole.as_secs_f64() / (own + slowest).as_secs_f64();
    println!("restart here {own:.1?}, on the slowest node {slowest:.1?}, on all {SLOW} and here {whole:.1?}");
    let goal = format!("<= {OVERHEAD:.2} of both");
    Ok(vec![show(
        "warm cascade beside here and the slowest node",
        &format!("{ratio:.3}"),
        &goal,
        ratio <= OVERHEAD,
    )])
}

/// Many nodes in one call: time, memory, descriptors, processes.
fn many_nodes(options: &Options) -> Result<Vec<bool>, Fault> {
    let fleet = Fleet::new(options.plugin.as_deref(), "plugin", options.nodes)?;
    fleet.configure_nodes()?;
    let mut session = fleet.session()?;
    fleet.configure_here(&mut session)?;
    let cascade = r#"{"cascade_to_nodes":1}"#;
    session.succeed("restart", "{}")?;
    let (alone, before) = (session.memory()?, session.descriptors()?);
    session.succeed("restart", cascade)?;
    let whole = session.succeed("restart", cascade)?;
    let (peak, descriptors, open) = (session.memory()?, session.descriptors()?, fleet.channels());
    let first = r#"{"node_id":"node0"}"#;
    session.ask("isRunningOnNode", first)?;
    let asked = (0..1000).map(|_| session.ask("isRunningOnNode", first).map(|(_, span)| span));
    let warm = median(asked.collect::<Result<_, _>>()?);
    session.end()?;
    let left = fleet.channels();
    println!("{} nodes restarted in one call: {whole:.1?}", options.nodes);
    let grown = peak.saturating_sub(alone);
    let beyond = descriptors.saturating_sub(before + EACH * open);
    Ok(vec![
        show("a warm isRunningOnNode, median of 1000", &format!("{warm:.1?}"), "< 2 ms", warm < WARM),
        show(
            "peak memory beyond that of this machine alone",
            &format!("{grown} KiB"),
            "<= 8 MiB",
            grown <= MEMORY,
        ),
        show("descriptors beyond those of open channels", &beyond.to_string(), "0", beyond == 0),
        show("channels open after the call", &open.to_string(), "<= 16", open <= KEPT),
        show("channels left after the session", &left.to_string(), "0", left == 0),
    ])
}

fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort();
    spans.get(spans.len() / 2).copied().unwrap_or_default()
}

/// The session of the plugin that manages the fleet.
impl Fleet {
    fn session(&self) -> Result<Session, Fault> {
        Session::spawn(self.command(&self.own()))
    }

    fn configure_here(&self, session: &mut Session) -> Result<(), Fault> {
        session.succeed("update", &self.settings(self.ports.len() - 1)).map(drop)
    }
}
