//! Where a message begins and ends: one per line, or behind a `Content-Length` header.
//!
//! Finds messages in bytes that arrive in any portions; a session's first bytes decide which of the two it speaks. What is
//! in a message is `call`'s. One over the limit is reported once and skipped; after a header that is none the search goes on
//! at the next line. A byte order mark before the first message is skipped.

use memchr::{memchr, memmem};

/// How messages are set apart in this session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// One message per line.
    Lines,
    /// A header block with `Content-Length`, in bytes, before each message (language-server clients).
    Headers,
}

/// What was found in the bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message without its framing, never blank.
    Message(&'a [u8]),
    /// A message over the limit; its bytes are skipped.
    TooBig,
    /// A header block without a usable `Content-Length`.
    BadHeader,
    /// A header block or its message, which the end of the input has cut short.
    CutShort,
}

/// The most that a header block may hold.
const HEADER_LIMIT: usize = 8 * 1024;
/// What the first read asks for: a session that only ever sends single requests never needs more.
const LEAST: usize = 4 * 1024;
/// What a read asks for at the most.
const MOST: usize = 64 * 1024;
/// What some editors and hosts put before the first character of a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
/// The name that tells the framings apart.
const CONTENT: &[u8] = b"content-";

/// Bytes in, messages out.
#[derive(Debug)]
pub struct Decoder {
    framing: Option<Framing>,
    limit: usize,
    buffer: Vec<u8>,
    /// The first byte that is not consumed yet.
    start: usize,
    /// Where the bytes end that have arrived.
    end: usize,
    /// What the next read asks for.
    portion: usize,
    /// How far the search for a line's end has come.
    scanned: usize,
    skip: Skip,
    /// The place of a byte order mark has been passed.
    marked: bool,
}

/// What is thrown away before the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// The rest of an overlong line.
    Line,
    /// The rest of an overlong body, in bytes.
    Body(u64),
}

impl Decoder {
    /// For messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        let (framing, buffer, skip) = (None, Vec::new(), Skip::Nothing);
        Self { framing, limit, buffer, start: 0, end: 0, portion: LEAST, scanned: 0, skip, marked: false }
    }

    /// Room for the next read, 4 to 64 KiB.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned = self.scanned.saturating_sub(self.start);
            self.start = 0;
        }
        if self.end == 0 && self.buffer.len() > 4 * MOST {
            // A large message has passed; its memory goes back.
            self.buffer = Vec::new();
        }
        if self.buffer.len() < self.end + self.portion {
            self.buffer.resize(self.end + self.portion, 0);
        }
        &mut self.buffer[self.end..self.end + self.portion]
    }

    /// `count` bytes of the room have been filled.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        if count == self.portion {
            self.portion = MOST.min(2 * self.portion);
        }
    }

    /// The next message that is complete, and the framing of its reply.
    pub fn frame(&mut self) -> Option<(Frame<'_>, Framing)> {
        if self.framing.is_none() {
            self.framing = self.recognise();
        }
        let framing = self.framing?;
        let frame = match framing {
            Framing::Lines => self.next_line(),
            Framing::Headers => self.next_body(),
        };
        frame.map(|frame| (frame, framing))
    }

    /// What is left when the input has ended: an unterminated line is a message.
    pub fn finish(&mut self) -> Option<(Frame<'_>, Framing)> {
        let rest = self.start..self.end;
        self.start = self.end;
        if self.skip != Skip::Nothing {
            // It has been reported.
            return None;
        }
        if self.framing == Some(Framing::Headers) {
            let is_cut = !self.buffer[rest].trim_ascii().is_empty();
            return is_cut.then_some((Frame::CutShort, Framing::Headers));
        }
        let too_big = self.is_too_big(&self.buffer[rest.clone()]);
        let line = self.buffer[rest].trim_ascii();
        let frame = if too_big { Frame::TooBig } else { Frame::Message(line) };
        (too_big || !line.is_empty()).then_some((frame, Framing::Lines))
    }

    /// The first bytes decide; `None` while there are too few.
    fn recognise(&mut self) -> Option<Framing> {
        // Blanks before the first message are nothing to wait with.
        let blanks = |bytes: &[u8]| bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
        self.start += blanks(&self.buffer[self.start..self.end]);
        if !self.marked {
            let head = &self.buffer[self.start..self.end];
            if head.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(head) {
                return None;
            }
            self.marked = true;
            if head.starts_with(BYTE_ORDER_MARK) {
                self.start += BYTE_ORDER_MARK.len();
                self.start += blanks(&self.buffer[self.start..self.end]);
            }
        }
        let head = &self.buffer[self.start..self.end];
        if head.is_empty() {
            return None;
        }
        let common = head.len().min(CONTENT.len());
        if !head[..common].eq_ignore_ascii_case(&CONTENT[..common]) {
            return Some(Framing::Lines);
        }
        if common < CONTENT.len() && !head.contains(&b'\n') {
            return None;
        }
        if common < CONTENT.len() {
            return Some(Framing::Lines);
        }
        Some(Framing::Headers)
    }

    fn next_line(&mut self) -> Option<Frame<'_>> {
        loop {
            self.scanned = self.scanned.max(self.start);
            let Some(found) = memchr(b'\n', &self.buffer[self.scanned..self.end]) else {
                self.scanned = self.end;
                return self.unfinished_line();
            };
            let line = self.start..self.scanned + found;
            self.start = line.end + 1;
            self.scanned = self.start;
            if self.skip == Skip::Line {
                self.skip = Skip::Nothing;
                continue;
            }
            let (from, to) = (line.start, line.end);
            if self.is_too_big(&self.buffer[from..to]) {
                return Some(Frame::TooBig);
            }
            if self.buffer[from..to].trim_ascii().is_empty() {
                continue;
            }
            // Borrowed again: the loop above may not hold on to the buffer.
            return Some(Frame::Message(self.buffer[from..to].trim_ascii()));
        }
    }

    /// Whether a line is over the limit: its message, or with it the blanks around it, which would have to be kept, too.
    fn is_too_big(&self, line: &[u8]) -> bool {
        line.trim_ascii().len() > self.limit || line.len() > self.limit.saturating_add(2)
    }

    /// No end of line in sight: what of it may be thrown away, and is that news?
    fn unfinished_line(&mut self) -> Option<Frame<'_>> {
        if self.skip == Skip::Line {
            self.start = self.end;
        } else if self.is_too_big(&self.buffer[self.start..self.end]) {
            self.start = self.end;
            self.skip = Skip::Line;
            return Some(Frame::TooBig);
        }
        None
    }

    fn next_body(&mut self) -> Option<Frame<'_>> {
        if let Skip::Body(left) = self.skip {
            let here = (self.end - self.start) as u64;
            let gone = left.min(here);
            self.start += gone as usize;
            self.skip = if left > gone { Skip::Body(left - gone) } else { Skip::Nothing };
            if left > gone {
                return None;
            }
        }
        let waiting = &self.buffer[self.start..self.end];
        let Some((header, body)) = header_block(waiting) else {
            if waiting.len() <= HEADER_LIMIT {
                return None;
            }
            self.start += memchr::memrchr(b'\n', waiting).map_or(waiting.len(), |at| at + 1);
            return Some(Frame::BadHeader);
        };
        let Some(length) = content_length(&waiting[..header]) else {
            self.start += body;
            return Some(Frame::BadHeader);
        };
        if length > self.limit as u64 {
            self.start += body;
            self.skip = Skip::Body(length);
            return Some(Frame::TooBig);
        }
        let end = body + length as usize;
        if waiting.len() < end {
            return None;
        }
        let from = self.start + body;
        self.start += end;
        Some(Frame::Message(&self.buffer[from..self.start]))
    }
}

/// Where the header block ends and where the body begins.
fn header_block(bytes: &[u8]) -> Option<(usize, usize)> {
    // Blank lines before a header are as harmless as between lines.
    let lead = bytes.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let crlf = memmem::find(&bytes[lead..], b"\r\n\r\n").map(|at| (lead + at, lead + at + 4));
    let lf = memmem::find(&bytes[lead..], b"\n\n").map(|at| (lead + at, lead + at + 2));
    match (crlf, lf) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn content_length(header: &[u8]) -> Option<u64> {
    let mut length = None;
    for line in header.split(|b| *b == b'\n') {
        let Some(colon) = memchr(b':', line) else { continue };
        if line[..colon].trim_ascii().eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(line[colon + 1..].trim_ascii()).ok()?;
            let value = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
            // Twice and differing: nobody can say where the message ends.
            if length.replace(value).is_some_and(|before| before != value) {
                return None;
            }
        }
    }
    length
}

/// Appends one reply in the given framing; `body` appends the reply's own bytes, or none when there is no reply.
pub fn encode(out: &mut Vec<u8>, framing: Framing, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    body(out);
    let length = out.len() - start;
    match framing {
        _ if length == 0 => {}
        Framing::Lines => out.push(b'\n'),
        Framing::Headers => {
            let header = format!("Content-Length: {length}\r\n\r\n");
            out.splice(start..start, header.into_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that the decoder finds when `bytes` arrive in portions of `step`.
    fn frames(bytes: &[u8], limit: usize, step: usize) -> Vec<String> {
        let mut decoder = Decoder::new(limit);
        let mut found = Vec::new();
        let say = |frame: Frame<'_>| match frame {
            Frame::Message(m) => String::from_utf8_lossy(m).into_owned(),
            other => format!("{other:?}"),
        };
        for part in bytes.chunks(step) {
            decoder.room()[..part.len()].copy_from_slice(part);
            decoder.filled(part.len());
            while let Some((frame, _)) = decoder.frame() {
                found.push(say(frame));
            }
        }
        found.extend(decoder.finish().map(|(frame, _)| say(frame)));
        found
    }

    #[test]
    fn blanks_count_for_the_limit_in_whatever_portions_they_arrive() {
        for step in [1, 5, 100] {
            assert_eq!(
                frames(b"12345     \n   123  \n{2}\n", 5, step),
                ["TooBig", "TooBig", "{2}"],
                "step {step}"
            );
            assert_eq!(frames(b"{2}\n          ", 5, step), ["{2}", "TooBig"], "step {step}");
        }
    }

    #[test]
    fn lines_are_found_in_any_portions() {
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(frames(b"{1}\r\n\n  \r\n{2}\n{3}", 10, step), ["{1}", "{2}", "{3}"], "step {step}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_reported_once_and_skipped() {
        for step in [1, 5, 1000] {
            let bytes = [b"x".repeat(500), b"\n{1}\n".to_vec()].concat();
            assert_eq!(frames(&bytes, 100, step), ["TooBig", "{1}"], "step {step}");
        }
    }

    #[test]
    fn a_line_of_just_the_limit_is_a_message() {
        assert_eq!(frames(b"12345\r\n123456\r\n", 5, 100), ["12345", "TooBig"]);
    }

    #[test]
    fn an_overlong_end_of_input_is_reported_once() {
        assert_eq!(frames(&b"x".repeat(500), 100, 64), ["TooBig"]);
    }

    #[test]
    fn a_session_that_begins_with_a_header_speaks_headers() {
        for step in [1, 4, 100] {
            let bytes = b"Content-Length: 3\r\n\r\n{1}content-type: x\r\ncontent-length:3\r\n\r\n{2}";
            assert_eq!(frames(bytes, 10, step), ["{1}", "{2}"], "step {step}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_reported_once_and_skipped() {
        for step in [1, 9, 1000] {
            let bytes =
                [&b"Content-Length: 50\r\n\r\n"[..], &[b'x'; 50], b"Content-Length: 3\r\n\r\n{1}"].concat();
            assert_eq!(frames(&bytes, 10, step), ["TooBig", "{1}"], "step {step}");
        }
    }

    #[test]
    fn a_header_or_a_body_that_the_end_cuts_short_is_reported() {
        for bytes in [&b"Content-Length: 3\r\n\r\n{1"[..], b"Content-Length: 3\r\n\r\n", b"Content-Length: 3"]
        {
            for step in [1, 5, 100] {
                assert_eq!(frames(bytes, 10, step), ["CutShort"], "{}", String::from_utf8_lossy(bytes));
            }
        }
        assert_eq!(frames(b"Content-Length: 3\r\n\r\n{1}\r\n", 10, 100), ["{1}"]);
        assert_eq!(frames(b"Content-Length: 30\r\n\r\n{1}", 10, 100), ["TooBig"]);
    }

    #[test]
    fn a_byte_order_mark_before_the_first_message_is_nothing() {
        for step in [1, 2, 100] {
            assert_eq!(frames(b"\xEF\xBB\xBF{1}\n\xEF\xBB\xBF{2}\n", 10, step), ["{1}", "\u{FEFF}{2}"]);
            assert_eq!(frames(b"\n\xEF\xBB\xBF\nContent-Length: 3\n\n{1}", 10, step), ["{1}"]);
            assert_eq!(frames(b"\xEF\xBB\xBF", 10, step), Vec::<String>::new());
            assert_eq!(frames(b"\xEF\xBB", 10, step), ["\u{FFFD}"]);
        }
    }

    #[test]
    fn after_a_bad_header_the_next_one_counts() {
        let bytes = b"Content-Length: x\r\n\r\nContent-Length: 3\r\n\r\n{1}";
        assert_eq!(frames(bytes, 10, 100), ["BadHeader", "{1}"]);
    }

    #[test]
    fn blanks_before_the_first_message_are_not_kept() {
        let mut decoder = Decoder::new(10);
        for _ in 0..1000 {
            let room = decoder.room();
            room.fill(b'\n');
            let count = room.len();
            decoder.filled(count);
            assert_eq!(decoder.frame(), None);
        }
        assert!(decoder.buffer.len() <= 2 * MOST, "{} bytes are kept", decoder.buffer.len());
    }

    #[test]
    fn a_line_that_only_begins_like_a_header_is_a_line() {
        assert_eq!(frames(b"con\n{1}\n", 10, 1), ["con", "{1}"]);
    }

    #[test]
    fn no_reply_has_no_framing() {
        let mut out = Vec::new();
        encode(&mut out, Framing::Lines, |_| {});
        encode(&mut out, Framing::Headers, |_| {});
        assert_eq!(out, b"");
    }

    #[test]
    fn headers_count_bytes_not_characters() {
        let mut out = Vec::new();
        encode(&mut out, Framing::Headers, |out| out.extend_from_slice("ä".as_bytes()));
        assert_eq!(out, "Content-Length: 2\r\n\r\nä".as_bytes());
    }
}
