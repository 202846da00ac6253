//! What every step of a change may touch: the machine, the sheets of its mail servers, the options, the settings.
//!
//! Reads the settings (from a marked block, where their file is lost), takes the lock, and finds the mail server that a
//! change acts on. Decides nothing and writes nothing but the lock and the state directory. Fails with what cannot be
//! read, with the lock's holder, or with the mail server that is missing or another one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use parking_lot::Mutex;

use super::block;
use super::error::ChangeError;
use super::rehearsal::Rehearsal;
use super::settings::{self, Settings};
use super::verb::Verb;
use crate::mta::gone::Gone;
use crate::mta::{self, Alternate, Context, Kind, Mta, MtaError, Presence, Warning, detect};
use crate::sys::{Deadline, Host, Lock, LockError, Stamp};
use crate::wire::problem::Holder;
use crate::wire::reason::Reason;
use crate::wire::text::printable;

/// Which MTA is to be run: a certain one, or the one that is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Judge by what is on the machine.
    Auto,
    /// This one.
    Only(Kind),
}

/// Where the service keeps its state, and how long it waits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The lock that all plugins of the machine share.
    pub lock: PathBuf,
    /// Which MTA.
    pub choice: Choice,
    /// How long a change waits for the lock.
    pub lock_wait: Duration,
    /// How long a change may take, from the lock; a rollback as long again.
    pub change: Duration,
    /// What this machine is called in its cluster.
    pub node: String,
    /// What is rehearsed, in the sandbox.
    pub rehearsal: Rehearsal,
    /// Where the warnings go that a change comes with; the log, if nowhere else.
    pub warnings: Option<Sender<Warning>>,
}

/// The settings as they were read last, and by which stamp.
type Cached = Option<(Stamp, Settings)>;

/// What the steps share.
#[derive(Debug)]
pub(super) struct Site {
    /// The machine.
    pub(super) host: Arc<dyn Host>,
    /// A sheet for each kind of mail server.
    pub(super) mtas: Vec<Box<dyn Mta>>,
    /// Where the state is, how long to wait.
    pub(super) options: Options,
    cached: Mutex<Cached>,
}

impl Site {
    /// The machine `host`, whose mail server is one of `mtas`.
    pub(super) fn new(host: Arc<dyn Host>, mtas: Vec<Box<dyn Mta>>, options: Options) -> Self {
        Self { host, mtas, options, cached: Mutex::default() }
    }

    /// The settings as they are now; `None` on a machine that was never configured.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn settings(&self) -> Result<Option<Settings>, ChangeError> {
        let path = settings::path(&self.options.state_dir);
        let Some(stamp) = self.host.stamp(&path)? else { return self.lost_settings() };
        let mut cached = self.cached.lock();
        if let Some((seen, settings)) = cached.as_ref()
            && *seen == stamp
        {
            return Ok(Some(settings.clone()));
        }
        let settings = settings::read(&*self.host, &path)?;
        *cached = settings.clone().map(|settings| (stamp, settings));
        Ok(settings)
    }

    /// The settings that our block in an MTA's configuration tells, where `settings.json` is lost.
    pub(super) fn lost_settings(&self) -> Result<Option<Settings>, ChangeError> {
        let possible = |mta: &&dyn Mta| match self.options.choice {
            Choice::Only(kind) => mta.kind() == kind,
            Choice::Auto => mta.kind() != mta::sandbox::KIND,
        };
        for mta in self.mtas.iter().map(Box::as_ref).filter(possible) {
            for path in mta.blocks() {
                let bytes = self.host.read(&path)?.unwrap_or_default();
                let found = block::find(&bytes, mta.is_ours())
                    .map_err(|source| ChangeError::Marks { path: path.clone(), source })?;
                let Some(found) = found else { continue };
                let Some(listener) = mta.listener_in(&found.text(&bytes)) else {
                    return Err(ChangeError::Garbled { path });
                };
                let (format, wanted) = (settings::FORMAT, settings::Wanted::Running);
                let (saved, owners, folders) = Default::default();
                return Ok(Some(Settings {
                    format,
                    mta: mta.kind(),
                    listener,
                    wanted,
                    saved,
                    owners,
                    folders,
                }));
            }
        }
        Ok(None)
    }

    /// Where copies are laid that a mail server's own program is to read.
    pub(super) fn staging(&self) -> PathBuf {
        self.options.state_dir.join("staged")
    }

    /// Where they are laid while nothing is changed.
    pub(super) fn probing(&self) -> PathBuf {
        self.options.state_dir.join("probed")
    }

    /// What a sheet may look at until `deadline`; `staging` is where its copies go.
    pub(super) fn context<'s>(&'s self, staging: &'s Path, deadline: Deadline) -> Context<'s> {
        Context::new(&*self.host, staging, deadline)
    }

    /// Tells what is as it was asked for and will be in somebody's way later.
    pub(super) fn warn(&self, warning: Warning) {
        match &self.options.warnings {
            // One that nobody takes any more is nobody's.
            Some(taker) => drop(taker.send(warning)),
            None => tracing::warn!(kind = warning.kind.name(), "{}", warning.sentence),
        }
    }

    /// The lock that all plugins of the machine share, for this action.
    ///
    /// # Errors
    /// Somebody else holds it for longer than `wait`, or it cannot be opened.
    pub(super) fn lock(&self, action: &str, wait: Duration) -> Result<Lock, ChangeError> {
        let since = humantime::format_rfc3339_seconds(self.host.now());
        let lock = match self.host.lock(&self.options.lock, wait) {
            Ok(lock) => lock,
            Err(LockError::File(error)) => return Err(error.into()),
            Err(LockError::Held { holder, note }) => {
                return Err(ChangeError::LockHeld(keeper(&*self.host, holder, note).into()));
            }
        };
        lock.note(&format!("{action} {since}"));
        // Under it: whoever had it may have removed the state.
        self.host.make_dir(&self.options.state_dir)?;
        Ok(lock)
    }

    /// The sheet of one kind.
    pub(super) fn mta(&self, kind: Kind) -> &dyn Mta {
        let found = self.mtas.iter().position(|mta| mta.kind() == kind);
        // Kinds and sheets come from one list: there is one.
        &*self.mtas[found.unwrap_or_default()]
    }

    /// The mail server that the configuration asks for, or that is found.
    ///
    /// # Errors
    /// None was found, or more than one.
    pub(super) fn choose(&self) -> Result<&dyn Mta, ChangeError> {
        match self.options.choice {
            Choice::Only(kind) => Ok(self.mta(kind)),
            Choice::Auto => Ok(detect(&self.mtas, &*self.host)?),
        }
    }

    /// Whether the configuration asks for this one, or for none in particular.
    pub(super) fn is_asked_for(&self, kind: Kind) -> bool {
        matches!(self.options.choice, Choice::Auto) || self.options.choice == Choice::Only(kind)
    }

    /// The MTA that a change acts on: the one that was configured, as long as it is the one that is here. What only
    /// ends is possible without it, too.
    pub(super) fn acting(&self, before: Option<&Settings>, verb: Verb) -> Result<&dyn Mta, ChangeError> {
        let mta = match (before, self.options.choice) {
            (None, _) => self.choose()?,
            (Some(before), Choice::Only(kind)) if kind != before.mta && !verb.tears_down() => {
                return Err(self.another(before.mta, kind));
            }
            (Some(before), _) => self.mta(before.mta),
        };
        mta::changeable(mta, &self.mtas)?;
        if verb.tears_down() || mta.presence(&*self.host) != Presence::Missing {
            return Ok(mta);
        }
        match detect(&self.mtas, &*self.host) {
            Ok(other) if self.options.choice == Choice::Auto => {
                Err(ChangeError::OtherMta { configured: mta.kind(), found: other.kind() })
            }
            _ => {
                let what = format!("{} was not found; looked for {}", mta.kind(), mta.looked_for());
                Err(MtaError::Cannot(Reason::MtaMissing, what).into())
            }
        }
    }

    /// Why a mail server that was asked for is not acted on, where another was configured: one that is less here than the
    /// other was asked for by mistake.
    fn another(&self, configured: Kind, found: Kind) -> ChangeError {
        let presence = |kind| self.mta(kind).presence(&*self.host);
        let (reason, lacks) = match (presence(configured), presence(found)) {
            (Presence::Installed | Presence::Runs, Presence::Missing) => (Reason::MtaMissing, "is not here"),
            (Presence::Runs, Presence::Installed) => (Reason::MtaDown, "does not run"),
            _ => return ChangeError::OtherMta { configured, found },
        };
        let what = format!(
            "{found}, which was asked for (--mta, or kind in the configuration), {lacks}; it was configured for {configured}: \
             ask for {configured} or auto"
        );
        MtaError::Cannot(reason, what).into()
    }

    /// The answers of an MTA, or of what is left of one that has gone.
    pub(super) fn alternate<'a>(
        &self,
        mta: &'a dyn Mta,
        context: Context<'a>,
    ) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        match mta.presence(context.view) {
            Presence::Missing => Ok(Box::new(Gone { mta, host: context.view })),
            Presence::Installed | Presence::Runs => {
                mta::changeable(mta, &self.mtas)?;
                mta.alternate(context)
            }
        }
    }
}

/// Who has the lock, and what its note says of which action that is, and since when.
pub(super) fn keeper(host: &dyn Host, pid: Option<i32>, note: Option<String>) -> Holder {
    let program = pid.and_then(|pid| host.process(pid)).map(|process| printable(&process.name));
    let note = note.as_deref().and_then(|note| note.split_once(' '));
    let (action, since) = note.map(|(action, since)| (printable(action), printable(since))).unzip();
    Holder { pid, program, action, since, ..Holder::default() }
}
