//! Ports that another entry of master.cf means: a conflict, by whatever name, whether it is loaded yet or not.

use super::Postfix;
use crate::subject::{calm_pulse, hasty, on, running, settings, snapshot, stopped};
use crate::support::plugin::Plugin;
use crate::support::sandbox::{Frozen, addresses};
use crate::support::smtp::{Session, is_open};
use crate::support::{TLS_YES, failure, status};
use serde_json::{Value, json};

/// What the entry calls its service, and which port that is.
const SERVICES: [(&str, u16); 9] = [
    ("10025", 10025),
    ("submission", 587),
    ("submissions", 465),
    ("smtps", 465),
    ("127.0.0.1:10026", 10026),
    ("127.0.0.1:submission", 587),
    ("localhost:10027", 10027),
    ("[::1]:10028", 10028),
    ("::1:10029", 10029),
];

#[test]
fn a_port_that_another_entry_means_is_a_conflict_before_it_is_loaded() {
    each_service_is_a_conflict(|_| ());
}

#[test]
fn a_port_that_another_entry_means_is_a_conflict_when_it_is_loaded() {
    each_service_is_a_conflict(Postfix::reload);
}

#[test]
fn a_stop_leaves_the_port_to_an_entry_that_was_added_meanwhile() {
    on::<Postfix>(|machine| {
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        machine.append(&machine.master_cf(), "submission inet n - y - - smtpd\n");
        for _ in 0..2 {
            plugin.succeed("stop", Value::Null);
            assert!(!machine.sh("cat /etc/postfix/master.cf").contains("postfix/smtp2"));
            assert!(Session::open(addresses(587)[0]).offers("STARTTLS"), "his own listener serves");
        }
    });
}

#[test]
fn a_stop_that_postfix_has_not_heard_of_is_no_success_where_another_entry_means_the_port() {
    on::<Postfix>(|machine| {
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        machine.append(&machine.master_cf(), "submission inet n - y - - smtpd\n");
        let mut hasty = hasty(machine, 3);
        let frozen = Frozen::freeze(machine.master().expect("a master runs"));
        let answer = hasty.call("stop", Value::Null);
        assert_ne!(status(&answer), 0, "{answer}");
        drop(frozen);
        plugin.succeed("stop", Value::Null);
    });
}

#[test]
fn an_entry_that_is_commented_out_means_no_port() {
    on::<Postfix>(|machine| {
        machine
            .append(&machine.master_cf(), "#587 inet n - y - - smtpd\n# submission inet n - y - - smtpd\n");
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        assert!(is_open(587));
    });
}

#[test]
fn an_entry_that_is_no_listener_means_no_port() {
    on::<Postfix>(|machine| {
        machine.append(&machine.master_cf(), "submission unix n - y - - smtpd\n587 unix - - y - - smtp\n");
        let mut plugin = crate::subject::plugin_of(machine);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        assert!(is_open(587));
    });
}

#[test]
fn an_entry_that_is_disabled_means_no_port() {
    on::<Postfix>(|machine| {
        machine.append(&machine.master_cf(), "submission inet n - y - - smtpd\n10025 inet n - y - - smtpd\n");
        machine.sh("postconf -e 'master_service_disable = !10025/inet, submission/inet'");
        let mut plugin = crate::subject::plugin_of(machine);
        failure(&plugin.call("update", settings(10025, TLS_YES)), 409);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        assert!(is_open(587));
    });
}

#[test]
fn postfixs_own_name_of_a_port_comes_before_the_machines() {
    on::<Postfix>(|machine| {
        machine.append(&machine.master_cf(), "submission inet n - y - - smtpd\nmx inet n - y - - smtpd\n");
        machine.sh("postconf -e 'known_tcp_ports = mx=25, submission=10587'; sed -i '/^smtp  *inet/d' /etc/postfix/master.cf");
        machine.reload();
        let mut plugin = crate::subject::plugin_of(machine);
        failure(&plugin.call("update", settings(10587, TLS_YES)), 409);
        crate::subject::start(&mut plugin, 587, TLS_YES);
        assert!(is_open(587));
    });
}

/// Behind postscreen the entry on port 25 runs no `smtpd`: the one that does says whether it is in the chroot.
#[test]
fn behind_postscreen_the_listener_is_in_the_chroot_that_smtpd_is_in() {
    for (screen, serves) in [("n", "y"), ("y", "n")] {
        on::<Postfix>(|machine| {
            machine.sh(&format!(
                "sed -i 's/^smtp  *inet.*/smtp inet n - {screen} - 1 postscreen\\nsmtpd pass - - {serves} - - smtpd/' \
                   /etc/postfix/master.cf
                 postconf -e postscreen_greet_wait=1s; postfix-stop; postfix start"
            ));
            let (_plugin, port) = running(machine, TLS_YES);
            let ours = machine.sh(&format!("postconf -F {port}/inet/chroot"));
            assert!(ours.trim().ends_with(&format!("= {serves}")), "{ours}");
        });
    }
}

#[test]
fn an_entry_added_after_update_is_a_conflict_of_start_and_restart() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.append(&machine.master_cf(), &format!("{port} inet n - y - - smtpd\n"));
        let before = (snapshot(&machine.master_cf()), calm_pulse(machine, 25));
        for method in ["start", "restart"] {
            failure(&plugin.call(method, Value::Null), 409);
        }
        assert!(before == (snapshot(&machine.master_cf()), calm_pulse(machine, 25)), "something was touched");
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
    });
}

#[test]
fn a_listener_like_ours_without_our_marks_is_a_conflict_and_not_touched() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.add_services(&format!("{port} inet n - y - - smtpd\n -o smtpd_tls_security_level=encrypt\n"));
        let before = (snapshot(&machine.master_cf()), calm_pulse(machine, port));
        failure(&plugin.call("start", Value::Null), 409);
        assert!(before == (snapshot(&machine.master_cf()), calm_pulse(machine, port)) && is_open(port));
    });
}

#[test]
fn the_primarys_port_is_refused_input_by_whatever_name_its_entry_has() {
    for name in ["25", "127.0.0.1:25", "localhost:smtp"] {
        on::<Postfix>(|machine| {
            let stock = std::fs::read_to_string(machine.master_cf()).unwrap();
            std::fs::write(machine.master_cf(), stock.replacen("\nsmtp ", &format!("\n{name} "), 1)).unwrap();
            let mut plugin = crate::subject::plugin_of(machine);
            let answer = plugin.call("update", settings(25, TLS_YES));
            assert_eq!(status(&answer), 11, "{name}: {answer}");
        });
    }
}

#[track_caller]
fn each_service_is_a_conflict(load: impl Fn(&Postfix) + Sync) {
    on::<Postfix>(|machine| {
        let stock = std::fs::read(machine.master_cf()).unwrap();
        let (mut plugin, port) = running(machine, TLS_YES);
        let with_ours = std::fs::read(machine.master_cf()).unwrap();
        let wrong: Vec<String> = SERVICES
            .iter()
            .filter_map(|(service, meant)| {
                std::fs::write(machine.master_cf(), &with_ours).unwrap();
                machine.append(&machine.master_cf(), &format!("{service} inet n - y - - smtpd\n"));
                load(machine);
                let before = (snapshot(&machine.master_cf()), calm_pulse(machine, port));
                let answer = plugin.call("update", json!({"alternate_smtp_port": meant}));
                let untouched = before == (snapshot(&machine.master_cf()), calm_pulse(machine, port));
                (status(&answer) != 409 || !untouched || !serves(&mut plugin, port))
                    .then(|| format!("{service}: {answer}, untouched: {untouched}"))
            })
            .collect();
        std::fs::write(machine.master_cf(), stock).unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}

fn serves(plugin: &mut Plugin, port: u16) -> bool {
    is_open(port) && plugin.payload("queryUpdate", Value::Null) == settings(port, TLS_YES)
}
