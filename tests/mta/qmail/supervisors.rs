//! Supervisors that are killed, started again, not there, or do not listen; services that die.

use super::{Qmail, SMTP2, Supervisor};
use crate::machine::{holds, number_inside, without_children};
use crate::subject::{Subject, hasty, kill_plugin, on, plugin_of, running, start, stopped};
use crate::support::process::state;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{
    PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure, names_number, status, success, within,
};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

under_both!(
    an_orphan_of_a_killed_supervisor_is_not_running_and_is_named,
    while_an_orphan_holds_the_port_a_new_supervisor_does_not_make_it_run,
    a_reboot_brings_back_what_was_started_and_not_what_was_stopped,
    where_nobody_supervises_start_is_503_and_stop_is_success,
    a_service_that_dies_at_once_is_taken_back,
    a_control_fifo_that_nobody_drains_ends_at_the_deadline,
    what_a_killed_plugin_has_said_is_acted_on_before_anything_else_is_said,
    a_paused_service_is_started_stopped_and_restarted,
    a_script_that_does_not_exec_is_its_childs_parent,
    what_a_script_waits_for_is_ended_with_it,
    what_a_script_of_a_script_pipes_into_a_logger_is_ended_with_it,
    a_script_that_waits_for_its_child_before_it_heeds_a_signal_is_ended,
    a_listener_that_a_script_leaves_behind_is_never_taken_for_stopped,
);

impl<S: Supervisor> Qmail<S> {
    /// Kills who supervises and who looks for services, and nobody else.
    #[track_caller]
    fn kill_supervisors(&self) {
        // The one that looks first, or it starts the others again.
        self.sh(&format!("pkill -9 -x {}; pkill -9 -x {}", S::PROGRAMS[0], S::PROGRAMS[1]));
        let gone = || S::PROGRAMS.iter().all(|program| self.pids_of(program).is_empty());
        eventually(PATIENCE, "the supervisors are gone", gone);
    }

    /// Starts the one that looks for services, and waits until ours is supervised.
    #[track_caller]
    fn start_supervisors(&self) {
        self.sh("supervisors");
        self.await_supervisor();
    }

    /// Waits until ours is supervised.
    #[track_caller]
    pub(super) fn await_supervisor(&self) {
        let ok = self.smtp2("supervise/ok");
        // Without waiting, a FIFO opens like this only where somebody reads it.
        let heard = || OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(&ok).is_ok();
        eventually(PATIENCE, "ours is supervised", heard);
    }

    /// The server that listens on the port, by the number that the node gives it.
    #[track_caller]
    fn listener(&self, port: u16) -> u32 {
        let sockets = self.node().listening(port);
        let holders = self.pids_of("tcpserver").into_iter().filter(|pid| holds(*pid, &sockets));
        number_inside(without_children(holders.collect())[0])
    }
}

fn an_orphan_of_a_killed_supervisor_is_not_running_and_is_named<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        let orphan = machine.listener(port);
        machine.kill_supervisors();
        assert!(is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 409);
        assert!(names_number(told, orphan) && told.contains("left behind"), "{told}");
        let answer = hasty(machine, 3).call("stop", Value::Null);
        let told = failure(&answer, 504);
        assert!(names_number(told, orphan) && told.contains("left behind"), "{told}");
        machine.sh(&format!("kill {orphan}"));
        eventually(PATIENCE, "the orphan is gone", || is_closed(port));
        plugin.succeed("stop", Value::Null);
    });
}

fn while_an_orphan_holds_the_port_a_new_supervisor_does_not_make_it_run<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let orphan = machine.listener(port);
        machine.kill_supervisors();
        machine.start_supervisors();
        for _ in 0..10 {
            assert_eq!(plugin.payload("isRunning", Value::Null), false);
        }
        let answer = plugin.call("start", Value::Null);
        assert!(names_number(failure(&answer, 409), orphan), "{answer}");
        machine.sh(&format!("kill {orphan}"));
        eventually(PATIENCE, "the supervisor's own listens", || {
            plugin.payload("isRunning", Value::Null) == true
        });
        assert!(is_open(port));
    });
}

fn a_reboot_brings_back_what_was_started_and_not_what_was_stopped<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let reboot = || {
            machine.kill_supervisors();
            machine.sh("pkill -9 -x tcpserver; pkill -9 -x qmail-send; true");
            machine.start_supervisors();
            eventually(PATIENCE, "port 25 is served again", || is_open(25));
        };
        reboot();
        eventually(PATIENCE, "the listener is back", || is_open(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        plugin.succeed("stop", Value::Null);
        reboot();
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        assert!(is_closed(port));
        plugin.succeed("start", Value::Null);
    });
}

fn where_nobody_supervises_start_is_503_and_stop_is_success<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        plugin.succeed("stop", Value::Null);
        machine.kill_supervisors();
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 503);
        assert!(told.contains("nobody supervises") && told.contains(S::PROGRAMS[0]), "{told}");
        plugin.succeed("stop", Value::Null);
        plugin.succeed("update", json!({"alternate_smtp_port": machine.port()}));
        assert!(is_closed(port));
        machine.start_supervisors();
        plugin.succeed("start", Value::Null);
    });
}

fn a_service_that_dies_at_once_is_taken_back<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(&format!("sed -i 's/exec tcpserver/exec false/' {SMTP2}/run"));
        let answer = hasty(machine, 4).call("start", Value::Null);
        assert!([504, 520].contains(&status(&answer)), "{answer}");
        assert!(machine.smtp2("down").exists() && is_closed(port));
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        machine.sh(&format!("sed -i 's/exec false/exec tcpserver/' {SMTP2}/run"));
        plugin.succeed("start", Value::Null);
    });
}

fn a_control_fifo_that_nobody_drains_ends_at_the_deadline<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh(&format!("pkill -STOP -x {}", S::PROGRAMS[1]));
        let answer = hasty(machine, 3).call("stop", Value::Null);
        assert_ne!(status(&answer), 0, "{answer}");
        machine.sh(&format!("pkill -CONT -x {}", S::PROGRAMS[1]));
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

fn what_a_killed_plugin_has_said_is_acted_on_before_anything_else_is_said<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let lock = machine.node().path("/run/mail-smtp2/lock");
        let owner = || fs::read(&lock).unwrap();
        let unread = || {
            let control = OpenOptions::new().write(true).open(machine.smtp2("supervise/control")).unwrap();
            rustix::io::ioctl_fionread(&control).unwrap()
        };
        machine.sh(&format!("pkill -STOP -x {}", S::PROGRAMS[1]));
        plugin.post("restart", Value::Null);
        eventually(PATIENCE, "the supervisor was told", || unread() > 0);
        kill_plugin(machine, plugin);
        let (said, killed) = (unread(), owner());
        let mut next = plugin_of(machine);
        let stop = next.post("stop", Value::Null);
        eventually(PATIENCE, "the next one works on it", || owner() != killed);
        assert!(!within(Duration::from_millis(300), || unread() > said), "it was told two things at once");
        machine.sh(&format!("pkill -CONT -x {}", S::PROGRAMS[1]));
        assert_eq!(next.receive_reply(stop)["result"], success());
        assert!(is_closed(port) && !within(Duration::from_secs(2), || is_open(port)), "it came back");
    });
}

fn a_paused_service_is_started_stopped_and_restarted<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        // supervise listens only a second after it has started something.
        let paused = || machine.pids_of("tcpserver").into_iter().any(|pid| state(pid) == Some('T'));
        let pause = || {
            machine.sh(&format!("printf p >{SMTP2}/supervise/control"));
            eventually(PATIENCE, "it is paused", paused);
        };
        pause();
        plugin.succeed("restart", Value::Null);
        assert!(is_open(port));
        pause();
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

fn a_script_that_does_not_exec_is_its_childs_parent<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // The shell stays, and takes the listener with it when it is ended.
        machine.sh(&format!(
            "cd {SMTP2}; sed -i -e '/^exec 2/d' -e \"s/ *exec tcpserver \\(.*\\)'/ tcpserver \\1 \\& trap \\\"kill \\$!; exit\\\" TERM; wait'/\" run; cat run"
        ));
        let (mut plugin, port) = running(machine, TLS_YES);
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
    });
}

/// The whole life of a listener whose script stays: it moves, is asked for again, and is stopped.
#[track_caller]
fn lives_and_ends<S: Supervisor>(machine: &Qmail<S>) {
    let (mut plugin, port) = running(machine, TLS_YES);
    assert_eq!(plugin.payload("isRunning", Value::Null), true);
    let next = machine.port();
    plugin.succeed("update", json!({"alternate_smtp_port": next, "auth_mode": TLS_OPTIONAL}));
    assert!(is_open(next) && is_closed(port), "both ports are served");
    plugin.succeed("restart", Value::Null);
    plugin.succeed("stop", Value::Null);
    assert!(is_closed(next));
}

fn what_a_script_waits_for_is_ended_with_it<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // Neither the script nor the shell in it becomes the server.
        machine.sh(&format!(
            "cd {SMTP2}; sed -i -e 's/^exec \\(envdir\\|chpst\\)/\\1/' -e \"s/ *exec tcpserver \\(.*\\)'/ tcpserver \\1; true'/\" run"
        ));
        lives_and_ends(machine);
    });
}

fn what_a_script_of_a_script_pipes_into_a_logger_is_ended_with_it<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!(
            "cd {SMTP2}; sed -i \"s/ *exec tcpserver \\(.*\\)'/ (tcpserver \\1; true) | (cat >log.txt; true)'/\" run"
        ));
        lives_and_ends(machine);
    });
}

fn a_script_that_waits_for_its_child_before_it_heeds_a_signal_is_ended<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        machine.sh(&format!(
            "cd {SMTP2}; sed -i \"s/ *exec tcpserver \\(.*\\)'/ trap exit TERM; tcpserver \\1; true'/\" run"
        ));
        lives_and_ends(machine);
    });
}

fn a_listener_that_a_script_leaves_behind_is_never_taken_for_stopped<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // The shell becomes another program than the server, which is its child.
        machine.sh(&format!(
            "cd {SMTP2}; sed -i \"s/ *exec tcpserver \\(.*\\)'/ tcpserver \\1 \\& exec sleep 1000'/\" run"
        ));
        let mut plugin = plugin_of(machine);
        let port = machine.port();
        start(&mut plugin, port, TLS_YES);
        let orphan = machine.listener(port);
        let answer = hasty(machine, 3).call("stop", Value::Null);
        assert_ne!(status(&answer), 0);
        assert!(names_number(answer["payload"].as_str().unwrap(), orphan), "{answer}");
        assert!(is_open(port));
    });
}
