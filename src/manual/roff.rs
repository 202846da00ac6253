//! Markdown into the roff of man(7): as much of Markdown as the manual pages use.
//!
//! It knows headings, paragraphs, lists, tables, code, emphasis and links, as pulldown-cmark reads them (CommonMark and
//! GitHub's tables). A table becomes tagged paragraphs, for man(7) has none; a link becomes its text. What stands for
//! `<!-- name -->` is said by the caller. Anything else in the Markdown is an error that names it, so that nothing gets
//! lost.

use std::mem;

use clap_mangen::roff::{Inline, Roff, bold, italic, line_break, roman};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// What a `<!-- name -->` stands for.
pub(crate) enum Part {
    /// Lines of roff.
    Roff(String),
    /// Markdown, which is converted like what stands around it.
    Markdown(String),
}

/// Markdown that has no counterpart here.
#[derive(Debug, thiserror::Error)]
#[error("nothing in roff for {0}")]
pub(crate) struct Unsupported(String);

/// `markdown` in roff, with what `part` says for each `<!-- name -->` in it.
///
/// # Errors
/// [`Unsupported`], which names the construct.
pub(crate) fn from_markdown(
    markdown: &str,
    part: &dyn Fn(&str) -> Option<Part>,
) -> Result<String, Unsupported> {
    let mut page = Converter::default();
    page.convert(markdown, part)?;
    Ok(page.done)
}

/// `roff` with the characters that it would set as typographic ones (groff_char(7)) written so that they stay as they are.
pub(crate) fn plain_characters(roff: &str) -> String {
    roff.replace('\'', r"\(aq").replace('`', r"\(ga").replace('^', r"\(ha").replace('~', r"\(ti")
}

/// A page on its way.
#[derive(Default)]
struct Converter {
    /// The lines that are finished.
    done: String,
    /// The text since the last of them.
    text: Vec<Inline>,
    is_bold: bool,
    is_italic: bool,
    is_code: bool,
    /// For each list that is open: the number of its next item, if its items have numbers.
    lists: Vec<Option<u64>>,
    /// Whether an item has just begun, so that its first paragraph stands beside its mark.
    is_item_new: bool,
    /// The cells of a table's head, and of the row that is open.
    head: Vec<Vec<Inline>>,
    row: Vec<Vec<Inline>>,
}

impl Converter {
    fn convert(&mut self, markdown: &str, part: &dyn Fn(&str) -> Option<Part>) -> Result<(), Unsupported> {
        for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
            match event {
                Event::Start(tag) => self.start(&tag)?,
                Event::End(tag) => self.end(tag),
                Event::Text(text) if self.is_code => self.listing(&text),
                Event::Text(text) => self.text.push(self.styled(&text)),
                Event::Code(text) => self.text.push(bold(text.as_ref())),
                Event::SoftBreak => self.text.push(roman(" ")),
                Event::HardBreak => self.text.push(line_break()),
                Event::Html(comment) => {
                    let name =
                        comment.trim().strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                    match name.and_then(part) {
                        Some(Part::Roff(lines)) => self.done.push_str(&lines),
                        Some(Part::Markdown(text)) => self.convert(&text, part)?,
                        None => return Err(Unsupported(comment.trim().to_owned())),
                    }
                }
                other => return Err(Unsupported(format!("{other:?}"))),
            }
        }
        Ok(())
    }

    fn start(&mut self, tag: &Tag<'_>) -> Result<(), Unsupported> {
        match tag {
            Tag::Paragraph => self.paragraph(),
            Tag::Heading { level: HeadingLevel::H2 | HeadingLevel::H3, .. } => {}
            Tag::List(number) => {
                self.line();
                if !self.lists.is_empty() {
                    self.control("RS", [self.indent()]);
                }
                self.lists.push(*number);
            }
            Tag::Item => {
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    _ => r"\(bu".to_owned(),
                };
                self.control("IP", [mark.as_str(), self.indent()]);
                self.is_item_new = true;
            }
            Tag::CodeBlock(_) => {
                self.line();
                self.is_item_new = false;
                self.paragraph();
                self.control("RS", ["4"]);
                self.control("EX", []);
                self.is_code = true;
            }
            Tag::Emphasis => self.is_italic = true,
            Tag::Strong | Tag::Link { .. } => self.is_bold = true,
            Tag::Table(_) | Tag::TableHead | Tag::TableRow | Tag::TableCell | Tag::HtmlBlock => {}
            other => return Err(Unsupported(format!("{other:?}"))),
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                let words: String = mem::take(&mut self.text).iter().map(words).collect();
                match level {
                    HeadingLevel::H2 => self.control("SH", [words.to_uppercase().as_str()]),
                    _ => self.control("SS", [words.as_str()]),
                }
            }
            TagEnd::Paragraph | TagEnd::Item => self.line(),
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.control("RE", []);
                }
            }
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.control("EE", []);
                self.control("RE", []);
            }
            TagEnd::TableCell => self.row.push(mem::take(&mut self.text)),
            TagEnd::TableHead => self.head = mem::take(&mut self.row),
            TagEnd::TableRow => self.table_row(),
            TagEnd::Emphasis => self.is_italic = false,
            TagEnd::Strong | TagEnd::Link => self.is_bold = false,
            _ => {}
        }
    }

    /// A row as a tagged paragraph: its first cell is the tag. Of more than two cells, each stands behind its head.
    fn table_row(&mut self) {
        let mut cells = mem::take(&mut self.row).into_iter();
        let tag = cells.next().unwrap_or_default().into_iter().map(|inline| match inline {
            Inline::Roman(text) => bold(text),
            other => other,
        });
        let tag: Vec<Inline> = tag.collect();
        self.control("TP", []);
        self.emit(Roff::new().text(tag));
        for (cell, head) in cells.zip(&self.head.clone()[1..]).filter(|(cell, _)| !cell.is_empty()) {
            if self.head.len() > 2 {
                if !self.text.is_empty() {
                    self.text.push(line_break());
                }
                self.text.extend(head.iter().cloned());
                self.text.push(roman(": "));
            }
            self.text.extend(cell);
        }
        self.line();
    }

    /// Begins a paragraph, indented like the item that it belongs to.
    fn paragraph(&mut self) {
        match (self.lists.is_empty(), mem::take(&mut self.is_item_new)) {
            (true, _) => self.control("PP", []),
            (false, true) => {}
            (false, false) => self.control("IP", [r"\&", self.indent()]),
        }
    }

    /// How far the text of the innermost list's items stands from their marks.
    fn indent(&self) -> &'static str {
        if self.lists.last().is_some_and(Option::is_some) { "4" } else { "2" }
    }

    /// Lines that stay as they are.
    fn listing(&mut self, lines: &str) {
        for line in lines.lines() {
            self.emit(Roff::new().text([roman(line)]));
        }
    }

    /// Ends the line of text, if one is open.
    fn line(&mut self) {
        if !self.text.is_empty() {
            let text = mem::take(&mut self.text);
            self.emit(Roff::new().text(text));
        }
    }

    fn control<const N: usize>(&mut self, name: &str, arguments: [&str; N]) {
        self.emit(Roff::new().control(name, arguments));
    }

    fn emit(&mut self, roff: &Roff) {
        self.done.push_str(&roff.to_roff());
    }

    fn styled(&self, text: &str) -> Inline {
        match (self.is_bold, self.is_italic) {
            (true, _) => bold(text),
            (_, true) => italic(text),
            _ => roman(text),
        }
    }
}

fn words(inline: &Inline) -> &str {
    match inline {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text,
        Inline::LineBreak => " ",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn converted(markdown: &str) -> String {
        from_markdown(markdown, &|_| None).unwrap()
    }

    #[test]
    fn a_heading_is_a_section_in_capitals_and_a_lower_one_a_subsection() {
        assert_eq!(converted("## Known limits\n\n### On all\n"), ".SH \"KNOWN LIMITS\"\n.SS \"On all\"\n");
    }

    #[test]
    fn a_paragraph_is_one_line_with_its_fonts() {
        let text = "One `two`\n*three* **four** [five](six.md).\n";
        assert_eq!(converted(text), ".PP\nOne \\fBtwo\\fR \\fIthree\\fR \\fBfour\\fR \\fBfive\\fR.\n");
    }

    #[test]
    fn items_stand_beside_their_marks() {
        assert_eq!(converted("* a\n* b\n"), ".IP \\(bu 2\na\n.IP \\(bu 2\nb\n");
        assert_eq!(converted("3. a\n4. b\n"), ".IP 3. 4\na\n.IP 4. 4\nb\n");
    }

    #[test]
    fn what_follows_in_an_item_is_indented_like_it() {
        let text = "1. a\n\n   b\n\n   ```sh\n   c\n   ```\n";
        assert_eq!(converted(text), ".IP 1. 4\na\n.IP \\& 4\nb\n.IP \\& 4\n.RS 4\n.EX\nc\n.EE\n.RE\n");
    }

    #[test]
    fn a_list_in_a_list_is_indented() {
        assert_eq!(
            converted("* a\n  * b\n* c\n"),
            ".IP \\(bu 2\na\n.RS 2\n.IP \\(bu 2\nb\n.RE\n.IP \\(bu 2\nc\n"
        );
    }

    #[test]
    fn code_keeps_its_lines_and_its_backslashes() {
        assert_eq!(converted("```\n.a \\\n\n  b\n```\n"), ".PP\n.RS 4\n.EX\n\\&.a \\\\\n\n  b\n.EE\n.RE\n");
    }

    #[test]
    fn a_row_of_two_cells_is_a_tagged_paragraph() {
        assert_eq!(converted("| a | b |\n| --- | --- |\n| c | d `e` |\n"), ".TP\n\\fBc\\fR\nd \\fBe\\fR\n");
    }

    #[test]
    fn further_cells_stand_behind_their_heads_and_empty_ones_are_left_out() {
        let text = "| a | b | c | d |\n| --- | --- | --- | --- |\n| 1 | 2 |  | 4 |\n";
        assert_eq!(converted(text), ".TP\n\\fB1\\fR\nb: 2\n.br\nd: 4\n");
    }

    #[test]
    fn a_comment_is_replaced_by_its_part() {
        let part = |name: &str| match name {
            "roff" => Some(Part::Roff(".SH A\n".to_owned())),
            _ => Some(Part::Markdown(format!("## {name}\n"))),
        };
        assert_eq!(from_markdown("<!-- roff -->\n\n<!-- text -->\n", &part).unwrap(), ".SH A\n.SH TEXT\n");
    }

    #[test]
    fn what_has_no_counterpart_is_an_error() {
        for text in
            ["# too high\n", "> quote\n", "![picture](a.png)\n", "---\n", "<!-- unheard -->\n", "a<br>b\n"]
        {
            assert!(from_markdown(text, &|_| None).is_err(), "{text}");
        }
    }

    #[test]
    fn characters_that_roff_would_set_otherwise_stay_as_they_are() {
        assert_eq!(plain_characters("~/.ssh 'a' `b` ^"), r"\(ti/.ssh \(aqa\(aq \(gab\(ga \(ha");
    }
}
