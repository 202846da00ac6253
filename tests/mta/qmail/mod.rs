//! qmail's way of running a listener as a subject, under Debian's daemontools and under its runit: a node for each test.
//!
//! Besides what every subject knows, it knows how an administrator edits, loses and kills parts of a supervised service.
//! Behind tcpserver is the sandbox's own SMTP program, which keeps no mailbox.

/// One test under each supervisor.
macro_rules! under_both {
    ($($test:ident),* $(,)?) => {
        mod under_daemontools {
            $(#[test]
            fn $test() {
                super::$test::<crate::qmail::Daemontools>();
            })*
        }
        mod under_runit {
            $(#[test]
            fn $test() {
                super::$test::<crate::qmail::Runit>();
            })*
        }
    };
}

pub(crate) mod adopted;
pub(crate) mod corpus;
pub(crate) mod failures;
pub(crate) mod recipe;
pub(crate) mod supervisors;
pub(crate) mod template;
pub(crate) mod variables;

use super::machine::Recipe;
use super::subject::{Machine, MailServer};
use std::fmt::Debug;
use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::OnceLock;

/// Waits, in a script, until nobody supervises what was told to end; it writes into its folder until then.
const GONE: &str = "while pgrep -xf '(supervise|runsv) smtp2' >/dev/null; do sleep 0.01; done";

/// The second service, where the administrator keeps it.
pub(crate) const SMTP2: &str = "/var/qmail/supervise/smtp2";

const NOT_MAILED: &str = "behind tcpserver is the sandbox's SMTP program, which keeps no mailbox";
const NO_CHECK: &str = "no configuration of it can be checked before it is live";

/// Who supervises.
pub(crate) trait Supervisor: Debug + Send + Sync + 'static {
    const NAME: &'static str;
    /// The folder that is looked through for services.
    const SERVICES: &'static str;
    /// The program that looks, and the one that supervises a service.
    const PROGRAMS: [&'static str; 2];
    /// What its workshop holds.
    fn recipe() -> &'static Recipe;
}

/// svscan and supervise.
#[derive(Debug)]
pub(crate) struct Daemontools;

impl Supervisor for Daemontools {
    const NAME: &'static str = "qmail under daemontools";
    const SERVICES: &'static str = "/service";
    const PROGRAMS: [&'static str; 2] = ["svscan", "supervise"];

    fn recipe() -> &'static Recipe {
        static RECIPE: Recipe = Recipe {
            name: "qmail-daemontools",
            setup: include_str!("../machine/qmail.sh"),
            packages: &["daemontools", "ucspi-tcp-ipv6", "busybox-static"],
            systemd: None,
            opened: OnceLock::new(),
        };
        &RECIPE
    }
}

/// runsvdir and runsv.
#[derive(Debug)]
pub(crate) struct Runit;

impl Supervisor for Runit {
    const NAME: &'static str = "qmail under runit";
    const SERVICES: &'static str = "/etc/service";
    const PROGRAMS: [&'static str; 2] = ["runsvdir", "runsv"];

    fn recipe() -> &'static Recipe {
        static RECIPE: Recipe = Recipe {
            name: "qmail-runit",
            setup: include_str!("../machine/qmail.sh"),
            packages: &["runit", "ucspi-tcp-ipv6", "busybox-static"],
            systemd: None,
            opened: OnceLock::new(),
        };
        &RECIPE
    }
}

/// A machine with qmail, supervised by `S`.
pub(crate) struct Qmail<S> {
    machine: Machine,
    supervisor: PhantomData<S>,
}

impl<S: Supervisor> MailServer for Qmail<S> {
    const NAME: &'static str = S::NAME;
    const LEFT_OUT: &'static [(&'static str, &'static str)] = &[
        ("hangs", "a supervisor is told through a FIFO: there is no control command that could hang"),
        ("truth::where_tls_is_required_swaks_finds_what_is_promised", NOT_MAILED),
        ("truth::where_tls_is_optional_swaks_finds_what_is_promised", NOT_MAILED),
        ("truth::a_message_accepted_after_auth_arrives_in_the_mailbox", NOT_MAILED),
        (
            "administrator::a_symlinked_file_stays_a_link_and_its_target_is_edited_in_place",
            "envdir(8) reads what stands in the folder, and so do we: a link there is no file of a value's",
        ),
        ("administrator::a_configuration_that_is_already_broken_is_422_and_not_touched", NO_CHECK),
        ("administrator::an_update_of_a_stopped_service_does_not_mind_a_broken_configuration", NO_CHECK),
    ];
    const PROGRAMS: &'static [&'static str] = &[];

    fn recipe() -> &'static Recipe {
        S::recipe()
    }

    fn on(machine: Machine) -> Self {
        Self { machine, supervisor: PhantomData }
    }

    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn account(&self) -> (&'static str, &'static str) {
        ("sandbox", "sandbox")
    }

    fn mailbox(&self) -> &'static str {
        "anyone@example.com"
    }

    fn received(&self, _text: &str) -> bool {
        unreachable!("{NOT_MAILED}")
    }

    fn administrators_files(&self) -> Vec<PathBuf> {
        [
            format!("{SMTP2}/run"),
            "/var/qmail/supervise/smtp/run".into(),
            "/var/qmail/supervise/smtp/env/PORT".into(),
        ]
        .map(|path| self.machine.path(&path))
        .into()
    }

    fn edited_file(&self) -> PathBuf {
        self.smtp2("env/PORT")
    }

    fn break_configuration(&self) {
        unreachable!("{NO_CHECK}")
    }

    fn pulse(&self, port: u16) -> Vec<String> {
        // Each start of a service has a process of its own, and each listener an inode.
        let status = |service: &str| {
            fs::read(self.machine.path(&format!("/var/qmail/supervise/{service}/supervise/status")))
                .unwrap_or_default()
        };
        let told = ["smtp", "smtp2"].map(|service| format!("{:?}", status(service)));
        told.into_iter().chain(self.machine.listening(port)).collect()
    }

    fn holders(&self) -> Vec<u32> {
        self.pids_of("tcpserver")
    }

    fn evidence(&self) -> (String, String) {
        let log = fs::read_to_string(self.machine.path("/var/log/supervisors.log")).unwrap_or_default();
        let (_, found) = self.machine.try_sh(&format!(
            "cd {SMTP2} && ls -la . env supervise; head -c 200 env/*; od -An -tx1 supervise/status; ps axf"
        ));
        (found, log)
    }
}

impl<S: Supervisor> Qmail<S> {
    /// Where this machine sees a file of the node.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.machine.path(inside)
    }

    /// Where this machine sees a file of the second service.
    pub(crate) fn smtp2(&self, file: &str) -> PathBuf {
        self.machine.path(&format!("{SMTP2}/{file}"))
    }

    /// Runs a shell script on the node that must succeed; what it printed.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        self.machine.sh(script)
    }

    /// The addresses on which somebody listens on the port.
    pub(crate) fn bound(&self, port: u16) -> Vec<String> {
        self.machine.bound(port)
    }

    /// The processes of the node with this name.
    pub(crate) fn pids_of(&self, program: &str) -> Vec<u32> {
        self.machine.pids_of(program)
    }
}
