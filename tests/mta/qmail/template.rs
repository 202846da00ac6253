//! A service directory that is made from a template, and goes again.

use super::{GONE, Qmail, SMTP2, Supervisor};
use crate::subject::{Subject, in_network, kill_plugin, plugin_of, settings, start, stopped};
use crate::support::process::{as_pid, only_child};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::thread;
use std::time::Duration;

under_both!(
    it_is_made_supervised_and_taken_away,
    one_that_does_not_work_leaves_nothing,
    what_its_logger_has_written_goes_with_it,
    the_log_of_one_that_does_not_work_is_kept,
    a_plugin_that_dies_over_it_is_finished_or_undone,
    what_somebody_else_has_put_into_it_is_not_taken_away,
    one_that_is_no_template_is_501_and_says_why,
    one_that_is_not_roots_alone_ends_the_program,
);

const TEMPLATE: &str = "/etc/smtp2.template";

/// A machine without a service `smtp2`, and with a template for it.
fn on<S: Supervisor>(test: impl FnOnce(&Qmail<S>) + Send) {
    let Some(machine) = Qmail::<S>::fresh(&format!("[mta.qmail]\ntemplate = \"{TEMPLATE}\"\n")) else {
        return;
    };
    let tried = in_network(&machine, || {
        // A link of the administrator's to nothing would be in the way.
        machine.sh(&format!(
            "cp -a {SMTP2} {TEMPLATE}; rm -rf {TEMPLATE}/supervise; rm {}/smtp2; \
             printf x >{SMTP2}/supervise/control; {GONE}; rm -r {SMTP2}; mkdir {TEMPLATE}/doc; echo hello >{TEMPLATE}/doc/note",
            S::SERVICES
        ));
        test(&machine);
    });
    if let Err(panic) = tried {
        eprintln!(
            "--- the machine\n{}\n{}",
            machine.evidence(),
            machine.sh(&format!("ls -laR {}", S::SERVICES))
        );
        std::panic::resume_unwind(panic);
    }
}

fn dir<S: Supervisor>() -> String {
    format!("{}/smtp2", S::SERVICES)
}

/// All that stands where services are looked for.
fn services<S: Supervisor>(machine: &Qmail<S>) -> String {
    machine.sh(&format!("ls -A {}/", S::SERVICES))
}

fn it_is_made_supervised_and_taken_away<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        let (mut plugin, port) = stopped(machine, TLS_YES);
        assert_eq!(services(machine), before, "update made something");
        plugin.succeed("start", Value::Null);
        assert!(is_open(port));
        let made = machine.sh(&format!("cd {}; cat doc/note env/PORT", dir::<S>()));
        assert_eq!(made, format!("hello\n{port}\n"));
        plugin.succeed("update", settings(machine.port(), TLS_OPTIONAL));
        plugin.succeed("stop", Value::Null);
        plugin.succeed("start", Value::Null);
        plugin.end();
        let run = machine.launch().arg("remove").run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        // Nobody may begin anew in it when the services are looked through the next time.
        machine.sh("sleep 6");
        assert_eq!(services(machine), before);
        assert!(is_closed(port) && is_open(25));
        let lost = machine
            .sh("ps axo args | grep '^supervise smtp2' || true; ps axo args | grep '^runsv smtp2' || true");
        assert_eq!(lost, "", "a supervisor is left");
        assert!(!machine.state().exists());
    });
}

fn one_that_does_not_work_leaves_nothing<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        machine.sh(&format!("sed -i 's/exec tcpserver/unset SMTPAUTH; exec tcpserver/' {TEMPLATE}/run"));
        let (mut plugin, port) = stopped(machine, TLS_YES);
        failure(&plugin.call("start", Value::Null), 520);
        assert_eq!(services(machine), before);
        assert!(is_closed(port));
        machine.sh(&format!("sed -i 's/unset SMTPAUTH; //' {TEMPLATE}/run"));
        plugin.succeed("start", Value::Null);
    });
}

/// The template's script pipes its words into a logger of its own.
#[track_caller]
fn with_logger<S: Supervisor>(machine: &Qmail<S>) {
    let logger = super::failures::logger::<S>("./logs/main");
    machine.sh(&format!(
        "cd {TEMPLATE}; sed -i -e 's/^exec 2.*/mkdir -p logs\\/main/' -e \"\\$s,\\$, 2>\\&1 | {logger},\" run; cat run"
    ));
}

fn what_its_logger_has_written_goes_with_it<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        with_logger(machine);
        let mut plugin = plugin_of(machine);
        start(&mut plugin, machine.port(), TLS_YES);
        let written = machine.sh(&format!("ls {}/logs/main", dir::<S>()));
        assert!(written.contains("current"), "{written}");
        plugin.end();
        let run = machine.launch().arg("remove").run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(services(machine), before);
    });
}

fn the_log_of_one_that_does_not_work_is_kept<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        with_logger(machine);
        machine.sh(&format!("sed -i 's/exec tcpserver/exec tcp-server/' {TEMPLATE}/run"));
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 520);
        assert_eq!(services(machine), before);
        let kept: Vec<_> = std::fs::read_dir(machine.state().join("edited")).unwrap().collect();
        let kept = kept.into_iter().next().unwrap().unwrap();
        assert!(told.contains(kept.file_name().to_str().unwrap()), "{told}");
        let log = std::fs::read_to_string(kept.path()).unwrap();
        assert!(
            log.contains("tcp-server: not found") && told.contains("tcp-server: not found"),
            "{told}: {log}"
        );
    });
}

fn a_plugin_that_dies_over_it_is_finished_or_undone<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        let (mut plugin, port) = stopped(machine, TLS_YES);
        for delay in [20, 60, 400, 2_500, 5_200] {
            plugin.post("start", Value::Null);
            thread::sleep(Duration::from_millis(delay));
            kill_plugin(machine, plugin);
            plugin = plugin_of(machine);
            let runs = plugin.payload("isRunning", Value::Null);
            assert_eq!(
                (runs == true, services(machine) != before),
                (is_open(port), is_open(port)),
                "{delay} ms"
            );
            plugin.succeed("stop", Value::Null);
            plugin.end();
            // One that was finished is taken away, and one that is taken away is gone whenever that is interrupted.
            let mut remove = machine.launch().arg("remove").command().spawn().unwrap();
            thread::sleep(Duration::from_millis(delay / 10));
            if let Some(pid) = only_child(remove.id()) {
                // It may have ended by then.
                let _ = kill(as_pid(pid), Signal::SIGKILL);
            }
            remove.wait().unwrap();
            let run = machine.launch().arg("remove").run();
            assert_eq!(run.code, Some(0), "{delay} ms: {}", run.stderr);
            assert_eq!(services(machine), before, "{delay} ms");
            (plugin, _) = stopped(machine, TLS_YES);
            plugin.succeed("update", settings(port, TLS_YES));
        }
    });
}

fn what_somebody_else_has_put_into_it_is_not_taken_away<S: Supervisor>() {
    on::<S>(|machine| {
        let mut plugin = plugin_of(machine);
        start(&mut plugin, machine.port(), TLS_YES);
        let theirs = format!("{}/doc/theirs", dir::<S>());
        machine.sh(&format!("echo keep me >{theirs}"));
        plugin.end();
        let run = machine.launch().arg("remove").run();
        assert_eq!(run.code, Some(1));
        assert!(run.stderr.contains(&theirs), "{}", run.stderr);
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), true);
        machine.sh(&format!("rm {theirs}"));
        assert_eq!(machine.launch().arg("remove").run().code, Some(0));
    });
}

fn one_that_is_no_template_is_501_and_says_why<S: Supervisor>() {
    on::<S>(|machine| {
        let before = services(machine);
        let (mut plugin, _) = stopped(machine, TLS_YES);
        for (damage, heal, why) in [
            ("chmod 644 run", "chmod 755 run", "executed"),
            ("mv run away", "mv away run", "run"),
            ("ln -s /etc/passwd link", "rm link", "link"),
            ("mkfifo pipe", "rm pipe", "pipe"),
            ("mkdir -p a/b/c/d/e", "rm -r a", "deep"),
            ("head -c 1100000 /dev/zero >big", "rm big", "bytes"),
        ] {
            machine.sh(&format!("cd {TEMPLATE}; {damage}"));
            let answer = plugin.call("start", Value::Null);
            assert!(failure(&answer, 501).contains(why), "{damage}: {answer}");
            machine.sh(&format!("cd {TEMPLATE}; {heal}"));
        }
        assert_eq!(services(machine), before);
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
    });
}

fn one_that_is_not_roots_alone_ends_the_program<S: Supervisor>() {
    on::<S>(|machine| {
        machine.sh(&format!("chmod 777 {TEMPLATE}"));
        let run = machine.launch().args(&["call", "isRunning"]).run();
        assert_eq!(run.code, Some(1));
        let told = ["/etc/mail-smtp2.toml, line 2", "template", "may be written by others"];
        assert!(told.iter().all(|what| run.stderr.contains(what)), "{}", run.stderr);
    });
}
