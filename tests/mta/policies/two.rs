//! Two plugins on one machine: changes exclude each other, and each sees what the other did.

use crate::subject::{Subject, on, on_configured, plugin_of, policies, report, rounds, running, settings};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_YES, status, success};
use serde_json::{Value, json};
use std::thread;

policies! {
    two_plugins_at_once_end_as_one_of_their_successes,
    each_plugin_sees_what_another_one_did,
    changes_and_removals_at_once_never_see_half_of_each_other,
}

fn two_plugins_at_once_end_as_one_of_their_successes<S: Subject>() {
    on::<S>(|machine| {
        let (first, start) = running(machine, TLS_YES);
        let mut plugins = [first, plugin_of(machine)];
        let ports: [Vec<u16>; 2] = [(); 2].map(|()| (0..rounds()).map(|_| machine.port()).collect());
        let mut settled: Vec<u16> = Vec::new();
        thread::scope(|scope| {
            let works: Vec<_> = plugins
                .iter_mut()
                .zip(&ports)
                .map(|(plugin, ports)| {
                    scope.spawn(move || {
                        let answers = ports
                            .iter()
                            .map(|port| (*port, plugin.call("update", json!({"alternate_smtp_port": port}))));
                        let answers: Vec<_> = answers.collect();
                        assert!(answers.iter().all(|(_, a)| [0, 409].contains(&status(a))), "{answers:?}");
                        answers.into_iter().rfind(|(_, answer)| *answer == success()).map(|(port, _)| port)
                    })
                })
                .collect();
            settled.extend(works.into_iter().filter_map(|work| work.join().unwrap()));
        });
        let now = plugins[0].payload("queryUpdate", Value::Null);
        assert_eq!(plugins[1].payload("queryUpdate", Value::Null), now);
        let open = settled.iter().find(|port| now == settings(**port, TLS_YES));
        let open = *open.unwrap_or_else(|| panic!("{now} is not among {settled:?}"));
        let others = ports.iter().flatten().chain([&start]).filter(|port| **port != open);
        assert!(
            is_open(open) && others.into_iter().all(|port| is_closed(*port)),
            "more or less than {open} is open"
        );
        report(&format!(
            "{}: {} updates by two plugins at once, {open} alone is open",
            S::NAME,
            2 * rounds()
        ));
    });
}

fn each_plugin_sees_what_another_one_did<S: Subject>() {
    on::<S>(|machine| {
        let mut other = plugin_of(machine);
        assert_eq!(other.payload("isRunning", Value::Null), false);
        let (mut one, port) = running(machine, TLS_YES);
        assert_eq!(other.payload("isRunning", Value::Null), true);
        assert_eq!(other.payload("listPortNumbersArray", Value::Null), json!([port]));
        other.succeed("stop", Value::Null);
        assert_eq!(one.payload("isRunning", Value::Null), false);
    });
}

fn changes_and_removals_at_once_never_see_half_of_each_other<S: Subject>() {
    // Three stand in line for the lock.
    on_configured::<S>("[deadlines]\nlock = 50\n", |machine| {
        for _ in 0..rounds() {
            let (mut plugin, port) = running(machine, TLS_YES);
            let answer = thread::scope(|scope| {
                let removals = [(); 2].map(|()| scope.spawn(|| machine.launch().arg("remove").run()));
                let answer = plugin.call("restart", Value::Null);
                for run in removals.map(|removal| removal.join().unwrap()) {
                    assert_eq!(run.code, Some(0), "{}{}", run.stdout, run.stderr);
                }
                answer
            });
            // It came first, or there was nothing left to start.
            assert!([0, 412].contains(&status(&answer)), "{answer}");
            assert!(is_closed(port), "{answer}: something still listens");
            let left = machine.launch().arg("remove").run();
            assert_eq!(left.code, Some(0), "{}{}", left.stdout, left.stderr);
            assert!(!machine.state().exists(), "{answer}: the state directory is left");
        }
    });
}
