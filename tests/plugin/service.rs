//! The service on the sandbox (schema/README.md, "What the words mean", "How a change is made"): what a client of the
//! service sees, and what is on the disk, when an answer has been written.
//!
//! The truth comes from an independent mail client, from connecting to the port and from /proc, never from the plugin.

use super::support::plugin::Plugin;
use super::support::process::{alive, is_root, listeners, name, signal};
use super::support::sandbox::{Frozen, Sandbox, addresses, kill_listeners};
use super::support::smtp::{RIGHT, Session, WRONG, greeting, is_closed, is_open, ready_for_auth};
use super::support::{
    PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure, names_number, refused_fields, skip, status,
    success, text, within,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::thread;

/// A service that runs, for one look at it from outside on every address.
#[track_caller]
fn on_every_address(mode: &str, mut look: impl FnMut(std::net::SocketAddr)) {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, mode);
    addresses(port).into_iter().for_each(&mut look);
}

/// Everything about a file that a write would change; `None` is no file.
#[track_caller]
fn snapshot(path: &Path) -> Option<(u64, i64, i64, Vec<u8>)> {
    let data = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        data => data.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    };
    Some((data.ino(), data.mtime(), data.mtime_nsec(), fs::read(path).unwrap()))
}

/// Stops the plugin in the middle of a change of the running service, with the lock held and the intent written.
#[track_caller]
fn freeze_in_a_change(sandbox: &Sandbox, plugin: &mut Plugin) -> Frozen {
    let ports = [sandbox.port(), sandbox.port()];
    for round in 0..200 {
        let id = plugin.post("update", json!({"alternate_smtp_port": ports[round % 2]}));
        let seen = within(PATIENCE, || sandbox.intent().exists() || !plugin.is_silent());
        assert!(seen, "the change neither begins nor ends");
        let frozen = Frozen::freeze(plugin.pid());
        if sandbox.intent().exists() && sandbox.is_locked() {
            return frozen;
        }
        drop(frozen);
        assert_eq!(plugin.receive_reply(id)["result"], success());
    }
    panic!("no change could be caught with its intent on the disk");
}

/// A sandbox in which a plugin was killed in the middle of a change of the running service.
#[track_caller]
fn killed_in_a_change(toml: &str) -> Sandbox {
    let sandbox = Sandbox::with_config(toml);
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let frozen = freeze_in_a_change(&sandbox, &mut plugin);
    plugin.kill();
    drop(frozen);
    assert!(sandbox.intent().exists(), "the intent is still there");
    sandbox
}

/// The port that the plugin says is configured.
#[track_caller]
fn configured_port(plugin: &mut Plugin) -> u16 {
    let port = plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"].as_u64();
    port.unwrap().try_into().unwrap()
}

/// The lines between our marks in the sandbox's configuration, without the marks.
#[track_caller]
fn our_block(sandbox: &Sandbox) -> String {
    let text = fs::read_to_string(sandbox.mta_config()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let begin = lines.iter().position(|line| line.starts_with("# BEGIN mail-smtp2")).expect("our first mark");
    let end = lines.iter().position(|line| line.starts_with("# END mail-smtp2")).expect("our last mark");
    lines[begin + 1..end].iter().map(|line| format!("{line}\n")).collect()
}

/// Whether a file below the folder, other than the sandbox's configuration, holds the text.
fn is_kept_somewhere(sandbox: &Sandbox, folder: &Path, wanted: &str) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return is_kept_somewhere(sandbox, &path, wanted);
        }
        path != sandbox.mta_config()
            && String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(wanted)
    })
}

// What a client sees.

#[test]
fn the_service_greets_with_220_and_says_sandbox() {
    on_every_address(TLS_YES, |address| {
        let line = greeting(address).unwrap();
        assert!(line.starts_with("220") && line.to_lowercase().contains("sandbox"), "{line}");
    });
}

#[test]
fn where_tls_is_required_starttls_is_offered_and_auth_is_not() {
    on_every_address(TLS_YES, |address| {
        let mut session = Session::open(address);
        assert_eq!((session.offers("STARTTLS"), session.offers("AUTH")), (true, false));
    });
}

#[test]
fn where_tls_is_required_auth_is_refused_before_it() {
    on_every_address(TLS_YES, |address| {
        assert!(Session::open(address).refuses(&format!("AUTH PLAIN {RIGHT}")));
    });
}

#[test]
fn where_tls_is_required_mail_is_refused_before_it() {
    on_every_address(TLS_YES, |address| {
        assert!(Session::open(address).refuses("MAIL FROM:<someone@example.com>"));
    });
}

#[test]
fn where_tls_is_required_mail_is_refused_after_an_auth_that_was_refused() {
    on_every_address(TLS_YES, |address| {
        let mut session = Session::open(address);
        session.say(&format!("AUTH PLAIN {RIGHT}"));
        assert!(session.refuses("MAIL FROM:<someone@example.com>"));
    });
}

#[test]
fn where_tls_is_required_auth_is_offered_after_it() {
    on_every_address(TLS_YES, |address| assert!(ready_for_auth(address, TLS_YES).offers("AUTH")));
}

#[test]
fn where_tls_is_required_starttls_is_not_offered_twice() {
    on_every_address(TLS_YES, |address| assert!(!ready_for_auth(address, TLS_YES).offers("STARTTLS")));
}

#[test]
fn where_tls_is_required_mail_is_refused_after_it_until_auth() {
    on_every_address(TLS_YES, |address| assert!(ready_for_auth(address, TLS_YES).refuses_mail()));
}

#[test]
fn where_tls_is_optional_auth_and_starttls_are_both_offered_at_once() {
    on_every_address(TLS_OPTIONAL, |address| {
        let mut session = Session::open(address);
        assert_eq!((session.offers("STARTTLS"), session.offers("AUTH")), (true, true));
    });
}

#[test]
fn where_tls_is_optional_mail_is_refused_until_auth() {
    on_every_address(TLS_OPTIONAL, |address| assert!(Session::open(address).refuses_mail()));
}

#[test]
fn where_tls_is_optional_it_can_be_had() {
    on_every_address(TLS_OPTIONAL, |address| {
        let mut session = Session::open(address);
        session.start_tls();
        assert!(session.refuses_mail());
        session.log_in();
        session.deliver();
    });
}

#[test]
fn after_auth_mail_to_any_destination_is_accepted() {
    for mode in [TLS_YES, TLS_OPTIONAL] {
        on_every_address(mode, |address| {
            let mut session = ready_for_auth(address, mode);
            session.log_in();
            session.deliver();
            session.deliver();
        });
    }
}

#[test]
fn a_wrong_password_is_refused_and_mail_with_it() {
    for mode in [TLS_YES, TLS_OPTIONAL] {
        on_every_address(mode, |address| {
            let mut session = ready_for_auth(address, mode);
            assert!(session.refuses(&format!("AUTH PLAIN {WRONG}")), "{mode}");
            assert!(session.refuses_mail(), "{mode}");
        });
    }
}

#[test]
fn a_reset_does_not_stand_for_auth() {
    on_every_address(TLS_OPTIONAL, |address| {
        let mut session = Session::open(address);
        session.say("RSET");
        session.say("HELO client.example.com");
        assert!(session.refuses_mail());
    });
}

// What the words mean.

#[test]
fn a_started_service_accepts_connections_before_success_is_written() {
    for mode in [TLS_YES, TLS_OPTIONAL] {
        let sandbox = Sandbox::new();
        let mut plugin = sandbox.plugin();
        let port = sandbox.run(&mut plugin, mode);
        assert!(is_open(port), "{mode}");
    }
}

#[test]
fn a_stopped_service_refuses_connections_before_success_is_written() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    assert!(is_closed(port));
}

#[test]
fn a_stopped_service_leaves_no_listener_behind() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let pids = listeners(port);
    plugin.succeed("stop", Value::Null);
    eventually(PATIENCE, "the listener's processes end", || !pids.iter().any(|pid| alive(*pid)));
}

#[test]
fn the_first_update_leaves_the_service_stopped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    assert_eq!((plugin.payload("isRunning", Value::Null), is_closed(port)), (json!(false), true));
}

#[test]
fn an_update_of_a_running_service_opens_the_new_port_and_closes_the_old() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let old = sandbox.run(&mut plugin, TLS_YES);
    let new = sandbox.port();
    plugin.succeed("update", json!({"alternate_smtp_port": new}));
    assert_eq!((is_open(new), is_closed(old)), (true, true));
}

#[test]
fn an_update_of_the_mode_holds_when_success_is_written() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    for (mode, offered) in [(TLS_OPTIONAL, true), (TLS_YES, false)] {
        plugin.succeed("update", json!({"auth_mode": mode}));
        for address in addresses(port) {
            assert_eq!(Session::open(address).offers("AUTH"), offered, "{mode} on {address}");
        }
    }
}

#[test]
fn an_update_of_a_stopped_service_leaves_it_stopped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let old = sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    let new = sandbox.port();
    plugin.succeed("update", json!({"alternate_smtp_port": new}));
    assert!(is_closed(new) && is_closed(old));
}

#[test]
fn stop_keeps_the_settings() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_OPTIONAL);
    plugin.succeed("stop", Value::Null);
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL}));
}

#[test]
fn a_stopped_service_starts_again_on_its_port() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    plugin.succeed("start", Value::Null);
    assert!(is_open(port));
}

#[test]
fn a_restart_replaces_the_listener() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let before = listeners(port);
    plugin.succeed("restart", Value::Null);
    let after = listeners(port);
    assert!(is_open(port) && !after.iter().any(|pid| before.contains(pid)), "{before:?} then {after:?}");
}

#[test]
fn a_restart_starts_a_stopped_service() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    plugin.succeed("restart", Value::Null);
    assert!(is_open(port));
}

#[test]
fn starting_what_runs_touches_nothing() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let look = || {
        (listeners(port), snapshot(&sandbox.mta_config()), snapshot(&sandbox.state().join("settings.json")))
    };
    let before = look();
    let mut session = Session::open(addresses(port)[0]);
    plugin.succeed("start", Value::Null);
    assert!(before == look(), "a file or the listener is not the same");
    assert!(session.is_alive(), "an open session was cut");
}

#[test]
fn an_update_to_what_is_already_so_touches_nothing() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let look = || {
        (listeners(port), snapshot(&sandbox.mta_config()), snapshot(&sandbox.state().join("settings.json")))
    };
    let before = look();
    plugin.succeed("update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
    plugin.succeed("update", json!({}));
    assert!(before == look(), "a file or the listener is not the same");
}

#[test]
fn stopping_what_is_stopped_touches_nothing() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    let look = || (snapshot(&sandbox.mta_config()), snapshot(&sandbox.state().join("settings.json")));
    let before = look();
    plugin.succeed("stop", Value::Null);
    assert!(before == look(), "a file is not the same");
}

#[test]
fn an_update_of_a_stopped_service_writes_our_settings_only() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    let before = snapshot(&sandbox.mta_config());
    plugin.succeed("update", json!({"alternate_smtp_port": sandbox.port()}));
    assert!(before == snapshot(&sandbox.mta_config()), "the MTA's configuration was written");
}

#[test]
fn without_nodes_a_cascade_acts_here_alone() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    plugin.succeed("start", json!({"cascade_to_nodes": 1}));
    assert!(is_open(port));
    plugin.succeed("stop", json!({"cascade_to_nodes": 1}));
    assert!(is_closed(port));
}

#[test]
fn changes_at_once_by_two_plugins_end_as_one_of_the_successes() {
    let sandbox = Sandbox::new();
    let mut plugins = [sandbox.plugin(), sandbox.plugin()];
    let first = sandbox.run(&mut plugins[0], TLS_YES);
    let ports: [Vec<u16>; 2] = [(); 2].map(|()| (0..8).map(|_| sandbox.port()).collect());
    let mut settled: Vec<u16> = Vec::new();
    thread::scope(|scope| {
        let works: Vec<_> = plugins
            .iter_mut()
            .zip(&ports)
            .map(|(plugin, ports)| {
                scope.spawn(move || {
                    let mut last = None;
                    for port in ports {
                        let answer = plugin.call("update", json!({"alternate_smtp_port": port}));
                        assert!([0, 409].contains(&status(&answer)), "{answer}");
                        last = if status(&answer) == 0 { Some(*port) } else { last };
                    }
                    last
                })
            })
            .collect();
        settled.extend(works.into_iter().filter_map(|work| work.join().unwrap()));
    });
    let now = plugins.each_mut().map(configured_port);
    assert!(now[0] == now[1] && settled.contains(&now[0]), "{now:?} is not among {settled:?}");
    let others = ports.iter().flatten().chain([&first]).filter(|port| **port != now[0]);
    assert!(
        is_open(now[0]) && others.into_iter().all(|port| is_closed(*port)),
        "more or less than {} is open",
        now[0]
    );
}

// Running, as the kernel tells it.

#[test]
fn every_plugin_of_the_machine_sees_what_another_one_did() {
    let sandbox = Sandbox::new();
    let [mut one, mut other] = [sandbox.plugin(), sandbox.plugin()];
    assert_eq!(other.payload("isRunning", Value::Null), false);
    let port = sandbox.run(&mut one, TLS_YES);
    assert_eq!(other.payload("isRunning", Value::Null), true);
    assert_eq!(other.payload("listPortNumbersArray", Value::Null), json!([port]));
    other.succeed("stop", Value::Null);
    assert_eq!(one.payload("isRunning", Value::Null), false);
}

#[test]
fn another_program_on_the_port_is_not_the_service() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
    assert_eq!(plugin.payload("listServiceInfo", Value::Null)["is_running"], 0);
}

#[test]
fn another_program_that_takes_the_port_of_a_dead_listener_is_not_the_service() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert_eq!(plugin.payload("isRunning", Value::Null), true);
    kill_listeners(port);
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
}

#[test]
fn a_listener_that_died_is_not_running() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    kill_listeners(port);
    assert_eq!(plugin.payload("isRunning", Value::Null), false);
}

#[test]
fn the_plugin_that_started_a_listener_notices_that_it_has_died_soon_after() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    listeners(port).into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
    let watched = || sandbox.history().into_iter().find(|line| line["action"] == "watch");
    eventually(PATIENCE, "the history has it", || watched().is_some());
    let line = watched().unwrap();
    assert_eq!((&line["input"], &line["status"]), (&json!("start"), &json!(503)));
    let outcome = line["outcome"].as_str().unwrap();
    assert!(outcome.contains(&format!("the listener on port {port} has ended")), "{outcome}");
}

#[test]
fn the_status_says_why_a_listener_is_down() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    kill_listeners(port);
    let mut status = || plugin.payload("queryStatus", Value::Null);
    let ended = status();
    assert_eq!((&ended["is_running"], &ended["wanted"]), (&json!(0), &json!("running")), "{ended}");
    let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let taken = status();
    assert_eq!(taken["reason"], "port_held", "{taken}");
    assert!(taken["sentence"].as_str().unwrap().contains(&std::process::id().to_string()), "{taken}");
    drop(held);
    sandbox.write_mta_config(b"# nothing of ours\n");
    assert_eq!((&ended["reason"], &status()["reason"]), (&json!("ended"), &json!("entry_missing")));
}

#[test]
fn the_status_tells_who_is_connected_and_which_nodes_there_are() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let _session = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // The proof's own sessions may still be ending.
    eventually(PATIENCE, "the session is counted", || {
        plugin.payload("queryStatus", Value::Null)["sessions"] == 1
    });
    let now = plugin.payload("queryStatus", Value::Null);
    assert!(now["node"].is_string() && now["nodes"] == json!([]), "{now}");
    plugin.succeed("stop", Value::Null);
    assert_eq!(plugin.payload("queryStatus", Value::Null)["sessions"], Value::Null);
}

#[test]
fn the_status_tells_what_somebody_has_changed_of_ours() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let (path, ours) = (sandbox.mta_config(), fs::read(sandbox.mta_config()).unwrap());
    let mut drift = |probe: u8| plugin.payload("queryStatus", json!({ "probe": probe }))["drift"].take();
    let of = |what: &str| json!([{ "path": path.to_str().unwrap(), "what": what }]);
    assert_eq!((drift(0), drift(1)), (json!([]), json!([])));
    let text = String::from_utf8(ours.clone()).unwrap();
    sandbox.write_mta_config(text.replace(TLS_YES, TLS_OPTIONAL).as_bytes());
    assert_eq!((drift(0), drift(1)), (of("changed"), of("changed")));
    // What tells neither port nor mode is only seen byte by byte.
    sandbox.write_mta_config(text.replace("[listener]", "[listener] # mine").as_bytes());
    assert_eq!((drift(0), drift(1)), (json!([]), of("changed")));
    sandbox.write_mta_config(b"# nothing of ours\n");
    assert_eq!((drift(0), drift(1)), (of("missing"), of("missing")));
    sandbox.write_mta_config(&ours);
    plugin.succeed("stop", Value::Null);
    sandbox.write_mta_config(&ours);
    let mut drift = |probe: u8| plugin.payload("queryStatus", json!({ "probe": probe }))["drift"].take();
    assert_eq!((drift(0), drift(1)), (of("unexpected"), of("unexpected")));
}

#[test]
fn a_probe_tells_what_clients_are_answered_and_which_certificate_they_are_shown() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert_eq!(plugin.payload("queryStatus", Value::Null)["probe"], Value::Null, "it was not asked for");
    let now = plugin.payload("queryStatus", json!({ "probe": 1 }));
    assert_eq!(now["mta"]["version"], env!("CARGO_PKG_VERSION"));
    let places = now["probe"].as_array().unwrap();
    assert_eq!(places.len(), addresses(port).len(), "{now}");
    for place in places {
        assert_eq!((&place["outcome"], &place["starttls"]), (&json!("fits"), &json!(1)), "{place}");
        assert_eq!(place["auth_before_tls"], json!([]), "{place}");
        assert!(place["auth_after_tls"].as_array().unwrap().contains(&json!("PLAIN")), "{place}");
        let certificate = &place["certificate"];
        assert_eq!(
            (&certificate["is_self_signed"], &certificate["on_disk"]),
            (&json!(1), &json!("same")),
            "{place}"
        );
        assert!(certificate["days_left"].as_i64().unwrap() > 0, "{place}");
    }
    let mut newer = rcgen::CertificateParams::new(vec!["mail.example.com".to_owned()]).unwrap();
    newer.not_before = rcgen::date_time_ymd(2030, 1, 1);
    let newer = newer.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    fs::write(sandbox.mta_config().with_file_name("certificate.pem"), newer.pem()).unwrap();
    let now = plugin.payload("queryStatus", json!({ "probe": 1 }));
    assert_eq!(now["probe"][0]["certificate"]["on_disk"], "newer", "{now}");
    assert!(!sandbox.state().join("probed").exists(), "nothing is left of it");
}

#[test]
fn a_probe_of_a_listener_that_hangs_holds_up_no_read() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let frozen: Vec<_> = listeners(port).into_iter().map(Frozen::freeze).collect();
    let probe = plugin.post("queryStatus", json!({ "probe": 1 }));
    assert_eq!(plugin.payload("isRunning", Value::Null), true, "answered before the probe");
    drop(frozen);
    let reply = plugin.receive_reply(probe);
    assert_eq!(reply["result"]["payload"]["probe"][0]["outcome"], "fits", "{reply}");
}

#[test]
fn a_plan_tells_all_that_would_refuse_an_action_and_the_action_the_first() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let held = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = held.local_addr().unwrap().port();
    let plan = plugin.payload("queryPlan", json!({ "action": "update", "alternate_smtp_port": port }));
    let fields: Vec<&Value> = plan["refusals"].as_array().unwrap().iter().map(|one| &one["field"]).collect();
    assert_eq!(fields, ["auth_mode", "alternate_smtp_port"], "{plan}");
    let answer = plugin.call("update", json!({ "alternate_smtp_port": port }));
    assert_eq!(refused_fields(&answer), ["auth_mode"]);
}

#[test]
fn a_plan_says_what_of_ours_was_edited_and_how_many_sessions_stand() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let _session = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let config = fs::read_to_string(sandbox.mta_config()).unwrap();
    sandbox.write_mta_config(config.replace("[listener]", "[listener] # mine").as_bytes());
    eventually(PATIENCE, "the session is counted", || {
        plugin.payload("queryPlan", json!({ "action": "restart" }))["sessions"] != json!(0)
    });
    let plan = plugin.payload("queryPlan", json!({ "action": "restart" }));
    assert_eq!(plan["warnings"][0]["kind"], "edit_rewritten", "{plan}");
    assert_eq!(plan["files"][0]["writes"], 2, "{plan}");
}

#[test]
fn the_history_answers_the_latest_changes_and_what_failed_alone() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    assert_eq!(plugin.payload("queryHistory", Value::Null), json!([]));
    plugin.call("start", Value::Null);
    sandbox.run(&mut plugin, TLS_YES);
    let mut actions = |params: Value| -> Vec<Value> {
        let changes = plugin.payload("queryHistory", params);
        changes.as_array().unwrap().iter().map(|change| change["action"].clone()).collect()
    };
    assert_eq!(actions(Value::Null), ["start", "update", "start"]);
    assert_eq!(actions(json!({ "limit": 1 })), ["start"]);
    assert_eq!(actions(json!({ "failed": 1 })), ["start"]);
}

#[test]
fn a_listener_that_died_stays_dead_until_it_is_started() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    kill_listeners(port);
    plugin.end();
    let mut next = sandbox.plugin();
    assert_eq!((next.payload("isRunning", Value::Null), is_closed(port)), (json!(false), true));
    next.succeed("start", Value::Null);
    assert!(is_open(port));
}

#[test]
fn a_listener_that_hangs_holds_up_no_read() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let _frozen: Vec<_> = listeners(port).into_iter().map(Frozen::freeze).collect();
    assert_eq!(plugin.payload("isRunning", Value::Null), true);
}

#[test]
fn stopping_a_listener_that_hangs_is_success_only_if_the_port_is_closed() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let mut hasty = sandbox.hasty(3);
    let _frozen: Vec<_> = listeners(port).into_iter().map(Frozen::freeze).collect();
    let answer = hasty.call("stop", Value::Null);
    assert_eq!(answer == success(), is_closed(port), "{answer}");
}

#[test]
fn updating_a_listener_that_hangs_is_success_only_if_the_new_port_is_open() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let old = sandbox.run(&mut plugin, TLS_YES);
    let new = sandbox.port();
    let mut hasty = sandbox.hasty(3);
    let frozen: Vec<_> = listeners(old).into_iter().map(Frozen::freeze).collect();
    let answer = hasty.call("update", json!({"alternate_smtp_port": new}));
    drop(frozen);
    let now = configured_port(&mut plugin);
    assert_eq!((now, answer == success()), if is_open(new) { (new, true) } else { (old, false) }, "{answer}");
}

#[test]
fn what_cannot_be_seen_for_want_of_privilege_is_never_called_stopped() {
    if !is_root() {
        return skip("only root can run a service that the plugin may not see");
    }
    let Some(theirs) = Sandbox::unprivileged() else { return };
    let ours = Sandbox::new();
    ours.run(&mut ours.plugin(), TLS_YES);
    let mut blind = theirs.launch_ephemeral().arg("--state-dir").arg(ours.state()).spawn();
    failure(&blind.call("isRunning", Value::Null), 403);
}

// Conflicts.

#[test]
fn a_port_held_by_another_program_is_a_conflict_that_names_it() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let answer = plugin.call("start", Value::Null);
    let told = failure(&answer, 409);
    assert!(names_number(told, std::process::id()), "no pid {} in {told}", std::process::id());
    assert!(told.contains(&name(std::process::id())), "no {} in {told}", name(std::process::id()));
}

#[test]
fn a_port_held_on_any_of_our_addresses_is_a_conflict() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let port = sandbox.port();
    let wildcards = ["0.0.0.0", "::"].map(|host| (host.parse::<std::net::IpAddr>().unwrap(), port).into());
    for address in addresses(port).into_iter().chain(wildcards) {
        let Ok(_held) = TcpListener::bind(address) else { continue };
        let answer = plugin.call("update", json!({"alternate_smtp_port": port}));
        assert_eq!(status(&answer), 409, "{address}: {answer}");
    }
}

#[test]
fn a_stopped_service_is_not_given_a_port_that_another_program_holds() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    failure(&plugin.call("update", json!({"alternate_smtp_port": held.local_addr().unwrap().port()})), 409);
    assert_eq!(configured_port(&mut plugin), port);
}

#[test]
fn a_running_service_is_untouched_by_a_conflict() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let before = (listeners(port), snapshot(&sandbox.mta_config()), configured_port(&mut plugin));
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    failure(&plugin.call("update", json!({"alternate_smtp_port": held.local_addr().unwrap().port()})), 409);
    let after = (listeners(port), snapshot(&sandbox.mta_config()), configured_port(&mut plugin));
    assert!(before == after && is_open(port), "the running service was touched");
}

#[test]
fn a_lock_that_any_program_holds_is_a_conflict_that_names_its_pid() {
    let sandbox = Sandbox::with_config("[deadlines]\nlock = 1\n");
    let mut plugin = sandbox.plugin();
    let _lock = sandbox.hold_lock();
    let answer = plugin.call("update", json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}));
    let told = failure(&answer, 409);
    assert!(names_number(told, std::process::id()), "no pid {} in {told}", std::process::id());
}

#[test]
fn a_lock_that_another_plugin_holds_is_a_conflict_that_names_its_pid() {
    let sandbox = Sandbox::with_config("[deadlines]\nlock = 1\n");
    let [mut busy, mut other] = [sandbox.plugin(), sandbox.plugin()];
    sandbox.run(&mut busy, TLS_YES);
    let _frozen = freeze_in_a_change(&sandbox, &mut busy);
    let answer = other.call("stop", Value::Null);
    let told = failure(&answer, 409);
    assert!(names_number(told, busy.pid()), "no pid {} in {told}", busy.pid());
}

#[test]
fn a_lock_that_another_plugin_holds_says_for_which_action_and_since_when() {
    let sandbox = Sandbox::with_config("[deadlines]\nlock = 1\n");
    let [mut busy, mut other] = [sandbox.plugin(), sandbox.plugin()];
    sandbox.run(&mut busy, TLS_YES);
    let _frozen = freeze_in_a_change(&sandbox, &mut busy);
    let answer = other.call("stop", Value::Null);
    let (error, holder) = (&answer["error"], &answer["error"]["holder"]);
    assert_eq!(
        (&error["reason"], &error["retry"], &error["step"]),
        (&json!("lock_held"), &json!(true), &json!("lock"))
    );
    assert_eq!((&holder["pid"], &holder["action"]), (&json!(busy.pid()), &json!("update")), "{answer}");
    let since = holder["since"].as_str().unwrap();
    assert!(
        since.ends_with('Z') && text(&answer).contains(&format!(" for update, since {since};")),
        "{answer}"
    );
}

#[test]
fn the_status_tells_which_change_is_under_way_since_when_and_who_makes_it() {
    let sandbox = Sandbox::new();
    let [mut busy, mut other] = [sandbox.plugin(), sandbox.plugin()];
    sandbox.run(&mut busy, TLS_YES);
    let mut changing = || other.payload("queryStatus", Value::Null)["changing"].take();
    assert_eq!(changing(), Value::Null, "none is under way");
    let frozen = freeze_in_a_change(&sandbox, &mut busy);
    let now = changing();
    assert_eq!((&now["action"], &now["pid"]), (&json!("update"), &json!(busy.pid())), "{now}");
    assert!(now["since"].as_str().unwrap().ends_with('Z'), "{now}");
    drop(frozen);
    eventually(PATIENCE, "the change is over", || changing() == Value::Null);
}

#[test]
fn a_change_that_has_written_nothing_yet_is_under_way_too() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let lock = sandbox.hold_lock();
    // As another plugin notes it that has written nothing yet.
    fs::write(sandbox.lock(), format!("{}\nstart 2026-11-28T09:30:12Z\n", std::process::id())).unwrap();
    let now = plugin.payload("queryStatus", Value::Null)["changing"].take();
    assert_eq!(now, json!({"action": "start", "since": "2026-11-28T09:30:12Z", "pid": std::process::id()}));
    drop(lock);
}

#[test]
fn the_history_and_the_mail_server_tell_a_program_why() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    failure(&plugin.call("start", Value::Null), 412);
    let last = plugin.payload("queryHistory", json!({ "limit": 1 }))[0].take();
    assert_eq!((&last["status"], &last["reason"]), (&json!(412), &json!("never_configured")), "{last}");
    sandbox.configure(&mut plugin, TLS_YES);
    sandbox.alter_settings(|settings| settings["mta"] = json!("sendmail"));
    let mta = sandbox.plugin().payload("queryStatus", Value::Null)["mta"].take();
    assert_eq!((&mta["is_changeable"], mta["reason"].is_string()), (&json!(0), true), "{mta}");
    assert!(mta["why_not"].is_string(), "{mta}");
}

#[test]
fn a_change_whose_lock_is_freed_in_time_is_done() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let lock = sandbox.hold_lock();
    let id = plugin.post("update", json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}));
    plugin.assert_answers();
    drop(lock);
    assert_eq!(plugin.receive_reply(id)["result"], success());
}

#[test]
fn another_mta_than_the_one_that_was_configured_is_a_conflict() {
    let sandbox = Sandbox::new();
    sandbox.configure(&mut sandbox.plugin(), TLS_YES);
    sandbox.alter_settings(|settings| settings["mta"] = json!("postfix"));
    let mut plugin = sandbox.plugin();
    failure(&plugin.call("update", json!({"alternate_smtp_port": sandbox.port()})), 409);
    failure(&plugin.call("start", Value::Null), 409);
}

#[test]
fn a_port_that_may_not_be_bound_is_forbidden_and_2587_is_named() {
    let least = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    let least: u16 = least.trim().parse().unwrap();
    let Some(port) = (26..least).rev().find(|port| is_closed(*port)) else {
        return skip("every port may be bound here");
    };
    let Some(sandbox) = Sandbox::unprivileged() else { return };
    let answer = sandbox.plugin().call("update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
    let told = failure(&answer, 403);
    assert!(names_number(told, 2587), "{told}");
}

#[test]
fn the_sandbox_needs_no_root() {
    let Some(sandbox) = Sandbox::unprivileged() else { return };
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert_eq!((plugin.payload("isRunning", Value::Null), is_open(port)), (json!(true), true));
    plugin.succeed("stop", Value::Null);
    assert!(is_closed(port));
}

#[test]
fn a_state_directory_that_may_not_be_written_is_forbidden() {
    let Some(sandbox) = Sandbox::unprivileged() else { return };
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    fs::set_permissions(sandbox.state(), Permissions::from_mode(0o500)).unwrap();
    let answer = plugin.call("update", json!({"alternate_smtp_port": sandbox.port()}));
    fs::set_permissions(sandbox.state(), Permissions::from_mode(0o700)).unwrap();
    let told = failure(&answer, 403);
    assert!(told.contains("run the plugin as root"), "{told}");
}

// How long the listener lives.

#[test]
fn with_a_state_directory_the_listener_outlives_the_plugin_and_holds_none_of_its_pipes() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert_eq!(plugin.end().status.code(), Some(0));
    assert!(is_open(port));
}

#[test]
fn the_next_plugin_finds_what_the_last_one_left_running() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_OPTIONAL);
    plugin.end();
    let mut next = sandbox.plugin();
    assert_eq!(next.payload("isRunning", Value::Null), true);
    next.succeed("stop", Value::Null);
    assert!(is_closed(port));
}

#[test]
fn the_next_plugin_finds_what_the_last_one_left_stopped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_OPTIONAL);
    plugin.succeed("stop", Value::Null);
    plugin.end();
    let mut next = sandbox.plugin();
    assert_eq!((next.payload("isRunning", Value::Null), is_closed(port)), (json!(false), true));
    assert_eq!(configured_port(&mut next), port);
}

#[test]
fn without_a_state_directory_the_listener_ends_with_the_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch_ephemeral().spawn();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.end();
    eventually(PATIENCE, "the port is closed", || is_closed(port));
}

#[test]
fn without_a_state_directory_the_listener_ends_with_a_killed_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch_ephemeral().spawn();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.kill();
    eventually(PATIENCE, "the port is closed", || is_closed(port));
}

#[test]
fn without_a_state_directory_a_fresh_one_goes_with_the_plugin() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch_ephemeral().spawn();
    sandbox.run(&mut plugin, TLS_YES);
    plugin.end();
    eventually(PATIENCE, "the folder for temporary files is empty", || {
        fs::read_dir(sandbox.temporary()).unwrap().next().is_none()
    });
}

#[test]
fn without_a_state_directory_a_fresh_one_goes_with_a_plugin_that_was_told_to_end() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch_ephemeral().spawn();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.signal(Signal::SIGTERM);
    plugin.wait();
    eventually(PATIENCE, "the port is closed and the folder for temporary files is empty", || {
        is_closed(port) && fs::read_dir(sandbox.temporary()).unwrap().next().is_none()
    });
}

#[test]
fn two_plugins_without_a_state_directory_know_nothing_of_each_other() {
    let sandbox = Sandbox::new();
    let [mut one, mut other] = [sandbox.launch_ephemeral().spawn(), sandbox.launch_ephemeral().spawn()];
    sandbox.run(&mut one, TLS_YES);
    assert_eq!(other.payload("listPortNumbersArray", Value::Null), json!([""]));
}

#[test]
fn the_listener_ends_with_its_state_directory() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.end();
    fs::remove_dir_all(sandbox.state()).unwrap();
    eventually(PATIENCE, "the port is closed", || is_closed(port));
}

#[test]
fn the_sandbox_listens_on_loopback_only() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines().skip(1));
    let sockets: Vec<_> = rows
        .filter_map(|row| {
            let mut words = row.split_ascii_whitespace().skip(1);
            let (address, number) = words.next()?.split_once(':')?;
            (u16::from_str_radix(number, 16) == Ok(port) && words.nth(1)? == "0A").then_some(address)
        })
        .collect();
    let loopback = ["0100007F", "00000000000000000000000001000000"];
    assert!(
        sockets.len() == addresses(port).len() && sockets.iter().all(|address| loopback.contains(address)),
        "{sockets:?}"
    );
}

// What is written.

#[test]
fn the_settings_are_on_the_disk_when_success_is_written() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_OPTIONAL);
    let settings = sandbox.settings();
    let members = ["format", "mta", "port", "auth_mode", "wanted"].map(|member| settings[member].clone());
    assert_eq!(members, [json!(1), json!("sandbox"), json!(port), json!(TLS_OPTIONAL), json!("stopped")]);
}

#[test]
fn what_was_wanted_is_on_the_disk() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    assert_eq!(sandbox.settings()["wanted"], "running");
    plugin.succeed("stop", Value::Null);
    assert_eq!(sandbox.settings()["wanted"], "stopped");
}

#[test]
fn the_state_is_for_its_owner_alone() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&sandbox.state()), 0o700);
    for entry in fs::read_dir(sandbox.state()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        }
    }
}

#[test]
fn no_intent_is_left_after_a_change() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    for method in ["start", "restart", "stop"] {
        plugin.succeed(method, Value::Null);
        assert!(!sandbox.intent().exists(), "after {method}");
    }
}

#[test]
fn no_lock_is_held_after_a_change() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    drop(sandbox.hold_lock());
    plugin.end();
    drop(sandbox.hold_lock());
}

#[test]
fn a_change_leaves_one_line_in_the_history() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    plugin.succeed("stop", Value::Null);
    let actions: Vec<_> = sandbox.history().iter().map(|line| line["action"].clone()).collect();
    assert_eq!(actions, ["update", "start", "stop"]);
}

#[test]
fn a_line_of_the_history_says_when_what_from_to_how_and_how_long() {
    let sandbox = Sandbox::new();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    for line in sandbox.history() {
        for member in ["time", "action", "input", "before", "after", "outcome", "duration"] {
            let found = line.as_object().unwrap().keys().any(|key| key.starts_with(member));
            assert!(found, "no {member} in {line}");
        }
    }
}

#[test]
fn a_line_of_the_history_says_who_asked_and_who_did_it() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    for id in [json!("an id"), json!(7)] {
        plugin.send_request(id, "start", Value::Null);
        assert_eq!(plugin.receive()["result"], success());
    }
    let history = sandbox.history();
    let requests: Vec<&Value> = history[1..].iter().map(|line| &line["request"]).collect();
    assert_eq!(requests, ["an id", "7"]);
    for line in history {
        assert_eq!(line["plugin"]["pid"], plugin.pid(), "{line}");
        assert_eq!(line["plugin"]["program"], "mail-smtp2", "{line}");
        assert_eq!(line["host"]["pid"], std::process::id(), "{line}");
        assert_eq!(line["host"]["uid"], line["plugin"]["uid"], "{line}");
        assert!(line["node"].is_string() && line["from"].is_null(), "{line}");
    }
}

#[test]
fn the_history_holds_the_input_of_a_change() {
    let sandbox = Sandbox::new();
    let port = sandbox.configure(&mut sandbox.plugin(), TLS_OPTIONAL);
    let input = sandbox.history()[0]["input"].clone();
    assert_eq!((&input["alternate_smtp_port"], &input["auth_mode"]), (&json!(port), &json!(TLS_OPTIONAL)));
}

#[test]
fn a_change_that_met_a_conflict_is_in_the_history_too() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let _held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    failure(&plugin.call("start", Value::Null), 409);
    let history = sandbox.history();
    assert_eq!(history.last().map(|line| &line["action"]), Some(&json!("start")), "{history:?}");
}

#[test]
fn refused_input_is_no_change_and_not_in_the_history() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let before = sandbox.history();
    assert_eq!(status(&plugin.call("update", json!({"alternate_smtp_port": 0}))), 11);
    assert_eq!(status(&plugin.call("stop", json!({"colour": 1}))), 11);
    assert_eq!(sandbox.history(), before);
    plugin.succeed("stop", Value::Null);
    assert_eq!(sandbox.history().last().map(|line| &line["refused"]), Some(&json!(2)), "it is counted");
}

#[test]
fn reads_are_not_in_the_history() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let before = sandbox.history();
    plugin.payload("isRunning", Value::Null);
    plugin.payload("queryUpdate", Value::Null);
    assert_eq!(sandbox.history(), before);
}

#[test]
fn a_long_history_is_rotated_and_one_old_one_kept() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let history = sandbox.state().join("history.jsonl");
    for _ in 0..3 {
        let line = format!("{}\n", json!({"action": "update", "filler": "x".repeat(1000)}));
        fs::write(&history, line.repeat(1100)).unwrap();
        plugin.succeed("update", json!({"alternate_smtp_port": sandbox.port()}));
        plugin.succeed("update", json!({"alternate_smtp_port": sandbox.port()}));
        assert!(fs::metadata(&history).unwrap().len() < 1_000_000, "the history was not rotated");
    }
    let files = fs::read_dir(sandbox.state()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(files.filter(|name| name.to_string_lossy().starts_with("history")).count(), 2);
}

#[test]
fn a_line_of_the_history_that_was_cut_short_swallows_no_other() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let history = sandbox.state().join("history.jsonl");
    let whole = fs::read_to_string(&history).unwrap();
    fs::write(&history, &whole[..whole.len() / 2]).unwrap();
    plugin.succeed("update", json!({"alternate_smtp_port": sandbox.port()}));
    let text = fs::read_to_string(&history).unwrap();
    let readable = text.lines().map(|line| serde_json::from_str::<Value>(line).is_ok());
    assert_eq!(readable.collect::<Vec<_>>(), [false, true], "{text}");
}

#[test]
fn a_history_that_cannot_be_written_holds_nothing_up_and_the_log_says_why() {
    let sandbox = Sandbox::new();
    sandbox.make_state();
    fs::create_dir(sandbox.state().join("history.jsonl")).unwrap();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let says_why = || plugin.stderr().contains("history.jsonl is a directory");
    eventually(PATIENCE, "the log says why", says_why);
}

// Bytes that are not ours.

#[test]
fn stop_takes_every_byte_of_ours_out_of_the_live_configuration() {
    for theirs in ["", "# one line\n", "# no end of line", "\n\n# é ü 漢 \t  \r\n#\n\n\n"] {
        let sandbox = Sandbox::new();
        sandbox.write_mta_config(theirs.as_bytes());
        let mut plugin = sandbox.plugin();
        sandbox.run(&mut plugin, TLS_YES);
        plugin.succeed("stop", Value::Null);
        assert_eq!(fs::read_to_string(sandbox.mta_config()).unwrap(), theirs);
    }
}

#[test]
fn the_administrators_lines_are_kept_while_the_service_runs() {
    let sandbox = Sandbox::new();
    let theirs = "# first  \n\n#\tsecond é\n";
    sandbox.write_mta_config(theirs.as_bytes());
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    let live = fs::read_to_string(sandbox.mta_config()).unwrap();
    assert!(live.starts_with(theirs), "{live}");
}

#[test]
fn what_the_administrator_adds_behind_our_block_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# before\n");
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let live = fs::read_to_string(sandbox.mta_config()).unwrap();
    fs::write(sandbox.mta_config(), format!("{live}# behind\n")).unwrap();
    plugin.succeed("update", json!({"alternate_smtp_port": sandbox.port()}));
    plugin.succeed("stop", Value::Null);
    assert_eq!(fs::read_to_string(sandbox.mta_config()).unwrap(), "# before\n# behind\n");
}

#[test]
fn the_mode_of_the_administrators_file_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# mine\n");
    fs::set_permissions(sandbox.mta_config(), Permissions::from_mode(0o640)).unwrap();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    assert_eq!(fs::metadata(sandbox.mta_config()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn the_owner_of_the_administrators_file_is_kept() {
    if !is_root() {
        return skip("only root can give a file away");
    }
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# mine\n");
    std::os::unix::fs::chown(sandbox.mta_config(), None, Some(65534)).unwrap();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    assert_eq!(fs::metadata(sandbox.mta_config()).unwrap().gid(), 65534);
}

#[test]
fn a_symlink_stays_one_and_its_target_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# mine\n");
    let target = sandbox.base().join("elsewhere.toml");
    fs::rename(sandbox.mta_config(), &target).unwrap();
    symlink(&target, sandbox.mta_config()).unwrap();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert!(is_open(port) && fs::read_link(sandbox.mta_config()).is_ok_and(|link| link == target));
    assert!(
        fs::read_to_string(&target).unwrap().contains("# BEGIN mail-smtp2"),
        "the target was not written"
    );
    plugin.succeed("stop", Value::Null);
    assert_eq!(fs::read(&target).unwrap(), b"# mine\n");
}

#[test]
fn a_change_leaves_no_file_beside_the_administrators() {
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# mine\n");
    let target = sandbox.base().join("elsewhere");
    fs::create_dir(&target).unwrap();
    fs::rename(sandbox.mta_config(), target.join("real.toml")).unwrap();
    symlink(target.join("real.toml"), sandbox.mta_config()).unwrap();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    assert_eq!(fs::read_dir(target).unwrap().count(), 1);
}

#[test]
fn an_edited_block_is_still_ours_and_its_old_bytes_are_kept() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let live = fs::read_to_string(sandbox.mta_config()).unwrap();
    let edited = live.replace("# END mail-smtp2", "# edited by hand\n# END mail-smtp2");
    fs::write(sandbox.mta_config(), edited).unwrap();
    let new = sandbox.port();
    plugin.succeed("update", json!({"alternate_smtp_port": new}));
    assert!(is_open(new));
    assert!(
        !fs::read_to_string(sandbox.mta_config()).unwrap().contains("# edited by hand"),
        "it was not rewritten"
    );
    assert!(is_kept_somewhere(&sandbox, &sandbox.state(), "edited by hand"), "the old bytes are lost");
}

#[test]
fn an_edited_block_is_taken_out_by_stop() {
    let sandbox = Sandbox::new();
    sandbox.write_mta_config(b"# mine\n");
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let live = fs::read_to_string(sandbox.mta_config()).unwrap();
    fs::write(sandbox.mta_config(), live.replace("# END mail-smtp2", "# edited by hand\n# END mail-smtp2"))
        .unwrap();
    plugin.succeed("stop", Value::Null);
    assert_eq!(fs::read(sandbox.mta_config()).unwrap(), b"# mine\n");
}

#[test]
fn a_listener_without_our_mark_is_a_conflict_and_not_touched() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let theirs = our_block(&sandbox);
    plugin.succeed("stop", Value::Null);
    fs::write(sandbox.mta_config(), &theirs).unwrap();
    failure(&plugin.call("start", Value::Null), 409);
    assert_eq!(fs::read_to_string(sandbox.mta_config()).unwrap(), theirs);
}

#[test]
fn a_configuration_that_is_already_broken_is_refused_and_not_touched() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let broken = b"this is [ no TOML\n";
    sandbox.write_mta_config(broken);
    failure(&plugin.call("start", Value::Null), 422);
    assert!(fs::read(sandbox.mta_config()).unwrap() == broken && is_closed(port));
}

#[test]
fn an_update_of_a_stopped_service_does_not_mind_a_broken_configuration() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    sandbox.write_mta_config(b"this is [ no TOML\n");
    plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
}

// State that is lost, of another mail server or new.

#[test]
fn settings_that_were_lost_are_read_from_our_block() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_OPTIONAL);
    plugin.end();
    fs::remove_file(sandbox.state().join("settings.json")).unwrap();
    let mut next = sandbox.plugin();
    let settings = next.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL}));
    assert_eq!(next.payload("isRunning", Value::Null), true);
}

#[test]
fn a_service_whose_settings_were_lost_can_be_stopped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.end();
    fs::remove_file(sandbox.state().join("settings.json")).unwrap();
    let mut next = sandbox.plugin();
    next.succeed("stop", Value::Null);
    assert!(is_closed(port));
    assert_eq!(configured_port(&mut next), port);
}

#[test]
fn reads_are_answered_from_the_state_of_a_newer_version() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    plugin.end();
    sandbox.alter_settings(|settings| settings["format"] = json!(98765));
    let mut next = sandbox.plugin();
    assert_eq!(next.payload("isRunning", Value::Null), true);
    assert_eq!(next.payload("listPortNumbersArray", Value::Null), json!([port]));
}

#[test]
fn changes_to_the_state_of_a_newer_version_name_both_versions() {
    let sandbox = Sandbox::new();
    sandbox.configure(&mut sandbox.plugin(), TLS_YES);
    sandbox.alter_settings(|settings| settings["format"] = json!(98765));
    let before = sandbox.settings();
    let mut plugin = sandbox.plugin();
    for (method, params) in [
        ("update", json!({"alternate_smtp_port": sandbox.port()})),
        ("start", json!({})),
        ("stop", json!({})),
        ("restart", json!({})),
    ] {
        let answer = plugin.call(method, params);
        let told = failure(&answer, 500);
        assert!(names_number(told, 98765) && names_number(told, 1), "{method}: {told}");
    }
    assert_eq!(sandbox.settings(), before);
}

// A plugin that died in a change.

#[test]
fn after_a_death_in_a_change_the_next_plugin_tells_the_truth() {
    let sandbox = killed_in_a_change("");
    let mut next = sandbox.plugin();
    let port = configured_port(&mut next);
    assert_eq!((next.payload("isRunning", Value::Null), is_open(port)), (json!(true), true));
}

#[test]
fn after_a_death_in_a_change_the_next_change_succeeds() {
    let sandbox = killed_in_a_change("");
    let mut next = sandbox.plugin();
    let port = sandbox.port();
    next.succeed("update", json!({"alternate_smtp_port": port}));
    assert!(is_open(port) && !sandbox.intent().exists());
}

#[test]
fn recovery_does_not_wait_for_a_request() {
    let sandbox = killed_in_a_change("");
    let _next = sandbox.plugin();
    eventually(PATIENCE, "the intent is gone", || !sandbox.intent().exists());
}

#[test]
fn an_intent_whose_owner_may_be_alive_holds_up_no_read() {
    let sandbox = killed_in_a_change("[deadlines]\nlock = 300\n");
    let lock = sandbox.hold_lock();
    let mut next = sandbox.plugin();
    for method in ["isRunning", "listPortNumbers", "listServiceInfo", "queryUpdate"] {
        next.payload(method, Value::Null);
    }
    assert!(sandbox.intent().exists(), "somebody else's change was recovered");
    drop(lock);
}

#[test]
fn a_plugin_that_hangs_in_a_change_holds_up_no_read_of_another() {
    let sandbox = Sandbox::new();
    let mut busy = sandbox.plugin();
    sandbox.run(&mut busy, TLS_YES);
    let _frozen = freeze_in_a_change(&sandbox, &mut busy);
    let mut other = sandbox.plugin();
    for method in ["isRunning", "listPortNumbers", "listServiceInfo", "queryUpdate"] {
        other.payload(method, Value::Null);
    }
}

#[test]
fn a_change_that_was_held_up_ends_well() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    drop(freeze_in_a_change(&sandbox, &mut plugin));
    plugin.succeed("stop", Value::Null);
    let port = configured_port(&mut plugin);
    assert!(is_closed(port) && !sandbox.intent().exists());
}

#[test]
fn a_block_that_cannot_be_understood_is_not_forgotten_when_the_settings_are_lost() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.run(&mut plugin, TLS_YES);
    let garbled = fs::read_to_string(sandbox.mta_config()).unwrap().replace("port", "prot");
    fs::write(sandbox.mta_config(), &garbled).unwrap();
    fs::remove_file(sandbox.state().join("settings.json")).unwrap();
    let told = plugin.call("stop", Value::Null);
    assert!(failure(&told, 422).contains("sandbox.toml"), "{told}");
    assert_eq!(fs::read_to_string(sandbox.mta_config()).unwrap(), garbled);
}

#[test]
fn a_listener_that_was_faulty_before_a_failed_change_can_still_be_stopped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    // The listener serves the other mode than the settings say: it is odd from now on.
    sandbox.alter_settings(|settings| settings["auth_mode"] = TLS_OPTIONAL.into());
    let taken = std::net::TcpListener::bind(("127.0.0.1", sandbox.port())).unwrap();
    let held = json!({"alternate_smtp_port": taken.local_addr().unwrap().port()});
    failure(&plugin.call("update", held), 409);
    plugin.succeed("stop", Value::Null);
    assert!(is_closed(port));
}
