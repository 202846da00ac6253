//! master.cf as administrators write it: start, stop and remove leave every byte that is not ours where it was.

use super::Postfix;
use crate::subject::{MACHINES, Subject, is_one_insertion, on_four, plugin_of, report, start};
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_YES, status};
use serde_json::Value;
use std::fs;

/// Differing files with their names, each made from Debian's own.
pub(crate) fn corpus(stock: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let stock = String::from_utf8(stock.to_vec()).unwrap();
    let bare: String =
        stock.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let own = "submission inet n       -       y       -       -       smtpd\n  -o syslog_name=postfix/submission\n  \
               -o smtpd_tls_security_level=encrypt\n  -o smtpd_sasl_auth_enable=yes\n";
    let files: Vec<(&'static str, String)> = vec![
        ("Debian's own", stock.clone()),
        ("without comments", bare.clone()),
        ("without a final newline", stock.trim_end().to_owned()),
        ("ending in a comment without a newline", format!("{stock}# the end")),
        ("ending in a continuation line without a newline", format!("{stock}{}", own.trim_end())),
        ("ending in blank lines", format!("{stock}\n\n\n")),
        ("ending in a line of blanks", format!("{stock}   \t \n")),
        ("ending in a line of blanks without a newline", format!("{stock}   \t ")),
        ("CRLF throughout", stock.replace('\n', "\r\n")),
        ("CRLF in comments only", stock.replace("\n#", "\r\n#")),
        ("CRLF in its last line", format!("{stock}# mine\r\n")),
        ("CRLF, no final newline", stock.replace('\n', "\r\n").trim_end().to_owned()),
        ("tabs between columns", columns(&bare, "\t")),
        ("one blank between columns", columns(&bare, " ")),
        ("odd columns", columns(&bare, " \t   ")),
        ("trailing blanks", bare.replace('\n', "   \n")),
        ("trailing tabs in comments too", stock.replace('\n', "\t\n")),
        ("an own submission service", format!("{stock}{own}")),
        ("an own submission service before all others", format!("{own}{bare}")),
        ("an own submissions service", format!("{stock}{}", own.replace("submission ", "submissions "))),
        ("an own service on a number", format!("{stock}{}", own.replace("submission ", "10587 "))),
        (
            "an own service on one address",
            format!("{stock}{}", own.replace("submission ", "127.0.0.1:10588 ")),
        ),
        (
            "an own service on one IPv6 address",
            format!("{stock}{}", own.replace("submission ", "[::1]:10589 ")),
        ),
        ("continuation lines of tabs", format!("{stock}{}", own.replace("\n  ", "\n\t"))),
        (
            "comments between continuation lines",
            format!("{stock}{}", own.replace("\n  -o smtpd_tls", "\n# why\n  -o smtpd_tls")),
        ),
        (
            "indented comments between continuation lines",
            format!("{stock}{}", own.replace("\n  -o smtpd_tls", "\n   # why\n  -o smtpd_tls")),
        ),
        (
            "blank lines between continuation lines",
            format!("{stock}{}", own.replace("\n  -o smtpd_tls", "\n\n  -o smtpd_tls")),
        ),
        (
            "the long form of -o",
            format!(
                "{stock}{}",
                own.replace("-o syslog_name=postfix/submission", "-o { syslog_name = postfix/submission }")
            ),
        ),
        (
            "an own service commented out",
            format!("{stock}{}", own.replace('\n', "\n#").replacen("submission", "#submission", 1)),
        ),
        (
            "comments that look like our marks",
            format!("{stock}# BEGIN mail-smtp2 is what the other machine has\n# END mail-smtp2, too\n"),
        ),
        (
            "a comment with our syslog name",
            format!(
                "{stock}# -o syslog_name=postfix/smtp2\n#2525 inet n - y - - smtpd -o syslog_name=postfix/smtp2\n"
            ),
        ),
        ("bytes that are no UTF-8, in a comment", format!("{stock}# caf\u{1}e\n")),
        ("a very long line", format!("{stock}# {}\n", "x".repeat(20_000))),
        (
            "a very long entry",
            format!("{stock}{}{}\n", own.trim_end(), " -o smtpd_helo_required=no".repeat(100)),
        ),
        ("no file end comment but form feeds", format!("{stock}#\u{c}\n#\u{b}\n")),
        ("the primary last", {
            let (first, rest) = bare.split_once('\n').unwrap();
            format!("{rest}{first}\n")
        }),
        ("the primary by number", bare.replacen("smtp      ", "25        ", 1)),
        ("the primary not in a chroot", bare.replacen("-       y       -", "-       n       -", 1)),
        ("upper-case types", stock.clone() + "# INET\n"),
        ("three thousand lines", format!("{stock}{}", "# a line of a comment\n".repeat(3_000))),
    ];
    let mut files: Vec<_> = files.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
    for (_, bytes) in &mut files {
        // A control character stands for the byte that a String cannot hold.
        bytes.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 0xe9);
    }
    files
}

/// The entries with this between their columns.
fn columns(entries: &str, between: &str) -> String {
    let line = |line: &str| {
        if line.starts_with([' ', '\t', '#']) || line.is_empty() {
            return format!("{line}\n");
        }
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        format!("{}\n", words.join(between))
    };
    entries.lines().map(line).collect()
}

#[test]
fn the_corpus_holds_at_least_thirty_differing_files() {
    let mut files: Vec<_> =
        corpus(b"smtp inet n - y - - smtpd\n").into_iter().map(|(_, bytes)| bytes).collect();
    files.sort();
    files.dedup();
    assert!(files.len() >= 30, "{}", files.len());
}

#[test]
fn start_stop_and_remove_leave_every_byte_that_is_not_ours_of_the_corpus() {
    let tried = on_four("", |machine: &Postfix, number| {
        let stock = fs::read(machine.master_cf()).unwrap();
        let (mut wrong, mut changed, mut files) = (Vec::new(), 0, 0);
        for (name, bytes) in corpus(&stock).iter().skip(number).step_by(MACHINES) {
            fs::write(machine.master_cf(), bytes).unwrap();
            machine.reload();
            if let Err((what, bytes)) = start_stop_and_remove(machine, bytes) {
                wrong.push(format!("{name}: {what}"));
                changed += bytes;
            }
            machine.try_sh("rm -rf /var/lib/mail-smtp2");
            files += 1;
        }
        (wrong, changed, files)
    });
    let files: usize = tried.iter().map(|(_, _, files)| files).sum();
    let changed: usize = tried.iter().map(|(_, changed, _)| changed).sum();
    report(&format!("Postfix: {files} files of master.cf, {changed} bytes that are not ours changed"));
    let wrong: Vec<String> = tried.into_iter().flat_map(|(wrong, _, _)| wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What went wrong, and in how many bytes.
fn start_stop_and_remove(machine: &Postfix, bytes: &[u8]) -> Result<(), (String, usize)> {
    let port = machine.port();
    let mut plugin = plugin_of(machine);
    let configured = plugin.call("update", crate::subject::settings(port, TLS_YES));
    for (method, runs) in [("start", true), ("stop", false), ("start", true)] {
        let answer = plugin.call(method, Value::Null);
        if status(&answer) != 0 {
            return Err((format!("{configured}, {method}: {answer}"), 0));
        }
        let live = fs::read(machine.master_cf()).unwrap();
        let (kept, open) = match runs {
            true => (is_one_insertion(bytes, &live), is_open(port)),
            false => (live == bytes, is_closed(port)),
        };
        if !kept || !open {
            return Err((
                format!("after {method}: other bytes kept {kept}, port as said {open}"),
                distance(bytes, &live),
            ));
        }
    }
    plugin.end();
    let run = machine.launch().arg("remove").run();
    let left = fs::read(machine.master_cf()).unwrap();
    if run.code != Some(0) || left != bytes {
        return Err((format!("remove ends with {:?}: {}", run.code, run.stderr), distance(bytes, &left)));
    }
    Ok(())
}

fn distance(before: &[u8], after: &[u8]) -> usize {
    let differing = before.iter().zip(after).filter(|(a, b)| a != b).count();
    differing.max(before.len().abs_diff(after.len()))
}

/// Started by hand between an administrator's lines, the block stays where it is and theirs around it.
#[test]
fn lines_added_around_the_block_while_it_runs_are_kept() {
    crate::subject::on::<Postfix>(|machine| {
        let stock = fs::read_to_string(machine.master_cf()).unwrap();
        let mut plugin = plugin_of(machine);
        start(&mut plugin, machine.port(), TLS_YES);
        let live = fs::read_to_string(machine.master_cf()).unwrap();
        fs::write(machine.master_cf(), format!("# above\n{live}# below\n")).unwrap();
        plugin.succeed("update", crate::subject::settings(machine.port(), TLS_YES));
        plugin.succeed("stop", Value::Null);
        assert_eq!(fs::read_to_string(machine.master_cf()).unwrap(), format!("# above\n{stock}# below\n"));
    });
}
