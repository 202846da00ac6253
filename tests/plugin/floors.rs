//! The house itself: which floor imports which, read from the sources.
//!
//! Answers for: an arrow between modules only ever runs down, external crates stay on their floors, every file opens
//! with its manual page. Does not know: what the code does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/`, from the lowest; rooms of one floor do not import each other.
const FLOORS: [(&str, u8); 12] = [
    ("wire", 0),
    ("sys", 0),
    ("mta", 1),
    ("change", 2),
    ("action", 3),
    ("schema", 4),
    ("cluster", 4),
    ("rpc", 5),
    ("transport", 6),
    ("main", 7),
    ("config", 7),
    ("manual", 7),
];

/// External crates that are at home on certain floors only.
const AT_HOME: [(&str, &[&str]); 15] = [
    ("jsonrpsee", &["rpc"]),
    ("jsonrpsee_types", &["rpc"]),
    ("jsonschema", &["schema"]),
    ("schemars", &["mta", "action", "schema"]),
    ("nix", &["sys", "mta/sandbox", "config"]),
    ("rustix", &["sys", "mta/sandbox", "transport"]),
    ("tracing_subscriber", &["main"]),
    ("tracing_appender", &["main"]),
    ("clap", &["main", "manual"]),
    ("clap_complete", &["main"]),
    ("clap_mangen", &["manual"]),
    ("pulldown_cmark", &["manual"]),
    ("rustls", &["sys", "mta/sandbox"]),
    ("mailin", &["mta/sandbox"]),
    ("rcgen", &["mta/sandbox", "sys"]),
];

/// A source file: where it is below `src/`, and what it says outside comments and tests.
struct Source {
    path: String,
    text: String,
    code: String,
}

impl Source {
    fn floor(&self) -> &str {
        self.path.split(['/', '.']).next().unwrap_or_default()
    }
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let body = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let code =
            body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
        Source {
            path: path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(),
            text: text.clone(),
            code,
        }
    };
    found.iter().map(read).collect()
}

/// The words that stand behind `start` in `code`, such as the module names behind `crate::`; also inside braces.
fn names_behind<'c>(code: &'c str, start: &str) -> Vec<&'c str> {
    let word =
        |text: &'c str| text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    let mut names = Vec::new();
    for (at, _) in code.match_indices(start) {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + start.len()..];
        match rest.strip_prefix('{') {
            Some(inner) => {
                let inner = inner.split('}').next().unwrap_or_default();
                names.extend(inner.split(',').map(|part| word(part.trim_start())));
            }
            None => names.push(word(rest)),
        }
    }
    names
}

#[test]
fn a_request_only_ever_goes_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        let here = floors[source.floor()];
        for start in ["crate::", "mail_smtp2::"] {
            for name in names_behind(&source.code, start) {
                let Some(there) = floors.get(name) else { continue };
                let same_room = name == source.floor() || (source.floor() == "main" && name == "config");
                if !same_room && *there >= here {
                    wrong.push(format!("src/{} imports {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that run up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_has_its_floor() {
    let floors: BTreeMap<&str, u8> = FLOORS.into();
    for source in sources().iter().filter(|source| source.path != "lib.rs") {
        assert!(floors.contains_key(source.floor()), "src/{} stands on no floor", source.path);
    }
}

#[test]
fn external_crates_stay_on_their_floors() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (name, homes) in AT_HOME {
            let used = !names_behind(&source.code, "use ").iter().all(|used| *used != name)
                || source.code.contains(&format!("{name}::"))
                    && source.code.split(&format!("{name}::")).any(|before| {
                        before.ends_with(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                    });
            if used && !homes.iter().any(|home| source.path.starts_with(home)) {
                wrong.push(format!("src/{} uses {name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "crates away from home:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_lowest_floor_runs_commands() {
    for source in sources().iter().filter(|source| source.code.contains("process::Command")) {
        let allowed = source.path.starts_with("sys/") || source.path == "mta/sandbox/daemon.rs";
        assert!(allowed, "src/{} runs commands itself", source.path);
    }
}

#[test]
fn every_file_opens_with_what_it_does() {
    for source in sources() {
        let lines = source.text.lines().take_while(|line| line.starts_with("//!")).count();
        assert!(lines >= 3, "src/{} opens with {lines} lines of manual page", source.path);
        // It opens the documentation of the crate, which is as long as it has to be.
        if source.path != "lib.rs" {
            assert!(lines <= 25, "src/{} opens with {lines} lines of manual page", source.path);
        }
    }
}
