//! The one table of reasons: why an action failed, finer than the status numbers (schema/README.md, "The envelope").
//!
//! A row holds the name on the wire, the number as long as nothing was written, whether it passes by itself, and which input
//! it is about; `reasons.json` and the table of `schema/README.md` are printed from the rows. Which failure has which reason
//! each floor's errors say themselves; one without does not compile.

use serde::Serialize;

use super::status::Status;

/// One row of the table.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Row {
    /// The variant that the code uses.
    #[serde(skip)]
    pub this: Reason,
    /// The name on the wire.
    #[serde(rename = "reason")]
    pub name: &'static str,
    /// The status as long as nothing was written.
    pub status: Status,
    /// Whether the same request may work later without anybody's doing.
    pub retry: bool,
    /// What it means.
    pub meaning: &'static str,
    /// The input that somebody would have to set otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
}

/// Whether a reason goes away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasts {
    /// It may.
    AWhile,
    /// Somebody has to do something first.
    UntilMended,
}

macro_rules! field {
    () => {
        None
    };
    ($field:literal) => {
        Some($field)
    };
}

/// Makes the enum and the table of the rows: variant, name, status, how long it lasts, what it means, and maybe the input.
macro_rules! reasons {
    ($($name:ident $wire:literal: $status:ident, $lasts:ident, $meaning:literal $(, $field:literal)?;)*) => {
        /// Why an action failed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        /// Every reason there is, in the order of the numbers.
        pub static TABLE: [Row; [$(Reason::$name),*].len()] = [$(Row {
            this: Reason::$name,
            name: $wire,
            status: Status::$status,
            retry: matches!(Lasts::$lasts, Lasts::AWhile),
            meaning: $meaning,
            field: field!($($field)?),
        }),*];
    };
}

reasons! {
    Input "input_refused": Refused, UntilMended, "an input is not as it has to be; fields names each";
    PortDenied "port_denied": Denied, UntilMended,
        "the user that runs the plugin may not bind this port", "alternate_smtp_port";
    FileDenied "file_denied": Denied, UntilMended,
        "a file may not be read, written or relied on by the plugin";
    NotSeen "not_seen": Denied, UntilMended,
        "a privilege is missing to see who listens, or the mail server is in another namespace";
    PortHeld "port_held": Conflict, UntilMended,
        "another program holds the port; holder says which", "alternate_smtp_port";
    PortClaimed "port_claimed": Conflict, UntilMended,
        "another entry of the mail server's configuration means the port", "alternate_smtp_port";
    LockHeld "lock_held": Conflict, AWhile, "another change is under way; holder says whose";
    OtherMta "other_mta": Conflict, UntilMended,
        "the service was configured for another mail server than the one that is here";
    FileChanging "file_changing": Conflict, AWhile,
        "somebody else wrote a file of the configuration again and again";
    FileForeign "file_foreign": Conflict, UntilMended,
        "a file that would be written or taken away is somebody else's";
    NeverConfigured "never_configured": Unconfigured, UntilMended, "update was never called";
    ConfigurationRefused "configuration_refused": Broken, UntilMended,
        "the mail server's own check refuses the new configuration; said has its words";
    ConfigurationBroken "configuration_broken": Broken, UntilMended,
        "the administrator's configuration is broken already; said has the mail server's words";
    ConfigurationPending "configuration_pending": Broken, UntilMended,
        "the administrator has changed something and not loaded it, and it would end the mail server";
    EntryDamaged "entry_damaged": Broken, UntilMended,
        "our entry in the mail server's configuration cannot be told from the rest any more";
    FileIrregular "file_irregular": Broken, UntilMended, "something else than a regular file stands in its place";
    CertificateMissing "certificate_missing": Precondition, UntilMended,
        "the mail server has no certificate and key";
    CertificateUnusable "certificate_unusable": Precondition, UntilMended,
        "the certificate or its key cannot be read, or do not belong together";
    AuthMissing "auth_missing": Precondition, UntilMended, "the mail server has no AUTH, or nobody answers behind it";
    AuthNeedsTls "auth_needs_tls": Precondition, UntilMended,
        "the mail server offers AUTH only under TLS, and tls_optional asks for it before", "auth_mode";
    ClientCertificateAsked "client_certificate_asked": Precondition, UntilMended,
        "the mail server lets in only clients with a certificate of their own";
    ListenerForbidden "listener_forbidden": Precondition, UntilMended,
        "the mail server's configuration keeps the listener from coming up";
    ListUntrusted "list_untrusted": Precondition, UntilMended,
        "the list of trusted configurations may be written by others than root";
    StateNewer "state_newer": Fault, UntilMended, "a newer version has written the state";
    StateUnreadable "state_unreadable": Fault, UntilMended, "the state is not as it was written";
    StateLeft "state_left": Fault, UntilMended, "the service is out of the configuration, but its state could not be removed";
    FileFailed "file_failed": Fault, UntilMended, "a file could not be read or written";
    CommandFailed "command_failed": Fault, UntilMended, "a program could not be run";
    CommandKilled "command_killed": Fault, AWhile, "a program was killed while it was asked";
    KernelFailed "kernel_failed": Fault, AWhile, "the kernel did not answer as it should";
    Internal "internal": Fault, UntilMended, "a fault of ours; the log says more";
    MtaUnsupported "mta_unsupported": Unsupported, UntilMended, "this mail server cannot be changed by this version";
    SetupUnsupported "setup_unsupported": Unsupported, UntilMended,
        "the mail server is built or set up in a way that leaves no room for the listener";
    SupervisorUnsupported "supervisor_unsupported": Unsupported, UntilMended,
        "whoever supervises the service is none that can be told";
    KernelUnsupported "kernel_unsupported": Unsupported, UntilMended, "this kernel does not tell what has to be known";
    NodesFailed "nodes_failed": Node, UntilMended, "done here, but not on every node; nodes has one entry for each that failed";
    NodeUnreachable "node_unreachable": Node, AWhile, "ssh did not reach the node; said has its words";
    NodeWithoutPlugin "node_without_plugin": Node, UntilMended, "no mail-smtp2 can be run on the node";
    NodeVersion "node_version": Node, UntilMended, "the node has another major version";
    NodeGarbled "node_garbled": Node, UntilMended, "what came from the node is no answer";
    NodeRefused "node_refused": Node, AWhile, "the node's plugin answered with a JSON-RPC error";
    NodeLost "node_lost": Node, UntilMended, "the connection was lost; whether it was done there is not known";
    NodeSilent "node_silent": Node, UntilMended, "no answer came in time; whether it was done there is not known";
    MtaMissing "mta_missing": Unavailable, UntilMended, "no mail server was found";
    MtaAmbiguous "mta_ambiguous": Unavailable, UntilMended, "more than one mail server was found, and none was chosen";
    MtaDown "mta_down": Unavailable, UntilMended, "the mail server does not run";
    Unsupervised "unsupervised": Unavailable, UntilMended, "nobody supervises the service";
    DeadlinePassed "deadline_passed": Deadline, AWhile, "a step took longer than a change may";
    ListenerSlow "listener_slow": Deadline, AWhile, "the listener put its clients off until the deadline";
    FileLocked "file_locked": Deadline, AWhile, "somebody else kept a file of the configuration locked";
    TellFailed "tell_failed": Unproven, UntilMended, "the mail server could not be told; said has the command's words";
    ListenerAbsent "listener_absent": Unproven, UntilMended, "the listener did not come up";
    ListenerUnfit "listener_unfit": Unproven, UntilMended,
        "the listener does not answer as its mode promises; said has its reply";
    PrimaryDisturbed "primary_disturbed": Unproven, UntilMended,
        "the primary server did not answer as it did before";
    Interrupted "interrupted": Failed, UntilMended, "a change that was interrupted before cannot be undone";
}

impl Reason {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The status as long as nothing was written.
    pub fn status(self) -> Status {
        self.row().status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_has_a_name_of_its_own_in_the_order_of_the_numbers() {
        let names: BTreeSet<&str> = TABLE.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), TABLE.len());
        assert!(TABLE.is_sorted_by_key(|row| row.status.number()));
        assert!(TABLE.iter().all(|row| row.this.row().name == row.name));
    }

    #[test]
    fn every_status_of_a_failure_has_a_reason() {
        let told: BTreeSet<u16> = TABLE.iter().map(|row| row.status.number()).collect();
        let failures = super::super::status::TABLE.iter().map(|row| row.number).filter(|number| *number != 0);
        assert_eq!(told, failures.collect());
    }
}
