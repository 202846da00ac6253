//! The port's life: open before `Success` of start, closed before `Success` of stop, moved before that of update.
//!
//! Nothing here waits: what is not so when the answer has come is a fault.

use crate::subject::{
    MODES, Subject, configure, on, plugin_of, policies, rounds, running, settings, stopped,
};
use crate::support::plugin::Plugin;
use crate::support::sandbox::addresses;
use crate::support::smtp::{Session, is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES};
use serde_json::{Value, json};

policies! {
    the_port_is_open_on_every_address_before_start_says_success,
    the_port_is_closed_on_every_address_before_stop_says_success,
    the_old_port_is_closed_and_the_new_one_open_before_update_says_success,
    the_mode_is_the_new_one_before_update_says_success,
    the_first_update_opens_no_port_and_edits_no_file,
    an_update_of_a_stopped_service_leaves_it_stopped,
    a_restart_leaves_the_service_open_whether_it_ran_or_not,
    what_is_running_agrees_with_the_kernel_at_every_step,
    an_unconfigured_service_is_412_to_start_and_restart,
    a_service_never_configured_reads_as_the_page_says,
    the_status_says_why_it_runs_or_not_and_the_history_what_was_done,
}

fn the_status_says_why_it_runs_or_not_and_the_history_what_was_done<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        let status = |plugin: &mut Plugin| plugin.payload("queryStatus", Value::Null);
        assert_eq!(status(&mut plugin)["reason"], "never_configured");
        let port = machine.port();
        configure(&mut plugin, port, TLS_YES);
        assert_eq!(status(&mut plugin)["reason"], "stopped");
        plugin.succeed("start", Value::Null);
        let now = status(&mut plugin);
        assert_eq!(
            (&now["reason"], &now["is_running"], &now["alternate_smtp_port"], &now["wanted"]),
            (&json!("running"), &json!(1), &json!(port), &json!("running")),
            "{now}"
        );
        assert!(now["process"]["pid"].is_u64() && !now["addresses"].as_array().unwrap().is_empty(), "{now}");
        assert_eq!((&now["last_change"]["action"], &now["changing"]), (&json!("start"), &Value::Null));
        let probed = plugin.payload("queryStatus", json!({ "probe": 1 }));
        let places = probed["probe"].as_array().unwrap();
        assert!(!places.is_empty() && places.iter().all(|place| place["outcome"] == "fits"), "{probed}");
        assert!(places.iter().all(|place| place["certificate"]["days_left"].is_i64()), "{probed}");
        assert_eq!((&now["drift"], &probed["drift"]), (&json!([]), &json!([])), "{probed}");
        plugin.succeed("stop", Value::Null);
        let now = status(&mut plugin);
        assert_eq!((&now["reason"], &now["drift"]), (&json!("stopped"), &json!([])), "{now}");
        let history = plugin.payload("queryHistory", json!({ "limit": 2 }));
        let actions: Vec<_> = history.as_array().unwrap().iter().map(|change| &change["action"]).collect();
        assert_eq!(actions, ["stop", "start"]);
    });
}

fn the_port_is_open_on_every_address_before_start_says_success<S: Subject>() {
    for mode in MODES {
        on::<S>(|machine| {
            let (_plugin, port) = running(machine, mode);
            assert!(is_open(port), "{mode}");
        });
    }
}

fn the_port_is_closed_on_every_address_before_stop_says_success<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        for round in 0..rounds() {
            plugin.succeed("stop", Value::Null);
            assert!(is_closed(port), "round {round}");
            plugin.succeed("start", Value::Null);
            assert!(is_open(port), "round {round}");
        }
    });
}

fn the_old_port_is_closed_and_the_new_one_open_before_update_says_success<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, mut old) = running(machine, TLS_YES);
        for round in 0..rounds() {
            let new = machine.port();
            plugin.succeed("update", json!({"alternate_smtp_port": new}));
            assert_eq!((is_open(new), is_closed(old)), (true, true), "round {round}: new open, old closed");
            old = new;
        }
    });
}

fn the_mode_is_the_new_one_before_update_says_success<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        for round in 0..rounds().min(5) {
            for (mode, offered) in [(TLS_OPTIONAL, true), (TLS_YES, false)] {
                plugin.succeed("update", json!({"auth_mode": mode}));
                for at in addresses(port) {
                    assert_eq!(Session::open(at).offers("AUTH"), offered, "round {round}: {mode} at {at}");
                }
            }
        }
    });
}

fn the_first_update_opens_no_port_and_edits_no_file<S: Subject>() {
    on::<S>(|machine| {
        let files = || {
            machine
                .administrators_files()
                .iter()
                .map(|file| crate::subject::snapshot(file))
                .collect::<Vec<_>>()
        };
        let before = files();
        let (mut plugin, port) = stopped(machine, TLS_YES);
        assert!(is_closed(port) && before == files());
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
    });
}

fn an_update_of_a_stopped_service_leaves_it_stopped<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, old) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        let new = machine.port();
        configure(&mut plugin, new, TLS_OPTIONAL);
        assert!(is_closed(old) && is_closed(new));
        assert_eq!(plugin.payload("queryUpdate", Value::Null), settings(new, TLS_OPTIONAL));
    });
}

fn a_restart_leaves_the_service_open_whether_it_ran_or_not<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        for round in 0..3 {
            plugin.succeed("restart", Value::Null);
            assert!(is_open(port), "round {round}");
        }
    });
}

fn what_is_running_agrees_with_the_kernel_at_every_step<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        let port = machine.port();
        for (step, (method, params)) in [
            ("update", settings(port, TLS_YES)),
            ("start", Value::Null),
            ("restart", Value::Null),
            ("update", json!({"auth_mode": TLS_OPTIONAL})),
            ("stop", Value::Null),
            ("restart", Value::Null),
            ("stop", Value::Null),
        ]
        .into_iter()
        .enumerate()
        {
            plugin.succeed(method, params);
            let runs = machine.listens(port);
            assert_eq!(plugin.payload("isRunning", Value::Null), runs, "step {step}, {method}");
            assert_eq!(
                plugin.payload("listServiceInfo", Value::Null)["is_running"],
                u8::from(runs),
                "step {step}"
            );
        }
    });
}

fn an_unconfigured_service_is_412_to_start_and_restart<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        for method in ["start", "restart"] {
            crate::support::failure(&plugin.call(method, Value::Null), 412);
        }
        plugin.succeed("stop", Value::Null);
    });
}

fn a_service_never_configured_reads_as_the_page_says<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert_eq!(plugin.payload("listPortNumbers", Value::Null), "Success");
        assert_eq!(plugin.payload("queryUpdate", Value::Null), settings(587, "0"));
    });
}
