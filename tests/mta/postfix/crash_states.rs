//! Every state-changing system call of every change on Postfix fails once, and is the last one once.
//!
//! What is done at each call, and what has to hold after it, stands in `support::faults`; here is the machine, on which one
//! case follows the other. After each, master.cf is to the byte as it was, and nothing of ours is on the machine. In the gate
//! four machines share the changes and try a few dozen cases; `MAIL_SMTP2_EVERY` says that every nth is tried (1 in the soak).

use super::Postfix;
use crate::subject::{Subject, figure, on_four, report};
use crate::support::faults::{
    Change, Ground, Hit, Ports, Undisturbed, changes, has_strace, spaced, strike, undisturbed,
};
use crate::support::plugin::Launch;
use crate::support::{repetitions, skip};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

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

/// What is still to be done: changes to record, and cases of those that were recorded.
#[derive(Default)]
struct Work {
    changes: Vec<Change>,
    cases: Vec<(Arc<Undisturbed>, Change, Hit)>,
    all: usize,
}

/// One machine's share of the work, every `each`th case of what it records: how many cases were tried.
fn share(machine: &Postfix, work: &Mutex<Work>, each: usize) -> u64 {
    let ports: Ports = [machine.port(), machine.port()];
    let mut held = 0;
    loop {
        // Of its own, or the lock would be held for the whole body.
        let next = work.lock().unwrap().changes.pop();
        if let Some(change) = next {
            let known = Arc::new(undisturbed(machine, &change, ports));
            let cases = Hit::all(&known.log);
            let mut work = work.lock().unwrap();
            work.all += cases.len();
            let chosen = spaced(cases, each).into_iter();
            work.cases.extend(chosen.map(|hit| (Arc::clone(&known), change.clone(), hit)));
            continue;
        }
        let next = work.lock().unwrap().cases.pop();
        let Some((known, change, hit)) = next else { return held };
        strike(machine, &change, ports, &known, hit, None);
        held += 1;
    }
}

#[test]
fn every_call_of_a_change_on_postfix_may_fail_or_be_the_last() {
    if !has_strace() {
        return skip("the faults of every system call: this machine has no strace");
    }
    let each = repetitions("MAIL_SMTP2_EVERY", 120, 1);
    let work = Mutex::new(Work { changes: changes(), ..Work::default() });
    let held: u64 = on_four("", |machine: &Postfix, _| share(machine, &work, each)).into_iter().sum();
    let all = work.into_inner().unwrap().all;
    report(&format!("Postfix: {held} of {held} crash states of system calls, out of {all}"));
    figure("crash states of system calls on Postfix", held);
}
