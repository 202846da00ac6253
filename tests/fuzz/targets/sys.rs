//! What a mail server replies: as RFC 5321, section 4.2, has it, read once more by other means.
//!
//! Fails where a reply is seen that is none, or another one, or where it offers what is not in it.

use super::smtp::reply::{Answer, TEXT_LIMIT};

/// The bytes that a server sends for one reply.
pub fn smtp_reply(data: &[u8]) {
    let mut lines =
        data.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec());
    let answer = Answer::read(|| lines.next().ok_or(()));
    let left = lines.count();
    let all: Vec<&[u8]> =
        data.split(|byte| *byte == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
    let read = all.len() - left;
    let (code, rest): (Vec<_>, Vec<_>) = all.iter().map(|line| line.split_at(line.len().min(3))).unzip();
    let is_code = |code: &[u8]| {
        code.len() == 3 && code.iter().all(u8::is_ascii_digit) && (200..600).contains(&number(code))
    };
    let goes_on = |at: usize| rest[at].starts_with(b"-");
    let length = (0..all.len()).find(|at| !goes_on(*at)).map_or(all.len(), |at| at + 1);
    let is_good = |at: usize| {
        is_code(code[at]) && code[at] == code[0] && matches!(rest[at].first(), None | Some(b' ' | b'-'))
    };
    let bad = (0..length).find(|at| !is_good(*at));
    match answer {
        Err(()) => assert!(bad.is_none() && goes_on(all.len() - 1), "{data:?}: it has an end"),
        Ok(Err(line)) => assert_eq!((bad, Some(&*line)), (Some(read - 1), all.get(read - 1).copied())),
        Ok(Ok(answer)) => {
            assert_eq!((bad, read), (None, length), "{data:?}");
            let reply = answer.reply();
            assert_eq!(usize::from(reply.code), number(code[0]));
            let texts: Vec<String> = rest[..length]
                .iter()
                .map(|rest| String::from_utf8_lossy(rest.get(1..).unwrap_or_default()).into_owned())
                .collect();
            let text = texts.join("\n");
            assert!(text.starts_with(&reply.text) && reply.text.len() >= text.len().min(TEXT_LIMIT - 3));
            offers(&answer, reply.code, &texts);
        }
    }
}

/// What is offered stands in a line of its own, and every mechanism once.
fn offers(answer: &Answer, code: u16, texts: &[String]) {
    let keywords: Vec<String> = texts.iter().skip(1).map(|text| text.to_ascii_uppercase()).collect();
    let offered = code == 250 && keywords.iter().any(|line| line.trim_ascii() == "STARTTLS");
    assert_eq!(answer.starttls(), offered, "{texts:?}");
    let mechanisms = answer.mechanisms();
    for (at, mechanism) in mechanisms.iter().enumerate() {
        assert!(code == 250 && !mechanisms[..at].contains(mechanism), "{texts:?}: {mechanism} again");
        let has = |line: &String| {
            let line = line.replace(['=', '\t'], " ");
            line.trim_start_matches(' ').starts_with("AUTH ") && line.split(' ').any(|word| word == mechanism)
        };
        assert!(keywords.iter().any(has), "{texts:?}: no {mechanism}");
    }
}

fn number(digits: &[u8]) -> usize {
    digits.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'))
}
