//! The manual pages that `mail-smtp2 man` prints: written as Markdown beside this file, printed as roff for man(1).
//!
//! Here are the list of pages, their titles, how one is found by its name, and the parts of mail-smtp2(8) that are made
//! from the flags and the tables. Turning Markdown into roff is `roff`'s. A page that holds what roff cannot show is an
//! error, and a test prints every page.

mod roff;

use std::fmt::Write as _;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::Roff;

use mail_smtp2::mta;
use mail_smtp2::schema::{problems, tables};
use roff::Part;

/// The pages that are about no mail server in particular, in the order in which they are listed. The first line of each is
/// `# NAME(SECTION): ABOUT`.
const PAGES: [&str; 3] = [
    include_str!("mail-smtp2.8.md"),
    include_str!("mail-smtp2.toml.5.md"),
    include_str!("mail-smtp2-cluster.7.md"),
];

/// A page, taken apart.
struct Page {
    name: &'static str,
    section: &'static str,
    about: &'static str,
    body: &'static str,
}

impl Page {
    /// All of them, those of the mail servers last.
    fn all() -> impl Iterator<Item = Self> {
        let of_mail_servers = mta::unconfigured().into_iter().filter_map(|mta| mta.manual());
        PAGES.into_iter().chain(of_mail_servers).filter_map(Self::read)
    }

    fn read(text: &'static str) -> Option<Self> {
        let (title, body) = text.strip_prefix("# ")?.split_once('\n')?;
        let (name, rest) = title.split_once('(')?;
        let (section, about) = rest.split_once("): ")?;
        Some(Self { name, section, about, body })
    }

    /// Whether somebody who writes `asked` means this page: `mail-smtp2-postfix`, or `postfix` for short.
    fn is_called(&self, asked: &str) -> bool {
        let short = self.name.trim_start_matches("mail-smtp2").trim_start_matches(['-', '.']);
        asked == self.name || asked == short
    }

    /// The lines that every page begins with.
    fn title(&self) -> String {
        let manual = match self.section {
            "5" => "File Formats",
            "8" => "System Administration",
            _ => "Miscellaneous",
        };
        let program = concat!("mail-smtp2 ", env!("CARGO_PKG_VERSION"));
        let mut roff = Roff::new();
        // No date: a page is the same bytes each time. An empty argument has to be quoted, or the next takes its place.
        roff.control("TH", [self.name, self.section, "\"\"", program, manual]);
        // Long words, such as payloads, leave lines that cannot be filled; a name that is broken is no name.
        roff.control("ad", ["l"]).control("nh", []);
        roff.control("SH", ["NAME"]).text([format!("{} - {}", self.name, self.about).into()]);
        roff.to_roff()
    }
}

/// Why a page is not printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManualError {
    /// No page has this name.
    #[error("there is no manual page of this name; there are:\n{0}")]
    Unknown(String),
    /// A page holds what cannot be shown.
    #[error("the manual page: {0}")]
    Page(#[from] roff::Unsupported),
}

/// The page of this name, in roff; `None` is mail-smtp2(8). The flags of `command` are those that it tells of.
///
/// # Errors
/// [`ManualError::Unknown`], which lists the pages, when there is none of this name.
pub(crate) fn page(asked: Option<&str>, command: Command) -> Result<String, ManualError> {
    let asked = asked.unwrap_or("mail-smtp2");
    let page = Page::all().find(|page| page.is_called(asked));
    let page = page.ok_or_else(|| ManualError::Unknown(list()))?;
    let body = roff::from_markdown(page.body, &|part| generated(part, &command))?;
    Ok(roff::plain_characters(&(page.title() + &body)))
}

/// The pages there are, one a line, as whatis(1) shows them.
pub(crate) fn list() -> String {
    Page::all().map(|page| format!("{}({}) - {}\n", page.name, page.section, page.about)).collect()
}

/// What `<!-- part -->` in a page stands for.
fn generated(part: &str, command: &Command) -> Option<Part> {
    let man = Man::new(command.clone());
    let mut text = Vec::new();
    match part {
        "synopsis" => man.render_synopsis_section(&mut text).ok()?,
        "options" => man.render_options_section(&mut text).ok()?,
        "commands" => return Some(Part::Markdown(commands(command))),
        "actions" => return Some(Part::Markdown(tables::actions())),
        "mail-servers" => return Some(Part::Markdown(mail_servers())),
        "inputs" => return Some(Part::Markdown(tables::inputs())),
        "reasons" => return Some(Part::Markdown(problems::table())),
        "warnings" => return Some(Part::Markdown(tables::warnings())),
        "statuses" => return Some(Part::Markdown(tables::statuses())),
        _ => return None,
    }
    String::from_utf8(text).ok().map(Part::Roff)
}

/// The mail servers by the name that the configuration has for them, in Markdown: where more is said, or what is lacking.
fn mail_servers() -> String {
    let mut text = String::from("| name | mail server |\n| --- | --- |\n");
    for mta in mta::unconfigured() {
        let more = match mta.manual().and_then(Page::read) {
            Some(Page { name, section, .. }) => format!("see [{name}({section})]({name}.{section}.md)"),
            None => "recognised, and reads are answered; changes are answered with status 501 in this version, and nothing \
                     is changed"
                .to_owned(),
        };
        let _ = writeln!(text, "| `{}` | {}: {more}. |", mta.kind(), mta.kind().title());
    }
    text
}

/// The subcommands, with what each takes, in Markdown. clap_mangen would refer to a page for each of them.
fn commands(command: &Command) -> String {
    let mut text = String::from("| command | what it does |\n| --- | --- |\n");
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let takes: String = verb
            .get_arguments()
            .map(|argument| match argument.get_long() {
                Some(flag) => format!(" [`--{flag}`]"),
                None if argument.is_required_set() => format!(" *{}*", argument.get_id()),
                None => format!(" [*{}*]", argument.get_id()),
            })
            .collect();
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "| `{}`{takes} | {about}. |", verb.get_name());
    }
    text
}
