//! One transaction for every mail server, and what is true of the service right now: the face of this folder.
//!
//! [`Service::change`] makes a change in eight steps (`transaction`), [`Service::recover`] ends what a dead plugin or a
//! reboot has left, and the reads say what is. Requests, actions and nodes are dealt with above. A change either ends
//! proven, or the old state is proven, or the envelope says what could not be undone.

mod against;
mod block;
mod boot;
mod client;
pub mod drift;
mod edits;
pub mod error;
pub mod failure;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/targets/change.rs"]
pub mod fuzz;
pub mod history;
mod journal;
mod later;
mod live;
mod memory;
mod perform;
mod plan;
mod ports;
pub mod preview;
pub mod probe;
mod prove;
mod recover;
pub mod rehearsal;
mod remove;
pub mod settings;
mod site;
pub mod status;
mod tell;
mod told;
mod transaction;
mod undo;
mod verb;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;

pub use error::ChangeError;
pub use failure::Failure;
use history::{Ended, Origin};
use settings::Settings;
use site::Site;
pub use site::{Choice, Options};
pub use verb::Verb;

use crate::mta::Mta;
use crate::sys::Host;
use crate::wire::envelope::Envelope;
use crate::wire::problem::{FieldFault, Problem};

/// The alternate SMTP service of this machine, on somebody's behalf. Clones share all but that.
#[derive(Debug, Clone)]
pub struct Service {
    site: Arc<Site>,
    sighting: Arc<live::Sighting>,
    watch: Arc<watch::Watch>,
    memory: Arc<memory::Memory>,
    /// How often input was refused since the last line of the history.
    refused: Arc<AtomicU64>,
    asked: Origin,
}

impl Service {
    /// The service on `host`, run by one of `mtas`.
    pub fn new(host: Arc<dyn Host>, mtas: Vec<Box<dyn Mta>>, options: Options) -> Self {
        let (sighting, watch, memory, refused, asked) = Default::default();
        Self { site: Arc::new(Site::new(host, mtas, options)), sighting, watch, memory, refused, asked }
    }

    /// The same service, for what this one asks for: the history says so.
    pub fn on_behalf_of(&self, asked: Origin) -> Self {
        Self { asked, ..self.clone() }
    }

    /// Counts an input that was refused: of those the history has no line, but their number.
    pub fn note_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The settings as they are now; `None` on a machine that was never configured.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn settings(&self) -> Result<Option<Settings>, ChangeError> {
        self.site.settings()
    }

    /// Whether the MTA itself listens on the configured port.
    ///
    /// # Errors
    /// It cannot be seen.
    pub fn running(&self) -> Result<bool, ChangeError> {
        self.sighting.is_running(&self.site)
    }

    /// What is, and why.
    ///
    /// # Errors
    /// The settings cannot be read.
    pub fn status(&self) -> Result<status::Status, ChangeError> {
        status::look(&self.site, &self.memory)
    }

    /// What is, and why, with what clients are answered and what the mail server's own programs say. Takes as long as a
    /// proof does.
    ///
    /// # Errors
    /// The settings cannot be read.
    pub fn probe(&self) -> Result<(status::Status, probe::Probe), ChangeError> {
        let _one = self.memory.probing.lock();
        let mut status = self.status()?;
        let probe = probe::look(&self.site, &mut status);
        Ok((status, probe))
    }

    /// What a change would do, and all that would refuse it.
    pub fn preview(&self, verb: Verb) -> preview::Preview {
        preview::look(&self.site, verb)
    }

    /// The latest changes, the newest first, at most `limit`; those that failed alone, if asked so.
    ///
    /// # Errors
    /// The history cannot be read.
    pub fn history(&self, limit: usize, failed: bool) -> Result<Vec<history::Record>, ChangeError> {
        let (host, state_dir) = (&*self.site.host, &self.site.options.state_dir);
        Ok(history::latest(host, state_dir, limit, |record| !failed || record.status != 0)?)
    }

    /// Takes as much longer over a change as is rehearsed.
    pub fn rehearse_delay(&self) {
        self.site.host.sleep(self.site.options.rehearsal.delay);
    }

    /// The failure of this action, where one is rehearsed.
    pub fn rehearse_failure(&self, action: &str) -> Option<Envelope> {
        let scene = self.site.options.rehearsal.of(action)?;
        let sentence = format!("{}, {}", scene.sentence(), self.state());
        let fault = |field: &str| FieldFault::new(field, scene.reason.row().name, scene.sentence());
        let fields = scene.reason.row().field.map(fault).into_iter().collect();
        Some(Envelope::failed(scene.status, sentence, Problem { fields, ..scene.reason.into() }))
    }

    /// The mail server that is acted on, and why nothing can be changed with it, if so.
    pub fn mta(&self) -> status::MailServer {
        status::acted_on(&self.site, &self.memory)
    }

    /// Carries out one change and answers with the panel's envelope.
    pub fn change(&self, verb: Verb, input: &Value) -> Envelope {
        let site = &*self.site;
        let began = site.host.now();
        let before = site.settings().ok().flatten();
        let result = transaction::run(site, verb);
        let envelope = match &result {
            Ok(()) => Envelope::done(Value::Null),
            Err(failure) => match &*failure.error {
                ChangeError::Refused(faults) => {
                    self.note_refusal();
                    return Envelope::refused(faults);
                }
                _ => Envelope::failed(failure.status(), failure.told(&self.state()), failure.problem()),
            },
        };
        if result.is_ok() {
            self.watch.begin(verb, site.settings().ok().flatten(), began);
        }
        let outcome = envelope.payload.as_str().unwrap_or_default().to_owned();
        let status = envelope.status.number();
        tracing::info!(action = verb.name(), status, outcome, "change");
        let input = input.clone();
        let refused = self.refused.swap(0, Ordering::Relaxed);
        let asked = Origin { refused, ..self.asked.clone() };
        let reason = envelope.error.as_ref().map(|problem| problem.reason.to_string());
        let ended = Ended { began, action: verb.name(), input, before, status, reason, outcome };
        match (verb, &result) {
            // The history went with everything else.
            (Verb::Remove, Ok(())) => drop(history::tell(site, asked, ended)),
            _ => history::record(site, asked, ended),
        }
        envelope
    }

    /// Whether there is something to do before the first request: a change was begun and not ended, by somebody who is
    /// gone, or the machine was booted and does not bring the listener back by itself.
    pub fn awaits_recovery(&self) -> bool {
        self.is_interrupted() || boot::has_ended(&self.site)
    }

    /// Whether a change was begun and not ended by somebody who is gone, and it is time to try to end it.
    pub fn is_interrupted(&self) -> bool {
        recover::is_due(&self.site)
    }

    /// Ends what a dead plugin has begun, unless its lock shows that it lives; brings back what a reboot has ended.
    pub fn recover(&self) {
        let lock = match recover::lock(&self.site) {
            Ok(lock) => lock,
            Err(error) => return tracing::info!(%error, "an interrupted change is left to its owner"),
        };
        if recover::try_to_end(&self.site, &lock) && boot::has_ended(&self.site) {
            self.bring_back(&lock);
        }
    }

    /// Under the lock: a wanted listener runs again, or the history says why not; the next process start tries again.
    fn bring_back(&self, lock: &crate::sys::Lock) {
        let site = &self.site;
        let (began, before) = (site.host.now(), site.settings().ok().flatten());
        let result = transaction::under_lock(site, Verb::Start, lock)
            .and_then(|()| Ok(boot::note(site, before.as_ref())?));
        let (status, outcome) = match &result {
            Ok(()) => (0, "the listener was brought back after a reboot".to_owned()),
            Err(failure) => (failure.status().number(), failure.sentence()),
        };
        tracing::warn!(outcome, "the machine was rebooted");
        let reason = result.as_ref().err().map(Failure::reason);
        let (action, input) = (recover::ACTION, "start".into());
        let ended = Ended { began, action, input, before, status, reason, outcome };
        history::record(site, Origin::default(), ended);
    }

    /// Looks after the listener of this plugin's last change, if it is time to; says when it will be time again. `None`:
    /// there is nothing to look after.
    pub fn look_after(&self) -> Option<Duration> {
        self.watch.look(&self.site, &self.sighting)
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
}
