//! An administrator who edits master.cf while a change is under way loses nothing.

use super::Postfix;
use crate::subject::{Subject, is_one_insertion, on, report, running, stopped};
use crate::support::faults::has_strace;
use crate::support::sandbox::Frozen;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, skip, status, success, within};
use serde_json::{Value, json};
use std::fs;

#[test]
fn an_edit_between_the_commands_of_a_change_is_kept() {
    let in_place = |mark: &str| format!("echo '# {mark}' >>/etc/postfix/master.cf");
    each_call_meets_an_edit("written in place", in_place);
}

#[test]
fn an_edit_that_replaces_the_file_in_the_middle_of_a_change_is_kept() {
    let replaced = |mark: &str| {
        format!(
            "cp -p /etc/postfix/master.cf /etc/postfix/edit && sed -i '1i # {mark}' /etc/postfix/edit && \
             mv /etc/postfix/edit /etc/postfix/master.cf"
        )
    };
    each_call_meets_an_edit("renamed into place", replaced);
}

#[test]
fn an_edit_after_ours_outlives_the_rollback_of_ours() {
    on::<Postfix>(|machine| {
        let stock = fs::read(machine.master_cf()).unwrap();
        let (mut plugin, _) = running(machine, TLS_YES);
        let settings = || fs::read(machine.state().join("settings.json")).unwrap();
        for round in 0..200 {
            let (port, before) = (machine.port(), settings());
            let id = plugin.post("update", json!({"alternate_smtp_port": port}));
            let written = || {
                String::from_utf8_lossy(&fs::read(machine.master_cf()).unwrap()).contains(&port.to_string())
            };
            assert!(within(PATIENCE, || written() || !plugin.is_silent()), "nothing happens");
            let frozen = Frozen::freeze(machine.process(&plugin));
            // With the intent there and the settings as they were, it is in the middle.
            let caught = written() && machine.state().join("intent").exists() && settings() == before;
            if !caught {
                drop(frozen);
                assert_eq!(plugin.receive_reply(id)["result"], success(), "round {round}");
                continue;
            }
            // Nobody can log in from here on: what was written cannot be proven.
            machine.sh("pkill -9 dovecot; rm -f /var/spool/postfix/private/auth; pkill -9 smtpd || :");
            machine.append(&machine.master_cf(), "# an edit after ours\n");
            drop(frozen);
            let answer = plugin.receive_reply(id)["result"].take();
            let live = fs::read(machine.master_cf()).unwrap();
            let kept = [stock.as_slice(), b"# an edit after ours\n"].concat();
            assert_ne!(answer, success(), "nobody can log in");
            assert!(is_one_insertion(&kept, &live), "{answer}: a byte that is not ours was changed");
            assert!(!written() && is_closed(port), "{answer}: the new listener was not taken back");
            assert!(is_open(25));
            return;
        }
        panic!("no change could be caught after its write");
    });
}

#[test]
fn an_administrator_who_takes_our_block_out_is_believed() {
    on::<Postfix>(|machine| {
        let stock = fs::read(machine.master_cf()).unwrap();
        let (mut plugin, port) = running(machine, TLS_YES);
        fs::write(machine.master_cf(), &stock).unwrap();
        machine.reload();
        assert_eq!(plugin.payload("isRunning", Value::Null), false);
        plugin.succeed("start", Value::Null);
        assert!(is_open(port));
        plugin.succeed("stop", Value::Null);
        assert!(fs::read(machine.master_cf()).unwrap() == stock);
    });
}

#[test]
fn an_administrator_who_edits_our_block_loses_it_to_the_next_change_and_it_is_kept_aside() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine
            .sh("sed -i 's/-o syslog_name=postfix\\/smtp2/& -o smtpd_banner=edited/' /etc/postfix/master.cf");
        assert!(
            fs::read_to_string(machine.master_cf()).unwrap().contains("edited"),
            "the block carries our syslog name"
        );
        machine.reload();
        plugin.succeed("restart", Value::Null);
        assert!(is_open(port));
        assert!(!fs::read_to_string(machine.master_cf()).unwrap().contains("edited"));
        assert!(machine.try_sh("grep -rq edited /var/lib/mail-smtp2"), "the old bytes are lost");
    });
}

/// What version 1.0.0 wrote behind the first line of its entry for AUTH under TLS.
const OPTIONS_OF_1_0_0: &str = "  -o syslog_name=postfix/smtp2
  -o smtpd_tls_security_level=encrypt
  -o smtpd_tls_auth_only=yes
  -o smtpd_tls_wrappermode=no
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_security_options=noanonymous
  -o smtpd_sasl_tls_security_options=noanonymous
  -o smtpd_sasl_exceptions_networks=
  -o smtpd_discard_ehlo_keywords=
  -o smtpd_discard_ehlo_keyword_address_maps=
  -o smtpd_upstream_proxy_protocol=
  -o smtpd_delay_reject=no
  -o smtpd_client_restrictions=
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=permit_sasl_authenticated,reject
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject
  -o smtpd_etrn_restrictions=reject
";

#[test]
fn the_block_of_an_older_version_is_an_edit_only_where_somebody_has_edited_it() {
    on::<Postfix>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        let (entry, end) = (format!("\n{port} inet n - y - - smtpd\n"), "# END mail-smtp2\n");
        let becomes_old = |edit: &str| {
            let live = fs::read_to_string(machine.master_cf()).unwrap();
            let (before, ours) = live.split_once(&entry).unwrap();
            let (_, after) = ours.split_once(end).unwrap();
            let old = [before, &entry, OPTIONS_OF_1_0_0, edit, end, after].concat();
            fs::write(machine.master_cf(), old).unwrap();
            machine.reload();
        };
        let kept = machine.state().join("edited");
        becomes_old("");
        assert_eq!(plugin.payload("queryStatus", json!({"probe": 1}))["drift"], json!([]));
        let plan = plugin.payload("queryPlan", json!({"action": "restart"})).to_string();
        assert!(!plan.contains("edit_rewritten"), "{plan}");
        plugin.succeed("restart", Value::Null);
        assert!(!kept.exists(), "our own block is kept as somebody's edit");
        assert!(fs::read_to_string(machine.master_cf()).unwrap().contains("soft_bounce=no"));
        becomes_old("  -o smtpd_banner=edited\n");
        plugin.succeed("restart", Value::Null);
        let kept = fs::read_dir(kept).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        assert!(kept.collect::<String>().contains("edited"), "an edit of our older block is lost");
    });
}

#[track_caller]
fn each_call_meets_an_edit(how: &str, edit: impl Fn(&str) -> String + Sync) {
    on::<Postfix>(|machine| {
        let stock = fs::read_to_string(machine.master_cf()).unwrap();
        let (mut plugin, mut port) = running(machine, TLS_YES);
        let counting = machine.hook(0, "");
        port = update(machine, &mut plugin, port).1;
        let calls = counting.calls();
        drop(counting);
        let mut marks = Vec::new();
        let mut refused = 0;
        for nth in 1..=calls {
            let mark = format!("an edit at call {nth}");
            let hook = machine.hook(nth, &edit(&mark));
            let (answer, now) = update(machine, &mut plugin, port);
            let edited = hook.calls() >= nth;
            drop(hook);
            assert!([0, 409].contains(&status(&answer)), "{mark}: {answer}");
            assert!(
                is_open(now) && (now == port || is_closed(port)),
                "{mark}: {answer}, {now} is not open alone"
            );
            refused += u32::from(answer != success());
            port = now;
            marks.extend(edited.then_some(format!("# {mark}\n")));
            let live = fs::read_to_string(machine.master_cf()).unwrap();
            let lost: Vec<_> = marks.iter().filter(|mark| live.matches(mark.as_str()).count() != 1).collect();
            assert!(lost.is_empty(), "after {mark}: {lost:?} are not there once");
        }
        plugin.succeed("stop", Value::Null);
        let mut left = fs::read_to_string(machine.master_cf()).unwrap();
        marks.iter().for_each(|mark| left = left.replacen(mark.as_str(), "", 1));
        assert_eq!(left, stock, "more than the edits");
        report(&format!(
            "Postfix: {} edits in the middle of a change, {how}: 0 lost, {refused} changes refused",
            marks.len()
        ));
    });
}

/// The lock under which Postfix's own tools edit master.cf.
const LOCK: &str = "/etc/postfix/master.cf.tmp";

#[test]
fn remove_takes_what_is_left_of_editing() {
    on::<Postfix>(|machine| {
        let (plugin, _) = stopped(machine, TLS_YES);
        plugin.end();
        machine.sh(&format!(": >{LOCK}; : >/etc/postfix/.master.cf.mail-smtp2"));
        let run = machine.launch().arg("remove").run();
        let left = [LOCK, "/etc/postfix/.master.cf.mail-smtp2"].map(|path| machine.path(path).exists());
        assert_eq!((run.code, left), (Some(0), [false, false]), "{}", run.stderr);
    });
}

#[test]
fn what_of_editing_cannot_be_removed_is_named() {
    if !has_strace() {
        return skip("an unlink that fails: this machine has no strace");
    }
    on::<Postfix>(|machine| {
        let (plugin, _) = running(machine, TLS_YES);
        plugin.end();
        let words = ["strace", "-qq", "-o", "/dev/null", "-P", LOCK, "-e", "inject=unlink:error=EROFS"];
        let run = machine.launch_under(&words).arg("remove").run();
        assert!(run.code == Some(1) && run.stderr.contains(LOCK), "{:?} {}", run.code, run.stderr);
        let run = machine.launch().arg("remove").run();
        assert_eq!((run.code, machine.path(LOCK).exists()), (Some(0), false), "{}", run.stderr);
    });
}

#[test]
fn what_postconf_has_left_of_its_editing_is_not_ours_to_remove() {
    on::<Postfix>(|machine| {
        let (plugin, _) = stopped(machine, TLS_YES);
        plugin.end();
        machine.sh(&format!("cp -p /etc/postfix/master.cf {LOCK}"));
        let run = machine.launch().arg("remove").run();
        assert_eq!((run.code, machine.path(LOCK).exists()), (Some(0), true), "{}", run.stderr);
    });
}

/// Asks for a fresh port; the answer, and the port that is configured then.
#[track_caller]
fn update(machine: &Postfix, plugin: &mut crate::support::plugin::Plugin, port: u16) -> (Value, u16) {
    let new = machine.port();
    let answer = plugin.call("update", json!({"alternate_smtp_port": new}));
    let now = if answer == success() { new } else { port };
    (answer, now)
}
