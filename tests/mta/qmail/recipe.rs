//! The scripts and the steps of the manual page, word for word, in front of a stand-in that takes its arguments as most AUTH patches do.

use super::{GONE, Qmail, SMTP2, Supervisor};
use crate::subject::{on, running};
use crate::support::TLS_OPTIONAL;
use crate::support::smtp::Session;
use std::net::SocketAddr;

under_both!(
    the_script_of_the_manual_page_lets_people_log_in,
    the_steps_of_the_manual_page_lead_from_nothing_to_a_login,
    a_host_name_in_front_of_the_password_program_keeps_everybody_out,
);

const PAGE: &str = include_str!("../../../src/manual/mail-smtp2-qmail.7.md");
const SMTPD: &str = include_str!("../machine/qmail-smtpd");
/// bob's password, and a wrong one, as AUTH PLAIN wants them.
const RIGHT: &str = "AUTH PLAIN AGJvYgBzZWNyZXQ=";
const WRONG: &str = "AUTH PLAIN AGJvYgB3cm9uZw==";

/// The page's script for this supervisor.
fn script<S: Supervisor>() -> &'static str {
    let reader = if S::PROGRAMS[0] == "svscan" { "exec envdir ./env" } else { "exec chpst -e ./env" };
    let blocks = PAGE.split("```text\n").skip(1).filter_map(|block| block.split("```").next());
    blocks
        .into_iter()
        .find(|block| block.starts_with("#!/bin/sh") && block.contains(reader))
        .expect("a script")
}

/// What the page has to be typed, step by step.
fn steps() -> Vec<String> {
    let section =
        PAGE.split("\n## ").find(|section| section.starts_with("From a server on port 25")).unwrap();
    let blocks = section.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Writes the second service's script, with a qmail-smtpd and a checkpassword in the places that it names.
#[track_caller]
fn install<S: Supervisor>(machine: &Qmail<S>, script: &str) {
    machine
        .sh(&format!("cat >/var/qmail/bin/qmail-smtpd <<'X'\n{SMTPD}X\ncat >{SMTP2}/run <<'X'\n{script}X"));
    machine.sh("printf '%s\\n' '#!/bin/bash' '{ read -r -d \"\" name; read -r -d \"\" password; } <&3' \
         '[ \"$name $password\" = \"bob secret\" ] && exec \"$@\"; exit 1' >/bin/checkpassword; \
         chmod 755 /bin/checkpassword /var/qmail/bin/qmail-smtpd");
}

/// This script serves; a client of it.
#[track_caller]
fn client<S: Supervisor>(machine: &Qmail<S>, script: &str) -> Session {
    install(machine, script);
    let (_plugin, port) = running(machine, TLS_OPTIONAL);
    Session::open(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn the_script_of_the_manual_page_lets_people_log_in<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        let mut client = client(machine, script::<S>());
        assert_eq!(client.say(WRONG).0, 535);
        assert_eq!(client.say(RIGHT).0, 235);
        client.deliver();
    });
}

fn the_steps_of_the_manual_page_lead_from_nothing_to_a_login<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // A machine on which nobody has made a second service yet.
        machine.sh(&format!(
            "rm {}/smtp2; printf x >{SMTP2}/supervise/control; {GONE}; rm -r {SMTP2}",
            S::SERVICES
        ));
        let steps = steps();
        let step = |nth: usize| machine.sh(&steps[nth].replace(" /service/", &format!(" {}/", S::SERVICES)));
        step(0);
        install(machine, script::<S>());
        step(1);
        step(2);
        machine.await_supervisor();
        let said = step(3);
        assert_eq!(said.matches(r#"{"status":0,"payload":"Success"}"#).count(), 2, "{said}");
        assert!(steps[4].contains("--server 127.0.0.1:587 --tls --auth PLAIN"), "{}", steps[4]);
        let mut client = Session::open(SocketAddr::from(([127, 0, 0, 1], 587)));
        client.start_tls();
        client.log_in();
        client.deliver();
    });
}

fn a_host_name_in_front_of_the_password_program_keeps_everybody_out<S: Supervisor>() {
    on::<Qmail<S>>(|machine| {
        // No proof without an account finds that: the page says to log in once.
        let script = script::<S>().replace("/bin/checkpassword", "mail.example.com /bin/checkpassword");
        assert_eq!(client(machine, &script).say(RIGHT).0, 535);
    });
}
