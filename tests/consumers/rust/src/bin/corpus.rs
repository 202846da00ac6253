//! Prints the corpus, a JSON object a line, for readers in other languages.
//!
//! The lines are the same each time; who reads them is said by `tests/consumers/run`. It ends with 1 if they cannot be
//! written.

use std::io::{self, Write};

use mail_smtp2_consumers::corpus::corpus;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    corpus().iter().try_for_each(|entry| writeln!(out, "{}", serde_json::to_string(entry)?))
}
