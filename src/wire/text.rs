//! Text from elsewhere, made fit for a payload or a log line.
//!
//! No control character, no broken UTF-8 and no more than 1 KiB of somebody else's text gets into a sentence of ours
//! (schema/README.md, "The envelope"). JSON escapes itself, and HTML is the host's to escape. Nothing here fails.

/// How much of a text from elsewhere is kept, in bytes.
pub const LIMIT: usize = 1024;

/// A text from elsewhere as it may stand in a sentence: one line, printable, at most [`LIMIT`] bytes.
pub fn printable(text: impl AsRef<[u8]>) -> String {
    let bytes = text.as_ref();
    // One character more than the limit, so that the cut below sees that there was more.
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(LIMIT + 4)]);
    let mut out = String::with_capacity(head.len().min(LIMIT));
    for c in head.trim_end().chars() {
        let c = match c {
            '\n' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            '\r' => continue,
            c if c.is_control() || is_direction(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        };
        if out.len() + c.len_utf8() > LIMIT - '…'.len_utf8() {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

/// An error with its sources, as one sentence: `cannot write /x: No space left on device`.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = printable(error.to_string());
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&printable(error.to_string()));
        source = error.source();
    }
    text
}

/// Characters that turn the reading direction around: a name could pretend to be another with them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200E}' | '\u{200F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_bad_utf8_are_replaced() {
        assert_eq!(printable(b"a\x1b[31m\xffb\0"), "a\u{FFFD}[31m\u{FFFD}b\u{FFFD}");
    }

    #[test]
    fn several_lines_become_one() {
        assert_eq!(printable("one\r\ntwo\n"), "one two");
    }

    #[test]
    fn a_long_text_is_cut_to_a_kibibyte() {
        let cut = printable("ä".repeat(5000));
        assert!(cut.len() <= LIMIT && cut.ends_with('…'), "{} bytes", cut.len());
    }

    #[test]
    fn a_short_text_is_kept_as_it_is() {
        assert_eq!(printable("nginx: master"), "nginx: master");
    }
}
