//! The documents that people read: what they show is what the program does.
//!
//! Checked here: every block of commands is run or says who runs it, the conversation gives the output that is shown, the
//! example of a configuration is complete, the table of mail servers is true, every link leads somewhere. The tables of
//! `schema/README.md` are checked with the other files of that folder, the roff of the manual in `manual`. Whether prose is
//! true is left to its readers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mail_smtp2::mta;
use serde_json::Value;

use super::support::plugin::Run;
use super::support::sandbox::Sandbox;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The ports in the documents; a test takes one that is free.
const PORTS: [&str; 2] = ["2587", "587"];

/// Blocks of commands that are not run here, by how they begin.
const ELSEWHERE: [(&str, &str); 10] = [
    ("cargo build --locked --release", "it takes minutes, and installs"),
    ("php tests/hosts/php/host.php", "tests/hosts/run runs these hosts"),
    ("systemctl restart dovecot", "it changes the machine's own Postfix"),
    ("openssl req -x509", "it changes the machine's own Exim"),
    ("sed -i '/^# plain_server", "it changes the machine's own Exim"),
    ("update-exim4.conf", "it changes the machine's own Exim"),
    ("mkdir -p /var/qmail", "it changes the machine's own qmail"),
    ("chmod 755 /var/qmail", "it changes the machine's own qmail"),
    ("ln -s /var/qmail", "it changes the machine's own qmail"),
    ("swaks --server 127.0.0.1:587", "it sends mail through the machine's own mail server"),
];

/// Every document, by its path in the project.
static DOCUMENTS: LazyLock<Vec<(PathBuf, String)>> = LazyLock::new(|| {
    let single = ["README.md", "schema/README.md", "schema/CHANGELOG.md", "tests/hosts/README.md"];
    let mut paths: Vec<PathBuf> = single.map(PathBuf::from).into();
    for folder in [".github", "src/manual"] {
        let files = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
        let names = files.map(|file| Path::new(folder).join(file.unwrap().file_name()));
        paths.extend(names.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.clone(), fs::read_to_string(Path::new(ROOT).join(path)).unwrap()))
        .collect()
});

fn document(path: &str) -> &'static str {
    let found = DOCUMENTS.iter().find(|(other, _)| other == Path::new(path));
    &found.unwrap_or_else(|| panic!("no {path}")).1
}

/// What stands between the two marks of this name in the README.
fn part(name: &str) -> &'static str {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let rest = document("README.md").split_once(&begin).expect(&begin).1;
    rest.split_once(&end).expect(&end).0
}

/// The content of the blocks of this language, without the indentation of the item that they stand in.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(indent) = line.strip_suffix(&format!("```{language}")) else { continue };
        let inside = lines.by_ref().take_while(|line| line.trim() != "```");
        all.push(inside.map(|line| format!("{}\n", line.strip_prefix(indent).unwrap_or(line))).collect());
    }
    all
}

/// The example of a configuration.
fn example() -> String {
    blocks(document("src/manual/mail-smtp2.toml.5.md"), "toml").remove(0)
}

/// Runs the program on this configuration.
fn with(config: &str) -> Run {
    Sandbox::with_config(config).launch_plain().args(&["--mta", "sandbox", "call", "isRunning"]).run()
}

#[test]
fn the_first_command_gives_the_output_that_is_shown() {
    let conversation = part("conversation");
    let commands = blocks(conversation, "sh").remove(0);
    let (command, input) = commands.split_once('\n').unwrap();
    let flags = command.strip_prefix("cargo run --locked -- ").unwrap().strip_suffix(" <<'EOF'").unwrap();
    let flags: Vec<&str> = flags.split(' ').collect();
    let sandbox = Sandbox::new();
    let port = sandbox.port().to_string();
    let input = input.strip_suffix("EOF\n").unwrap().replace(PORTS[0], &port);
    let run = sandbox.launch_plain().args(&flags).run_with(input.as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let (shown, came) = (&blocks(conversation, "json")[0], run.stdout.replace(&port, PORTS[0]));
    let diff = similar::TextDiff::from_lines(shown, &came);
    assert!(*shown == came, "{}", diff.unified_diff().header("README.md", "what came out"));
}

#[test]
fn every_block_of_commands_does_what_it_is_for() {
    let mut seen = 0;
    for (path, text) in DOCUMENTS.iter() {
        for block in blocks(text, "sh").iter().filter(|block| block.starts_with("mail-smtp2 ")) {
            let run = on_a_sandbox(block);
            assert_eq!(run.code, Some(0), "{}: {block}{}{}", path.display(), run.stdout, run.stderr);
            for line in run.stdout.lines() {
                let envelope: Value = serde_json::from_str(line).unwrap();
                assert_eq!(envelope["status"], 0, "{}: {block}{}", path.display(), run.stdout);
            }
            seen += 1;
        }
    }
    assert!(seen >= 5, "only {seen} blocks were found");
}

/// Runs the commands with a free port, on the sandbox instead of the machine's own mail server.
fn on_a_sandbox(commands: &str) -> Run {
    let sandbox = Sandbox::new();
    let port = sandbox.port().to_string();
    let ours = format!("\"$@\" --mta sandbox --state-dir {}", sandbox.state().display());
    let command = |line: &str| {
        let rest = line.strip_prefix("mail-smtp2").expect(line);
        let rest = rest.strip_prefix(" --mta sandbox --state-dir /tmp/try").unwrap_or(rest);
        let port_taken = PORTS.iter().find(|port| rest.contains(*port)).map(|old| rest.replace(old, &port));
        format!("{ours}{}\n", port_taken.as_deref().unwrap_or(rest))
    };
    let script: String = commands.lines().map(command).collect();
    sandbox.launch_plain().under_shell(&format!("set -e\n{script}")).run()
}

#[test]
fn no_block_of_commands_is_run_by_nobody() {
    for (path, text) in DOCUMENTS.iter() {
        for block in blocks(text, "sh") {
            let here = ["mail-smtp2 ", "cargo run --locked -- --mta sandbox "]
                .iter()
                .any(|begin| block.starts_with(begin));
            let elsewhere = ELSEWHERE.iter().any(|(begin, _)| block.starts_with(begin));
            assert!(here || elsewhere, "{}: who runs this? {block}", path.display());
        }
    }
}

#[test]
fn every_script_that_a_document_names_exists() {
    let in_code = |text: &'static str| text.split('`').skip(1).step_by(2);
    for (path, text) in DOCUMENTS.iter() {
        let commands = blocks(text, "sh").concat();
        let commands: Vec<String> = commands.split_whitespace().map(str::to_owned).collect();
        let code = in_code(text).filter_map(|code| code.split_whitespace().next()).map(str::to_owned);
        let named = commands.into_iter().chain(code);
        for script in named.filter(|word| word.starts_with("tests/") || word.starts_with(".ci/")) {
            assert!(Path::new(ROOT).join(&script).exists(), "{}: {script}", path.display());
        }
    }
}

#[test]
fn the_example_of_a_configuration_is_accepted() {
    let run = with(&example());
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn every_key_of_the_configuration_is_shown_and_explained() {
    let (example, page) = (example(), document("src/manual/mail-smtp2.toml.5.md"));
    let headers = example.lines().filter(|line| line.starts_with('['));
    for header in headers.chain([""]) {
        // A key that nobody knows is told together with those that are known.
        let run = with(&match header {
            "" => format!("unheard = 1\n{example}"),
            _ => {
                let (before, after) = example.split_once(&format!("{header}\n")).unwrap();
                format!("{before}{header}\nunheard = 1\n{after}")
            }
        });
        let (_, known) = run.stderr.split_once("unknown field").expect(&run.stderr);
        let known: Vec<&str> = known.split('`').skip(3).step_by(2).collect();
        assert!(!known.is_empty(), "{}", run.stderr);
        for key in known {
            let shown = [format!("\n{key} = "), format!("[{key}]"), format!(".{key}]")];
            assert!(shown.iter().any(|shown| example.contains(shown)), "{header} {key} is not shown");
            let table = header.trim_start_matches('[').split(']').next().unwrap_or_default();
            let name = format!("{table}.{key}");
            let is_table = example.contains(&format!("[{}", name.trim_start_matches('.')));
            assert!(is_table || page.contains(&format!("`{name}`")), "{name} is not explained");
        }
    }
}

#[test]
fn the_table_of_mail_servers_says_which_ones_can_be_changed() {
    for mta in mta::unconfigured() {
        let name = mta.kind().name();
        let row = document("README.md")
            .lines()
            .find(|line| line.to_lowercase().starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("{name} has no row"));
        let says = row.split('|').nth(4).unwrap().trim() == "yes";
        assert_eq!(says, mta.is_changeable(), "{row}");
    }
}

#[test]
fn the_front_door_is_one_page() {
    let lines = document("README.md").lines().count();
    assert!(lines <= 160, "README.md has {lines} lines: what is not for everybody has a page of its own");
}

#[test]
fn every_link_leads_to_a_file_and_to_a_heading_of_it() {
    let mut wrong = Vec::new();
    for (path, text) in DOCUMENTS.iter() {
        for link in text.split("](").skip(1).map(|rest| rest.split_once(')').expect("a link ends").0) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => Path::new(ROOT).join(path),
                _ => Path::new(ROOT).join(path).with_file_name(file),
            };
            let leads = match heading {
                "" => target.exists(),
                _ => fs::read_to_string(target)
                    .is_ok_and(|text| text.lines().any(|line| anchor(line) == Some(heading.to_owned()))),
            };
            if !leads {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_heading_that_a_comment_cites_is_one_of_the_contract() {
    let headings: Vec<&str> = document("schema/README.md")
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let mut cited = 0;
    for file in sources(&["src", "tests"]) {
        let lines: Vec<String> = fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|line| line.trim_start().trim_start_matches(['/', '!', ' ']).to_owned())
            .collect();
        // A citation is the file, and then headings in quotes with commas between them.
        let text = lines.join(" ");
        for rest in text.split("schema/README.md, \"").skip(1) {
            for heading in rest.split(')').next().unwrap_or_default().split('"').step_by(2) {
                let words = heading.trim_matches([',', ' ']);
                assert!(headings.contains(&words), "{}: no heading {words}", file.display());
                cited += 1;
            }
        }
    }
    assert!(cited > 10, "only {cited} citations were found");
}

/// Every file in Rust below these folders.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| Path::new(ROOT).join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// What leads to a heading, as the web makes it.
fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    let kept = heading.to_lowercase().replace(' ', "-");
    Some(kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect())
}
