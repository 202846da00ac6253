//! A mail server that is recognised and read, but not changed yet: a row of paths.
//!
//! It tells whether the daemon's binary is there together with its configuration, whether it runs, and which processes
//! are its own. `/usr/sbin/sendmail` is no sign, since every mail server has it. A change is refused with a sentence
//! that names the mail servers that can be changed.

use std::path::{Path, PathBuf};

use super::machine::is_there;
use super::sheet::{Alternate, Context, Kind, Listener, Mta, MtaError, Presence};
use crate::sys::{Process, View};
use crate::wire::reason::Reason;

/// The paths by which a mail server is known.
#[derive(Debug)]
pub struct Recognised {
    /// Which one.
    pub kind: Kind,
    /// Where its daemon's binary may be.
    pub daemons: &'static [&'static str],
    /// Where its configuration may be.
    pub configurations: &'static [&'static str],
}

impl Recognised {
    fn daemons(&self) -> Vec<&Path> {
        self.daemons.iter().map(Path::new).collect()
    }
}

/// The first of `paths` that is there and may be looked at.
fn first_there(host: &dyn View, paths: &[&'static str]) -> Option<&'static str> {
    paths.iter().copied().find(|path| is_there(host, Path::new(path)))
}

impl Mta for Recognised {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn looked_for(&self) -> String {
        format!("{} with {}", self.daemons.join(" or "), self.configurations.join(" or "))
    }

    fn presence(&self, host: &dyn View) -> Presence {
        if first_there(host, self.daemons).is_none() || first_there(host, self.configurations).is_none() {
            Presence::Missing
        } else if matches!(host.processes(&self.daemons(), &[]).as_deref(), Ok([])) {
            Presence::Installed
        } else {
            Presence::Runs
        }
    }

    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError> {
        Ok(host.processes(&self.daemons(), &[])?.into_iter().map(|process| process.pid).collect())
    }

    fn view(&self) -> &Path {
        Path::new(self.configurations[0])
    }

    fn is_own(&self, _: &dyn View, process: &Process) -> bool {
        self.daemons().iter().any(|daemon| process.exe.as_deref() == Some(daemon))
    }

    fn is_changeable(&self) -> bool {
        false
    }

    fn blocks(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn listener_in(&self, _: &str) -> Option<Listener> {
        None
    }

    fn comes_back(&self, _: &dyn View) -> bool {
        true
    }

    fn belongings(&self, _: &[&Path]) -> Vec<PathBuf> {
        Vec::new()
    }

    fn alternate<'a>(&'a self, _: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        Err(MtaError::Cannot(Reason::MtaUnsupported, format!("{} cannot be changed", self.kind)))
    }
}
