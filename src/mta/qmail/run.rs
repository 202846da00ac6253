//! Whether a `run` script reads its variables from `env/`.
//!
//! It looks for envdir(8), or chpst(8) with `-e`, together with the service's own `env`, and for the variable of the
//! port; and what is asked of DNS before a client is greeted. What the script does with its variables is found out by the
//! proof. Whatever stands in a comment does not count. Root runs it, so that it has to be root's, and executable; what
//! is wrong with it is said in a sentence.

use std::path::Path;

use crate::mta::sheet::MtaError;
use crate::sys::{FileError, View};

/// The folder of a service directory that its supervisor writes.
pub(super) const SUPERVISE: &str = "supervise";

/// Whether what root executes there is root's alone.
///
/// # Errors
/// It is not, or cannot be looked at.
pub fn trusted(host: &dyn View, path: &Path) -> Result<(), MtaError> {
    let why = match host.meta(path)? {
        Some(meta) if meta.uid != 0 => "does not belong to root",
        Some(meta) if meta.mode & 0o022 != 0 => "may be written by others than root",
        _ => return Ok(()),
    };
    Err(FileError::Untrusted { path: path.to_owned(), why }.into())
}

/// Whether a file with these permission bits can be executed.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o100 != 0
}

/// What is asked of DNS before a client is greeted by what `script` starts, each with what helps, as a sentence goes on after
/// the script's name.
pub fn asks_first(script: &str) -> Vec<String> {
    let text = without_comments(script);
    let words = words(&text);
    let starts = |program: &str| words.iter().position(|word| is_program(word, program));
    let mut asks = Vec::new();
    for program in ["tcpserver", "sslserver"] {
        let Some(given) = starts(program).and_then(|at| options(&words[at + 1..])) else { continue };
        // The one that is given last counts.
        if given.rfind('H') <= given.rfind('h') {
            asks.push(format!(
                "starts {program} without -H, which asks DNS for the name of each client before it greets: give it -H \
                 and -R, or DNS that answers"
            ));
        }
        if !given.contains('l') {
            asks.push(format!(
                "starts {program} without -l, which asks DNS for the machine's own name before it greets: give it -l 0"
            ));
        }
    }
    // rblsmtpd(1): one that is set to nothing means that the client is on no list.
    if starts("rblsmtpd").is_some() && !sets(&text, "RBLSMTPD") {
        asks.push(
            "starts rblsmtpd, which asks the DNS lists about each client before it greets: people who log in need no \
             list, so take it out, or have the script export RBLSMTPD= before it"
                .to_owned(),
        );
    }
    asks
}

/// The options of tcpserver(1), or of a program that has the same, one letter each, from the words behind its name; `None`
/// where a shell would put them in.
fn options(words: &[&str]) -> Option<String> {
    const WITH_VALUE: &str = "bBcgltuwx";
    let mut given = String::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word.starts_with('$') {
            return None;
        }
        let Some(letters) = word.strip_prefix('-').filter(|letters| !matches!(*letters, "" | "-")) else {
            break;
        };
        for (at, letter) in letters.char_indices() {
            given.push(letter);
            if WITH_VALUE.contains(letter) {
                if at + letter.len_utf8() == letters.len() {
                    words.next();
                }
                break;
            }
        }
    }
    Some(given)
}

/// Whether what `script` starts does TLS by itself, as qmail-smtpd with one of its patches: nobody stands before it who has
/// a certificate of his own.
pub fn does_its_own_tls(script: &str) -> bool {
    const BEFORE: [&str; 4] = ["spamdyke", "sslserver", "sslio", "stunnel"];
    let text = without_comments(script);
    let words = words(&text);
    let starts = |program: &str| words.iter().any(|word| is_program(word, program));
    starts("qmail-smtpd") && !BEFORE.into_iter().any(starts)
}

/// Whether `script` reads the variable `port` from the service directory's `env`; `is_inside` tells whether a path leads
/// into the service directory.
///
/// # Errors
/// What it lacks, as a sentence goes on after "it".
pub fn reads(script: &str, port: &str, is_inside: &dyn Fn(&Path) -> bool) -> Result<(), String> {
    let text = without_comments(script);
    let words = words(&text);
    let is_env = |word: &&str| {
        let path = Path::new(word);
        matches!(word.trim_end_matches('/'), "env" | "./env")
            || path.is_absolute() && path.ends_with("env") && is_inside(path)
    };
    let reads_env = words.iter().enumerate().any(|(at, word)| {
        let behind = &words[at + 1..];
        let option = behind.iter().position(|word| *word == "-e").map_or(behind.len(), |e| e + 1);
        is_program(word, "envdir") && behind.first().is_some_and(is_env)
            || is_program(word, "chpst") && behind.get(option).is_some_and(is_env)
    });
    if !reads_env {
        return Err("has neither envdir nor chpst -e with its directory env".to_owned());
    }
    if !uses(&text, port) {
        return Err(format!("does not use ${port}"));
    }
    Ok(())
}

/// A script without what a shell takes for comments.
pub fn without_comments(script: &str) -> String {
    script.lines().map(|line| without_comment(line).to_owned() + "\n").collect()
}

/// The words of a script, without quotes around them.
pub fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect()
}

/// Whether a word names this program.
fn is_program(word: &str, name: &str) -> bool {
    Path::new(word).file_name().is_some_and(|file| file == name)
}

/// A line without what a shell takes for a comment.
fn without_comment(line: &str) -> &str {
    let starts = |(at, _): &(usize, &str)| line[..*at].ends_with(char::is_whitespace) || *at == 0;
    line.match_indices('#').find(starts).map_or(line, |(at, _)| &line[..at])
}

/// Whether a shell would give the variable a value: `NAME=` at the beginning of a word.
fn sets(text: &str, name: &str) -> bool {
    let assigned = |word: &&str| word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
    words(text).iter().any(|word| assigned(&word.trim_end_matches(';')))
}

/// Whether a shell would put the variable's value in: `$NAME`, or `${NAME` and whatever may follow.
fn uses(text: &str, name: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_');
    text.match_indices('$').any(|(at, _)| {
        let rest = &text[at + 1..];
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        rest.strip_prefix(name).is_some_and(|rest| !goes_on(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &str) -> Result<(), String> {
        reads(script, "PORT", &|path| path.starts_with("/service/smtp2"))
    }

    #[test]
    fn scripts_as_administrators_write_them_are_relied_on() {
        for script in [
            "#!/bin/sh\nexec 2>&1\nexec envdir ./env sh -c '\n exec tcpserver 0 \"$PORT\" qmail-smtpd'\n",
            "#!/bin/sh\nexec /usr/bin/envdir /service/smtp2/env sh -c 'exec tcpserver 0 ${PORT:-587} x'",
            "#!/bin/sh\nexec chpst -u qmaild -e env sh -c \"exec tcpserver 0 \\$PORT x\"",
            "#!/bin/sh\nexec envdir \"env/\" sh -c 'exec tcpserver 0 $PORT x'",
        ] {
            assert_eq!(read(script), Ok(()), "{script}");
        }
    }

    #[test]
    fn a_program_before_qmail_smtpd_has_a_certificate_of_its_own() {
        assert!(does_its_own_tls("exec tcpserver 0 $PORT /var/qmail/bin/qmail-smtpd x y"));
        for script in [
            "exec tcpserver 0 $PORT spamdyke -f /etc/spamdyke.conf /var/qmail/bin/qmail-smtpd x y",
            "exec sslserver 0 $PORT /var/qmail/bin/qmail-smtpd x y",
            "exec tcpserver 0 $PORT /usr/bin/other # qmail-smtpd",
        ] {
            assert!(!does_its_own_tls(script), "{script}");
        }
    }

    #[test]
    fn a_script_that_only_speaks_of_it_is_not() {
        for script in [
            "#!/bin/sh\n# exec envdir ./env sh -c 'exec tcpserver 0 $PORT x'\nexec tcpserver 0 587 x\n",
            "exec envdir /service/smtp/env sh -c 'exec tcpserver 0 $PORT x'",
            "exec envdir ./env sh -c 'exec tcpserver 0 $PORTS x' # $PORT",
            "exec chpst -u qmaild sh -c 'exec tcpserver 0 $PORT x'",
            "",
        ] {
            assert!(read(script).is_err(), "{script}");
        }
    }

    #[test]
    fn what_is_asked_before_the_greeting_is_known_by_program_and_options() {
        for (script, asks) in [
            ("exec tcpserver 0 $PORT x", "tcpserver without -H, tcpserver without -l"),
            ("exec tcpserver -v -R -l 0 0 $PORT x # -H", "tcpserver without -H"),
            ("exec tcpserver -l 0 0 $PORT x -H", "tcpserver without -H"),
            ("exec tcpserver -l -H 0 $PORT x", "tcpserver without -H"),
            ("exec tcpserver -Hh -l0 0 $PORT x", "tcpserver without -H"),
            ("exec tcpserver -h -H -l0 0 $PORT x", ""),
            ("exec /usr/bin/tcpserver -vRHl0 0 $PORT x", ""),
            ("exec tcpserver -x /etc/tcp.smtp.cdb -c 20 -R -H -l \"$LOCAL\" 0 $PORT x", ""),
            ("exec tcpserver -R -H 0 $PORT x", "tcpserver without -l"),
            ("exec tcpserver $FLAGS 0 $PORT x", ""),
            ("exec sslserver -seV -l 0 -Xx /etc/tcp.smtp.cdb 0 $PORT x", "sslserver without -H"),
            ("exec tcpserver -RHl0 0 $PORT rblsmtpd -r zen.example.com x", "rblsmtpd"),
            ("export RBLSMTPD=; exec tcpserver -RHl0 0 $PORT rblsmtpd x", ""),
            ("exec tcpserver -RHl0 0 $PORT x # rblsmtpd", ""),
            ("exec perl server", ""),
        ] {
            let told = asks_first(script);
            let asks: Vec<&str> = asks.split(", ").filter(|asks| !asks.is_empty()).collect();
            let right =
                told.iter().zip(&asks).all(|(told, asks)| told.starts_with(&format!("starts {asks}")));
            assert!(right && told.len() == asks.len(), "{script}: {told:?}");
        }
    }

    #[test]
    fn what_is_lacking_is_named() {
        assert_eq!(
            read("exec tcpserver 0 587 x"),
            Err("has neither envdir nor chpst -e with its directory env".into())
        );
        assert_eq!(read("exec envdir ./env tcpserver 0 587 x"), Err("does not use $PORT".into()));
    }
}
