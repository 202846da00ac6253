//! Every state-changing system call of every change on Postfix fails once, and is the last one once.
//!
//! What is done at each call, and what has to hold after it, stands in `support::faults`; here is the machine, on which one
//! case follows the other. After each, master.cf is to the byte as it was, and nothing of ours is on the machine. In the gate
//! four machines share the changes and try a few dozen cases; `MAIL_SMTP2_EVERY` says that every nth is tried (1 in the soak,
//! where every machine has its share of all of them).

use super::Postfix;
use crate::subject::{MACHINES, Subject, figure, on_four, report};
use crate::support::faults::{Ground, Hit, Ports, changes, has_strace, spaced, strike, undisturbed};
use crate::support::plugin::Launch;
use crate::support::{repetitions, skip};
use std::fs;
use std::path::PathBuf;

impl Ground for Postfix {
    fn launch_by(&self, words: &[&str]) -> Launch {
        self.launch_under(words)
    }

    fn trace_log(&self) -> (String, PathBuf) {
        const LOG: &str = "/run/strace.log";
        (LOG.to_owned(), self.path(LOG))
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let state = ["intent", ".intent.mail-smtp2", ".settings.json.mail-smtp2", "staged"];
        let state = state.map(|name| self.state().join(name));
        state.into_iter().chain([self.path("/etc/postfix/.master.cf.mail-smtp2")]).collect()
    }

    fn is_as_it_was(&self, story: &str) {
        let pristine = fs::read(self.path("/etc/lab/pristine/master.cf")).unwrap();
        assert!(fs::read(self.master_cf()).unwrap() == pristine, "{story}: master.cf is not as it was");
        for left in ["/etc/postfix/master.cf.tmp", "/var/lib/mail-smtp2", "/run/mail-smtp2"] {
            assert!(!self.path(left).exists(), "{story}: {left} is left");
        }
    }
}

/// One machine's share of the changes: how many cases were tried, of how many.
fn share(machine: &Postfix, number: usize, begin: usize, each: usize) -> (usize, usize) {
    let ports: Ports = [machine.port(), machine.port()];
    let mut count = (0, 0);
    for change in changes().iter().skip((begin + number) % MACHINES).step_by(MACHINES) {
        let known = undisturbed(machine, change, ports);
        let cases = Hit::all(&known.log);
        count.1 += cases.len();
        for hit in spaced(cases, each) {
            strike(machine, change, ports, &known, hit, None);
            count.0 += 1;
        }
    }
    count
}

#[test]
fn every_call_of_a_change_on_postfix_may_fail_or_be_the_last() {
    if !has_strace() {
        return skip("the faults of every system call: this machine has no strace");
    }
    let each = repetitions("MAIL_SMTP2_EVERY", 120, 1);
    let begin = fastrand::usize(..MACHINES);
    let shares = on_four("", |machine: &Postfix, number| share(machine, number, begin, each));
    let (held, all) = shares.into_iter().fold((0, 0), |(held, all), (h, a)| (held + h, all + a));
    report(&format!("Postfix: {held} of {held} crash states of system calls, out of {all}"));
    figure("crash states of system calls on Postfix", held as u64);
}
