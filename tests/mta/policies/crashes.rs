//! Plugins killed at random instants: each time the next process tells the truth, and the next change succeeds.
//!
//! `MAIL_SMTP2_KILLS` is the number of kills (12 in the gate, 200 in the soak), shared by four machines. The seed is printed
//! and can be given as `MAIL_SMTP2_SEED`; it repeats the choices, not the scheduler.

use crate::subject::{
    MACHINES, Subject, configure, figure, kill_plugin, on_four, plugin_of, policies, report, settings,
};
use crate::support::plugin::Plugin;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, repetitions, seed, success};
use fastrand::Rng;
use serde_json::{Value, json};
use std::thread;
use std::time::{Duration, Instant};

policies! {
    after_each_of_many_kills_the_next_process_tells_the_truth_and_heals,
    after_each_of_many_kills_a_process_that_lives_tells_the_truth_and_heals,
}

fn after_each_of_many_kills_the_next_process_tells_the_truth_and_heals<S: Subject>() {
    many_kills::<S>(Healer::StartsThen);
}

/// In a pool of workers nobody starts a new one because another has died.
fn after_each_of_many_kills_a_process_that_lives_tells_the_truth_and_heals<S: Subject>() {
    many_kills::<S>(Healer::HasLived);
}

/// Who meets what a killed plugin has left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Healer {
    StartsThen,
    HasLived,
}

#[track_caller]
fn many_kills<S: Subject>(healer: Healer) {
    let kills = repetitions("MAIL_SMTP2_KILLS", 12, 200) as u64;
    let seed = seed();
    let healed: u64 = on_four("", |machine: &S, number| {
        let (number, machines) = (number as u64, MACHINES as u64);
        let random = Rng::with_seed(seed.wrapping_add(number));
        kill_again_and_again(machine, (kills + number) / machines, healer, random)
    })
    .into_iter()
    .sum();
    report(&format!("{}: {healed}/{kills} kills healed", S::NAME));
    figure("kills healed", healed);
}

/// One change that a worker asks for.
#[derive(Clone, Debug)]
enum Change {
    Update { port: u16, mode: &'static str },
    Start,
    Stop,
}

impl Change {
    fn any(random: &mut Rng, ports: &[u16]) -> Self {
        match random.u8(0..4) {
            0 => Self::Start,
            1 => Self::Stop,
            _ => Self::Update {
                port: ports[random.usize(..ports.len())],
                mode: [TLS_YES, TLS_OPTIONAL][random.usize(..2)],
            },
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Update { .. } => "update",
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    fn params(&self) -> Value {
        match self {
            Self::Update { port, mode } => settings(*port, mode),
            Self::Start | Self::Stop => json!({}),
        }
    }
}

#[track_caller]
fn kill_again_and_again<S: Subject>(machine: &S, kills: u64, healer: Healer, mut random: Rng) -> u64 {
    let ports = [machine.port(), machine.port(), machine.port()];
    let mut plugin = plugin_of(machine);
    configure(&mut plugin, ports[0], TLS_YES);
    let span = longest_change(&mut plugin, &ports);
    let (mut running, mut before) = truth(machine, &mut plugin, &ports, "the first changes");
    let mut other = (healer == Healer::HasLived).then(|| plugin_of(machine));
    for kill in 0..kills {
        let change = Change::any(&mut random, &ports);
        let delay = span.mul_f64(random.f64() * 1.1);
        let story = format!("kill {kill}, {delay:?} into {change:?}");
        plugin.post(change.method(), change.params());
        thread::sleep(delay);
        let spare = (healer == Healer::HasLived).then(|| other.take().unwrap());
        kill_plugin(machine, plugin);

        plugin = spare.unwrap_or_else(|| plugin_of(machine));
        let found = truth(machine, &mut plugin, &ports, &story);
        assert!(
            is_old_or_new(&change, (running, &before), (found.0, &found.1)),
            "{story}: {running} {before} became {found:?}"
        );
        assert!(!machine.state().join("intent").exists(), "{story}: the intent is left over");
        // Not before: whoever starts ends what he finds.
        other = (healer == Healer::HasLived).then(|| plugin_of(machine));

        let next = Change::any(&mut random, &ports);
        assert_eq!(plugin.call(next.method(), next.params()), success(), "{story}, then {next:?}");
        (running, before) = truth(machine, &mut plugin, &ports, &format!("{story}, then {next:?}"));
    }
    kills
}

/// What the plugin says, after comparing it with what connecting shows on every port that was ever used.
#[track_caller]
fn truth<S: Subject>(machine: &S, plugin: &mut Plugin, ports: &[u16], after: &str) -> (bool, Value) {
    let running = plugin.payload("isRunning", Value::Null).as_bool().unwrap();
    let settings = plugin.payload("queryUpdate", Value::Null);
    for port in ports {
        let expected = running && settings["alternate_smtp_port"] == *port;
        let shown = if expected { is_open(*port) } else { is_closed(*port) };
        assert!(
            shown,
            "after {after}: isRunning {running} with {settings}, but port {port} shows the contrary"
        );
    }
    if let Some(primary) = S::PRIMARY {
        assert!(is_open(primary), "after {after}: the primary is not served");
    }
    assert_eq!(
        machine.listens(settings["alternate_smtp_port"].as_u64().unwrap() as u16),
        running,
        "after {after}"
    );
    (running, settings)
}

/// The longest of the changes without a kill, so that kills fall into every part of them.
fn longest_change(plugin: &mut Plugin, ports: &[u16]) -> Duration {
    let changes =
        [Change::Start, Change::Update { port: ports[1], mode: TLS_YES }, Change::Stop, Change::Start];
    let spans = changes.iter().map(|change| {
        let begun = Instant::now();
        plugin.succeed(change.method(), change.params());
        begun.elapsed()
    });
    spans.max().unwrap()
}

/// A change that was killed is finished or undone, and nothing else happened.
fn is_old_or_new(change: &Change, old: (bool, &Value), now: (bool, &Value)) -> bool {
    let new = match change {
        Change::Update { .. } => (old.0, change.params()),
        Change::Start => (true, old.1.clone()),
        Change::Stop => (false, old.1.clone()),
    };
    now == old || now == (new.0, &new.1)
}
