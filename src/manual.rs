//! The manual page, mail-smtp2(8): printed by `mail-smtp2 man`, from clap's definitions and the tables.
//!
//! Answers for: every flag, subcommand, action, input and status number there is, in roff, the same bytes each time.
//! Does not know: what any of them does beyond what its own definition says. Files and exit statuses, which no table
//! has, are said here. What cannot be written is the caller's error.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};

use mail_smtp2::action::{Lane, TABLE};
use mail_smtp2::schema::{documents, tables};
use mail_smtp2::wire::status;

/// What the program reads and writes.
const FILES: [(&str, &str); 3] = [
    ("/etc/mail-smtp2.toml", "The configuration. It need not exist."),
    ("/var/lib/mail-smtp2/", "The state directory: settings, history, the record of a change under way."),
    ("/run/mail-smtp2/lock", "By which the plugins of a machine exclude each other."),
];

/// How the program ends.
const EXITS: [(&str, &str); 3] = [
    ("0", "The input ended and everything was answered; of call, the status of the envelope is 0."),
    ("1", "The configuration is wrong, the host is gone, or what a subcommand was asked for failed."),
    ("2", "The flags are wrong."),
];

/// The page, in roff.
pub(crate) fn page(command: Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let commands = commands(&command);
    let man = Man::new(command).section("8").manual("System Administration");
    man.render_title(&mut page)?;
    // Long payloads leave no line to be filled.
    Roff::new().control("ad", ["l"]).to_writer(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    commands.to_writer(&mut page)?;
    actions().to_writer(&mut page)?;
    inputs().to_writer(&mut page)?;
    statuses().to_writer(&mut page)?;
    list("FILES", FILES).to_writer(&mut page)?;
    list("EXIT STATUS", EXITS).to_writer(&mut page)?;
    man.render_extra_section(&mut page)?;
    Ok(page)
}

/// The subcommands, with what each takes. clap_mangen would refer to a page for each of them.
fn commands(command: &Command) -> Roff {
    let mut roff = section("COMMANDS", "Without one, it serves stdin and stdout until the input ends.");
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let mut tag = vec![bold(verb.get_name())];
        for taken in verb.get_arguments() {
            match taken.get_long() {
                Some(flag) => tag.push(roman(format!(" [--{flag}]"))),
                None if taken.is_required_set() => tag.extend([roman(" "), italic(taken.get_id().as_str())]),
                None => tag.extend([roman(" ["), italic(taken.get_id().as_str()), roman("]")]),
            }
        }
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        entry(&mut roff, tag, &format!("{about}."));
    }
    roff
}

fn actions() -> Roff {
    let mut roff = section("ACTIONS", "The methods of the conversation. Every input may be absent.");
    for row in &TABLE {
        let inputs = row.inputs.iter().flat_map(|input| [roman(" ["), italic(*input), roman("]")]);
        let mut told = vec![row.about.to_owned()];
        told.extend(tables::base(row).map(|base| format!("The same as {base}, on that node.")));
        told.extend((row.lane == Lane::Change).then(|| "It is a change.".to_owned()));
        told.push(format!("Payload: {}.", tables::payloads(row).join(" or ")));
        told.push(documents::provenance(row));
        entry(&mut roff, [bold(row.name)].into_iter().chain(inputs).collect(), &told.join(" "));
    }
    roff
}

fn inputs() -> Roff {
    let told = |input: tables::Input| (input.name, format!("{}. {}", input.values.join(" or "), input.about));
    list("INPUTS", tables::inputs().into_iter().map(told))
}

fn statuses() -> Roff {
    let told = |row: &status::Row| {
        (row.number.to_string(), format!("{}; the service: {}.", row.meaning, row.service))
    };
    list("STATUS NUMBERS", status::TABLE.iter().map(told))
}

fn list<A: Into<String>, B: AsRef<str>>(title: &str, rows: impl IntoIterator<Item = (A, B)>) -> Roff {
    let mut roff = section(title, "");
    for (tag, text) in rows {
        entry(&mut roff, vec![bold(tag)], text.as_ref());
    }
    roff
}

fn section(title: &str, text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    if !text.is_empty() {
        roff.text([roman(text)]);
    }
    roff
}

fn entry(roff: &mut Roff, tag: Vec<Inline>, text: &str) {
    roff.control("TP", []).text(tag).text([roman(text)]);
}
