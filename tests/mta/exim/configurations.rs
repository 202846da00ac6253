//! Configurations as administrators of Exim have them: where ours can have its way it does, and theirs with it; where it
//! cannot, 501 names the option and nothing is started.

use super::{Exim, OURS};
use crate::clients::{promised, smtplib_facts};
use crate::machine::holds;
use crate::subject::{MODES, Subject, calm_pulse, hasty, on, plugin_of, running, settings, start, stopped};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open, ready_for_auth};
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure};
use serde_json::{Value, json};
use std::fs;

/// bob's name and password, as AUTH PLAIN wants them.
const BOB: &str = "AUTH PLAIN AGJvYgBzZWNyZXQ=";

/// A configuration in one file, as an administrator writes it by hand; `MAIN` is where his main options go.
const OWN: &str = "\
primary_hostname = mail.lab.test
domainlist local_domains = lab.test
tls_certificate = /etc/lab/cert.pem
tls_privatekey = /etc/lab/key.pem
tls_advertise_hosts = *
MAIN
acl_smtp_rcpt = check_rcpt
begin acl
check_mail:
  deny senders = eve@lab.test
       message = not eve
  accept
check_rcpt:
  accept domains = +local_domains
  accept authenticated = *
  deny message = relay not permitted
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = spool
elsewhere:
  driver = dnslookup
  transport = out
begin transports
spool:
  driver = appendfile
  file = /var/mail/$local_part_data
  check_local_user = false
  user = bob
out:
  driver = smtp
begin retry
* * F,2h,15m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{bob}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{bob}}{eq{$auth2}{secret}}}}
  server_set_id = $auth1
";

fn own(main: &str) -> String {
    OWN.replace("MAIN", main).replace("  check_local_user = false\n", "").replace("$local_part_data", "bob")
}

#[test]
fn with_debians_unsplit_configuration_the_table_holds() {
    on::<Exim>(|machine| {
        machine.sh(
            "sed -i s/use_split_config=.*/use_split_config=\\'false\\'/ /etc/exim4/update-exim4.conf.conf; \
             cp /etc/exim4/conf.d/main/000_localmacros /etc/exim4/exim4.conf.localmacros; \
             cat /etc/exim4/conf.d/auth/40_lab >/tmp/auth; \
             sed -i '/^begin authenticators/r /tmp/auth' /etc/exim4/exim4.conf.template; update-exim4.conf",
        );
        machine.restart_primary("-bd -q30m");
        the_table_holds(machine);
    });
}

#[test]
fn with_a_configuration_of_the_administrators_the_table_holds() {
    on::<Exim>(|machine| {
        machine.write_own(&own(""));
        the_table_holds(machine);
    });
}

#[test]
fn with_a_configuration_that_sets_the_acl_by_debians_macro_the_table_holds() {
    on::<Exim>(|machine| {
        machine.write_own(&own(
            ".ifndef MAIN_ACL_CHECK_MAIL\nMAIN_ACL_CHECK_MAIL = check_mail\n.endif\nacl_smtp_mail = MAIN_ACL_CHECK_MAIL",
        ));
        the_table_holds(machine);
    });
}

#[test]
fn where_an_acl_takes_the_place_of_ours_behind_our_back_mail_still_needs_auth() {
    on::<Exim>(|machine| {
        let macro_of_debian =
            ".ifndef MAIN_ACL_CHECK_MAIL\nMAIN_ACL_CHECK_MAIL = check_mail\n.endif\nacl_smtp_mail = ";
        machine.write_own(&own(&format!("{macro_of_debian}MAIN_ACL_CHECK_MAIL")));
        let (_plugin, port) = running(machine, TLS_YES);
        let sockets = machine.node().listening(port);
        let daemon = machine.ours().into_iter().find(|pid| holds(*pid, &sockets)).unwrap();
        let words = fs::read(format!("/proc/{daemon}/cmdline")).unwrap();
        let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', "' '");
        // As after a reboot, before any plugin has looked at it.
        machine.write_own(&own(&format!("{macro_of_debian}check_mail")));
        machine.kill(Exim::ours);
        machine.sh(&format!("'{words}'"));
        // It forks first and listens then.
        eventually(PATIENCE, "it is back", || is_open(port));
        for at in addresses(port) {
            let mut session = ready_for_auth(at, TLS_YES);
            let replies =
                ["MAIL FROM:<a@lab.test>", "RCPT TO:<bob@lab.test>", "DATA"].map(|line| session.say(line));
            assert!(replies[2].0 == 550, "{at}: {replies:?}");
        }
    });
}

#[test]
fn an_acl_that_the_administrator_sets_himself_is_501_and_nothing_is_started() {
    is_501("acl_smtp_mail = check_mail", TLS_YES, "acl_smtp_mail");
}

#[test]
fn an_acl_that_is_an_expression_is_501_and_nothing_is_started() {
    is_501("acl_smtp_mail = ${if eq{$received_port}{25}{check_mail}{check_mail}}", TLS_YES, "acl_smtp_mail");
}

#[test]
fn an_acl_that_is_an_expression_is_asked_after_ours() {
    for (expression, eve_sends) in [
        ("${if ={$received_port}{587} {accept}{check_mail}}", false),
        ("${if ={$received_port}{25} {check_mail}{accept}}", true),
        ("accept !senders = eve@lab.test", false),
    ] {
        on::<Exim>(|machine| {
            machine
                .write_own(&own(&format!(".ifndef MAIL_SMTP2_PORT\nacl_smtp_mail = {expression}\n.endif")));
            let (_plugin, port) = running(machine, TLS_YES);
            for (sender, taken) in [("bob@lab.test", true), ("eve@lab.test", eve_sends)] {
                let mut session = ready_for_auth(addresses(port)[0], TLS_YES);
                assert_eq!(session.say(BOB).0, 235);
                let said = session.say(&format!("MAIL FROM:<{sender}>"));
                assert_eq!(said.0 < 400, taken, "{expression}, {sender}: {said:?}");
            }
        });
    }
}

#[test]
fn hosts_that_the_administrator_offers_auth_to_are_501_and_nothing_is_started() {
    for mode in MODES {
        is_501("auth_advertise_hosts = !10.0.0.0/8 : *", mode, "auth_advertise_hosts");
    }
    is_501("auth_advertise_hosts = *", TLS_YES, "auth_advertise_hosts");
}

#[test]
fn a_macro_that_the_administrator_defines_twice_with_us_is_501_and_nothing_is_started() {
    is_501(
        "MAIN_ACL_CHECK_MAIL = check_mail\nacl_smtp_mail = MAIN_ACL_CHECK_MAIL",
        TLS_YES,
        "MAIN_ACL_CHECK_MAIL",
    );
}

#[test]
fn a_port_on_which_the_administrator_begins_with_tls_is_501() {
    is_501("tls_on_connect_ports = 2525", TLS_YES, "tls_on_connect_ports");
}

#[test]
fn what_is_in_the_way_gives_way_to_the_condition_that_the_refusal_names() {
    for line in ["acl_smtp_mail = check_mail", "auth_advertise_hosts = *"] {
        on::<Exim>(|machine| {
            machine.write_own(&own(&format!(".ifndef MAIL_SMTP2_PORT\n{line}\n.endif")));
            the_table_holds(machine);
        });
    }
}

#[test]
fn options_that_say_what_we_would_are_no_obstacle() {
    on::<Exim>(|machine| {
        machine.write_own(&own(
            "auth_advertise_hosts = ${if eq {$tls_cipher}{}{}{*}}\ndaemon_startup_retries = 3\n\
             pid_file_path = /run/exim4/exim.pid\nnotifier_socket =",
        ));
        let (mut plugin, _) = running(machine, TLS_YES);
        failure(&plugin.call("update", json!({"auth_mode": TLS_OPTIONAL})), 501);
    });
}

#[test]
fn the_macro_by_which_debian_offers_auth_in_clear_may_be_the_administrators() {
    on::<Exim>(|machine| {
        machine.sh(
            "echo 'AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = yes' >>/etc/exim4/conf.d/main/000_localmacros; update-exim4.conf",
        );
        machine.restart_primary("-bd -q30m");
        the_table_holds(machine);
    });
}

#[test]
fn a_port_in_local_interfaces_is_the_primarys_and_does_not_become_ours() {
    on::<Exim>(|machine| {
        machine.write_own(&own("local_interfaces = <; [127.0.0.1]:25 ; 127.0.0.1.2626 ; [::1]:2627"));
        let mut plugin = plugin_of(machine);
        for port in [25, 2626, 2627] {
            let answer = plugin.call("update", settings(port, TLS_YES));
            assert_eq!(crate::support::refused_fields(&answer), ["alternate_smtp_port"]);
        }
        start(&mut plugin, 2525, TLS_YES);
        // The primary is bound to one address on port 25.
        assert_eq!(machine.node().bound(2525), machine.node().bound(25));
        assert!(machine.listens(2525));
    });
}

#[test]
fn the_ports_of_daemon_smtp_ports_are_the_primarys_by_number_and_by_name() {
    on::<Exim>(|machine| {
        machine.write_own(&own("daemon_smtp_ports = smtp : 2626 : submission"));
        let mut plugin = plugin_of(machine);
        for port in [2626, 587] {
            let answer = plugin.call("update", settings(port, TLS_YES));
            assert_eq!(crate::support::refused_fields(&answer), ["alternate_smtp_port"]);
        }
    });
}

#[test]
fn it_binds_what_the_primary_binds_and_never_more() {
    for interfaces in ["127.0.0.1", "<; ::1", "<; 0.0.0.0", "<; ::", "<; 127.0.0.1 ; 127.0.0.2 ; ::1"] {
        on::<Exim>(|machine| {
            machine.write_own(&own(&format!("local_interfaces = {interfaces}")));
            let (mut plugin, port) = running(machine, TLS_YES);
            assert!(!machine.node().bound(25).is_empty());
            assert_eq!(machine.node().bound(port), machine.node().bound(25), "{interfaces}");
            plugin.succeed("stop", Value::Null);
            assert!(machine.node().bound(port).is_empty());
        });
    }
}

#[test]
fn the_administrators_own_acl_still_has_its_say_after_auth() {
    on::<Exim>(|machine| {
        machine.write_own(&own(
            ".ifndef MAIN_ACL_CHECK_MAIL\nMAIN_ACL_CHECK_MAIL = check_mail\n.endif\nacl_smtp_mail = MAIN_ACL_CHECK_MAIL",
        ));
        let (_plugin, port) = running(machine, TLS_YES);
        for (sender, taken) in [("bob@lab.test", true), ("eve@lab.test", false)] {
            let mut session = ready_for_auth(addresses(port)[0], TLS_YES);
            assert_eq!(session.say(BOB).0, 235);
            assert_eq!(!session.refuses(&format!("MAIL FROM:<{sender}>")), taken, "{sender}");
        }
        eventually(PATIENCE, "his ACL's refusal is in the log", || machine.log().contains("not eve"));
    });
}

#[test]
fn without_a_list_of_trusted_configurations_one_is_made_and_goes_with_stop() {
    on::<Exim>(|machine| {
        machine.sh("rm /etc/exim4/trusted_configs");
        let (mut plugin, _) = running(machine, TLS_YES);
        let list = machine.path("/etc/exim4/trusted_configs");
        assert!(fs::read_to_string(&list).unwrap().lines().any(|line| line == OURS[0]));
        plugin.succeed("stop", Value::Null);
        assert!(!list.exists() && OURS.iter().all(|path| !machine.path(path).exists()));
    });
}

#[test]
fn mail_accepted_in_either_mode_is_delivered_and_none_is_left_in_the_queue() {
    for mode in MODES {
        on::<Exim>(|machine| {
            let (_plugin, port) = running(machine, mode);
            let mut session = ready_for_auth(addresses(port)[0], mode);
            assert_eq!(session.say(BOB).0, 235);
            for line in ["MAIL FROM:<bob@lab.test>", "RCPT TO:<bob@lab.test>", "DATA"] {
                assert!(session.say(line).0 < 400, "{line}");
            }
            assert_eq!(session.say(&format!("Subject: x\r\n\r\nin {mode}\r\n.")).0, 250);
            eventually(PATIENCE, "the message arrives", || machine.received(&format!("in {mode}")));
            eventually(PATIENCE, "the queue is empty", || machine.sh("exim4 -bpc").trim() == "0");
        });
    }
}

#[test]
fn an_acl_that_delays_clients_or_compares_their_names_takes_ours_on_two_addresses() {
    for acl in [
        // Less than twice as long for a change.
        "acl_smtp_connect = accept delay = 11s",
        "acl_smtp_helo = accept verify = helo",
        "acl_smtp_helo = accept !condition = ${if match{$sender_helo_name}{^\\\\[}}",
    ] {
        on::<Exim>(|machine| {
            machine.write_own(&own(&format!("local_interfaces = <; 127.0.0.1 ; ::1\n{acl}")));
            let (_plugin, port) = running(machine, TLS_YES);
            assert!(machine.listens(port), "{acl}");
        });
    }
}

#[test]
fn what_the_deadline_cuts_short_is_504_and_taken_back() {
    on::<Exim>(|machine| {
        machine.write_own(&own("acl_smtp_helo = accept delay = 60s"));
        let (plugin, port) = stopped(machine, TLS_YES);
        plugin.end();
        // As long as a listener is given to behave, and what comes before that.
        let answer = hasty(machine, 8).call("start", Value::Null);
        failure(&answer, 504);
        assert!(is_closed(port) && machine.ours().is_empty(), "{answer}");
    });
}

/// Main options as other distributions, panels and administrators set them in their one file, by their public
/// descriptions.
const SHAPES: [(&str, &str); 20] = [
    (
        "Red Hat's",
        "never_users = root
host_lookup = *
acl_smtp_mail = check_mail
acl_smtp_data = accept
acl_smtp_mime = accept
daemon_smtp_ports = 25 : 465 : 587
tls_on_connect_ports = 465
auth_advertise_hosts = ${if eq {$tls_cipher}{}{}{*}}
ignore_bounce_errors_after = 2d
timeout_frozen_after = 7d",
    ),
    (
        "like cPanel's",
        "hostlist loopback = <; @[]; 127.0.0.0/8 ; ::1
acl_smtp_connect = accept
acl_smtp_helo = accept
acl_smtp_mail = check_mail
acl_smtp_auth = accept
acl_smtp_quit = accept
acl_smtp_notquit = accept
daemon_smtp_ports = 25 : 465 : 587
tls_on_connect_ports = 465
auth_advertise_hosts = ${if or{{def:tls_cipher}{match_ip{$sender_host_address}{<; 127.0.0.1 ; ::1}}}{*}{}}
smtp_accept_max = 100
smtp_receive_timeout = 165s",
    ),
    (
        "like DirectAdmin's",
        ".include_if_exists /etc/exim.variables.conf
acl_smtp_auth = accept
acl_smtp_connect = accept
acl_smtp_helo = accept
acl_smtp_mail = ${if ={$received_port}{587} {accept}{check_mail}}
daemon_smtp_ports = 25 : 587 : 465
tls_on_connect_ports = 465
trusted_users = mail : bob
smtp_accept_queue_per_connection = 200",
    ),
    ("looking hosts up", "host_lookup = *\nqualify_domain = lab.test\nsmtp_return_error_details = true"),
    ("an ACL that delays", "acl_smtp_connect = accept delay = 1s"),
    (
        "an ACL for HELO",
        "acl_smtp_helo = accept condition = ${if def:sender_helo_name}\nhelo_allow_chars = _",
    ),
    ("HELO tried", "helo_try_verify_hosts = *\nhelo_accept_junk_hosts = 127.0.0.0/8"),
    ("a macro for the ACL", "MAIL_CHECK = check_mail\nacl_smtp_mail = MAIL_CHECK"),
    ("two addresses", "local_interfaces = <; 127.0.0.1 ; ::1\ndaemon_smtp_ports = smtp : submission"),
    (
        "limits",
        "smtp_accept_max = 20\nsmtp_accept_max_per_host = 10\nsmtp_accept_queue = 10\nqueue_only_load = 50",
    ),
    ("a banner", "smtp_active_hostname = mail.lab.test\nsmtp_banner = $smtp_active_hostname ESMTP ready"),
    ("an ACL before DATA", "acl_smtp_predata = accept"),
    ("AUTH under TLS alone", "acl_smtp_auth = accept encrypted = *"),
    ("an ACL for STARTTLS", "acl_smtp_starttls = accept\ntls_require_ciphers = NORMAL"),
    ("AUTH offered under TLS", "auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}"),
    (
        "extensions",
        "chunking_advertise_hosts =\nprdr_enable = true\ndsn_advertise_hosts = *\npipelining_advertise_hosts =",
    ),
    ("logging everything", "log_selector = +all"),
    ("sizes", "message_size_limit = 50M\nreceived_headers_max = 30\nsmtp_max_unknown_commands = 2"),
    ("users", "never_users = root\ntrusted_users = bob\nuntrusted_set_sender = *\nlocal_from_check = false"),
    ("ident", "rfc1413_hosts = *\nrfc1413_query_timeout = 1s"),
];

#[test]
fn the_refusals_lead_from_each_shape_of_a_configuration_to_a_delivered_message() {
    for (shape, main) in SHAPES {
        on::<Exim>(|machine| {
            let mut main = main.to_owned();
            // The transport makes a lock beside the mailbox.
            let own = |main: &str| own(main).replace("  user = bob\n", "  user = bob\n  group = mail\n");
            machine.write_own(&own(&main));
            let mut plugin = plugin_of(machine);
            plugin.succeed("update", settings(2525, TLS_YES));
            let theirs =
                || machine.sh("cd /etc; find exim4 systemd/system -type f -exec sha256sum {} + | sort");
            let mut before = theirs();
            let mut refused = 0;
            loop {
                let answer = plugin.call("start", Value::Null);
                if crate::support::status(&answer) == 0 {
                    break;
                }
                let told = failure(&answer, 501);
                assert!(told.contains(".ifndef MAIL_SMTP2_PORT"), "{shape}: {told}");
                let is_named = |line: &&str| {
                    let option = line.split(' ').next().unwrap_or_default();
                    ["acl_smtp_mail", "auth_advertise_hosts"].contains(&option) && told.contains(option)
                };
                let line = main.lines().find(is_named).expect("an option that is set is named").to_owned();
                main = main.replace(&line, &format!(".ifndef MAIL_SMTP2_PORT\n{line}\n.endif"));
                machine.write_own(&own(&main));
                before = theirs();
                refused += 1;
                assert!(refused < 3, "{shape}: {told}");
            }
            let mut session = ready_for_auth(addresses(2525)[0], TLS_YES);
            assert_eq!(session.say(BOB).0, 235);
            for line in ["MAIL FROM:<bob@lab.test>", "RCPT TO:<bob@lab.test>", "DATA"] {
                assert!(session.say(line).0 < 400, "{shape}: {line}");
            }
            assert_eq!(session.say("Subject: x\r\n\r\nin this shape\r\n.").0, 250);
            eventually(PATIENCE, "the message arrives", || machine.received("in this shape"));
            plugin.succeed("stop", Value::Null);
            assert!(is_closed(2525) && is_open(25));
            plugin.end();
            let run = machine.launch().arg("remove").run();
            assert_eq!(run.code, Some(0), "{shape}: {}", run.stderr);
            assert_eq!(theirs(), before, "{shape}");
            assert!(!machine.path("/var/lib/mail-smtp2").exists() && is_open(25), "{shape}");
        });
    }
}

#[track_caller]
fn is_501(main: &str, mode: &str, names: &str) {
    on::<Exim>(|machine| {
        machine.write_own(&own(main));
        let mut plugin = plugin_of(machine);
        plugin.succeed("update", settings(2525, mode));
        let before = calm_pulse(machine, 25);
        let answer = plugin.call("start", Value::Null);
        assert!(failure(&answer, 501).contains(names), "{answer}");
        assert!(is_closed(2525) && machine.ours().is_empty() && before == calm_pulse(machine, 25));
        assert!(OURS.iter().all(|path| !machine.path(path).exists()), "{answer}: something was written");
        assert!(!machine.path("/var/log/exim4/paniclog").exists(), "a trial is in the panic log");
    });
}

/// The truth table of both modes, on every address.
#[track_caller]
fn the_table_holds(machine: &Exim) {
    let mut plugin = plugin_of(machine);
    for mode in MODES {
        let port = machine.port();
        plugin.succeed("update", settings(port, mode));
        plugin.succeed("start", Value::Null);
        for at in addresses(port) {
            let Some(found) = smtplib_facts(machine, at, "configurations") else { return };
            let promised = promised(mode);
            let wrong: Vec<_> = promised.iter().filter(|(fact, so)| found.get(*fact) != Some(*so)).collect();
            assert!(wrong.is_empty(), "{mode} at {at}: promised {wrong:?}");
        }
    }
}
