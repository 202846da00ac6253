//! `mail-smtp2 plan`: what an action would do, and what would refuse it.
//!
//! The answer of `queryPlan` as text: whether it would be refused and by what, the differences of the files, who would be
//! told, what there is to know. Sentences are set in 80 columns; a difference is shown as it is, but for characters that
//! would steer the terminal.

use std::process::ExitCode;

use clap::Args;
use mail_smtp2::action::query_plan::PlanPayload;
use mail_smtp2::wire::envelope::Envelope;
use mail_smtp2::wire::status::Status;
use mail_smtp2::wire::text::printable;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::lines::{Lines, Look, Mood};
use super::output::{Ending, complain, look, print};
use super::program::{Machine, Program, Watched};

#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The action
    #[arg(default_value = "start", value_parser = ["start", "stop", "restart", "update"])]
    action: String,
    /// Its inputs, such as alternate_smtp_port=2587
    #[arg(value_name = "NAME=VALUE")]
    inputs: Vec<String>,
    /// Print the envelope of queryPlan instead
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) fn run(self, machine: &Machine) -> Ending {
        let program = Program::start(machine, Watched::ByNobody)?;
        let Self { action, inputs, json } = self;
        let mut params = Map::from_iter([("action".to_owned(), action.as_str().into())]);
        for input in &inputs {
            let Some((name, value)) = input.split_once('=') else {
                let what = format!("{}: an input is written NAME=VALUE", printable(input));
                return Err(complain(&what, 2));
            };
            params.insert(name.to_owned(), value.into());
        }
        let result = program.answer("queryPlan", Some(&Value::from(params).to_string()))?;
        let Ok(envelope) = serde_json::from_str::<Envelope>(result.get()) else {
            return Err(complain("the answer is no envelope", 1));
        };
        let plan = match envelope.status {
            Status::Done => PlanPayload::deserialize(&envelope.payload).ok(),
            _ => None,
        };
        let code = ExitCode::from(u8::from(plan.as_ref().is_none_or(|plan| plan.is_refused == 1)));
        match plan {
            _ if json => Ok(print(&format!("{result}\n"), code)),
            Some(plan) => Ok(print(&text(&action, &plan, look()), code)),
            None => Err(complain(envelope.payload.as_str().unwrap_or_default(), 1)),
        }
    }
}

/// What is said of a plan on a command line.
fn text(action: &str, plan: &PlanPayload, look: Look) -> String {
    let mut lines = Lines::default();
    match (plan.is_refused, plan.changes) {
        (1, _) => lines.line(&look.paint(Mood::Bad, &format!("{action} would be refused"))),
        (_, Some(0)) => lines.line(&format!("{action} would change nothing: all is as asked")),
        _ => lines.line(&look.paint(Mood::Good, &format!("{action} would be carried out"))),
    }
    for refusal in &plan.refusals {
        let field = refusal.field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default();
        lines.say("refused by", &format!("{} {field}{}", refusal.status, refusal.sentence));
    }
    for warning in &plan.warnings {
        let what = format!("{} ({})", warning.sentence, warning.kind);
        lines.say_with("warning", &what, |line| look.paint(Mood::Doubtful, line));
    }
    if plan.sessions > 0 {
        lines.say("sessions", &format!("{} stand on the port and may be cut", plan.sessions));
    }
    for telling in &plan.tells {
        let (who, what) = (&telling.who, &telling.what);
        // A command line begins with its program.
        lines.say("tells", &if what.starts_with(who) { what.clone() } else { format!("{who}: {what}") });
    }
    for file in &plan.files {
        let times = if file.writes > 1 { format!(" ({} times)", file.writes) } else { String::new() };
        lines.say("writes", &format!("{}{times}", file.path));
        match &file.diff {
            Some(diff) => diff.lines().for_each(|line| lines.line(&painted(line, look))),
            None => lines.say("", "not shown: it was somebody else's, and not everybody may read it"),
        }
    }
    lines.text()
}

/// A line of a difference.
fn painted(line: &str, look: Look) -> String {
    let harmless = |c: char| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c };
    let line: String = line.chars().map(harmless).collect();
    match line.as_bytes().first() {
        _ if line.starts_with("---") || line.starts_with("+++") => line,
        Some(b'-') => look.paint(Mood::Bad, &line),
        Some(b'+') => look.paint(Mood::Good, &line),
        _ => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_file_steers_the_terminal() {
        assert_eq!(painted("+a\x1b[2J\tb", Look::Plain), "+a\u{FFFD}[2J\tb");
    }
}
