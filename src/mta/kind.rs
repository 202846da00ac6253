//! What a mail server is called: in the configuration and in the state, and in sentences.
//!
//! Each sheet has its own; which there are is the list in `mod.rs`. Which of them is on a machine is found out by `detect`.
//! Nothing here fails.

use std::fmt;

use serde::{Serialize, Serializer};

/// Which mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    name: &'static str,
    title: &'static str,
}

impl Kind {
    /// The one that the configuration calls `name`, and a sentence `title`.
    pub(super) const fn new(name: &'static str, title: &'static str) -> Self {
        Self { name, title }
    }

    /// As it stands in the configuration.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// As its own people write it.
    pub fn title(self) -> &'static str {
        self.title
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}
