//! A service directory that the administrator has made: what the plugin relies on in it, writes into it and gives back.

use super::{Daemontools, Qmail, SMTP2, Supervisor};
use crate::subject::{
    Subject, calm_pulse, on, on_configured, plugin_of, running, settings, snapshot, start, stopped,
};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure};
use serde_json::{Value, json};
use std::fs;

under_both!(
    values_are_written_one_a_line_and_a_down_file_stands_while_stopped,
    what_the_listener_shows_its_clients_is_told_with_success,
    remove_puts_every_byte_back_as_it_was,
    remove_gives_back_the_file_that_keeps_it_down_as_it_was,
    a_value_behind_a_link_is_written_where_it_lies,
    a_value_that_was_edited_is_kept_when_it_is_rewritten,
    the_first_update_leaves_a_service_that_runs_as_it_is,
    a_first_start_that_fails_gives_the_listener_back_that_ran,
    a_script_that_does_not_read_our_variables_is_501_and_nothing_is_touched,
    a_script_that_others_may_write_is_403,
    a_script_that_ignores_the_port_is_found_out_and_taken_back,
    a_script_that_ignores_the_mode_is_found_out_and_taken_back,
    with_no_directory_and_no_template_it_is_501_that_says_where_it_looked,
    settings_that_were_lost_are_given_anew_and_the_service_goes_on,
    without_qmail_send_it_is_503,
);

/// Every file of the service directory but the supervisor's, with all that a write would change.
#[track_caller]
fn tree<S: Supervisor>(machine: &Qmail<S>) -> Vec<(String, Option<crate::subject::FileState>)> {
    let names = machine.sh(&format!("cd {SMTP2}; find . -name supervise -prune -o -type f -print | sort"));
    names.lines().map(|name| (name.to_owned(), snapshot(&machine.smtp2(name)))).collect()
}

/// Names and bytes of the same files.
#[track_caller]
fn bytes<S: Supervisor>(machine: &Qmail<S>) -> Vec<(String, Vec<u8>)> {
    tree(machine)
        .into_iter()
        .map(|(name, _)| (name.clone(), fs::read(machine.smtp2(&name)).unwrap()))
        .collect()
}

fn values_are_written_one_a_line_and_a_down_file_stands_while_stopped<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let value = |name: &str| fs::read_to_string(machine.smtp2(&format!("env/{name}"))).unwrap();
        assert_eq!(value("PORT"), format!("{port}\n"));
        assert_eq!((value("SMTPAUTH"), value("FORCETLS")), ("!\n".to_owned(), "1\n".to_owned()));
        assert!(!machine.smtp2("down").exists());
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        assert_eq!(value("FORCETLS"), "0\n");
        plugin.succeed("stop", Value::Null);
        assert!(machine.smtp2("down").exists());
    });
}

fn what_the_listener_shows_its_clients_is_told_with_success<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let plan = plugin.payload("queryPlan", json!({ "action": "start" }));
        let warnings = plan["warnings"].as_array().unwrap();
        // Of the port alone something is known before.
        assert!(warnings.iter().all(|warning| warning["kind"] == "firewall_closed"), "{warnings:?}");
        let run = machine.launch().args(&["call", "start"]).run();
        let told = run.stderr.matches("self-signed").count();
        assert_eq!((run.code, told), (Some(0), 1), "{}", run.stderr);
    });
}

fn remove_puts_every_byte_back_as_it_was<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let before = bytes(machine);
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("update", settings(machine.port(), TLS_OPTIONAL));
        plugin.end();
        let run = machine.launch().arg("remove").run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(bytes(machine), before);
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn a_folder_of_values_that_was_not_there_goes_again_and_one_that_was_stays() {
    on::<Qmail<Daemontools>>(|machine| {
        let is_there = || machine.smtp2("env").is_dir();
        machine.sh(&format!("cd {SMTP2}; rm -r env; sed -i 's/exec tcpserver/exec true tcpserver/' run"));
        let (mut plugin, _) = stopped(machine, TLS_YES);
        failure(&plugin.call("start", Value::Null), 520);
        assert!(!is_there(), "a start that failed has left it");
        machine.sh(&format!("sed -i 's/exec true/exec/' {SMTP2}/run"));
        plugin.succeed("start", Value::Null);
        let remove = || {
            let run = machine.launch().arg("remove").run();
            assert_eq!(run.code, Some(0), "{}", run.stderr);
        };
        // Somebody else's value stays, and so does its folder.
        machine.sh(&format!("echo x >{SMTP2}/env/OTHER"));
        remove();
        assert_eq!(machine.sh(&format!("ls {SMTP2}/env")), "OTHER\n");
        for was_there in [false, true] {
            machine.sh(&format!("cd {SMTP2}; rm -rf env; ! {was_there} || mkdir env"));
            plugin.succeed("update", settings(machine.port(), TLS_YES));
            plugin.succeed("start", Value::Null);
            remove();
            assert_eq!(is_there(), was_there);
        }
    });
}

fn remove_gives_back_the_file_that_keeps_it_down_as_it_was<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!("cd {SMTP2}; echo switched off by hand >down; chown 7:8 down; chmod 640 down"));
        let look = || machine.sh(&format!("stat -c '%u %g %a' {SMTP2}/down; cat {SMTP2}/down"));
        let before = look();
        // Once where the service runs, once where it is stopped, and once where it never started.
        for verbs in [&["start"][..], &["start", "stop"], &[]] {
            let (mut plugin, _) = stopped(machine, TLS_YES);
            verbs.iter().for_each(|verb| plugin.succeed(verb, Value::Null));
            plugin.end();
            let run = machine.launch().arg("remove").run();
            assert_eq!(run.code, Some(0), "{}", run.stderr);
            assert_eq!(look(), before, "{verbs:?}");
        }
    });
}

fn a_value_behind_a_link_is_written_where_it_lies<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!(
            "cd {SMTP2}/env; mkdir ../values; mv PORT ../values/port; ln -s ../values/port PORT"
        ));
        let (_plugin, port) = running(machine, TLS_YES);
        assert!(fs::symlink_metadata(machine.smtp2("env/PORT")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(machine.smtp2("values/port")).unwrap(), format!("{port}\n"));
    });
}

fn a_value_that_was_edited_is_kept_when_it_is_rewritten<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        fs::write(machine.smtp2("env/PORT"), "2600 # for the branch office\n").unwrap();
        plugin.succeed("restart", Value::Null);
        assert!(is_open(port));
        let kept: Vec<_> = fs::read_dir(machine.state().join("edited")).unwrap().collect();
        let kept = fs::read_to_string(kept.into_iter().next().unwrap().unwrap().path()).unwrap();
        assert_eq!(kept, "2600 # for the branch office\n");
    });
}

/// The administrator's own listener runs on this port.
#[track_caller]
fn administrators_listener<S: Supervisor>(machine: &Qmail<S>, port: u16) {
    machine.sh(&format!(
        "cd {SMTP2}; echo {port} >env/PORT; echo '!' >env/SMTPAUTH; rm down; printf u >supervise/control"
    ));
    crate::support::eventually(crate::support::PATIENCE, "the listener is up", || is_open(port));
}

fn the_first_update_leaves_a_service_that_runs_as_it_is<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        administrators_listener(machine, 587);
        let look = || (tree(machine), calm_pulse(machine, 587));
        let before = look();
        let mut plugin = plugin_of(machine);
        plugin.succeed("update", settings(587, TLS_YES));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        assert!(before == look() && is_open(587));
        plugin.succeed("start", Value::Null);
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(587));
    });
}

fn a_first_start_that_fails_gives_the_listener_back_that_ran<S: Supervisor>() {
    on_configured::<Qmail<S>>("[deadlines]\nchange = 12\n", |machine| {
        // It reads the port, and has the policy from elsewhere.
        machine.sh(&format!("cd {SMTP2}; sed -i 's/exec tcpserver/unset SMTPAUTH; exec tcpserver/' run"));
        administrators_listener(machine, 2600);
        let before = bytes(machine);
        let mut plugin = plugin_of(machine);
        plugin.succeed("update", settings(2601, TLS_YES));
        failure(&plugin.call("start", Value::Null), 520);
        assert!(is_open(2600) && is_closed(2601));
        assert_eq!(bytes(machine), before);
    });
}

#[track_caller]
fn with_script<S: Supervisor>(machine: &Qmail<S>, script: &str) {
    fs::write(machine.smtp2("run"), format!("#!/bin/sh\nexec 2>&1\n{script}\n")).unwrap();
}

fn a_script_that_does_not_read_our_variables_is_501_and_nothing_is_touched<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        with_script(machine, "# envdir ./env and $PORT are for another day\nexec tcpserver 0 587 true");
        let before = tree(machine);
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 501);
        assert!(told.contains("/smtp2/run") && told.contains("envdir"), "{told}");
        with_script(machine, "exec envdir ./env chpst -e ./env tcpserver 0 587 true");
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 501).contains("$PORT"), "{answer}");
        assert_eq!(before.len(), tree(machine).len());
        plugin.succeed("stop", Value::Null);
    });
}

fn a_script_that_others_may_write_is_403<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(&format!("chmod 777 {SMTP2}/run"));
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 403).contains("may be written by others"), "{answer}");
        assert!(is_closed(port));
    });
}

fn a_script_that_ignores_the_port_is_found_out_and_taken_back<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let run = fs::read_to_string(machine.smtp2("run")).unwrap();
        fs::write(machine.smtp2("run"), run.replace("0 \"$PORT\"", "0 \"${PORT:+2626}\"")).unwrap();
        let before = bytes(machine);
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 520);
        assert!(told.contains("tcpserver") && told.contains(&port.to_string()), "{told}");
        assert_eq!(bytes(machine), before);
        assert!(is_closed(port) && is_closed(2626));
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
    });
}

fn a_script_that_ignores_the_mode_is_found_out_and_taken_back<S: Supervisor>() {
    on_configured::<Qmail<S>>("[deadlines]\nchange = 12\n", |machine| {
        machine.sh(&format!("cd {SMTP2}; sed -i 's/exec tcpserver/FORCETLS=0 exec tcpserver/' run"));
        let before = bytes(machine);
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 520).contains("AUTH"), "{answer}");
        assert_eq!(bytes(machine), before);
        assert!(is_closed(port));
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        plugin.succeed("start", Value::Null);
    });
}

fn with_no_directory_and_no_template_it_is_501_that_says_where_it_looked<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!("rm {}/smtp2; rm -r {SMTP2}", S::SERVICES));
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 501);
        for named in ["/service/smtp2", "/etc/service/smtp2", SMTP2, "template", "[mta.qmail]"] {
            assert!(told.contains(named), "no {named} in {told}");
        }
        plugin.succeed("stop", Value::Null);
    });
}

fn settings_that_were_lost_are_given_anew_and_the_service_goes_on<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        fs::remove_file(machine.state().join("settings.json")).unwrap();
        let mut next = plugin_of(machine);
        assert_eq!(next.payload("isRunning", Value::Null), false);
        failure(&next.call("start", Value::Null), 412);
        assert!(is_open(port));
        start(&mut next, port, TLS_YES);
        next.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

fn without_qmail_send_it_is_503<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        machine.sh("printf d >/var/qmail/supervise/send/supervise/control; while pidof qmail-send; do sleep 0.01; done");
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 503).contains("qmail-send"), "{answer}");
        assert!(is_closed(port));
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        plugin.succeed("stop", Value::Null);
    });
}
