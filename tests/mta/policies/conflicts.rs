//! Ports that are not to be had: refused before anything is touched, with the holder named (schema/README.md,
//! "Actions", "Status numbers").

use crate::subject::{
    Squatter, Subject, calm_pulse, on, policies, rounds, running, settings, snapshot, stopped,
};
use crate::support::plugin::Plugin;
use crate::support::sandbox::addresses;
use crate::support::smtp::{Session, is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, eventually, failure, names_number};
use serde_json::{Value, json};
use std::io::Read;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};

policies! {
    a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder,
    a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder,
    a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder,
    a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder,
    a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder,
    a_port_taken_after_update_is_a_conflict_of_start,
    another_program_on_the_port_is_not_running,
    a_session_that_outlives_its_listener_is_no_conflict,
    what_is_left_of_closed_connections_is_no_conflict,
    its_own_old_sessions_do_not_keep_a_stopped_service_from_starting,
    the_primarys_own_port_is_refused_input,
}

fn a_port_held_on_ipv4_only_is_a_conflict_that_names_the_holder<S: Subject>() {
    a_held_port_is_a_conflict::<S>("0.0.0.0");
}

fn a_port_held_on_ipv6_only_is_a_conflict_that_names_the_holder<S: Subject>() {
    a_held_port_is_a_conflict::<S>("::");
}

fn a_port_held_on_one_ipv4_address_is_a_conflict_that_names_the_holder<S: Subject>() {
    a_held_port_is_a_conflict::<S>("127.0.0.1");
}

fn a_port_held_on_one_ipv6_address_is_a_conflict_that_names_the_holder<S: Subject>() {
    a_held_port_is_a_conflict::<S>("::1");
}

/// For MTAs that bind the wildcard: one of many loopback addresses is enough to keep them from it.
fn a_port_held_on_another_loopback_address_is_a_conflict_that_names_the_holder<S: Subject>() {
    a_held_port_is_a_conflict::<S>("127.0.0.2");
}

fn a_port_taken_after_update_is_a_conflict_of_start<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let squatter = Squatter::on(machine, addresses(port)[0]);
        let before = look(machine);
        names(&plugin.call("start", Value::Null), &squatter);
        names(&plugin.call("restart", Value::Null), &squatter);
        assert!(before == look(machine), "something was touched");
        drop(squatter);
        plugin.succeed("start", Value::Null);
    });
}

fn another_program_on_the_port_is_not_running<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let _squatter = Squatter::on(machine, addresses(port)[0]);
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert_eq!(plugin.payload("listServiceInfo", Value::Null)["is_running"], 0);
    });
}

fn a_session_that_outlives_its_listener_is_no_conflict<S: Subject>() {
    on::<S>(|machine| {
        let port = machine.port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (near, _) = listener.accept().unwrap();
        drop(listener);
        // What another test has just forked has it for a moment longer.
        eventually(PATIENCE, "nobody listens", || is_closed(port));
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, port, TLS_YES);
        assert!(is_open(port));
        drop((far, near));
    });
}

fn what_is_left_of_closed_connections_is_no_conflict<S: Subject>() {
    on::<S>(|machine| {
        let port = machine.port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        for _ in 0..20 {
            let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // The side that closes first keeps the port in TIME_WAIT.
            drop(listener.accept().unwrap());
            let _ = far.read(&mut [0]);
        }
        drop(listener);
        // What another test has just forked has it for a moment longer.
        eventually(PATIENCE, "nobody listens", || is_closed(port));
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, port, TLS_YES);
        assert!(is_open(port));
    });
}

fn its_own_old_sessions_do_not_keep_a_stopped_service_from_starting<S: Subject>() {
    on::<S>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        for round in 0..rounds().min(5) {
            let sessions: Vec<_> = addresses(port).into_iter().map(Session::open).collect();
            plugin.succeed("stop", Value::Null);
            plugin.succeed("start", Value::Null);
            assert!(is_open(port), "round {round}");
            drop(sessions);
        }
    });
}

fn the_primarys_own_port_is_refused_input<S: Subject>() {
    on::<S>(|machine| {
        let Some(primary) = S::PRIMARY else { return };
        let (mut plugin, port) = running(machine, TLS_YES);
        let before = look(machine);
        let answer = plugin.call("update", json!({"alternate_smtp_port": primary}));
        assert_eq!(crate::support::refused_fields(&answer), ["alternate_smtp_port"]);
        assert!(before == look(machine) && is_open(port) && is_open(primary));
    });
}

#[track_caller]
fn a_held_port_is_a_conflict<S: Subject>(host: &str) {
    on::<S>(|machine| {
        let host: IpAddr = host.parse().unwrap();
        if host.is_ipv6() && TcpListener::bind((host, 0)).is_err() {
            return crate::support::skip("no IPv6 on this machine");
        }
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let held = machine.port();
        let squatter = Squatter::on(machine, SocketAddr::new(host, held));
        refused_and_untouched(machine, &mut plugin, &squatter, held);
        plugin.succeed("start", Value::Null);
        refused_and_untouched(machine, &mut plugin, &squatter, held);
        assert!(is_open(port), "the running service was disturbed");
        assert_eq!(plugin.payload("queryUpdate", Value::Null), settings(port, TLS_YES));
    });
}

#[track_caller]
fn refused_and_untouched<S: Subject>(machine: &S, plugin: &mut Plugin, squatter: &Squatter, held: u16) {
    let before = look(machine);
    names(&plugin.call("update", json!({"alternate_smtp_port": held})), squatter);
    assert!(before == look(machine), "something was touched");
}

#[track_caller]
fn names(answer: &Value, squatter: &Squatter) {
    let told = failure(answer, 409);
    assert!(names_number(told, squatter.pid), "no pid {} in {told}", squatter.pid);
    assert!(told.contains(squatter.program), "no {} in {told}", squatter.program);
}

/// The administrator's files, the settings, and whether the primary was told anything.
fn look<S: Subject>(machine: &S) -> impl PartialEq + use<S> {
    let mut files = machine.administrators_files();
    files.push(machine.state().join("settings.json"));
    (
        files.iter().map(|file| snapshot(file)).collect::<Vec<_>>(),
        S::PRIMARY.map(|port| calm_pulse(machine, port)),
    )
}
