//! Replies as bytes: the id as it came, and beside it a result or an error object.
//!
//! A reply is one compact JSON object, U+2028 and U+2029 escaped everywhere but inside an echoed id. The result is
//! given as the tail of a reply, `"result":…` or `"error":…`, by `rpc`; framing is `framing`'s. Nothing here fails.

/// Appends `{"jsonrpc":"2.0","id":<id>,<tail>}`.
pub fn write(out: &mut Vec<u8>, id: Option<&str>, tail: &str) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.unwrap_or("null").as_bytes());
    out.push(b',');
    write_escaped(out, tail);
    out.push(b'}');
}

/// Appends JSON text with the two line separators escaped that JavaScript once took for line ends.
fn write_escaped(out: &mut Vec<u8>, json: &str) {
    let mut rest = json.as_bytes();
    // U+2028 is E2 80 A8, U+2029 is E2 80 A9; they can only stand inside strings.
    while let Some(at) = memchr::memchr(0xE2, rest) {
        let (plain, character) = rest.split_at(at);
        let (character, behind) = character.split_at(3.min(character.len()));
        out.extend_from_slice(plain);
        out.extend_from_slice(match character {
            b"\xE2\x80\xA8" => b"\\u2028",
            b"\xE2\x80\xA9" => b"\\u2029",
            other => other,
        });
        rest = behind;
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(id: Option<&str>, tail: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, id, tail);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_id_comes_back_as_it_came() {
        assert_eq!(reply(Some("-0.50"), "\"result\":1"), r#"{"jsonrpc":"2.0","id":-0.50,"result":1}"#);
        assert_eq!(reply(None, "\"result\":1"), r#"{"jsonrpc":"2.0","id":null,"result":1}"#);
    }

    #[test]
    fn line_separators_are_escaped_but_in_ids() {
        let got = reply(Some("\"\u{2028}\""), "\"result\":\"\u{2028}–\u{2029}\"");
        assert_eq!(got, "{\"jsonrpc\":\"2.0\",\"id\":\"\u{2028}\",\"result\":\"\\u2028–\\u2029\"}");
    }
}
