//! Postfix: one marked block in `master.cf`, a service keyed by the port, all settings as `-o` overrides.
//!
//! This file says where Postfix is known to live, which process is its master, and how an entry of ours is told.
//! `alternate` gives the answers about a listener, `master` reads `master.cf`, `needs` says what is missing, `pending`
//! what a reload would end over, `rules` which of the administrator's restrictions hold, `block` makes our lines.
//! Everything is read through Postfix's own `postconf`, for the default instance only. Writing, waiting and proving are
//! `change`'s; a broken configuration is an error that quotes it.
//! Source: master(5), postconf(1), postconf(5), and how Postfix 3.7 was seen to behave.

mod alternate;
mod block;
#[cfg(any(test, fuzzing))]
#[path = "../../../tests/fuzz/targets/postfix.rs"]
pub mod fuzz;
mod instance;
mod master;
mod needs;
mod pending;
mod rules;
mod warnings;

use std::path::{Path, PathBuf};

use self::alternate::PostfixAlternate;
use self::instance::{KIND, MASTERS, SYSLOG_NAME, UNITS, USUAL, is_daemon, is_master, master, run};
use super::machine::{Words, first_line, is_there, unit_of};
use super::sheet::{Alternate, AuthMode, Context, KeptBy, Kind, Listener, Mta, MtaError, Presence, Serves};
use crate::sys::{Command, Process, View};

/// Postfix.
#[derive(Debug, Clone, Copy)]
pub struct Postfix;

impl Mta for Postfix {
    fn kind(&self) -> Kind {
        KIND
    }

    fn looked_for(&self) -> String {
        format!("{} with {USUAL}/master.cf", MASTERS.join(" or "))
    }

    fn presence(&self, host: &dyn View) -> Presence {
        let there = |path: &Path| is_there(host, path);
        if !MASTERS.iter().any(|path| there(Path::new(path))) || !there(&Path::new(USUAL).join("master.cf")) {
            Presence::Missing
        } else if matches!(master(host), Ok(None)) {
            Presence::Installed
        } else {
            Presence::Runs
        }
    }

    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError> {
        Ok(master(host)?.into_iter().map(|master| master.pid).collect())
    }

    fn view(&self) -> &Path {
        Path::new("/etc/postfix/master.cf")
    }

    fn is_own(&self, host: &dyn View, process: &Process) -> bool {
        // An smtpd with a session outlives its master, and keeps the socket that it was given. One whose master lives is
        // that master's.
        let parent = host.parent(process.pid).and_then(|pid| host.process(pid));
        is_daemon(host, process) && !parent.is_some_and(|parent| is_master(host, &parent))
    }

    fn manual(&self) -> Option<&'static str> {
        Some(include_str!("../../manual/mail-smtp2-postfix.7.md"))
    }

    fn blocks(&self) -> Vec<PathBuf> {
        vec![Path::new(USUAL).join("master.cf")]
    }

    fn is_ours(&self) -> Option<fn(&str) -> bool> {
        Some(master::is_ours)
    }

    fn shares_its_process(&self) -> bool {
        true
    }

    fn serves(&self, host: &dyn View, process: &Process) -> Option<Serves> {
        let ours = Words::of(host, process).have(format!("syslog_name={SYSLOG_NAME}"));
        is_daemon(host, process).then_some(if ours { Serves::Alternate } else { Serves::Entry })
    }

    fn version(&self, context: Context<'_>) -> Option<String> {
        let output = run(context, Command::new("postconf").args(["-d", "-h", "mail_version"])).ok()?;
        first_line(&output.stdout)
    }

    fn listener_in(&self, block: &str) -> Option<Listener> {
        let service = block.split_ascii_whitespace().next()?;
        let port = service.rsplit(':').next()?.parse().ok().filter(|port| *port > 0)?;
        // Where the mode cannot be read, the stricter one is what was meant.
        let optional = block.contains("smtpd_tls_security_level=may");
        let auth_mode = if optional { AuthMode::TlsOptional } else { AuthMode::TlsYes };
        Some(Listener { port, auth_mode })
    }

    fn kept_by(&self, host: &dyn View, holder: Option<i32>) -> Option<KeptBy> {
        let pid = holder.or_else(|| Some(master(host).ok()??.pid))?;
        unit_of(host, pid, UNITS).ok()?.map(KeptBy::Unit)
    }

    fn comes_back(&self, _: &dyn View) -> bool {
        true
    }

    fn belongings(&self, _: &[&Path]) -> Vec<PathBuf> {
        Vec::new()
    }

    fn alternate<'a>(&'a self, context: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        let config = match run(context, Command::new("postconf").args(["-d", "-h", "config_directory"])) {
            Ok(output) => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
            // It does not even tell that while the configuration there is broken.
            Err(MtaError::Broken { .. }) => PathBuf::from(USUAL),
            Err(error) => return Err(error),
        };
        Ok(Box::new(PostfixAlternate::new(context, config)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_of_a_block_is_read_back() {
        let block = "127.0.0.1:2525 inet n - y - - smtpd\n  -o smtpd_tls_security_level=may\n";
        let listener = Postfix.listener_in(block).unwrap();
        assert_eq!(listener, Listener { port: 2525, auth_mode: AuthMode::TlsOptional });
        assert_eq!(Postfix.listener_in("smtp inet n - y - - smtpd\n"), None);
        let edited = "2525 inet n - y - - smtpd\n  -o { smtpd_tls_security_level = encrypt }\n";
        assert_eq!(Postfix.listener_in(edited).unwrap().port, 2525);
    }
}
