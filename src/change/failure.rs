//! A change that failed: why, in which step, how far it had come, and what became of it.
//!
//! The errors themselves are `error`'s. Here a number is found for what was rolled back or stands half done, and the words
//! that are written down and told; how they reach the host is `wire::envelope`'s.

use super::error::ChangeError;
use crate::wire::problem::{Problem, Step};
use crate::wire::status::Status;
use crate::wire::text::chain;

/// How far a failed change had come, and what became of it.
#[derive(Debug)]
pub enum Undone {
    /// Nothing was written.
    Nothing,
    /// It was taken back, and the old state is proven.
    All,
    /// It could not be taken back.
    Stuck(Box<ChangeError>),
}

/// A change that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Box<ChangeError>,
    /// In which step.
    pub step: Option<Step>,
    /// What became of it.
    pub undone: Undone,
    /// Which log says more, and what it says last.
    pub log: Option<String>,
}

impl<E: Into<ChangeError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { error: Box::new(error.into()), step: None, undone: Undone::Nothing, log: None }
    }
}

/// The step in which something fails that fails.
pub(super) trait InStep<T> {
    /// A failure in this step, unless it says one itself.
    fn in_step(self, step: Step) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> InStep<T> for Result<T, E> {
    fn in_step(self, step: Step) -> Result<T, Failure> {
        self.map_err(|error| {
            let failure = error.into();
            Failure { step: failure.step.or(Some(step)), ..failure }
        })
    }
}

impl Failure {
    /// What a program is told of it: why it failed, where, and nothing that would help by itself if it stands half done.
    pub fn problem(&self) -> Problem {
        let problem = self.error.problem();
        let retry = problem.retry && !matches!(self.undone, Undone::Stuck(_));
        Problem { step: self.step.map(|step| step.name().into()), retry, ..problem }
    }

    /// The name of its reason.
    pub fn reason(&self) -> String {
        self.error.reason().row().name.to_owned()
    }

    /// Its number.
    pub fn status(&self) -> Status {
        match (&self.undone, self.error.status()) {
            (Undone::Nothing, status) => status,
            // What was in the way is what matters, now that all is as before.
            (Undone::All, status @ (Status::Deadline | Status::Conflict)) => status,
            (Undone::All, _) => Status::Unproven,
            (Undone::Stuck(_), _) => Status::Failed,
        }
    }

    /// Whether the input was refused, of which nothing is written down.
    pub fn is_refusal(&self) -> bool {
        matches!(&*self.error, ChangeError::Refused(_))
    }

    /// Whether nothing was written because a file was not as it had been read.
    pub fn moved(&self) -> bool {
        matches!((&*self.error, &self.undone), (ChangeError::Moved { .. }, Undone::Nothing))
    }

    /// What is wrong.
    pub fn sentence(&self) -> String {
        let mut what = chain(&*self.error);
        if let Some(log) = &self.log {
            what = format!("{what}; {log}");
        }
        match &self.undone {
            Undone::Nothing => format!("{what}; nothing was changed"),
            Undone::All => format!("{what}; the change was rolled back"),
            Undone::Stuck(error) => {
                format!("{what}; and it could not be rolled back: {}", chain(&**error))
            }
        }
    }

    /// What helps with a change that stands half done.
    fn advice(&self) -> &'static str {
        match self.undone {
            Undone::Stuck(_) => "; put that right, then send any change: it begins with the rollback",
            Undone::Nothing | Undone::All => "",
        }
    }

    /// What is wrong, what state the service is in, and what there is to do.
    pub fn told(&self, state: &str) -> String {
        match &*self.error {
            // They say the state themselves.
            ChangeError::Unconfigured => self.sentence(),
            ChangeError::Left(_) => chain(&*self.error),
            _ => format!("{}, {state}{}", self.sentence(), self.advice()),
        }
    }
}
