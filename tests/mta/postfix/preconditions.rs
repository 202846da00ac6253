//! What has to be there before a listener is made, found out before anything is written; each with its status.

use super::Postfix;
use crate::subject::{Squatter, Subject, calm_pulse, on, running, snapshot, stopped};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure};
use serde_json::{Value, json};

#[test]
fn without_a_certificate_file_it_is_424_that_names_the_file() {
    is_refused(
        424,
        "mv /etc/lab/cert.pem /etc/lab/away",
        "mv /etc/lab/away /etc/lab/cert.pem",
        "/etc/lab/cert.pem",
    );
}

#[test]
fn without_a_key_file_it_is_424_that_names_the_file() {
    is_refused(
        424,
        "mv /etc/lab/key.pem /etc/lab/away",
        "mv /etc/lab/away /etc/lab/key.pem",
        "/etc/lab/key.pem",
    );
}

#[test]
fn with_a_certificate_file_that_holds_none_it_is_424_that_names_the_file() {
    let damage = "cp /etc/lab/cert.pem /etc/lab/away; echo rubbish >/etc/lab/cert.pem";
    is_refused(424, damage, "cp /etc/lab/away /etc/lab/cert.pem", "/etc/lab/cert.pem");
}

#[test]
fn with_a_key_file_that_holds_none_it_is_424_that_names_the_file() {
    let damage = "cp /etc/lab/key.pem /etc/lab/away; echo rubbish >/etc/lab/key.pem";
    is_refused(424, damage, "cp /etc/lab/away /etc/lab/key.pem", "/etc/lab/key.pem");
}

#[test]
fn with_another_certificates_key_it_is_424_that_names_both() {
    let damage = "cp /etc/lab/key.pem /etc/lab/away; openssl genrsa 2048 >/etc/lab/key.pem";
    let says = "/etc/lab/key.pem is not the key of the certificate /etc/lab/cert.pem";
    is_refused(424, damage, "cp /etc/lab/away /etc/lab/key.pem", says);
}

#[test]
fn with_no_certificate_configured_it_is_424() {
    let damage = "postconf -e smtpd_tls_cert_file= smtpd_tls_key_file=";
    let heal = "postconf -e smtpd_tls_cert_file=/etc/lab/cert.pem smtpd_tls_key_file=/etc/lab/key.pem";
    is_refused(424, damage, heal, "certificate");
}

#[test]
fn a_certificate_that_another_entry_has_for_itself_is_told_to_be_missing_in_main_cf() {
    let damage = "postconf -e smtpd_tls_cert_file= smtpd_tls_key_file=
        echo '10025 inet n - y - - smtpd -o smtpd_tls_cert_file=/etc/lab/cert.pem' >>/etc/postfix/master.cf";
    let heal = "postconf -e smtpd_tls_cert_file=/etc/lab/cert.pem smtpd_tls_key_file=/etc/lab/key.pem";
    is_refused(424, damage, heal, "the entry 10025 inet has smtpd_tls_cert_file in -o of its own");
}

#[test]
fn a_certificate_and_key_in_one_chain_file_are_enough() {
    on::<Postfix>(|machine| {
        machine.sh("cat /etc/lab/key.pem /etc/lab/cert.pem >/etc/lab/chain.pem; chmod 600 /etc/lab/chain.pem
             postconf -e smtpd_tls_cert_file= smtpd_tls_key_file= smtpd_tls_chain_files=/etc/lab/chain.pem");
        machine.reload();
        let (_plugin, port) = running(machine, TLS_YES);
        assert!(is_open(port));
    });
}

#[test]
fn where_the_key_is_in_the_certificates_file_that_is_enough() {
    on::<Postfix>(|machine| {
        machine.sh("cat /etc/lab/key.pem >>/etc/lab/cert.pem; chmod 600 /etc/lab/cert.pem
             postconf -e 'smtpd_tls_key_file = $smtpd_tls_cert_file'");
        machine.reload();
        let (_plugin, port) = running(machine, TLS_YES);
        assert!(is_open(port));
    });
}

#[test]
fn with_the_sasl_socket_gone_it_is_424() {
    is_refused(424, "dovecot-stop; rm -f /var/spool/postfix/private/auth", "dovecot-start", "");
}

#[test]
fn with_nobody_behind_the_sasl_socket_it_is_424() {
    let damage = "dovecot-stop -9; test -S /var/spool/postfix/private/auth";
    is_refused(424, damage, "dovecot-start", "");
}

#[test]
fn with_a_sasl_type_that_has_no_mechanism_it_is_424() {
    let damage = "postconf -e smtpd_sasl_type=cyrus smtpd_sasl_path=nothing";
    is_refused(424, damage, "postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth", "");
}

#[test]
fn a_sasl_type_that_another_entry_has_for_itself_is_told_to_be_missing_in_main_cf() {
    let damage = "postconf -e smtpd_sasl_type=cyrus smtpd_sasl_path=nothing
        echo '10025 inet n - y - - smtpd -o { smtpd_sasl_type = dovecot }' >>/etc/postfix/master.cf";
    let heal = "postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth";
    is_refused(424, damage, heal, "the entry 10025 inet has smtpd_sasl_type in -o of its own");
}

#[test]
fn a_sasl_path_that_was_never_set_is_told_with_what_dovecot_needs() {
    for kind in ["dovecot", "cyrus"] {
        let damage = format!("postconf -e smtpd_sasl_type={kind} smtpd_sasl_path=smtpd");
        let heal = "postconf -e smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth";
        is_refused(424, &damage, heal, "unix_listener /var/spool/postfix/private/auth");
    }
}

#[test]
fn a_line_that_postfix_cannot_read_is_told_where_the_administrator_has_it() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = running(machine, TLS_YES);
        machine.sh("echo 'too few columns' >>/etc/postfix/master.cf");
        let line = std::fs::read_to_string(machine.master_cf()).unwrap().lines().count();
        for method in ["stop", "restart"] {
            let answer = plugin.call(method, Value::Null);
            let told = failure(&answer, 422);
            assert!(told.contains(&format!("/etc/postfix/master.cf: line {line}")), "{method}: {told}");
        }
        machine.sh("sed -i '$d' /etc/postfix/master.cf");
        plugin.succeed("stop", Value::Null);
    });
}

#[test]
fn a_program_that_took_the_port_while_postfix_was_down_is_told_to_keep_port_25_from_starting() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("postfix-stop");
        let squatter = crate::subject::Squatter::on(machine, ([127, 0, 0, 1], port).into());
        let answer = plugin.call("start", Value::Null);
        let told = failure(&answer, 409);
        assert!(told.starts_with("Postfix cannot start, and port 25 with it"), "{told}");
        assert!(told.contains("perl") && told.contains("call stop"), "{told}");
        plugin.succeed("stop", Value::Null);
        machine.sh("postfix start");
        assert!(is_open(25));
        drop(squatter);
    });
}

#[test]
fn with_a_main_cf_that_postfix_cannot_read_it_is_422() {
    let damage = "cp /etc/postfix/main.cf /etc/lab/away; echo 'no parameter at all' >>/etc/postfix/main.cf";
    is_refused(422, damage, "cp /etc/lab/away /etc/postfix/main.cf", "");
}

#[test]
fn with_a_master_cf_that_postfix_cannot_read_it_is_422() {
    let damage = "cp /etc/postfix/master.cf /etc/lab/away; echo 'too few columns' >>/etc/postfix/master.cf";
    is_refused(422, damage, "cp /etc/lab/away /etc/postfix/master.cf", "");
}

#[test]
fn with_postfix_down_start_and_restart_are_503() {
    is_refused(503, "postfix-stop", "postfix start", "");
}

#[test]
fn with_postfix_down_an_update_of_a_running_service_is_503_and_writes_nothing() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = running(machine, TLS_YES);
        machine.sh("postfix-stop");
        let look = || (snapshot(&machine.master_cf()), snapshot(&machine.state().join("settings.json")));
        let before = look();
        failure(&plugin.call("update", json!({"alternate_smtp_port": machine.port()})), 503);
        assert!(before == look(), "something was written");
        assert!(machine.master().is_none(), "Postfix was started");
    });
}

#[test]
fn with_postfix_down_stop_succeeds_and_it_stays_down() {
    on::<Postfix>(|machine| {
        let stock = std::fs::read(machine.master_cf()).unwrap();
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("postfix-stop");
        plugin.succeed("stop", Value::Null);
        assert!(std::fs::read(machine.master_cf()).unwrap() == stock, "something of ours is left");
        assert!(machine.master().is_none(), "Postfix was started");
        machine.sh("postfix start");
        assert!(is_closed(port) && is_open(25));
    });
}

#[test]
fn with_postfix_down_an_update_of_a_stopped_service_succeeds() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        machine.sh("postfix-stop");
        plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
        assert!(machine.master().is_none(), "Postfix was started");
    });
}

#[test]
fn with_postfix_down_it_is_not_running() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = running(machine, TLS_YES);
        machine.sh("postfix-stop");
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        machine.sh("postfix start");
        assert_eq!(plugin.payload("isRunning", Value::Null), true);
    });
}

#[test]
fn on_a_read_only_file_system_it_is_403() {
    let damage = "mount --bind /etc/postfix /etc/postfix; mount -o remount,ro,bind /etc/postfix";
    is_refused(403, damage, "umount /etc/postfix", "");
}

#[test]
fn on_a_full_disk_it_is_403_and_no_fault_of_the_plugin() {
    let damage = "mkdir -p /var/lib/mail-smtp2; cp -a /var/lib/mail-smtp2 /etc/lab/state
        mount -t tmpfs -o size=64k,mode=700 tmpfs /var/lib/mail-smtp2; cp -a /etc/lab/state/. /var/lib/mail-smtp2
        cat /dev/zero >/var/lib/mail-smtp2/filler || :";
    is_refused(403, damage, "umount /var/lib/mail-smtp2", "make room there");
}

#[test]
fn a_mail_server_that_is_asked_for_by_mistake_is_503_and_nothing_is_to_be_removed() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        let run = machine.launch().args(&["--mta", "exim", "call", "start"]).run();
        let answer = serde_json::from_str(&run.stdout).unwrap();
        let told = failure(&answer, 503);
        assert!(told.contains("ask for postfix or auto") && !told.contains("remove"), "{told}");
        plugin.succeed("start", Value::Null);
    });
}

#[test]
fn with_a_bind_mount_on_master_cf_it_is_403_that_says_so() {
    let damage =
        "cp -p /etc/postfix/master.cf /etc/lab/away; mount --bind /etc/lab/away /etc/postfix/master.cf";
    is_refused(403, damage, "umount /etc/postfix/master.cf", "is a mount of its own");
}

#[test]
fn with_hard_links_of_master_cf_it_is_403_and_all_names_are_kept() {
    let damage = "ln /etc/postfix/master.cf /etc/lab/linked";
    let heal = "[ /etc/postfix/master.cf -ef /etc/lab/linked ]; rm /etc/lab/linked";
    is_refused(403, damage, heal, "/etc/postfix/master.cf has other names (hard links)");
}

#[test]
fn where_clients_need_a_certificate_of_their_own_it_is_424_that_names_the_parameter() {
    let damage = "postconf -e smtpd_tls_req_ccert=yes";
    is_refused(424, damage, "postconf -e smtpd_tls_req_ccert=no", "smtpd_tls_req_ccert = yes");
}

#[test]
fn an_ehlo_that_is_refused_is_told_as_that() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(
            "echo '/^EHLO/ NONE' >/etc/lab/filter; postconf -e smtpd_command_filter=regexp:/etc/lab/filter",
        );
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 520).contains("EHLO is refused: 500"), "{answer}");
        assert!(is_closed(port) && is_open(25));
    });
}

/// Where Red Hat's Postfix has its daemons, and where the usual folder is a link: what has been an `smtpd` of ours is told
/// while it ends.
#[test]
fn daemons_that_live_elsewhere_are_known_by_it() {
    for (folder, usual) in [
        ("/usr/libexec/postfix", "postconf -e daemon_directory=/usr/libexec/postfix"),
        ("/opt/postfix/sbin", "ln -s /opt/postfix/sbin /usr/lib/postfix/sbin"),
        (
            "/usr/libexec/postfix",
            "ln -s /usr/libexec/postfix /etc/lab/link; postconf -e daemon_directory=/etc/lab/link",
        ),
    ] {
        on::<Postfix>(|machine| {
            machine.sh(&format!(
                "postfix-stop; mkdir -p {folder}; cp -a /usr/lib/postfix/sbin/. {folder}/; rm -r /usr/lib/postfix/sbin
                 {usual}; postfix start"
            ));
            let (mut plugin, port) = running(machine, TLS_YES);
            let held = crate::support::smtp::Session::open(crate::support::sandbox::addresses(port)[0]);
            for method in ["restart", "stop", "start", "stop"] {
                plugin.succeed(method, Value::Null);
            }
            drop(held);
            assert!(is_closed(port) && is_open(25), "{usual}");
        });
    }
}

#[test]
fn a_plan_names_all_that_is_missing_at_once_and_a_start_the_first() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(
            "postconf -e smtpd_tls_cert_file= smtpd_tls_key_file= smtpd_sasl_type=cyrus smtpd_sasl_path=no",
        );
        let _squatter = Squatter::on(machine, addresses(port)[0]);
        let before = (snapshot(&machine.master_cf()), calm_pulse(machine, 25));
        let plan = plugin.payload("queryPlan", json!({ "action": "start" }));
        let refusals = plan["refusals"].as_array().unwrap();
        let all: Vec<_> = refusals.iter().map(|one| one["status"].as_u64().unwrap()).collect();
        assert_eq!(all, [409, 424, 424], "{plan}");
        assert!(before == (snapshot(&machine.master_cf()), calm_pulse(machine, 25)), "something was touched");
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 409).starts_with(refusals[0]["sentence"].as_str().unwrap()), "{answer}");
    });
}

#[test]
fn what_there_is_to_know_is_told_by_a_plan_and_behind_the_success_of_a_call() {
    on::<Postfix>(|machine| {
        let (mut plugin, _) = stopped(machine, TLS_YES);
        machine.sh("echo '10025 inet n - y - - smtpd -o content_filter=dummy' >>/etc/postfix/master.cf
             sed -i 's/^auth_mechanisms.*/auth_mechanisms = cram-md5/' /etc/dovecot/dovecot.conf
             dovecot-start");
        let plan = plugin.payload("queryPlan", json!({ "action": "start" }));
        let warned = |kind: &str| plan["warnings"].as_array().unwrap().iter().any(|one| one["kind"] == kind);
        assert!(warned("other_entries") && warned("self_signed"), "{plan}");
        let run = machine.launch().args(&["call", "start"]).run();
        assert_eq!(run.stdout, "{\"status\":0,\"payload\":\"Success\"}\n", "{}", run.stderr);
        for warning in plan["warnings"].as_array().unwrap() {
            let sentence = warning["sentence"].as_str().unwrap();
            assert!(run.stderr.contains(&format!("mail-smtp2: warning: {sentence}")), "{}", run.stderr);
        }
        // What main.cf does not say, the proof has heard.
        assert!(
            !warned("no_plain_or_login") && run.stderr.contains("but CRAM-MD5 (no_plain_or_login)"),
            "{}",
            run.stderr
        );
    });
}

#[test]
fn an_update_of_a_running_service_meets_the_same_refusals() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh("mv /etc/lab/key.pem /etc/lab/away");
        let before = (snapshot(&machine.master_cf()), calm_pulse(machine, port));
        failure(&plugin.call("update", json!({"alternate_smtp_port": machine.port()})), 424);
        assert!(
            before == (snapshot(&machine.master_cf()), calm_pulse(machine, port)),
            "something was touched"
        );
        assert!(is_open(port));
    });
}

/// Start and restart of a stopped service are refused, touch nothing, and work when the damage is healed.
#[track_caller]
fn is_refused(with: i64, damage: &str, heal: &str, naming: &str) {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(damage);
        let look = || (snapshot(&machine.master_cf()), snapshot(&machine.main_cf()), calm_pulse(machine, 25));
        let before = look();
        for method in ["start", "restart"] {
            let answer = plugin.call(method, Value::Null);
            let told = failure(&answer, with);
            assert!(told.contains(naming), "{method}: no {naming:?} in {told}");
        }
        assert!(before == look() && is_closed(port), "something was touched");
        machine.sh(heal);
        plugin.succeed("start", Value::Null);
        assert!(is_open(port));
    });
}
