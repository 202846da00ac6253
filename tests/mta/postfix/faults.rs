//! Injected faults of every kind, and not one `Success` that is not true.
//!
//! Each row of the table is a fault: a script that makes it on the machine and one that heals it. A fault is there
//! before the change is asked for, or comes before one of the control commands that it uses, or as soon as it has written
//! and before it can have proven anything; when, which command and which change is chosen at random, from a seed that
//! is printed. Whatever the answer, `isRunning` has to agree with the kernel; after healing, port 25 has to be there, a
//! change has to succeed, and no byte that is not ours of master.cf may have changed.
//!
//! `MAIL_SMTP2_FAULTS` is their number (each row once in the gate, 200 in the soak), shared by four machines, since most of
//! the time is spent on waiting; `MAIL_SMTP2_SEED` repeats the choices.

use super::Postfix;
use super::health::squat;
use crate::subject::{MODES, Subject, figure, hasty, on_four, plugin_of, report, settings, start};
use crate::support::plugin::Plugin;
use crate::support::sandbox::{Frozen, addresses};
use crate::support::smtp::{Session, is_closed, is_open, ready_for_auth};
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, repetitions, seed, status, success, within};
use fastrand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// When a fault comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// Before the change is asked for.
    Before,
    /// Before the change, or before one of its control commands: what running processes do not notice has to be so
    /// before those begin that the proof speaks with.
    Early,
    /// In place of one of the control commands of the change.
    Call,
    /// Before one of the control commands, or as soon as the change has written.
    Middle,
    /// Before the change, or in the middle of it.
    Any,
}

/// One kind of fault. The damage may be cut short, as a command is that it comes before.
struct Fault {
    what: &'static str,
    when: When,
    /// A shell script; `PORT` stands for the port that the change is about.
    damage: &'static str,
    heal: &'static str,
}

const fn fault(what: &'static str, when: When, damage: &'static str, heal: &'static str) -> Fault {
    Fault { what, when, damage, heal }
}

const DOVECOT: &str = "pgrep -x dovecot >/dev/null || dovecot-start";
const UNHIDE: &str = "cp -p /etc/lab/pristine/main.cf /etc/postfix/main.cf; postfix status || postfix start";
/// An smtpd that was serving somebody when its master died goes on listening for as long as its session lasts, beside the
/// new master, and takes every other connection to port 25: an administrator ends it.
const REVIVE: &str = "postfix status || { pkill -9 -x smtpd; postfix start; }";
/// Postfix waits a minute before it tries a program again that ended in a fault, unless it is started anew.
const ANEW: &str = "mountpoint -q /usr/lib/postfix/sbin/smtpd && umount /usr/lib/postfix/sbin/smtpd; \
    chmod 755 /usr/lib/postfix/sbin/smtpd; postfix stop; postfix start";

#[rustfmt::skip]
const FAULTS: [Fault; 33] = [
    fault("the certificate is gone", When::Any, "mv /etc/lab/cert.pem /etc/lab/away", "[ ! -e /etc/lab/away ] || mv /etc/lab/away /etc/lab/cert.pem"),
    fault("the key is gone", When::Any, "mv /etc/lab/key.pem /etc/lab/away", "[ ! -e /etc/lab/away ] || mv /etc/lab/away /etc/lab/key.pem"),
    fault("the key is another certificate's", When::Any, "cp -p /etc/lab/key.pem /etc/lab/away; openssl genrsa 2048 >/etc/lab/key.pem 2>/dev/null", "[ ! -e /etc/lab/away ] || mv /etc/lab/away /etc/lab/key.pem"),
    fault("the certificate is rubbish", When::Any, "cp -p /etc/lab/cert.pem /etc/lab/away; echo rubbish >/etc/lab/cert.pem", "[ ! -e /etc/lab/away ] || mv /etc/lab/away /etc/lab/cert.pem"),
    fault("the SASL socket is gone", When::Any, "mv /var/spool/postfix/private/auth /var/spool/postfix/private/away", "[ ! -e /var/spool/postfix/private/away ] || mv /var/spool/postfix/private/away /var/spool/postfix/private/auth"),
    fault("Dovecot is dead, its socket is left", When::Any, "pkill -9 -x dovecot", DOVECOT),
    fault("Dovecot does not answer", When::Any, "pkill -STOP -x auth; pkill -STOP -x dovecot", "pkill -CONT -x auth; pkill -CONT -x dovecot; :"),
    fault("the port is another program's", When::Any, "SQUAT", "pkill -9 -x perl; :"),
    fault("the master is dead", When::Any, "pkill -9 -x master", REVIVE),
    fault("the master hangs", When::Any, "pkill -STOP -x master", "pkill -CONT -x master; :"),
    fault("the master hangs up and is started again", When::Middle, "postfix stop; postfix start", "postfix status || postfix start"),
    fault("Postfix is stopped", When::Any, "postfix stop", "postfix status || postfix start"),
    fault("smtpd cannot be executed", When::Any, "chmod 0 /usr/lib/postfix/sbin/smtpd; pkill -9 -x smtpd || :", ANEW),
    fault("smtpd ends at once", When::Any, "mount --bind /bin/false /usr/lib/postfix/sbin/smtpd; pkill -9 -x smtpd || :", ANEW),
    fault("every smtpd is killed", When::Middle, "pkill -9 -x smtpd || :", ANEW),
    fault("tlsmgr is killed", When::Any, "pkill -9 -x tlsmgr", ""),
    fault("a control command fails", When::Call, "echo 'fatal: injected' >&2; exit 1", ""),
    fault("a control command is killed", When::Call, "kill -9 $$", ""),
    fault("a control command says nothing and succeeds", When::Call, "exit 0", ""),
    fault("a control command says rubbish and succeeds", When::Call, "printf '\\000\\377rubbish\\n'; exit 0", ""),
    fault("a control command hangs", When::Call, "trap '' TERM; sleep 98765", "pkill -9 -x sleep; :"),
    fault("a control command floods its output and fails", When::Call, "yes fatal | head -c 10000000; exit 1", ""),
    fault("master.cf is immutable", When::Any, "chattr +i /etc/postfix/master.cf", "chattr -i /etc/postfix/master.cf"),
    fault("/etc/postfix is read-only", When::Before, "mount --bind /etc/postfix /etc/postfix; mount -o remount,ro,bind /etc/postfix", "umount /etc/postfix; :"),
    fault("/etc/postfix is full", When::Before, "cp -a /etc/postfix /run/full; mount -t tmpfs -o size=1m tmpfs /etc/postfix; cp -a /run/full/. /etc/postfix; rm -r /run/full; cat /dev/zero >/etc/postfix/zero 2>/dev/null || :", "umount /etc/postfix; :"),
    fault("the state directory is full", When::Before, "mkdir -p -m 700 /run/full; cp -a /var/lib/mail-smtp2/. /run/full; mount -t tmpfs -o size=$(($(du -sk /run/full | cut -f1) + 64))k,mode=700 tmpfs /var/lib/mail-smtp2; cp -a /run/full/. /var/lib/mail-smtp2; rm -r /run/full; cat /dev/zero >/var/lib/mail-smtp2/zero 2>/dev/null || :", "umount /var/lib/mail-smtp2; :"),
    fault("master.cf is broken", When::Any, "cp -p /etc/postfix/master.cf /run/kept; echo 'broken inet' >>/etc/postfix/master.cf", "sed -i '/^broken inet$/d' /etc/postfix/master.cf"),
    fault("main.cf is broken", When::Early, "echo 'no parameter at all' >>/etc/postfix/main.cf", UNHIDE),
    fault("main.cf names protocols that do not exist", When::Early, "postconf -e inet_protocols=banana", UNHIDE),
    fault("main.cf hides STARTTLS and AUTH", When::Early, "postconf -e smtpd_discard_ehlo_keywords=starttls,auth", UNHIDE),
    fault("main.cf names no mechanism that there is", When::Early, "postconf -e 'smtpd_sasl_mechanism_filter = external'", UNHIDE),
    fault("an administrator writes the old master.cf back", When::Middle, "cp -p /etc/lab/pristine/master.cf /etc/postfix/master.cf", ""),
    fault("an administrator takes the port for a service of his own", When::Middle, "echo 'PORT inet n - y - - smtpd' >>/etc/postfix/master.cf", "sed -i '/^[0-9]* inet n - y - - smtpd$/d' /etc/postfix/master.cf"),
];

/// Seconds of a change that a fault comes into; what has to succeed has the usual time.
const HASTY: u32 = 6;

#[test]
fn of_many_injected_faults_none_ends_in_a_false_success() {
    let faults = repetitions("MAIL_SMTP2_FAULTS", FAULTS.len(), 200) as u64;
    let seed = seed();
    let found = on_four("", |machine: &Postfix, number| {
        let number = number as u64;
        let share = faults / 4 + u64::from(number < faults % 4);
        inject(machine, share, number, Rng::with_seed(seed.wrapping_add(number)))
    });
    let found = found.into_iter().fold(Found::default(), Found::and);
    let mut table = String::new();
    for fault in &FAULTS {
        let answers = found.statuses.iter().filter(|((what, _), _)| *what == fault.what);
        let answers: Vec<_> = answers.map(|((_, status), count)| format!("{count} x {status}")).collect();
        table += &format!("\n  {}: {}", fault.what, answers.join(", "));
    }
    report(&format!(
        "Postfix: {} faults injected, {} false Success; the answers:{table}",
        found.injected,
        found.false_success.len(),
    ));
    figure("faults injected", found.injected);
    figure("false Success", found.false_success.len() as u64);
    let wrong = [&found.false_success[..], &found.untrue[..]].concat();
    // Of a long output the end is read.
    assert!(wrong.is_empty(), "all of them:\n{}\n--- wrong:\n{}", found.stories.join("\n"), wrong.join("\n"));
}

/// What came of the faults.
#[derive(Default)]
struct Found {
    injected: u64,
    statuses: BTreeMap<(&'static str, i64), u64>,
    /// All of them, in their order.
    stories: Vec<String>,
    false_success: Vec<String>,
    /// Other promises that were broken.
    untrue: Vec<String>,
}

impl Found {
    fn and(mut self, other: Self) -> Self {
        self.injected += other.injected;
        other
            .statuses
            .into_iter()
            .for_each(|(status, count)| *self.statuses.entry(status).or_default() += count);
        self.stories.extend(other.stories);
        self.false_success.extend(other.false_success);
        self.untrue.extend(other.untrue);
        self
    }
}

/// The moment at which a fault comes.
#[derive(Debug)]
enum Moment {
    Before,
    AtCall(u32),
    Written,
}

impl Moment {
    fn any(when: When, calls: u32, random: &mut Rng) -> Self {
        let at_call = Self::AtCall(random.u32(1..=calls));
        match (when, random.u8(0..3)) {
            (When::Before, _) | (When::Any | When::Early, 0) => Self::Before,
            (When::Call | When::Early, _) | (When::Any, 1) | (When::Middle, 0) => at_call,
            (When::Any | When::Middle, _) => Self::Written,
        }
    }

    /// Asks for the change with the fault at its moment; the answer, and whether the fault came.
    fn meet(&self, machine: &Postfix, plugin: &mut Plugin, change: &Change, damage: &str) -> (Value, bool) {
        match self {
            Self::Before => {
                let came = machine.try_sh(damage);
                (plugin.call(change.method, change.params.clone()), came)
            }
            Self::AtCall(nth) => {
                let hook = machine.hook(*nth, damage);
                let answer = plugin.call(change.method, change.params.clone());
                let came = hook.calls() >= *nth;
                (answer, came)
            }
            Self::Written => {
                let before = fs::read(machine.master_cf()).unwrap();
                let settings = || fs::read(machine.state().join("settings.json")).ok();
                let settings_before = settings();
                let process = machine.process(plugin);
                let served = machine.pids_of("smtpd");
                let id = plugin.post(change.method, change.params.clone());
                within(PATIENCE, || fs::read(machine.master_cf()).unwrap() != before || !plugin.is_silent());
                let frozen = Frozen::freeze(process);
                // What was proven already does not have to stay so; with the intent there and the settings as they were,
                // it was not.
                let came = plugin.is_silent() && machine.state().join("intent").exists();
                let came = came && settings() == settings_before;
                // Whom the proof speaks with already does not notice either.
                let came = came && machine.pids_of("smtpd").iter().all(|pid| served.contains(pid));
                let came = came && machine.try_sh(damage);
                drop(frozen);
                (plugin.receive_reply(id)["result"].take(), came)
            }
        }
    }
}

/// A change, and what has to be so if it says `Success`.
struct Change {
    method: &'static str,
    params: Value,
    port: u16,
    mode: &'static str,
    runs: bool,
}

fn inject(machine: &Postfix, share: u64, worker: u64, mut random: Rng) -> Found {
    let mut found = Found::default();
    let (mut plugin, mut healer) = (hasty(machine, HASTY), plugin_of(machine));
    let mut now = (machine.port(), MODES[0]);
    start(&mut healer, now.0, now.1);
    let calls = calls_of_a_change(machine, &mut healer, &mut now);
    let mut round = 0;
    while found.injected < share {
        round += 1;
        // Every row comes, in another order for each machine.
        let fault = &FAULTS[usize::try_from(round * 5 + worker * 17).unwrap() % FAULTS.len()];
        let moment = Moment::any(fault.when, calls, &mut random);
        let change = any_change(machine, &mut random, now);
        let story = format!("{} ({moment:?}), {} {}", fault.what, change.method, change.params);
        let damage = match fault.damage {
            "SQUAT" => squat(change.port),
            script => script.replace("PORT", &change.port.to_string()),
        };
        let throttled = || machine.log().matches(" -- throttling").count();
        let throttled_before = throttled();
        let (answer, injected) = moment.meet(machine, &mut plugin, &change, &damage);
        found.injected += u64::from(injected);
        if injected {
            *found.statuses.entry((fault.what, status(&answer))).or_default() += 1;
        }
        found.stories.push(format!("{story}: {answer}{}", if injected { "" } else { " (it did not come)" }));
        if answer == success()
            && let Err(what) = holds(machine, &change)
        {
            found.false_success.push(format!("false Success: {story}: {what}"));
        }
        let port = port_of(&mut plugin);
        let before = machine.listens(port);
        let told = plugin.call("isRunning", Value::Null);
        // What the fault does to Postfix may go on: where it changed meanwhile, either may be the truth.
        let is_so = machine.listens(port);
        if before == is_so && told["status"] == 0 && told["payload"] != is_so {
            found.untrue.push(format!("{story}: {answer}, and isRunning says {told}"));
        }
        machine.try_sh(fault.heal);
        if status(&answer) == 521 || throttled() > throttled_before {
            // Postfix waits a minute before it tries a program again that ended before it served, and one whose master
            // died in the middle of a session listens on for up to an hour. Whoever reads 521 looks after Postfix
            // himself, and ends what it names.
            machine.try_sh("pkill -9 -x smtpd; postfix stop; postfix start");
        }
        if let Err(what) = recover(machine, &mut healer, &mut now) {
            found.untrue.push(format!("{story}: {answer}; after healing: {what}"));
            plugin = begin_anew(machine, plugin);
            start(&mut healer, now.0, now.1);
            plugin.succeed("update", json!({}));
        }
    }
    found
}

fn any_change(machine: &Postfix, random: &mut Rng, now: (u16, &'static str)) -> Change {
    match random.u8(0..6) {
        0 => Change { method: "restart", params: Value::Null, port: now.0, mode: now.1, runs: true },
        1 => Change { method: "stop", params: Value::Null, port: now.0, mode: now.1, runs: false },
        2 => {
            // Never to what is so already: that is proven while the change is planned, and a fault may come behind it.
            let mode = if now.1 == TLS_YES { TLS_OPTIONAL } else { TLS_YES };
            Change { method: "update", params: settings(now.0, mode), port: now.0, mode, runs: true }
        }
        _ => {
            let (port, mode) = (machine.port(), MODES[random.usize(..2)]);
            Change { method: "update", params: settings(port, mode), port, mode, runs: true }
        }
    }
}

/// How often an update uses control commands.
fn calls_of_a_change(machine: &Postfix, plugin: &mut Plugin, now: &mut (u16, &'static str)) -> u32 {
    let counting = machine.hook(0, "");
    now.0 = machine.port();
    plugin.succeed("update", settings(now.0, now.1));
    counting.calls().max(1)
}

/// Whether a `Success` is true, as clients and the kernel see it.
fn holds(machine: &Postfix, change: &Change) -> Result<(), String> {
    if !change.runs {
        let master_cf = fs::read_to_string(machine.master_cf()).unwrap_or_default();
        if master_cf.contains("postfix/smtp2") {
            return Err("our block is left".to_owned());
        }
        // Somebody else may have it open by then: the fault's own program, or a service of the administrator's.
        let theirs = format!("{} inet n - y - - smtpd", change.port);
        let squatted = !machine.pids_of("perl").is_empty() && !machine.listens(change.port);
        let others = squatted || master_cf.lines().any(|line| line == theirs);
        return if others || is_closed(change.port) {
            Ok(())
        } else {
            Err("the port is not closed".to_owned())
        };
    }
    if !machine.listens(change.port) {
        return Err("the master holds no socket on the port".to_owned());
    }
    let tried = std::panic::catch_unwind(|| {
        for at in addresses(change.port) {
            let offered = Session::open(at).offers("AUTH");
            assert_eq!(offered, change.mode == TLS_OPTIONAL, "AUTH before TLS at {at}");
            let mut session = ready_for_auth(at, TLS_YES);
            assert!(session.offers("AUTH"), "AUTH after TLS at {at}");
            assert!(session.refuses_mail(), "mail without AUTH at {at}");
        }
    });
    tried.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn port_of(plugin: &mut Plugin) -> u16 {
    let answer = plugin.call("queryUpdate", Value::Null);
    answer["payload"]["alternate_smtp_port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

/// With the fault healed, the next change has to succeed, and the service has to be what it says.
fn recover(machine: &Postfix, plugin: &mut Plugin, now: &mut (u16, &'static str)) -> Result<(), String> {
    if !within(PATIENCE, || machine.listens(25)) {
        return Err("Postfix does not come up".to_owned());
    }
    *now = (machine.port(), MODES[0]);
    let answer = plugin.call("update", settings(now.0, now.1));
    if answer != success() {
        return Err(format!("update: {answer}"));
    }
    let answer = plugin.call("start", Value::Null);
    if answer != success() {
        return Err(format!("start: {answer}"));
    }
    if !is_open(now.0) {
        return Err(format!("{} is not open", now.0));
    }
    // An orphan of a master that was killed takes a moment to end, and connections with it.
    if !within(PATIENCE, || is_open(25)) {
        return Err("port 25 is not open".to_owned());
    }
    let stock = fs::read(machine.path("/etc/lab/pristine/master.cf")).unwrap();
    let live = fs::read(machine.master_cf()).unwrap();
    crate::subject::is_one_insertion(&stock, &live)
        .then_some(())
        .ok_or("a byte that is not ours was changed".to_owned())
}

/// From a clean state, so that one broken promise is counted once.
fn begin_anew(machine: &Postfix, plugin: Plugin) -> Plugin {
    crate::subject::kill_plugin(machine, plugin);
    machine.try_sh(
        "umount /var/lib/mail-smtp2 /etc/postfix 2>/dev/null; rm -rf /var/lib/mail-smtp2 /run/mail-smtp2
         chattr -i /etc/postfix/master.cf; cp -p /etc/lab/pristine/*.cf /etc/postfix/
         pkill -9 -x perl; postfix stop; pkill -9 -x smtpd; postfix start",
    );
    hasty(machine, HASTY)
}
