//! Kernels that can do less than this one: the program under a filter (seccomp(2)) that answers as they would.
//!
//! A filter is put on a thread that starts the program and ends, and is inherited by it and by all that it starts. It
//! answers for numbers of system calls and for families of sockets; what else differs between kernels it does not show.
//! `MAIL_SMTP2_KERNEL` (`old`, `forbidding`, `deaf`) puts all programs of a run on one of them.

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};
use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command};
use std::thread;

/// What the program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// This machine's own.
    This,
    /// Linux 3.10: what came later is `ENOSYS`.
    Old,
    /// That of a container whose filter answers `EPERM` to what it does not know, which is all that came after 3.10 but
    /// for what the C library itself cannot do without.
    Forbidding,
    /// One without netlink: such sockets are `EAFNOSUPPORT`.
    Deaf,
}

/// The last number that Linux 3.10 knows; those that came later are higher on every architecture.
const LAST: i64 = libc::SYS_finit_module;
/// Beyond the highest number that there is.
const END: i64 = 600;
/// What glibc and mv(1), which tests put between, take for missing only by `ENOSYS`.
const NEEDED: [i64; 4] = [libc::SYS_clone3, libc::SYS_rseq, libc::SYS_faccessat2, libc::SYS_renameat2];

impl Kernel {
    /// Those that can do less.
    pub(crate) const LESSER: [Self; 3] = [Self::Old, Self::Forbidding, Self::Deaf];

    /// The one of the run.
    #[track_caller]
    pub(crate) fn of_the_run() -> Self {
        match std::env::var("MAIL_SMTP2_KERNEL").as_deref() {
            Err(_) | Ok("") => Self::This,
            Ok("old") => Self::Old,
            Ok("forbidding") => Self::Forbidding,
            Ok("deaf") => Self::Deaf,
            Ok(other) => panic!("MAIL_SMTP2_KERNEL={other} is no kernel"),
        }
    }

    /// Starts a command on it.
    pub(crate) fn spawn(self, command: &mut Command) -> io::Result<Child> {
        let filters = self.filters();
        if filters.is_empty() {
            return command.spawn();
        }
        let start = || {
            for filter in &filters {
                apply_filter(filter).expect("a thread may put a filter on itself");
            }
            command.spawn()
        };
        thread::scope(|scope| scope.spawn(start).join().expect("the filter is put on"))
    }

    fn filters(self) -> Vec<BpfProgram> {
        match self {
            Self::This => Vec::new(),
            Self::Old => vec![answering(libc::ENOSYS, LAST + 1..END)],
            Self::Forbidding => {
                let unknown = (LAST + 1..END).filter(|number| !NEEDED.contains(number));
                // In this order: the other one forbids seccomp(2) itself.
                vec![answering(libc::ENOSYS, NEEDED), answering(libc::EPERM, unknown)]
            }
            Self::Deaf => {
                let family = u64::try_from(libc::AF_NETLINK).unwrap();
                let is_it = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family);
                let rule = SeccompRule::new(vec![is_it.unwrap()]).unwrap();
                vec![filter(libc::EAFNOSUPPORT, BTreeMap::from([(libc::SYS_socket, vec![rule])]))]
            }
        }
    }
}

/// Answers these numbers with this error.
fn answering(error: i32, numbers: impl IntoIterator<Item = i64>) -> BpfProgram {
    filter(error, numbers.into_iter().map(|number| (number, Vec::new())).collect())
}

fn filter(error: i32, rules: BTreeMap<i64, Vec<SeccompRule>>) -> BpfProgram {
    let error = SeccompAction::Errno(error.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().expect("the filter's compiler knows this machine");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, error, machine).unwrap();
    filter.try_into().unwrap()
}
