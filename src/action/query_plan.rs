//! `queryPlan`: what a change would do, and all that would refuse it, without doing it.
//!
//! The answer is made by the code that makes the change (`change::preview`). It is of this machine alone, whatever
//! `cascade_to_nodes` says. A plan that would be refused is an answer, not a failure.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::example::example;
use super::input;
use super::row::{Lane, Row, Scope, Since};
use crate::change::preview::{FileChange, Preview, Refusal};
use crate::change::{Service, Verb};
use crate::mta::{AuthMode, WarningKind};
use crate::wire::envelope::Envelope;
use crate::wire::problem::FieldFault;
use crate::wire::reason::Reason;
use crate::wire::status::Status;

pub(super) const ROW: Row = Row {
    name: "queryPlan",
    about: "Answers what an action would do here, and all that would refuse it, without doing it.",
    since: Since::Ours("1.1.0"),
    lane: Lane::Remote,
    scope: Scope::Here,
    inputs: &["action", "alternate_smtp_port", "auth_mode", "cascade_to_nodes"],
    input: input::schema::<PlanInput>,
    payload,
    run,
    example: example!("queryPlan" / "start"),
};

/// What a change can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Planned {
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    Start,
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    Stop,
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    Restart,
    #[allow(missing_docs, reason = "a doc comment on one variant turns the published enum into oneOf")]
    Update,
}

/// For `queryPlan`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanInput {
    /// The action whose plan is asked for. Absent is start.
    #[schemars(extend("examples" = ["update"]))]
    pub action: Option<Planned>,
    /// As update takes it; no other action does.
    #[schemars(range(min = 1, max = 65535), extend("examples" = [587]))]
    pub alternate_smtp_port: Option<u16>,
    /// As update takes it; no other action does.
    #[schemars(extend("examples" = ["auth_yes/tls_yes"]))]
    pub auth_mode: Option<AuthMode>,
    /// As the action takes it. The plan is of this machine alone.
    #[schemars(extend("enum" = [0, 1], "examples" = [0]))]
    pub cascade_to_nodes: Option<u8>,
}

/// What the action would do.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = [{
    "changes": 1, "is_refused": 1, "files": [], "tells": [], "warnings": [], "sessions": 0,
    "refusals": [{
        "status": 409, "reason": "port_held", "field": "alternate_smtp_port", "sentence": "port 587 is held by nginx (pid 812)"
    }]
}]))]
pub struct PlanPayload {
    /// 1 if anything would be done, 0 if all is as asked already. Absent where that cannot be told, because of what would
    /// refuse it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1]))]
    pub changes: Option<u8>,
    /// 1 if it would be refused, else 0.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_refused: u8,
    /// The files of the mail server's configuration that would be written.
    pub files: Vec<PlannedFile>,
    /// Who would be told what, in this order.
    pub tells: Vec<Telling>,
    /// What the administrator should know, though it stands in nobody's way.
    pub warnings: Vec<Known>,
    /// How many connections stand on the port now; they may be cut.
    #[schemars(range(min = 0, max = 4_194_304))]
    pub sessions: u64,
    /// All that would refuse it, in the order in which the action would meet it: it answers with the first.
    pub refusals: Vec<Refused>,
}

/// A file that would be written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlannedFile {
    /// Its path.
    pub path: String,
    /// How many times it would be written: a restart does it twice, and where it ends as it was, the diff is empty.
    #[schemars(range(min = 1, max = 9))]
    pub writes: u64,
    /// A unified diff from what it is to what it would be. Absent where the file was somebody else's and not everybody may
    /// read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// 1 if the diff has every byte, 0 if some are no UTF-8 and are shown as U+FFFD.
    #[schemars(extend("enum" = [0, 1]))]
    pub is_exact: u8,
}

/// Somebody who would be told something.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Telling {
    /// Who: a process, a unit of systemd's, a program, a supervisor's FIFO.
    pub who: String,
    /// What: a signal, a verb of systemd's, a command line, a supervisor's letters.
    pub what: String,
}

/// Something that the administrator should know.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Known {
    /// What it is about, for programs.
    #[schemars(extend("enum" = WarningKind::NAMES))]
    pub kind: String,
    /// The same in words, with what helps.
    pub sentence: String,
}

/// Something that would refuse the action.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The status number that the action would answer.
    #[schemars(range(min = 1, max = 999))]
    pub status: u16,
    /// Why, for programs: a reason as the member error of a failure has it.
    #[schemars(regex(pattern = "^[a-z_]+$"))]
    pub reason: String,
    /// The input that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What is in the way.
    pub sentence: String,
}

fn payload(generator: &mut SchemaGenerator) -> Schema {
    generator.root_schema_for::<PlanPayload>()
}

fn run(service: &Service, input: &Value) -> Envelope {
    let asked = match PlanInput::deserialize(input) {
        Ok(asked) => asked,
        // The schema is made from the same type, so that this is said of nothing that it admits.
        Err(error) => return Envelope::refused(&[FieldFault::new("params", "type", error.to_string())]),
    };
    let action = asked.action.unwrap_or(Planned::Start);
    let verb = match action {
        Planned::Start => Verb::Start,
        Planned::Stop => Verb::Stop,
        Planned::Restart => Verb::Restart,
        Planned::Update => Verb::Update { port: asked.alternate_smtp_port, auth_mode: asked.auth_mode },
    };
    let given = [
        ("alternate_smtp_port", asked.alternate_smtp_port.is_some()),
        ("auth_mode", asked.auth_mode.is_some()),
    ];
    let stray = given.into_iter().filter(|(_, is_given)| *is_given && action != Planned::Update);
    let faults: Vec<FieldFault> = stray
        .map(|(name, _)| {
            FieldFault::new(name, "additionalProperties", format!("is no input of {}", verb.name()))
        })
        .collect();
    if !faults.is_empty() {
        return Envelope::refused(&faults);
    }
    match serde_json::to_value(PlanPayload::from(service.preview(verb))) {
        Ok(payload) => Envelope::done(payload),
        Err(error) => Envelope::failed(Status::Fault, error.to_string(), Reason::Internal),
    }
}

impl From<Preview> for PlanPayload {
    fn from(preview: Preview) -> Self {
        Self {
            changes: preview.changes.map(u8::from),
            is_refused: (!preview.refusals.is_empty()).into(),
            files: preview.files.into_iter().map(PlannedFile::from).collect(),
            tells: preview.tells.into_iter().map(|told| Telling { who: told.who, what: told.what }).collect(),
            warnings: preview
                .warnings
                .into_iter()
                .map(|warning| Known { kind: warning.kind.name().to_owned(), sentence: warning.sentence })
                .collect(),
            sessions: preview.sessions,
            refusals: preview.refusals.into_iter().map(Refused::from).collect(),
        }
    }
}

impl From<FileChange> for PlannedFile {
    fn from(file: FileChange) -> Self {
        let path = file.path.display().to_string();
        Self { path, writes: file.writes, diff: file.diff, is_exact: file.is_exact.into() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        let Refusal { status, reason, field, sentence } = refusal;
        Self { status: status.number(), reason: reason.into_owned(), field, sentence }
    }
}
