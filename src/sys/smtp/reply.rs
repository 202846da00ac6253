//! A server's reply (RFC 5321, section 4.2): its lines, and what an answer to EHLO offers in them.
//!
//! What a server sends is hostile: a reply's text is kept up to a limit, and escaped where it is shown. Where the lines come
//! from, and how many there may be, is the connection's. A line that is part of no reply is given back to whoever read it.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

/// How many bytes of a reply's text are kept.
pub const TEXT_LIMIT: usize = 1024;

/// How many mechanisms are listed; real servers offer a handful.
const MECHANISMS: usize = 64;

/// A server's reply (RFC 5321, section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The code, 200 to 599.
    pub code: u16,
    /// The text without the codes, lines joined with `\n`, at most [`TEXT_LIMIT`] bytes. Bytes that are no UTF-8 are
    /// replaced; what else a server may put there is not: escape it before showing it ([`Display`] does).
    pub text: String,
}

impl Reply {
    /// Whether the command was accepted (2xx).
    pub fn accepted(&self) -> bool {
        self.code / 100 == 2
    }
}

impl Display for Reply {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text.escape_debug())
    }
}

/// Whether a line is the last one of its reply.
#[derive(PartialEq, Eq)]
enum More {
    Follows,
    None,
}

/// A line of a reply: three digits, then `-` and text, or a space and text, or nothing.
fn parse(line: &[u8]) -> Option<(u16, String, More)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let code = str::from_utf8(code).ok()?.parse().ok()?;
    let (more, text) = match rest {
        [] => (More::None, rest),
        [b' ', text @ ..] => (More::None, text),
        [b'-', text @ ..] => (More::Follows, text),
        _ => return None,
    };
    Some((code, String::from_utf8_lossy(text).into_owned(), more))
}

/// A reply with all of its lines.
#[derive(Debug)]
pub(in crate::sys) struct Answer {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl Answer {
    /// The reply in the next lines, or the line that belongs to none.
    ///
    /// # Errors
    /// A line cannot be had.
    pub(in crate::sys) fn read<E>(
        mut next: impl FnMut() -> Result<Vec<u8>, E>,
    ) -> Result<Result<Self, Vec<u8>>, E> {
        let first = next()?;
        let Some((code, text, mut more)) = parse(&first) else { return Ok(Err(first)) };
        let mut answer = Self { code, lines: vec![text] };
        while more == More::Follows {
            let line = next()?;
            match parse(&line) {
                Some((code, text, next)) if code == answer.code => {
                    answer.lines.push(text);
                    more = next;
                }
                _ => return Ok(Err(line)),
            }
        }
        Ok(Ok(answer))
    }

    pub(in crate::sys) fn reply(&self) -> Reply {
        let mut text = self.lines.join("\n");
        while text.len() > TEXT_LIMIT {
            text.pop();
        }
        Reply { code: self.code, text }
    }

    /// The lines of an accepted EHLO, but for the first, which names the server.
    fn keywords(&self) -> impl Iterator<Item = &str> {
        let lines = if self.code == 250 { self.lines.as_slice() } else { &[] };
        lines.iter().skip(1).map(String::as_str)
    }

    pub(in crate::sys) fn starttls(&self) -> bool {
        self.keywords().any(|line| line.trim_ascii().eq_ignore_ascii_case("STARTTLS"))
    }

    pub(in crate::sys) fn mechanisms(&self) -> Vec<String> {
        let mut mechanisms = Vec::new();
        for line in self.keywords().map(str::to_ascii_uppercase) {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            if words.next() == Some("AUTH") {
                for word in words.filter(|word| is_mechanism(word)) {
                    if mechanisms.len() < MECHANISMS && !mechanisms.iter().any(|known| known == word) {
                        mechanisms.push(word.to_owned());
                    }
                }
            }
        }
        mechanisms
    }
}

/// The domain that a server greets with (RFC 5321, section 4.2), as far as it is one.
pub(super) fn domain(greeting: &Reply) -> &str {
    let word = greeting.text.split_ascii_whitespace().next().unwrap_or_default();
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if word.bytes().all(is_domain) { word } else { "" }
}

/// Whether a word can name a mechanism at all (RFC 4422, section 3.1).
fn is_mechanism(word: &str) -> bool {
    (1..=20).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply in these lines.
    fn answer(lines: &str) -> Option<Answer> {
        let mut lines = lines.split("\r\n").map(|line| line.as_bytes().to_vec());
        Answer::read(|| lines.next().ok_or(())).ok()?.ok()
    }

    #[test]
    fn mechanisms_are_listed_once_in_both_forms() {
        let answer =
            answer("250-mx\r\n250-auth Plain LOGIN\r\n250-AUTH=LOGIN CRAM-MD5\r\n250 SIZE 1\r\n").unwrap();
        assert_eq!(answer.mechanisms(), ["PLAIN", "LOGIN", "CRAM-MD5"]);
    }

    #[test]
    fn what_cannot_be_a_mechanism_is_not_listed() {
        let answer = answer("250-mx\r\n250 AUTH PL\u{1b}AIN X-OAUTH_2 \u{e9}\r\n").unwrap();
        assert_eq!(answer.mechanisms(), ["X-OAUTH_2"]);
    }

    #[test]
    fn a_server_named_starttls_does_not_offer_it() {
        assert!(!answer("250-STARTTLS\r\n250 AUTHENTIC\r\n").unwrap().starttls());
    }

    #[test]
    fn an_offer_beyond_the_kept_text_counts() {
        let answer = answer(&format!("250-mx\r\n250-X{}\r\n250 STARTTLS\r\n", "x".repeat(5000))).unwrap();
        assert_eq!((answer.starttls(), answer.reply().text.len()), (true, TEXT_LIMIT));
    }

    #[test]
    fn a_refused_ehlo_offers_nothing() {
        let answer = answer("550-no\r\n550 STARTTLS\r\n").unwrap();
        assert_eq!((answer.code, answer.starttls()), (550, false));
    }

    #[test]
    fn what_is_no_reply_is_none() {
        for lines in ["hello\r\n", "22\r\n", "620 x\r\n", "220x\r\n", "2\u{e9}0 x\r\n", "220-a\r\n221 b\r\n"]
        {
            assert!(answer(lines).is_none(), "{lines:?}");
        }
    }

    #[test]
    fn text_is_cut_between_characters() {
        let answer = Answer { code: 250, lines: vec![format!("x{}", "\u{e9}".repeat(TEXT_LIMIT))] };
        assert_eq!(answer.reply().text.len(), TEXT_LIMIT - 1);
    }
}
