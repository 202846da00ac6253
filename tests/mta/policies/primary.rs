//! The primary server is served throughout: no connection to it is refused and no session on it is cut by any change.

use crate::clients::watching;
use crate::subject::{MODES, Subject, on, plugin_of, report, settings, start};
use crate::support::TLS_YES;
use serde_json::{Value, json};

pub(crate) fn port_25_is_served_throughout_every_change<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        let mut changes = 0;
        let watched = watching(machine, S::PRIMARY.unwrap(), || {
            start(&mut plugin, machine.port(), TLS_YES);
            for round in 0..S::ROUNDS.min(8) {
                plugin.succeed("update", settings(machine.port(), MODES[round % 2]));
                plugin.succeed("update", json!({"auth_mode": MODES[(round + 1) % 2]}));
                plugin.succeed("restart", Value::Null);
                plugin.succeed("stop", Value::Null);
                plugin.succeed("start", Value::Null);
                changes += 5;
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
        assert!(watched.refused.is_empty() && watched.held.is_empty(), "{watched:?}");
        assert!(watched.connects > 20, "hardly looked at: {watched:?}");
    });
}
