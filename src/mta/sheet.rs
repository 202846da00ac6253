//! What a mail server's sheet says: the traits that each of them answers.
//!
//! [`Mta`] is how it is recognised and what is its own, [`Alternate`] what a listener of it is made of and how it is told.
//! A sheet looks at the machine through its [`Context`]; it writes nothing, holds no lock and waits for nothing: `change`
//! does, once, for all. What it cannot answer is an [`MtaError`], or an objection that the questioner hears.

use std::fmt::Debug;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::warning::Warning;
use crate::sys::{Command, Process, View};
use crate::wire::text::printable;

// The words that the answers are given in: a sheet imports all of them from here.
pub use super::context::{Context, Copied};
pub use super::error::{MtaError, Objection, of_command, of_file};
pub use super::kind::Kind;
pub use super::listener::{AuthMode, Goal, Listener};
pub use super::staged::{Content, Edit, Staged};
pub use super::tell::Tell;

/// The primary server's port.
pub(super) const SMTP: u16 = 25;

/// A port that the configuration without our block speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The port.
    pub port: u16,
    /// Whose it is.
    pub claimant: Claimant,
}

/// Who means a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimant {
    /// The primary server.
    Primary,
    /// An entry of the administrator's, as a sentence names it.
    Entry(String),
}

/// Whose connections a process serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// The alternate listener's.
    Alternate,
    /// Those of an entry of the administrator's.
    Entry,
}

/// What is wrong with a listener that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It does not answer as its mode promises.
    Unfit,
    /// It does not answer in time.
    Slow,
}

/// The end of a log that is the listener's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The file.
    pub path: PathBuf,
    /// Its last bytes.
    pub end: Vec<u8>,
}

impl Log {
    /// Its last line, as it may stand in a sentence.
    pub fn last_line(&self) -> String {
        printable(self.end.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap_or_default())
    }
}

/// By whom a listener is started, and started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptBy {
    /// systemd, as this unit.
    Unit(String),
    /// Whoever supervises this service directory.
    Supervisor(PathBuf),
}

/// What of an MTA is on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its daemon's binary or its configuration is missing.
    Missing,
    /// Both are there.
    Installed,
    /// And it runs.
    Runs,
}

/// A mail server: how it is recognised and what is its own.
pub trait Mta: Debug + Send + Sync {
    /// Which one.
    fn kind(&self) -> Kind;

    /// What is looked for on the machine, for the sentence that says that it was not found.
    fn looked_for(&self) -> String;

    /// What of it is there.
    fn presence(&self, host: &dyn View) -> Presence;

    /// The processes that may own the listener's socket, as they are now.
    fn owners(&self, host: &dyn View) -> Result<Vec<i32>, MtaError>;

    /// A file that its processes have to see as we do, or what we change is not what they read.
    fn view(&self) -> &Path;

    /// Whether its processes are ours, so that whoever cannot be looked into is none of them.
    fn runs_as_we_do(&self) -> bool {
        false
    }

    /// Whether a process that was among the owners and is still the same is still one of them.
    fn still_owns(&self, _: &dyn View, _pid: i32) -> bool {
        true
    }

    /// Whether a process is one of its programs, which may go on listening when the daemon itself has gone.
    fn is_own(&self, host: &dyn View, process: &Process) -> bool;

    /// The primary server's port; `None` where there is no primary server.
    fn primary_port(&self) -> Option<u16> {
        Some(SMTP)
    }

    /// By whom the listener is kept up, which `holder` listens as, if it runs; `None` where nobody does, or that cannot be
    /// seen.
    fn kept_by(&self, _: &dyn View, _holder: Option<i32>) -> Option<KeptBy> {
        None
    }

    /// Whether the machine itself brings a wanted listener back after a reboot.
    fn comes_back(&self, host: &dyn View) -> bool;

    /// Whether this version can change it.
    fn is_changeable(&self) -> bool {
        true
    }

    /// Its manual page, in Markdown, if it has one.
    fn manual(&self) -> Option<&'static str> {
        None
    }

    /// The files in which a block of ours may stand, where they usually are, the one that tells the listener first.
    fn blocks(&self) -> Vec<PathBuf>;

    /// How an entry of ours in its configuration is told by what it says; where that cannot be, what stands between our
    /// marks is ours.
    fn is_ours(&self) -> Option<fn(&str) -> bool> {
        None
    }

    /// Whether its listener is one of the primary server's own sockets, held by the primary server's process.
    fn shares_its_process(&self) -> bool {
        false
    }

    /// Whose connections a process serves that holds one of the sockets of a shared process; `None`: it serves none.
    fn serves(&self, _: &dyn View, _: &Process) -> Option<Serves> {
        None
    }

    /// Its version, as its own program tells it; `None` where it has none, or does not tell.
    fn version(&self, _: Context<'_>) -> Option<String> {
        None
    }

    /// The listener that a block of ours describes, if it can be read.
    fn listener_in(&self, block: &str) -> Option<Listener>;

    /// The folders that go with `remove`, of those that were made for us; `made` are the files that were.
    fn belongings(&self, made: &[&Path]) -> Vec<PathBuf>;

    /// What to tell what is left of ours where the MTA itself has gone, so that it ends; most listeners go with it.
    ///
    /// # Errors
    /// It cannot be seen.
    fn remains(&self, _: &dyn View) -> Result<Vec<Tell>, MtaError> {
        Ok(Vec::new())
    }

    /// What stands in the folders that would go with `remove`, and is neither ours nor a supervisor's.
    ///
    /// # Errors
    /// A folder cannot be read.
    fn strangers(&self, _: &dyn View, _made: &[&Path]) -> Result<Vec<PathBuf>, MtaError> {
        Ok(Vec::new())
    }

    /// What to tell when a folder that goes has been put aside, so that nobody works in it any more.
    fn dismissal(&self, _aside: &Path) -> Vec<Tell> {
        Vec::new()
    }

    /// Its answers about an alternate listener, as they are on this machine now; whatever has to be asked of the
    /// MTA's own programs is asked only when it is needed.
    ///
    /// # Errors
    /// It cannot be changed here.
    fn alternate<'a>(&'a self, context: Context<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError>;
}

/// How an alternate listener of this MTA is made and taken away.
pub trait Alternate {
    /// The addresses that the listener binds.
    ///
    /// # Errors
    /// They cannot be found out.
    fn addresses(&self) -> Result<Vec<IpAddr>, MtaError>;

    /// Whether the primary server has its sockets open, or does not run: one that is just being reloaded has none.
    ///
    /// # Errors
    /// It cannot be found out.
    fn is_settled(&self) -> Result<bool, MtaError> {
        Ok(true)
    }

    /// The ports that the configuration speaks of; `others` are its files without our block.
    ///
    /// # Errors
    /// They cannot be found out.
    fn claims(&self, others: &[Staged]) -> Result<Vec<Claim>, MtaError>;

    /// The port of a listener that runs in our place though no settings of ours ask for it: what a change that fails
    /// goes back to.
    ///
    /// # Errors
    /// It cannot be found out.
    fn found(&self) -> Result<Option<u16>, MtaError> {
        Ok(None)
    }

    /// What has to stand in which file; a file that is not named stays as it is, but for those that `remove` knows to
    /// be wholly ours: they become what they were.
    ///
    /// # Errors
    /// It cannot be found out.
    fn edits(&self, goal: &Goal) -> Result<Vec<Edit>, MtaError>;

    /// What version 1.0.0 has written for this goal into files where this one writes something else: what it has left there
    /// is nobody's edit.
    ///
    /// # Errors
    /// It cannot be found out.
    fn formerly(&self, _: &Goal) -> Result<Vec<Edit>, MtaError> {
        Ok(Vec::new())
    }

    /// Whether everything is there that this listener will need; each thing that is missing is an objection.
    ///
    /// # Errors
    /// The objection that has ended the questions, or what leaves none to be asked.
    fn ready(&self, listener: &Listener, object: &mut Objection<'_>) -> Result<(), MtaError>;

    /// The MTA's own check of a configuration that is not live yet: a command that exits with 0 to accept it, and
    /// whose stderr is the MTA's message. `None` when nobody is going to read that configuration now.
    ///
    /// # Errors
    /// The copies that it is to read cannot be written.
    fn check(&self, staged: &[Staged], goal: &Goal) -> Result<Option<Command>, MtaError>;

    /// Whether what that check refused is broken in the live configuration, too: only there it has the line that an
    /// administrator knows.
    ///
    /// # Errors
    /// [`MtaError::Broken`] with the live file's line.
    fn sound_already(&self) -> Result<(), MtaError> {
        Ok(())
    }

    /// Whether nothing that the administrator has left for later would harm the mail server if it is told something now.
    ///
    /// # Errors
    /// [`Reason::ConfigurationPending`](crate::wire::reason::Reason::ConfigurationPending) with what would.
    fn nothing_pending(&self) -> Result<(), MtaError> {
        Ok(())
    }

    /// That the mail server itself cannot start because `holder` has the port of a listener of ours, and what helps;
    /// `None` if it can.
    ///
    /// # Errors
    /// It cannot be found out.
    fn starts_not(&self, _port: u16, _holder: &str) -> Result<Option<String>, MtaError> {
        Ok(None)
    }

    /// Why this listener, which is still absent, is not going to come, as far as that can be told before the deadline.
    ///
    /// # Errors
    /// It cannot be found out.
    fn cannot_start(&self, _: &Listener) -> Result<Option<String>, MtaError> {
        Ok(None)
    }

    /// What the administrator should know of this listener, though it comes up as it should, as far as only this sheet can
    /// see it; what cannot be found out is no warning.
    fn warnings(&self, _: &Listener) -> Vec<Warning> {
        Vec::new()
    }

    /// What helps with a listener that is there and is not as it should be: where its mode is written, why it may be slow.
    ///
    /// # Errors
    /// It cannot be found out.
    fn advice(&self, _: &Listener, _: Doubt) -> Result<Option<String>, MtaError> {
        Ok(None)
    }

    /// The end of the listener's own log, if something was written to it since it was asked whether it is ready.
    fn log(&self) -> Option<Log> {
        None
    }

    /// What to tell, in this order, before the files are written; most MTAs need nothing to be said then.
    ///
    /// # Errors
    /// It cannot be found out.
    fn tell_before(&self, _: &Goal) -> Result<Vec<Tell>, MtaError> {
        Ok(Vec::new())
    }

    /// Whether it has acted on what it was told before: until then, it cannot be said what to tell it.
    ///
    /// # Errors
    /// It cannot be seen.
    fn has_heard(&self) -> Result<bool, MtaError> {
        Ok(true)
    }

    /// What to tell, in this order, so that what is configured is what runs, on these addresses. Where that depends on what somebody was told
    /// before and has not heard yet, it is waited for.
    ///
    /// # Errors
    /// It cannot be found out.
    fn tell(&self, goal: &Goal, addresses: &[IpAddr]) -> Result<Vec<Tell>, MtaError>;

    /// The file that holds the certificate of the listener; `None` where that is not one file that can be told.
    fn certificate_file(&self) -> Option<PathBuf> {
        None
    }

    /// Whether the primary server runs.
    ///
    /// # Errors
    /// It cannot be found out.
    fn primary_runs(&self) -> Result<bool, MtaError>;

    /// What to tell so that a primary server runs again that died of a change.
    fn start_primary(&self) -> Vec<Tell>;
}
