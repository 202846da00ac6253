//! The one table of status numbers (schema/README.md, "Status numbers").
//!
//! Answers for: which number an outcome has, what it means, and in what state it leaves the service; the published
//! `status-codes.json` and the tables of `schema/README.md` and mail-smtp2(8) are printed from here. Does not know:
//! which failure of which floor gets which number: every error of a floor says that itself, exhaustively.

use serde::{Deserialize, Serialize};

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done, and proven.
    Done,
    /// Input refused.
    Refused,
    /// The plugin may not do or see this here.
    Denied,
    /// Somebody else holds what is needed.
    Conflict,
    /// Never configured.
    Unconfigured,
    /// The MTA's own check refuses the configuration.
    Broken,
    /// The MTA lacks something that the listener needs.
    Precondition,
    /// A fault of ours.
    Fault,
    /// This MTA or machine cannot do it.
    Unsupported,
    /// A node failed.
    Node,
    /// No MTA to act on.
    Unavailable,
    /// The deadline passed.
    Deadline,
    /// Made, not proven, rolled back.
    Unproven,
    /// Failed, and the way back failed too.
    Failed,
}

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

const fn row(status: Status, number: u16, meaning: &'static str, service: &'static str) -> Row {
    Row { status, number, meaning, service }
}

/// Every status there is, in the order of its number.
pub const TABLE: [Row; 14] = [
    row(Status::Done, 0, "done, and proven", "as asked"),
    row(Status::Refused, 11, "input refused", "untouched"),
    row(
        Status::Denied,
        403,
        "the plugin may not do or see this here (not root, a port that the sandbox may not bind, file not writable)",
        "untouched",
    ),
    row(
        Status::Conflict,
        409,
        "conflict: the port is held by another program (named, with its pid) or meant by another entry of the MTA's \
         configuration, a listener that is not ours, another change holds the lock beyond its wait (its pid), another \
         MTA than the one that was configured",
        "untouched",
    ),
    row(Status::Unconfigured, 412, "never configured", "untouched"),
    row(
        Status::Broken,
        422,
        "the MTA's own check refuses the new configuration, or the administrator's is already broken (its message \
         follows)",
        "untouched",
    ),
    row(
        Status::Precondition,
        424,
        "a precondition is missing in the MTA: no AUTH mechanism, no readable certificate and key (named)",
        "untouched",
    ),
    row(Status::Fault, 500, "a fault of ours, or state written by a newer version", "said in the sentence"),
    row(Status::Unsupported, 501, "this MTA, or this machine's way of running it, cannot do it", "untouched"),
    row(Status::Node, 502, "a node failed", "said per node"),
    row(
        Status::Unavailable,
        503,
        "no MTA found, more than one and none chosen, or the MTA is down",
        "untouched",
    ),
    row(
        Status::Deadline,
        504,
        "the deadline passed (the step is named); if anything was written it was rolled back and the old state is \
         proven",
        "as before",
    ),
    row(
        Status::Unproven,
        520,
        "the change was made, could not be proven, and was rolled back; the old state is proven",
        "as before",
    ),
    row(
        Status::Failed,
        521,
        "the change failed and so did its rollback, or recovery",
        "said in the sentence",
    ),
];

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
    fn every_status_stands_in_its_own_row() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.status as usize, at, "{}", row.number);
        }
    }

    #[test]
    fn the_table_is_sorted_by_number() {
        assert!(TABLE.is_sorted_by_key(|row| row.number));
    }
}
