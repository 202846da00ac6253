//! Our marked block inside a file that is somebody else's.
//!
//! Answers for: finding it, putting it in, taking it out, such that every other byte stays where it was; pure
//! functions over bytes. Does not know: what stands in the block, or any file. A file whose marks do not pair up is
//! an error and nobody's to guess about.

use std::ops::Range;

const BEGIN: &[u8] = b"# BEGIN mail-smtp2";
const END: &[u8] = b"# END mail-smtp2";
/// What the first line says, so that the way back is told by the file itself.
const PLAIN: &str = ": what stands down to END is written by it";
const LINE_END: &str = ": what stands down to END is written by it, as is the line end before";
const WHOLE_FILE: &str = ": what stands down to END is written by it, as is this file";

/// The marks in a file do not pair up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lines \"# BEGIN mail-smtp2\" and \"# END mail-smtp2\" do not pair up")]
pub struct Unpaired;

/// A block, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// All of it, marks included, and the line end before it if that is ours.
    pub whole: Range<usize>,
    /// The lines between the marks.
    pub inner: Range<usize>,
    /// Whether the file was made for it.
    pub made_file: bool,
}

/// Whether a line is our first one, word for word: an administrator may write about us, too.
fn is_begin(line: &[u8]) -> bool {
    let says = line.trim_ascii_end().strip_prefix(BEGIN);
    says.is_some_and(|says| [PLAIN, LINE_END, WHOLE_FILE].iter().any(|known| says == known.as_bytes()))
}

/// The block in `bytes`, if there is one.
///
/// # Errors
/// [`Unpaired`]: a mark without its partner, or more than one block.
pub fn find(bytes: &[u8]) -> Result<Option<Block>, Unpaired> {
    let mut at = 0;
    let mut begin: Option<Range<usize>> = None;
    let mut found = None;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let range = at..at + line.len();
        at = range.end;
        if is_begin(line) {
            if begin.is_some() || found.is_some() {
                return Err(Unpaired);
            }
            begin = Some(range);
        } else if line.trim_ascii_end() == END {
            let head = begin.take().ok_or(Unpaired)?;
            let says = |what: &str| bytes[head.clone()].trim_ascii_end().ends_with(what.as_bytes());
            let joined = says(LINE_END) && bytes[..head.start].ends_with(b"\n");
            found = Some(Block {
                whole: head.start - usize::from(joined)..range.end,
                inner: head.end..range.start,
                made_file: says(WHOLE_FILE),
            });
        }
    }
    if begin.is_some() { Err(Unpaired) } else { Ok(found) }
}

/// The file with our block holding `inner`, or with no block of ours; `None` is no file.
///
/// # Errors
/// [`Unpaired`].
pub fn set(file: Option<&[u8]>, inner: Option<&str>) -> Result<Option<Vec<u8>>, Unpaired> {
    let bytes = file.unwrap_or_default();
    match (find(bytes)?, inner) {
        (None, None) => Ok(file.map(<[u8]>::to_vec)),
        (Some(block), None) => Ok(cut(bytes, &block)),
        (Some(block), Some(inner)) => {
            Ok(Some([&bytes[..block.inner.start], inner.as_bytes(), &bytes[block.inner.end..]].concat()))
        }
        (None, Some(inner)) => {
            let joined = !bytes.is_empty() && !bytes.ends_with(b"\n");
            let (before, says) = match file {
                None => ("", WHOLE_FILE),
                Some(_) if joined => ("\n", LINE_END),
                Some(_) => ("", PLAIN),
            };
            let head = [before.as_bytes(), BEGIN, says.as_bytes(), b"\n"].concat();
            Ok(Some([bytes, &head, inner.as_bytes(), END, b"\n"].concat()))
        }
    }
}

/// The file with `old`, a whole block with its marks, standing at `at` instead of whatever block it has now.
///
/// # Errors
/// [`Unpaired`].
pub fn restore(file: Option<&[u8]>, old: Option<(usize, &[u8])>) -> Result<Option<Vec<u8>>, Unpaired> {
    let without = match find(file.unwrap_or_default())? {
        Some(block) => cut(file.unwrap_or_default(), &block),
        None => file.map(<[u8]>::to_vec),
    };
    let Some((at, old)) = old else { return Ok(without) };
    let without = without.unwrap_or_default();
    let at = at.min(without.len());
    Ok(Some([&without[..at], old, &without[at..]].concat()))
}

fn cut(bytes: &[u8], block: &Block) -> Option<Vec<u8>> {
    let rest = [&bytes[..block.whole.start], &bytes[block.whole.end..]].concat();
    (!rest.is_empty() || !block.made_file).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(file: Option<&str>) -> Vec<u8> {
        set(file.map(str::as_bytes), Some("port = 587\n")).unwrap().unwrap()
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
            let back = set(Some(&put(file)), None).unwrap();
            assert_eq!(back.as_deref(), file.map(str::as_bytes), "{file:?}");
        }
    }

    #[test]
    fn what_is_put_in_twice_stands_once() {
        for file in FILES {
            let once = put(file);
            assert_eq!(set(Some(&once), Some("port = 587\n")).unwrap().unwrap(), once, "{file:?}");
        }
    }

    #[test]
    fn a_changed_block_stays_where_it_is() {
        let file = [&put(Some("a\n"))[..], b"b\n"].concat();
        let new = set(Some(&file), Some("port = 2525\n")).unwrap().unwrap();
        let text = String::from_utf8(new).unwrap();
        assert!(
            text.starts_with("a\n# BEGIN") && text.contains("2525") && text.ends_with("END mail-smtp2\nb\n")
        );
    }

    #[test]
    fn a_file_that_was_made_stays_when_others_wrote_into_it() {
        let file = [&put(None)[..], b"b\n"].concat();
        assert_eq!(set(Some(&file), None).unwrap().unwrap(), b"b\n");
    }

    #[test]
    fn a_block_that_was_taken_out_goes_back_to_its_place() {
        let file = [&put(Some("a"))[..], b"b\n"].concat();
        let block = find(&file).unwrap().unwrap();
        let old = (block.whole.start, &file[block.whole.clone()]);
        let without = set(Some(&file), None).unwrap();
        assert_eq!(restore(without.as_deref(), Some(old)).unwrap().unwrap(), file);
    }

    #[test]
    fn a_changed_block_is_restored_to_the_byte() {
        let file = [&put(Some("a"))[..], b"b\n"].concat();
        let block = find(&file).unwrap().unwrap();
        let old = (block.whole.start, &file[block.whole.clone()]);
        let new = set(Some(&file), Some("port = 2525\n")).unwrap();
        assert_eq!(restore(new.as_deref(), Some(old)).unwrap().unwrap(), file);
    }

    #[test]
    fn marks_that_do_not_pair_up_are_an_error() {
        let begin = format!("# BEGIN mail-smtp2{PLAIN}\n");
        for text in [begin.clone(), "# END mail-smtp2\n".into(), format!("{begin}{begin}# END mail-smtp2\n")]
        {
            assert_eq!(find(text.as_bytes()), Err(Unpaired), "{text}");
        }
    }

    #[test]
    fn comments_about_us_are_no_marks() {
        let text = "# BEGIN mail-smtp2 is what its block begins with\n# END mail-smtp2, says the manual\n";
        assert_eq!(find(text.as_bytes()), Ok(None));
    }
}
