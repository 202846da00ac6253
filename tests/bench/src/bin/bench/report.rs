//! The report: one table, a line for each figure, then the reasons of what failed or was skipped.
//!
//! It judges the goals by the figures as measured, not as rounded for print. A goal that is not met is
//! printed as such and is no fault; whether it matters to the exit status is decided in main.

use std::fmt::Write;

use crate::figures::{Alone, Figure, Goal, Probe, Source};
use crate::units::{MEGABYTE, megabytes, per_second, seconds, times};

pub enum Outcome {
    /// Nothing was heard of it.
    Pending,
    Pair {
        plugin: f64,
        beside: f64,
        ratio: f64,
    },
    Value(f64),
    Skipped(String),
    Failed(String),
}

#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Met,
    Missed,
    Untold,
}

pub struct Line {
    pub figure: &'static Figure,
    pub title: String,
    pub outcome: Outcome,
}

impl Line {
    pub fn missed(&self) -> bool {
        self.verdict() == Verdict::Missed
    }

    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_) | Outcome::Pending)
    }

    fn verdict(&self) -> Verdict {
        let met = match (&self.figure.goal, &self.outcome) {
            (Goal::AtMostTimes(most), Outcome::Pair { ratio, .. }) => ratio <= most,
            (Goal::AtLeastTimes(least), Outcome::Pair { ratio, .. }) => ratio >= least,
            (Goal::AtMostMegabytes(most), Outcome::Value(bytes)) => *bytes <= most * MEGABYTE,
            _ => return Verdict::Untold,
        };
        if met { Verdict::Met } else { Verdict::Missed }
    }

    fn cells(&self) -> [String; 6] {
        let unit = unit(&self.figure.source);
        let goal = match self.figure.goal {
            Goal::AtMostTimes(ratio) => format!("<= {ratio:.2}x"),
            Goal::AtLeastTimes(ratio) => format!(">= {ratio:.2}x"),
            Goal::AtMostMegabytes(most) => format!("<= {most:.0} MB"),
            Goal::None => String::new(),
        };
        let (here, beside, ratio) = match &self.outcome {
            Outcome::Pair { plugin, beside, ratio } => (unit(*plugin), unit(*beside), times(*ratio)),
            Outcome::Value(value) => (unit(*value), String::new(), String::new()),
            Outcome::Pending => (String::new(), String::new(), String::new()),
            Outcome::Skipped(_) => ("skipped".into(), String::new(), String::new()),
            Outcome::Failed(_) => ("FAILED".into(), String::new(), String::new()),
        };
        let met = match self.verdict() {
            Verdict::Met => "met",
            Verdict::Missed => "NOT MET",
            Verdict::Untold => "",
        };
        [self.title.clone(), here, beside, ratio, goal, met.into()]
    }
}

pub fn table(lines: &[Line]) -> String {
    let head = ["figure", "this run", "beside", "ratio", "goal", ""].map(str::to_owned);
    let mut rows = vec![head];
    rows.extend(lines.iter().map(Line::cells));
    let mut widths = [0; 6];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for [title, here, floor, ratio, goal, met] in rows {
        let [a, b, c, d, e, _] = widths;
        let line = format!("{title:<a$}  {here:>b$}  {floor:>c$}  {ratio:>d$}  {goal:<e$}  {met}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text.push_str(&reasons(lines));
    text
}

/// Neighbours often fail for one reason: it is said once.
fn reasons(lines: &[Line]) -> String {
    let mut text = String::new();
    let mut told = None;
    for line in lines {
        let (Outcome::Skipped(why) | Outcome::Failed(why)) = &line.outcome else { continue };
        if told != Some(why) {
            let _ = write!(text, "\n{}: {why}\n", line.title);
        }
        told = Some(why);
    }
    text
}

fn unit(source: &Source) -> fn(f64) -> String {
    match source {
        Source::Pair(pair) if matches!(pair.probe, Probe::Throughput { .. }) => per_second,
        Source::Alone(Alone::Resident | Alone::ResidentAfterLoad | Alone::Growth) => megabytes,
        _ => seconds,
    }
}
