//! Our marked block inside a file that is somebody else's: finding it, putting it in, taking it out.
//!
//! Every other byte stays where it was; these are pure functions over bytes, and the file itself is read and written by
//! `edits` and `perform`. Tools that rewrite a file may move comments, and our marks with them: where entries of ours
//! can be told by what they say, they are found wherever they stand, and others between the marks are not ours. A file
//! whose marks do not pair up is an error ([`Unpaired`]); nothing is guessed.

use std::ops::Range;

const BEGIN: &[u8] = b"# BEGIN mail-smtp2";
const END: &[u8] = b"# END mail-smtp2";
/// What the first line says, so that the way back is told by the file itself.
const PLAIN: &str = ": what stands down to END is written by it";
const LINE_END: &str = ": what stands down to END is written by it, as is the line end before";
const WHOLE_FILE: &str = ": what stands down to END is written by it, as is this file";

/// The marks in a file do not pair up: which line, counted from 1, is the one too many, and what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unpaired {
    /// A first line without its last one.
    #[error(
        "line {line} is our \"# BEGIN mail-smtp2\", but its \"# END mail-smtp2\" is missing; put that line behind what is \
         ours, or take all of ours out"
    )]
    NoEnd {
        /// The first line.
        line: usize,
    },
    /// A last line without its first one.
    #[error(
        "line {line} is our \"# END mail-smtp2\", but its \"# BEGIN mail-smtp2{PLAIN}\" is missing; put that line before what \
         is ours, or take all of ours out"
    )]
    NoBegin {
        /// The last line.
        line: usize,
    },
    /// A second block.
    #[error("line {line} begins a second block of mail-smtp2; take one of the two out")]
    Second {
        /// Its first line.
        line: usize,
    },
}

/// Whether an entry of a configuration, all of its lines, is one of ours; where entries cannot be told apart, there is no
/// such function, and whatever stands between the marks is ours.
pub(super) type IsOurs = fn(&str) -> bool;

/// What of ours stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// All of it, in its order: one block, or the marks and the entries one by one where they are not together.
    pub(super) pieces: Vec<Range<usize>>,
    /// The lines between the marks, where nothing of ours is outside and nothing else is inside.
    pub(super) inner: Option<Range<usize>>,
    /// Whether the file was made for it.
    made_file: bool,
}

impl Found {
    /// The bytes of all of it.
    pub(super) fn bytes(&self, file: &[u8]) -> Vec<u8> {
        self.pieces.iter().flat_map(|piece| file[piece.clone()].iter().copied()).collect()
    }

    /// What of it says something: the lines between the marks, or the entries.
    pub(super) fn text(&self, file: &[u8]) -> String {
        let lines: Vec<u8> = match &self.inner {
            Some(inner) => file[inner.clone()].to_vec(),
            None => {
                let entries = self.pieces.iter().filter(|piece| !file[(*piece).clone()].starts_with(b"#"));
                entries.flat_map(|piece| file[piece.clone()].iter().copied()).collect()
            }
        };
        String::from_utf8_lossy(&lines).into_owned()
    }
}

/// Whether a line is our first one, word for word: an administrator may write about us, too.
fn is_begin(line: &[u8]) -> bool {
    let says = line.trim_ascii_end().strip_prefix(BEGIN);
    says.is_some_and(|says| [PLAIN, LINE_END, WHOLE_FILE].iter().any(|known| says == known.as_bytes()))
}

/// The lines of a file, where they are.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    bytes.split_inclusive(|b| *b == b'\n').scan(0, |at, line| {
        let range = *at..*at + line.len();
        *at = range.end;
        Some(range)
    })
}

/// The first and the last line of our block.
type Marks = (Range<usize>, Range<usize>);

/// Where the marks are, if there are any.
fn marks(bytes: &[u8]) -> Result<Option<Marks>, Unpaired> {
    let (mut begin, mut found): (Option<(usize, Range<usize>)>, _) = (None, None);
    for (line, range) in (1..).zip(lines(bytes)) {
        if is_begin(&bytes[range.clone()]) {
            match (&begin, &found) {
                (Some((line, _)), _) => return Err(Unpaired::NoEnd { line: *line }),
                (None, Some(_)) => return Err(Unpaired::Second { line }),
                (None, None) => begin = Some((line, range)),
            }
        } else if bytes[range.clone()].trim_ascii_end() == END {
            let (_, begin) = begin.take().ok_or(Unpaired::NoBegin { line })?;
            found = Some((begin, range));
        }
    }
    begin.map_or(Ok(found), |(line, _)| Err(Unpaired::NoEnd { line }))
}

/// The entries of a configuration whose lines go on where they begin with a blank, comments or not (master(5)); none of them
/// goes on over a mark of ours.
fn entries(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut entries: Vec<Range<usize>> = Vec::new();
    let mut goes_on = false;
    for line in lines(bytes) {
        let text = &bytes[line.clone()];
        if is_begin(text) || text.trim_ascii_end() == END {
            goes_on = false;
        } else if text.starts_with(b"#") || text.trim_ascii().is_empty() {
        } else if let (true, true, Some(last)) = (goes_on, text[0].is_ascii_whitespace(), entries.last_mut())
        {
            last.end = line.end;
        } else {
            entries.push(line);
            goes_on = true;
        }
    }
    entries
}

/// What of ours stands in `bytes`, if anything does.
///
/// # Errors
/// [`Unpaired`].
pub(super) fn find(bytes: &[u8], is_ours: Option<IsOurs>) -> Result<Option<Found>, Unpaired> {
    let marks = marks(bytes)?;
    let entries = is_ours.map_or_else(Vec::new, |_| entries(bytes));
    let ours = |entry: &Range<usize>| {
        is_ours.is_some_and(|is_ours| is_ours(&String::from_utf8_lossy(&bytes[entry.clone()])))
    };
    let Some((head, foot)) = marks else {
        let pieces: Vec<_> = entries.into_iter().filter(ours).collect();
        return Ok((!pieces.is_empty()).then_some(Found { pieces, inner: None, made_file: false }));
    };
    let says = |what: &str| bytes[head.clone()].trim_ascii_end().ends_with(what.as_bytes());
    // Where somebody has written on behind the block, the line end before it is what parts his lines.
    let joined = says(LINE_END) && foot.end == bytes.len() && bytes[..head.start].ends_with(b"\n");
    let made_file = says(WHOLE_FILE);
    let inside = |entry: &Range<usize>| entry.start >= head.end && entry.end <= foot.start;
    if entries.iter().all(|entry| inside(entry) == ours(entry)) {
        let whole = head.start - usize::from(joined)..foot.end;
        return Ok(Some(Found { pieces: vec![whole], inner: Some(head.end..foot.start), made_file }));
    }
    let mut pieces: Vec<_> = entries.into_iter().filter(ours).chain([head, foot]).collect();
    pieces.sort_by_key(|piece| piece.start);
    Ok(Some(Found { pieces, inner: None, made_file }))
}

/// The file with our block holding `inner`, or with nothing of ours; `None` is no file.
///
/// # Errors
/// [`Unpaired`].
pub(super) fn set(
    file: Option<&[u8]>,
    inner: Option<&str>,
    is_ours: Option<IsOurs>,
) -> Result<Option<Vec<u8>>, Unpaired> {
    let bytes = file.unwrap_or_default();
    let Some(inner) = inner else { return without(file, is_ours) };
    if let Some(Found { inner: Some(place), .. }) = find(bytes, is_ours)? {
        return Ok(Some([&bytes[..place.start], inner.as_bytes(), &bytes[place.end..]].concat()));
    }
    let rest = without(file, is_ours)?;
    let bytes = rest.as_deref().unwrap_or_default();
    let joined = !bytes.is_empty() && !bytes.ends_with(b"\n");
    let (before, says) = match rest {
        None => ("", WHOLE_FILE),
        Some(_) if joined => ("\n", LINE_END),
        Some(_) => ("", PLAIN),
    };
    let head = [before.as_bytes(), BEGIN, says.as_bytes(), b"\n"].concat();
    Ok(Some([bytes, &head, inner.as_bytes(), END, b"\n"].concat()))
}

/// The file with `old`, pieces of ours with their places, ascending, instead of whatever of ours it has now.
///
/// # Errors
/// [`Unpaired`].
pub(super) fn restore(
    file: Option<&[u8]>,
    old: &[(usize, Vec<u8>)],
    is_ours: Option<IsOurs>,
) -> Result<Option<Vec<u8>>, Unpaired> {
    let rest = without(file, is_ours)?;
    if old.is_empty() {
        return Ok(rest);
    }
    let mut bytes = rest.unwrap_or_default();
    for (at, piece) in old {
        let at = (*at).min(bytes.len());
        bytes.splice(at..at, piece.iter().copied());
    }
    Ok(Some(bytes))
}

/// The file with nothing of ours.
fn without(file: Option<&[u8]>, is_ours: Option<IsOurs>) -> Result<Option<Vec<u8>>, Unpaired> {
    let Some(bytes) = file else { return Ok(None) };
    let Some(found) = find(bytes, is_ours)? else { return Ok(Some(bytes.to_vec())) };
    let (mut rest, mut at) = (Vec::new(), 0);
    for piece in &found.pieces {
        rest.extend(&bytes[at..piece.start]);
        at = piece.end;
    }
    rest.extend(&bytes[at..]);
    Ok((!rest.is_empty() || !found.made_file).then_some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(file: Option<&str>) -> Vec<u8> {
        set(file.map(str::as_bytes), Some("port = 587\n"), None).unwrap().unwrap()
    }

    const OURS: &str = "587 inet n - y - - smtpd\n  -o syslog_name=ours\n";
    const THEIRS: &str = "10025 inet n - y - - smtpd\n  -o syslog_name=theirs\n";

    fn is_ours(entry: &str) -> bool {
        entry.contains("syslog_name=ours")
    }

    /// Files as administrators leave them.
    const FILES: [Option<&str>; 7] = [
        None,
        Some(""),
        Some("\n"),
        Some("# theirs\n"),
        Some("# no end of line"),
        Some("a\r\nb\r\n"),
        Some("a\r\nb\r"),
    ];

    #[test]
    fn put_in_and_taken_out_leaves_every_file_as_it_was() {
        for file in FILES {
            let back = set(Some(&put(file)), None, None).unwrap();
            assert_eq!(back.as_deref(), file.map(str::as_bytes), "{file:?}");
        }
    }

    #[test]
    fn what_is_put_in_twice_stands_once() {
        for file in FILES {
            let once = put(file);
            assert_eq!(set(Some(&once), Some("port = 587\n"), None).unwrap().unwrap(), once, "{file:?}");
        }
    }

    #[test]
    fn a_changed_block_stays_where_it_is() {
        let file = [&put(Some("a\n"))[..], b"b\n"].concat();
        let new = set(Some(&file), Some("port = 2525\n"), None).unwrap().unwrap();
        let text = String::from_utf8(new).unwrap();
        assert!(
            text.starts_with("a\n# BEGIN") && text.contains("2525") && text.ends_with("END mail-smtp2\nb\n")
        );
    }

    #[test]
    fn a_file_that_was_made_stays_when_others_wrote_into_it() {
        let file = [&put(None)[..], b"b\n"].concat();
        assert_eq!(set(Some(&file), None, None).unwrap().unwrap(), b"b\n");
    }

    #[test]
    fn lines_that_were_written_behind_the_block_stay_lines_of_their_own() {
        let file = [&put(Some("a"))[..], b"b\n"].concat();
        assert_eq!(set(Some(&file), None, None).unwrap().unwrap(), b"a\nb\n");
    }

    #[test]
    fn a_block_that_was_taken_out_goes_back_to_its_place() {
        let file = [&put(Some("a"))[..], b"b\n"].concat();
        let block = find(&file, None).unwrap().unwrap();
        let old = [(block.pieces[0].start, block.bytes(&file))];
        let without = set(Some(&file), None, None).unwrap();
        assert_eq!(restore(without.as_deref(), &old, None).unwrap().unwrap(), file);
    }

    #[test]
    fn a_changed_block_is_restored_to_the_byte() {
        let file = [&put(Some("a"))[..], b"b\n"].concat();
        let block = find(&file, None).unwrap().unwrap();
        let old = [(block.pieces[0].start, block.bytes(&file))];
        let new = set(Some(&file), Some("port = 2525\n"), None).unwrap();
        assert_eq!(restore(new.as_deref(), &old, None).unwrap().unwrap(), file);
    }

    #[test]
    fn marks_that_do_not_pair_up_are_told_with_the_line_and_what_is_missing() {
        let (begin, end) = (format!("# BEGIN mail-smtp2{PLAIN}\n"), "# END mail-smtp2\n");
        for (text, unpaired) in [
            (format!("a\n{begin}b\n"), Unpaired::NoEnd { line: 2 }),
            (format!("{begin}b\n{begin}{end}"), Unpaired::NoEnd { line: 1 }),
            (format!("a\nb\n{end}"), Unpaired::NoBegin { line: 3 }),
            (format!("{begin}{end}{end}"), Unpaired::NoBegin { line: 3 }),
            (format!("{begin}{end}{begin}{end}"), Unpaired::Second { line: 3 }),
        ] {
            assert_eq!(find(text.as_bytes(), None), Err(unpaired), "{text}");
        }
    }

    #[test]
    fn comments_about_us_are_no_marks() {
        let text = "# BEGIN mail-smtp2 is what its block begins with\n# END mail-smtp2, says the manual\n";
        assert_eq!(find(text.as_bytes(), None), Ok(None));
    }

    /// Files in which our entry and our marks are not together any more, and what is theirs in them.
    fn scattered() -> [(String, String); 4] {
        let (begin, end) = (format!("# BEGIN mail-smtp2{PLAIN}\n"), "# END mail-smtp2\n");
        [
            (format!("a inet x\n{begin}{THEIRS}{end}{OURS}"), format!("a inet x\n{THEIRS}")),
            (format!("{begin}{OURS}{THEIRS}{end}# last\n"), format!("{THEIRS}# last\n")),
            (format!("{OURS}a inet x\n{begin}{end}"), "a inet x\n".to_owned()),
            (format!("a inet x\n# mine\n{OURS}b inet x\n"), "a inet x\n# mine\nb inet x\n".to_owned()),
        ]
    }

    #[test]
    fn what_is_ours_is_taken_out_wherever_it_stands_and_nothing_else() {
        for (file, theirs) in scattered() {
            let rest = set(Some(file.as_bytes()), None, Some(is_ours)).unwrap().unwrap();
            assert_eq!(String::from_utf8(rest).unwrap(), theirs, "{file}");
        }
    }

    #[test]
    fn what_was_scattered_is_together_again_once_it_is_written() {
        for (file, theirs) in scattered() {
            let new = set(Some(file.as_bytes()), Some(OURS), Some(is_ours)).unwrap().unwrap();
            let text = String::from_utf8(new).unwrap();
            assert_eq!(
                text,
                format!("{theirs}# BEGIN mail-smtp2{PLAIN}\n{OURS}# END mail-smtp2\n"),
                "{file}"
            );
        }
    }

    #[test]
    fn what_was_scattered_goes_back_to_its_places() {
        for (file, _) in scattered() {
            let found = find(file.as_bytes(), Some(is_ours)).unwrap().unwrap();
            let old: Vec<_> =
                found.pieces.iter().map(|p| (p.start, file.as_bytes()[p.clone()].to_vec())).collect();
            let new = set(Some(file.as_bytes()), Some(OURS), Some(is_ours)).unwrap();
            let back = restore(new.as_deref(), &old, Some(is_ours)).unwrap().unwrap();
            assert_eq!(String::from_utf8(back).unwrap(), file);
        }
    }

    #[test]
    fn lines_of_ours_that_have_lost_their_first_are_not_the_entry_s_before_them() {
        let rest_of_ours = OURS.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>();
        let file = format!("{THEIRS}# BEGIN mail-smtp2{PLAIN}\n{rest_of_ours}# END mail-smtp2\n");
        let rest = set(Some(file.as_bytes()), None, Some(is_ours)).unwrap().unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), THEIRS);
    }

    #[test]
    fn lines_that_somebody_has_added_behind_our_block_are_kept() {
        let file =
            format!("x inet\n# BEGIN mail-smtp2{PLAIN}\n{OURS}# END mail-smtp2\n  -o added=later\ny inet\n");
        let rest = set(Some(file.as_bytes()), None, Some(is_ours)).unwrap().unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), "x inet\n  -o added=later\ny inet\n");
    }

    #[test]
    fn an_entry_goes_on_over_comments_and_empty_lines() {
        let file = "x inet\n  -o a=b\n# comment\n\n  -o syslog_name=ours\ny inet\n";
        let rest = set(Some(file.as_bytes()), None, Some(is_ours)).unwrap().unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), "y inet\n");
    }
}
