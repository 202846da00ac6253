//! One transaction for every MTA: lock, plan, stage, check, intent, apply, tell, prove, record; or all the way back.
//!
//! Answers for: the eight steps of a change (schema/README.md, "How a change is made"), whichever MTA is behind, and
//! for what is true of the service right now. Does not know: JSON-RPC, actions, nodes. A change either ends proven, or
//! the old state is proven, or the error says what could not be undone; a change whose author died is ended by the next
//! one.

pub mod block;
pub mod boot;
pub mod error;
pub mod journal;
pub mod live;
pub mod plan;
pub mod prove;
pub mod settings;
pub mod undo;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;

pub use error::{ChangeError, Failure};
use journal::{Intent, Record};
use settings::Settings;

use crate::mta::gone::Gone;
use crate::mta::{Alternate, MtaError, Presence};
use crate::mta::{AuthMode, Desk, Kind, Mta, detect};
use crate::sys::{Deadline, FileError, Host, Lock, LockError, Stamp};
use crate::wire::envelope::{Envelope, FieldFault};

/// How long a lock may outlive its owner in a process that has not begun to be another program yet.
const FORKED: Duration = Duration::from_secs(1);

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
}

/// What is to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Bring the listener up, now and after a reboot.
    Start,
    /// Take it down and out of the configuration.
    Stop,
    /// Take it down and bring it up.
    Restart,
    /// Change port or mode; `None` keeps what is.
    Update {
        /// The new port.
        port: Option<u16>,
        /// The new mode.
        auth_mode: Option<AuthMode>,
    },
    /// Take every byte of ours out of the machine.
    Remove,
}

impl Verb {
    /// The action's name, as the history has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Update { .. } => "update",
            Self::Remove => "remove",
        }
    }

    /// Whether it only takes away: possible also where nothing else is.
    fn ends(self) -> bool {
        matches!(self, Self::Stop | Self::Remove)
    }
}

/// The settings as they were read last, and by which stamp.
type Cached = Option<(Stamp, Settings)>;

/// The alternate SMTP service of this machine.
#[derive(Debug)]
pub struct Service {
    host: Arc<dyn Host>,
    mtas: Vec<Box<dyn Mta>>,
    options: Options,
    cached: Mutex<Cached>,
    sighting: live::Sighting,
    watch: watch::Watch,
}

impl Service {
    /// The service on `host`, run by one of `mtas`.
    pub fn new(host: Arc<dyn Host>, mtas: Vec<Box<dyn Mta>>, options: Options) -> Self {
        let (cached, sighting, watch) = Default::default();
        Self { host, mtas, options, cached, sighting, watch }
    }

    /// The settings as they are now; `None` on a machine that was never configured.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn settings(&self) -> Result<Option<Settings>, ChangeError> {
        let path = settings::path(&self.options.state_dir);
        let Some(stamp) = self.host.stamp(&path)? else { return self.lost_settings() };
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, settings)) = cached.as_ref()
            && *seen == stamp
        {
            return Ok(Some(settings.clone()));
        }
        let settings = settings::read(&*self.host, &path)?;
        *cached = settings.clone().map(|settings| (stamp, settings));
        Ok(settings)
    }

    /// Whether the MTA itself listens on the configured port.
    ///
    /// # Errors
    /// It cannot be seen.
    pub fn running(&self) -> Result<bool, ChangeError> {
        let Some(settings) = self.settings()? else { return Ok(false) };
        let mta = self.mta(settings.mta);
        Ok(self.sighting.running(&*self.host, mta, settings.listener.port)?)
    }

    /// Whether there is something to do before the first request: a change was begun and not ended, by somebody who is
    /// gone, or the machine was booted and does not bring the listener back by itself.
    pub fn awaits_recovery(&self) -> bool {
        self.is_interrupted() || self.was_rebooted()
    }

    /// Whether a change was begun and not ended by somebody who is gone, and it is time to try to end it: what could not
    /// be ended before is left alone for a while, so that who reads meanwhile need not wait for it. Where there is nothing
    /// to end, as nearly always, this is one look at a file that is not there.
    pub fn is_interrupted(&self) -> bool {
        let state_dir = &self.options.state_dir;
        if matches!(self.host.stamp(&Intent::path(state_dir)), Ok(None)) {
            return false;
        }
        match self.host.lock(&self.options.lock, Duration::ZERO) {
            Ok(_) => {}
            // Its owner lives and ends it himself.
            Err(LockError::Held { holder }) if holder.is_none_or(|pid| self.host.process(pid).is_some()) => {
                return false;
            }
            Err(LockError::Held { .. }) => {}
            // Who may not take it may not end anything either.
            Err(LockError::File(error)) => return !error.denied(),
        }
        match Intent::read(&*self.host, state_dir) {
            Ok(Some(intent)) => !intent.was_tried_lately(self.host.now()),
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Ends what a dead plugin has begun, unless its lock shows that it lives; brings back what a reboot has ended.
    pub fn recover(&self) {
        let lock = match self.lock(Duration::ZERO) {
            // Its owner is dead; a process that it was just forking has the lock for a moment longer.
            Err(ChangeError::Lock(LockError::Held { holder: Some(owner) }))
                if self.host.process(owner).is_none() =>
            {
                self.lock(FORKED)
            }
            taken => taken,
        };
        let lock = match lock {
            Ok(lock) => lock,
            Err(error) => return tracing::info!(%error, "an interrupted change is left to its owner"),
        };
        if let Err(failure) = self.end_interrupted(&lock) {
            tracing::error!(
                error = %failure.sentence(),
                again_in = ?journal::AGAIN,
                "an interrupted change could not be ended; put right what is named, then call any change"
            );
            return self.try_again_later();
        }
        if self.was_rebooted() {
            self.bring_back();
        }
    }

    /// Under the lock: notes in the record that it was tried to no avail.
    fn try_again_later(&self) {
        let state_dir = &self.options.state_dir;
        let noted = Intent::read(&*self.host, state_dir).and_then(|intent| match intent {
            Some(intent) => intent.tried_at(self.host.now()).write(&*self.host, state_dir),
            None => Ok(()),
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "the attempt could not be noted");
        }
    }

    /// Under the lock: a wanted listener runs again, or the history says why not; the next process start tries again.
    fn bring_back(&self) {
        let (began, before) = (self.host.now(), self.settings().ok().flatten());
        let result = self.carry_out(Verb::Start).and_then(|()| Ok(boot::note(self, before.as_ref())?));
        let (status, outcome) = match &result {
            Ok(()) => (0, "the listener was brought back after a reboot".to_owned()),
            Err(failure) => (failure.status().number(), failure.sentence()),
        };
        tracing::warn!(outcome, "the machine was rebooted");
        self.record(began, "recover", "start".into(), before, status, outcome);
    }

    /// Whether a wanted listener is away since the machine was booted, and nobody but us brings it back.
    fn was_rebooted(&self) -> bool {
        let wanted = || self.settings().ok().flatten().is_some_and(|settings| settings.target().is_some());
        boot::differs(&*self.host, &self.options.state_dir) && wanted()
    }

    /// Carries out one change and answers with the panel's envelope.
    pub fn change(&self, verb: Verb, input: &Value) -> Envelope {
        let began = self.host.now();
        let before = self.settings().ok().flatten();
        let result = self.locked(verb);
        if result.is_ok() {
            self.watch.begin(verb, self.settings().ok().flatten(), began);
        }
        let envelope = match &result {
            Ok(()) => Envelope::done(Value::Null),
            Err(failure) => match &*failure.error {
                ChangeError::Refused(faults) => return Envelope::refused(faults),
                _ => Envelope::failed(failure.status(), failure.told(&self.state())),
            },
        };
        if verb == Verb::Remove && result.is_ok() {
            return envelope;
        }
        let outcome = envelope.payload.as_str().unwrap_or_default().to_owned();
        tracing::info!(action = verb.name(), status = envelope.status.number(), outcome, "change");
        self.record(began, verb.name(), input.clone(), before, envelope.status.number(), outcome);
        envelope
    }

    /// Writes the history's line of something that began at `began` and has just ended.
    fn record(
        &self,
        began: SystemTime,
        action: &str,
        input: Value,
        before: Option<Settings>,
        status: u16,
        outcome: String,
    ) {
        let now = self.host.now();
        let record = Record {
            time: Record::time(now),
            action: action.to_owned(),
            input,
            before,
            after: self.settings().ok().flatten(),
            status,
            outcome,
            duration_ms: Record::duration(began, now),
        };
        record.append(&*self.host, &self.options.state_dir);
    }

    fn locked(&self, verb: Verb) -> Result<(), Failure> {
        let lock = self.lock(self.options.lock_wait)?;
        match self.end_interrupted(&lock) {
            // What cannot be brought back to what it was can still be ended; a plan starts from what stands.
            Err(failure) if verb.ends() => {
                tracing::warn!(error = %failure.sentence(), "going on to {}", verb.name())
            }
            done => done?,
        }
        let before = if verb == Verb::Remove { self.settings()? } else { None };
        self.carry_out(verb)?;
        if verb.ends() {
            // One that could not be ended before is over now.
            Intent::remove(&*self.host, &self.options.state_dir)?;
        }
        if verb != Verb::Remove {
            return Ok(());
        }
        self.forget(lock, before.as_ref()).map_err(|error| ChangeError::Left(Box::new(error.into())).into())
    }

    /// Does it within its deadline, and tidies up.
    fn carry_out(&self, verb: Verb) -> Result<(), Failure> {
        let deadline = Deadline::after(self.options.change);
        let staging = self.staging();
        let result = self.attempt(verb, Desk { host: &*self.host, staging: &staging, deadline });
        if let Err(error) = self.host.remove_dir(&staging) {
            tracing::warn!(%error, "copies for the mail server's programs are left");
        }
        result
    }

    /// Plans and carries out, again if somebody else wrote meanwhile.
    fn attempt(&self, verb: Verb, desk: Desk<'_>) -> Result<(), Failure> {
        let deadline = desk.deadline;
        // What a plugin that died here may have left.
        self.host.remove_dir(desk.staging)?;
        while let Some(plan) = plan::Plan::make(self, verb, desk)? {
            match plan.carry_out(self, verb, deadline) {
                // Somebody wrote the file between our read and our write: what there is to do is decided anew.
                Err(failure) if failure.moved() && !deadline.passed() => {}
                result => return result,
            }
        }
        Ok(())
    }

    /// Where copies are laid that an MTA's program is to read.
    fn staging(&self) -> PathBuf {
        self.options.state_dir.join("staged")
    }

    fn lock(&self, wait: Duration) -> Result<Lock, ChangeError> {
        let lock = self.host.lock(&self.options.lock, wait)?;
        // Under it: whoever had it may have removed the state.
        self.host.make_dir(&self.options.state_dir)?;
        Ok(lock)
    }

    /// Under the lock: a change that is not ended has nobody any more to end it.
    fn end_interrupted(&self, _lock: &Lock) -> Result<(), Failure> {
        let Some(intent) = Intent::read(&*self.host, &self.options.state_dir)? else { return Ok(()) };
        let began = self.host.now();
        let done = undo::end(self, &intent);
        let (status, outcome) = match &done {
            Ok(outcome) => (0, (*outcome).to_owned()),
            Err(failure) => (failure.status().number(), failure.sentence()),
        };
        tracing::warn!(action = intent.action, outcome, "a change was interrupted");
        self.record(began, "recover", intent.action.into(), intent.before, status, outcome);
        done.map(|_| ())
    }

    /// After `remove`: the state goes, and with it the lock.
    fn forget(&self, lock: Lock, before: Option<&Settings>) -> Result<(), FileError> {
        let state_dir = &self.options.state_dir;
        let made = before.map(Settings::made).unwrap_or_default();
        for mta in &self.mtas {
            for path in mta.belongings(&made) {
                self.host.remove_dir(&path)?;
            }
        }
        for name in journal::FILES {
            self.host.remove_aside(&state_dir.join(name))?;
            self.host.remove(&state_dir.join(name))?;
        }
        self.host.remove_dir(&self.staging())?;
        self.host.remove_dir(&state_dir.join(plan::EDITED))?;
        let holds_lock = self.options.lock.starts_with(state_dir);
        if !holds_lock {
            // Whoever waits for the lock makes it anew.
            self.leave(state_dir);
        }
        self.host.remove(&self.options.lock)?;
        drop(lock);
        self.options.lock.parent().into_iter().for_each(|folder| self.leave(folder));
        if holds_lock {
            self.leave(state_dir);
        }
        Ok(())
    }

    /// Takes a folder away if nobody else has put anything into it.
    fn leave(&self, folder: &Path) {
        if let Err(error) = self.host.remove_empty_dir(folder) {
            tracing::info!(%error, "a folder was left");
        }
    }

    /// The settings that our block in an MTA's configuration tells, where `settings.json` is lost.
    fn lost_settings(&self) -> Result<Option<Settings>, ChangeError> {
        let possible = |mta: &&dyn Mta| match self.options.choice {
            Choice::Only(kind) => mta.kind() == kind,
            Choice::Auto => mta.kind() != Kind::Sandbox,
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
                let saved = BTreeMap::new();
                return Ok(Some(Settings { format, mta: mta.kind(), listener, wanted, saved }));
            }
        }
        Ok(None)
    }

    /// What can be said of the service in half a sentence.
    fn state(&self) -> String {
        let what = match (self.settings(), self.running()) {
            (Ok(None), _) => "is not configured".to_owned(),
            (Ok(Some(settings)), Ok(true)) => format!("is running on port {}", settings.listener.port),
            (Ok(Some(_)), Ok(false)) => "is not running".to_owned(),
            (Err(error), _) | (_, Err(error)) => format!("is in a state that cannot be seen ({error})"),
        };
        format!("the alternate SMTP server {what}")
    }

    fn mta(&self, kind: Kind) -> &dyn Mta {
        // `all` holds one of each kind, in this order; a test says so.
        &*self.mtas[kind as usize]
    }

    /// The MTA that the configuration asks for.
    fn choose(&self) -> Result<&dyn Mta, ChangeError> {
        match self.options.choice {
            Choice::Only(kind) => Ok(self.mta(kind)),
            Choice::Auto => detect(&self.mtas, &*self.host).map_err(ChangeError::Unavailable),
        }
    }

    /// The MTA that a change acts on: the one that was configured, as long as it is the one that is here. What only
    /// ends is possible without it, too.
    fn acting(&self, before: Option<&Settings>, verb: Verb) -> Result<&dyn Mta, ChangeError> {
        let mta = match (before, self.options.choice) {
            (None, _) => self.choose()?,
            (Some(before), Choice::Only(kind)) if kind != before.mta && !verb.ends() => {
                return Err(ChangeError::OtherMta { configured: before.mta, found: kind });
            }
            (Some(before), _) => self.mta(before.mta),
        };
        mta.changeable()?;
        if verb.ends() || mta.presence(&*self.host) != Presence::Missing {
            return Ok(mta);
        }
        match detect(&self.mtas, &*self.host) {
            Ok(other) if self.options.choice == Choice::Auto => {
                Err(ChangeError::OtherMta { configured: mta.kind(), found: other.kind() })
            }
            _ => Err(ChangeError::Unavailable(format!(
                "{} was not found; looked for {}",
                mta.kind(),
                mta.looked_for()
            ))),
        }
    }

    /// The answers of an MTA, or of what is left of one that has gone.
    fn alternate<'a>(&self, mta: &'a dyn Mta, desk: Desk<'a>) -> Result<Box<dyn Alternate + 'a>, MtaError> {
        match mta.presence(desk.host) {
            Presence::Missing => Ok(Box::new(Gone { mta, host: desk.host })),
            Presence::Installed | Presence::Runs => mta.alternate(desk),
        }
    }
}

/// A refusal of one field.
fn refuse(field: &str, message: impl Into<String>) -> ChangeError {
    ChangeError::Refused(vec![FieldFault::new(field, message)])
}
