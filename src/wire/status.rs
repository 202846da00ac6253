//! The one table of status numbers (schema/README.md, "Status numbers").
//!
//! A row holds a number, what it means, and in what state it leaves the service; `status-codes.json` and the tables of
//! `schema/README.md` and mail-smtp2(8) are printed from the rows. Which failure has which number follows from its reason
//! (`reason`).

use serde::{Deserialize, Serialize};

/// One row of the table.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The variant that the code uses.
    #[serde(skip)]
    pub status: Status,
    /// The number on the wire.
    #[serde(rename = "status")]
    pub number: u16,
    /// What it means.
    pub meaning: &'static str,
    /// In what state the service is then.
    pub service: &'static str,
}

/// Makes the enum and the table of the rows: number, variant, what it means, in what state the service is.
macro_rules! statuses {
    ($($(#[$about:meta])* $number:literal $name:ident: $meaning:literal, $service:literal;)*) => {
        /// How an action ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Status {
            $($(#[$about])* $name,)*
        }

        /// Every status there is, in the order of its number.
        pub const TABLE: [Row; [$(Status::$name),*].len()] =
            [$(Row { status: Status::$name, number: $number, meaning: $meaning, service: $service }),*];
    };
}

statuses! {
    /// Done, and proven.
    0 Done: "done, and proven", "as asked";
    /// Input refused.
    11 Refused: "input refused", "untouched";
    /// The plugin may not do or see this here.
    403 Denied:
        "the plugin may not do or see this here (not root, a port that the sandbox may not bind, file not \
         writable, no room on a disk)",
        "untouched";
    /// Somebody else holds what is needed.
    409 Conflict:
        "conflict: the port is held by another program (named, with its pid) or meant by another entry of the \
         MTA's configuration, a listener that is not ours, another change holds the lock beyond its wait (its \
         pid), another MTA than the one that was configured",
        "untouched";
    /// Never configured.
    412 Unconfigured: "never configured", "untouched";
    /// The MTA's own check refuses the configuration.
    422 Broken:
        "the MTA's own check refuses the new configuration, or the administrator's is already broken (its \
         message follows)",
        "untouched";
    /// The MTA lacks something that the listener needs.
    424 Precondition:
        "a precondition is missing in the MTA: no AUTH mechanism, no readable certificate and key (named)",
        "untouched";
    /// A fault of ours.
    500 Fault: "a fault of ours, or state written by a newer version", "said in the sentence";
    /// This MTA or machine cannot do it.
    501 Unsupported: "this MTA, or this machine's way of running it, cannot do it", "untouched";
    /// A node failed.
    502 Node: "a node failed", "said per node";
    /// No MTA to act on.
    503 Unavailable: "no MTA found, more than one and none chosen, or the MTA is down", "untouched";
    /// The deadline passed.
    504 Deadline:
        "the deadline passed (the step is named); if anything was written it was rolled back and the old state \
         is proven",
        "as before";
    /// Made, not proven, rolled back.
    520 Unproven:
        "the change was made, could not be proven, and was rolled back; the old state is proven",
        "as before";
    /// Failed, and the way back failed too.
    521 Failed: "the change failed and so did its rollback, or recovery", "said in the sentence";
}

impl Status {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        TABLE[self as usize].number
    }
}

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        TABLE
            .iter()
            .find(|row| row.number == number)
            .map(|row| row.status)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{number} is no status of ours")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_number() {
        assert!(TABLE.is_sorted_by_key(|row| row.number));
    }
}
