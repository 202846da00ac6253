//! The primary server is served throughout: no connection to it is refused and no session on it is cut by any change.

use crate::clients::watching;
use crate::subject::{MODES, Subject, figure, on, plugin_of, policies, report, rounds, settings};
use crate::support::TLS_YES;
use serde_json::{Value, json};

policies! {
    port_25_is_served_throughout_every_change,
}

fn port_25_is_served_throughout_every_change<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        let mut changes = 0;
        let watched = watching(machine, S::PRIMARY.unwrap(), |look_again| {
            let mut change = |method: &str, params: Value| {
                plugin.succeed(method, params);
                look_again();
                changes += 1;
            };
            change("update", settings(machine.port(), TLS_YES));
            change("start", Value::Null);
            for round in 0..rounds().min(8) {
                change("update", settings(machine.port(), MODES[round % 2]));
                change("update", json!({"auth_mode": MODES[(round + 1) % 2]}));
                change("restart", Value::Null);
                change("stop", Value::Null);
                change("start", Value::Null);
            }
        });
        report(&format!(
            "{}: {} connects to port {} during {changes} changes, {} refused, the slowest greeting after {:?}",
            S::NAME,
            watched.connects,
            S::PRIMARY.unwrap(),
            watched.refused.len(),
            watched.slowest,
        ));
        figure("connects to port 25 during changes", watched.connects.into());
        figure("of them refused", watched.refused.len() as u64);
        assert!(watched.refused.is_empty() && watched.held.is_empty(), "{watched:?}");
        assert!(watched.connects >= changes, "hardly looked at: {watched:?}");
    });
}
