//! `[mta.qmail]`: other places, other names, other values; and what is no name and no value.

use super::{GONE, Qmail, SMTP2, Supervisor};
use crate::subject::{Subject, on_configured, plugin_of, running, start};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES};
use serde_json::{Value, json};
use std::fs;

under_both!(
    other_names_and_values_are_written,
    an_empty_value_unsets_its_variable,
    two_variables_for_tls_are_written_and_given_back,
    another_place_is_taken,
    what_cannot_be_meant_ends_the_program
);

fn other_names_and_values_are_written<S: Supervisor>() {
    let names = "[mta.qmail]\nport = \"LISTEN_ON\"\nauth = \"AUTH\"\nauth_required = \"!yes\"\n\
                 tls = \"TLS_FIRST\"\ntls_required = \"always\"\ntls_optional = \"0\"\n";
    on_configured::<Qmail<S>>(names, |machine| {
        let run = fs::read_to_string(machine.smtp2("run")).unwrap();
        let run = run.replace("$PORT", "${LISTEN_ON}");
        let run = run.replace("exec tcpserver", "export SMTPAUTH=$AUTH FORCETLS=$TLS_FIRST; exec tcpserver");
        fs::write(machine.smtp2("run"), run).unwrap();
        let (mut plugin, port) = running(machine, TLS_YES);
        let value = |name: &str| fs::read_to_string(machine.smtp2(&format!("env/{name}"))).unwrap();
        assert_eq!(
            [value("LISTEN_ON"), value("AUTH"), value("TLS_FIRST")],
            [format!("{port}\n"), "!yes\n".to_owned(), "always\n".to_owned()]
        );
        assert_eq!(value("PORT"), "5870", "a variable that is not ours was written");
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        assert_eq!(value("TLS_FIRST"), "0\n");
    });
}

fn an_empty_value_unsets_its_variable<S: Supervisor>() {
    on_configured::<Qmail<S>>("[mta.qmail]\ntls_optional = \"\"\n", |machine| {
        // As programs do that only look whether it is set.
        machine.sh(&format!(
            "cd {SMTP2}; sed -i 's/exec tcpserver/FORCETLS=${{FORCETLS+1}} FORCETLS=${{FORCETLS:-0}} exec tcpserver/' run; cat run"
        ));
        let (mut plugin, _) = running(machine, TLS_YES);
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        assert_eq!(fs::read(machine.smtp2("env/FORCETLS")).unwrap(), b"");
        plugin.succeed("update", json!({"auth_mode": TLS_YES}));
    });
}

fn two_variables_for_tls_are_written_and_given_back<S: Supervisor>() {
    let second = "[mta.qmail]\nsecond_tls = \"REQUIRETLS\"\nsecond_tls_required = \"yes\"\nsecond_tls_optional = \"\"\n";
    on_configured::<Qmail<S>>(second, |machine| {
        // AUTH in clear is offered unless both say no.
        machine.sh(&format!(
            "cd {SMTP2}; sed -i 's/exec tcpserver/[ \"$REQUIRETLS\" = yes ] || export FORCETLS=0; exec tcpserver/' run"
        ));
        let (mut plugin, _) = running(machine, TLS_YES);
        let value = |name: &str| fs::read_to_string(machine.smtp2(&format!("env/{name}"))).unwrap();
        assert_eq!([value("FORCETLS"), value("REQUIRETLS")], ["1\n", "yes\n"]);
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        assert_eq!([value("FORCETLS"), value("REQUIRETLS")], ["0\n", ""]);
        plugin.end();
        assert_eq!(machine.launch().arg("remove").run().code, Some(0));
        assert!(!machine.smtp2("env/REQUIRETLS").exists());
    });
}

fn another_place_is_taken<S: Supervisor>() {
    let place = format!("[mta.qmail]\nservice_dir = \"{}/submission\"\n", S::SERVICES);
    on_configured::<Qmail<S>>(&place, |machine| {
        machine.sh(&format!(
            "cd {}; mv smtp2 submission; printf x >submission/supervise/control; {GONE}",
            S::SERVICES
        ));
        machine.await_supervisor();
        let mut plugin = plugin_of(machine);
        let port = machine.port();
        start(&mut plugin, port, TLS_YES);
        assert!(is_open(port));
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port) && machine.path(SMTP2).join("down").exists());
    });
}

fn what_cannot_be_meant_ends_the_program<S: Supervisor>() {
    on_configured::<Qmail<S>>("", |machine| {
        for (line, told) in [
            ("port = \"2PORT\"", "mta.qmail.port"),
            ("port = \"../PORT\"", "mta.qmail.port"),
            ("auth = \"\"", "mta.qmail.auth"),
            ("auth = \"PORT\"", "different variables"),
            ("tls_required = \"1\\n2\"", "one line"),
            ("tls_required = \"1\\u0000\"", "one line"),
            ("service_dir = \"service/smtp2\"", "absolute"),
            ("template = \"templates/smtp2\"", "absolute"),
            ("ports = 1", "unknown field"),
            ("second_tls = \"REQUIRETLS\"", "given together"),
            (
                "second_tls = \"PORT\"\nsecond_tls_required = \"1\"\nsecond_tls_optional = \"\"",
                "different variables",
            ),
        ] {
            fs::write(machine.path("/etc/mail-smtp2.toml"), format!("[mta.qmail]\n{line}\n")).unwrap();
            let run = machine.launch().args(&["call", "isRunning"]).run();
            assert_eq!(run.code, Some(1), "{line}");
            assert!(
                run.stderr.contains("/etc/mail-smtp2.toml, line ") && run.stderr.contains(told),
                "{line}: {}",
                run.stderr
            );
        }
    });
}
