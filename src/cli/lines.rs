//! Text for people: lines of a name and what there is to say, 80 columns wide, with colour where somebody looks at it.
//!
//! A line that is too long goes on below, under what it says. A word that is longer than a line stays whole, so that it
//! can be copied. What is said is the subcommands'; nothing here fails.

use std::fmt::Write;

/// How wide a terminal is taken to be.
pub(super) const WIDTH: usize = 80;
/// Where what there is to say begins.
const INDENT: usize = 13;

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// For a terminal.
    Coloured,
    /// For everything else.
    Plain,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As it should be.
    Good,
    /// To be looked at.
    Doubtful,
    /// Not as it should be.
    Bad,
}

impl Look {
    /// The text in the colour of how it is.
    pub(crate) fn paint(self, mood: Mood, text: &str) -> String {
        let colour = match mood {
            Mood::Good => 32,
            Mood::Doubtful => 33,
            Mood::Bad => 31,
        };
        match self {
            Self::Coloured => format!("\u{1b}[{colour}m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// Lines that are written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Lines(String);

impl Lines {
    /// A name, and what there is to say of it.
    pub(crate) fn say(&mut self, name: &str, what: &str) {
        self.say_with(name, what, str::to_owned);
    }

    /// The same, where the first of its lines is painted.
    pub(crate) fn say_with(&mut self, name: &str, what: &str, paint: impl Fn(&str) -> String) {
        let mut lines = wrapped(what, WIDTH - INDENT).into_iter();
        let first = lines.next().unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:width$} {}", paint(&first), width = INDENT - 1);
        for line in lines {
            let _ = writeln!(self.0, "{:INDENT$}{line}", "");
        }
    }

    /// A line as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// All of it.
    pub(crate) fn text(self) -> String {
        self.0
    }
}

/// The text in lines of at most `width` columns, broken between words.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_and_a_long_word_stays_whole() {
        let mut lines = Lines::default();
        lines.say("reason", &format!("{} {}", "word ".repeat(20), "x".repeat(90)));
        let text = lines.text();
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert!(widths[0] <= 80 && widths[1] <= 80 && widths[2] == 13 + 90, "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with(&" ".repeat(13))), "{text}");
    }

    #[test]
    fn colour_is_only_written_for_a_terminal() {
        assert_eq!(Look::Plain.paint(Mood::Bad, "down"), "down");
        assert_eq!(Look::Coloured.paint(Mood::Bad, "down"), "\u{1b}[31mdown\u{1b}[0m");
    }
}
