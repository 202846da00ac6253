//! The manual pages that `mail-smtp2 man` prints.
//!
//! Checked here: each page of `src/manual/` is listed and found, roff has nothing to complain of, no word of the Markdown
//! gets lost, and mail-smtp2(8) tells of every flag, command, action, input and status number. Whether what a page says is
//! true is left to `documents` and to its readers. Without groff on the machine, its part is left out and says so.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Seek, Write};
use std::path::Path;

use super::support::plugin::Run;
use super::support::sandbox::Sandbox;
use super::support::{ACTIONS, skip};

fn man(arguments: &[&str]) -> Run {
    Sandbox::new().launch_plain().arg("man").args(arguments).run()
}

/// The pages as they are listed: name, section.
fn listed() -> Vec<(String, String)> {
    let list = man(&["--list"]).stdout;
    let split = |line: &str| {
        let (name, rest) = line.split_once('(').expect("a name and a section");
        (name.to_owned(), rest.split_once(") - ").expect("a section and a subject").0.to_owned())
    };
    list.lines().map(split).collect()
}

/// The Markdown of each page, by the name of its file.
fn written() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/manual");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let read = |path: std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    };
    pages.map(read).collect()
}

/// The page as characters: fonts are kept, what stands for a plain character is that character.
fn page(name: &str) -> String {
    let run = man(&[name]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{name}");
    run.stdout.replace("\\-", "-").replace("\\(aq", "'").replace("\\*(Aq", "'").replace("\\(ti", "~")
}

#[test]
fn every_page_that_is_written_is_listed_and_no_other() {
    let listed: BTreeSet<String> =
        listed().into_iter().map(|(name, section)| format!("{name}.{section}.md")).collect();
    let written: BTreeSet<String> = written().into_iter().map(|(file, _)| file).collect();
    assert_eq!(listed, written);
}

#[test]
fn every_listed_page_is_printed_under_its_title() {
    for (name, section) in listed() {
        let page = page(&name);
        assert!(
            page.contains(&format!("\n.TH {name} {section} "))
                || page.starts_with(&format!(".TH {name} {section} "))
        );
        assert!(page.contains(&format!(".SH NAME\n{name} - ")), "{name}");
    }
}

#[test]
fn without_a_name_it_is_the_page_of_the_program() {
    assert_eq!(man(&[]).stdout, man(&["mail-smtp2"]).stdout);
}

#[test]
fn a_page_is_found_by_the_short_name_too() {
    for (short, name) in [("cluster", "mail-smtp2-cluster"), ("toml", "mail-smtp2.toml")] {
        assert_eq!(man(&[short]).stdout, man(&[name]).stdout);
    }
}

#[test]
fn a_page_that_there_is_not_is_a_misuse_that_lists_those_there_are() {
    let run = man(&["sendmail"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    for (name, section) in listed() {
        assert!(run.stderr.contains(&format!("{name}({section})")), "{}", run.stderr);
    }
}

#[test]
fn every_page_is_good_roff() {
    for (name, _) in listed() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(man(&[&name]).stdout.as_bytes()).unwrap();
        file.rewind().unwrap();
        let mut groff = std::process::Command::new("groff");
        // Every warning, and no output.
        match groff.args(["-man", "-Tutf8", "-ww", "-z"]).stdin(file).output() {
            Ok(judged) => assert_eq!(
                (judged.status.code(), String::from_utf8_lossy(&judged.stderr).as_ref()),
                (Some(0), ""),
                "{name}"
            ),
            Err(_) => skip("this machine has no groff"),
        }
    }
}

#[test]
fn no_word_of_a_page_gets_lost() {
    let words = |text: &str| -> BTreeSet<String> {
        let apart = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        apart.map(str::to_lowercase).collect()
    };
    for (file, text) in written() {
        let lines: Vec<&str> = text.lines().collect();
        // What is no word: the languages of blocks, what stands for a part, of tables, which become tagged paragraphs, the
        // heads of two columns and the first head of more; and where links lead.
        let heads = |at: usize| {
            lines.get(at + 1).filter(|line| line.starts_with("| ---")).map(|line| line.matches("---").count())
        };
        let text = lines.iter().enumerate().filter_map(|(at, line)| match heads(at) {
            Some(2) => None,
            Some(_) => {
                line.split_once("| ").and_then(|(_, heads)| heads.split_once('|')).map(|(_, heads)| heads)
            }
            None => (!line.trim_start().starts_with("```") && !line.starts_with("<!--")).then_some(*line),
        });
        let text: Vec<&str> = text.collect();
        let text = text.join("\n");
        let mut parts = text.split("](");
        let first = parts.next().unwrap_or_default().to_owned();
        let unlinked = parts.fold(first, |all, part| all + part.split_once(')').expect("a link ends").1);
        // The letter of a font stands right before the first letter of a word.
        let name = file.trim_end_matches(".md").rsplit_once('.').expect("a section").0;
        let printed = ["\\fB", "\\fI", "\\fR"].iter().fold(page(name), |page, font| page.replace(font, " "));
        let lost: Vec<String> = words(&unlinked).difference(&words(&printed)).cloned().collect();
        assert_eq!(lost, Vec::<String>::new(), "{file}");
    }
}

#[test]
fn the_page_of_the_program_tells_of_everything_there_is() {
    let page = page("mail-smtp2");
    let flags =
        ["config", "mta", "state-dir", "log", "log-format", "help", "version"].map(|f| format!("--{f}"));
    let verbs = ["call", "schema", "man", "remove"].map(|verb| format!("\\fB{verb}\\fR"));
    let actions = ACTIONS.map(|action| format!("\\fB{action}\\fR"));
    let inputs =
        ["alternate_smtp_port", "auth_mode", "cascade_to_nodes", "node_id"].map(|i| format!("\\fB{i}\\fR"));
    let statuses = mail_smtp2::wire::status::TABLE.map(|row| format!("\\fB{}\\fR", row.number));
    let all = flags.into_iter().chain(verbs).chain(actions).chain(inputs).chain(statuses);
    let missing: Vec<String> = all.filter(|word| !page.contains(word)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn a_page_is_the_same_each_time() {
    assert_eq!(man(&[]).stdout, man(&[]).stdout);
}
