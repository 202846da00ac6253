//! What speaks against a change: the first objection, or all of them.
//!
//! A change ends with the first and asks no further; a plan wants to hear every one. The questions are the same and are put
//! once (`plan`, `perform::check`, a sheet's `ready`): each hands its answer to this. What makes further questions
//! pointless is an error as everywhere.

use super::error::ChangeError;

/// Who hears the objections.
pub(super) enum Against {
    /// The first ends the questions.
    First,
    /// All are heard, in the order of the questions.
    All(Vec<ChangeError>),
}

impl Against {
    /// An objection.
    ///
    /// # Errors
    /// The objection, if it ends the questions.
    pub(super) fn object<E: Into<ChangeError>>(&mut self, error: E) -> Result<(), E> {
        match self {
            Self::First => Err(error),
            Self::All(all) => {
                all.push(error.into());
                Ok(())
            }
        }
    }

    /// The answer to a question; what could not be had because of an objection is nothing.
    ///
    /// # Errors
    /// As [`Against::object`].
    pub(super) fn hear<T: Default>(&mut self, answer: Result<T, ChangeError>) -> Result<T, ChangeError> {
        answer.or_else(|error| self.object(error).map(|()| T::default()))
    }

    /// Whether nothing was heard.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::First => true,
            Self::All(all) => all.is_empty(),
        }
    }
}
