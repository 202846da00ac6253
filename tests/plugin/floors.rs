//! The layers of `src/` (floors, as src/lib.rs describes them): which imports which, read from the sources.
//!
//! An import only ever goes down, no two files import each other, external crates stay where they are at home, and
//! every file opens with what it does. What the code does is tested elsewhere. A failure names the files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors of `src/`, from the lowest; rooms of one floor do not import each other.
const FLOORS: [(&str, u8); 15] = [
    ("wire", 0),
    ("sys", 0),
    ("mta", 1),
    ("change", 2),
    ("action", 3),
    ("schema", 4),
    ("cluster", 4),
    ("rpc", 5),
    ("transport", 6),
    // A program of its own: it is no floor that a request goes through, and nobody but `main` imports it.
    ("sandbox", 6),
    ("config", 7),
    ("log", 7),
    ("manual", 7),
    ("cli", 8),
    ("main", 9),
];

/// External crates that are at home on certain floors only.
const AT_HOME: [(&str, &[&str]); 15] = [
    ("jsonrpsee", &["rpc"]),
    ("jsonrpsee_types", &["rpc"]),
    ("jsonschema", &["schema"]),
    ("schemars", &["mta", "action", "schema"]),
    ("nix", &["sys", "sandbox", "config", "transport"]),
    // What nix has no safe call for, and nothing else.
    ("rustix", &["sys/pidfd", "sys/signal", "sys/files/fifo", "sys/files/write"]),
    ("tracing_subscriber", &["log"]),
    ("clap", &["main", "cli", "log", "manual"]),
    ("clap_mangen", &["manual"]),
    ("pulldown_cmark", &["manual"]),
    ("rustls", &["sys", "sandbox"]),
    ("x509_parser", &["sys"]),
    ("mailin", &["sandbox"]),
    ("rcgen", &["sandbox", "sys"]),
    ("similar", &["change"]),
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
        let body = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
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
                if name != source.floor() && *there >= here {
                    wrong.push(format!("src/{} imports {name}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that run up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn a_sheet_only_looks() {
    // What lays out copies and asks the mail server's programs for all of them is `Context`, in `context.rs`.
    let acting = |source: &&Source| {
        let sys = names_behind(&source.code, "crate::sys::");
        source.floor() == "mta" && source.path != "mta/context.rs" && sys.contains(&"Host")
    };
    let wrong: Vec<String> = sources().iter().filter(acting).map(|source| source.path.clone()).collect();
    assert!(wrong.is_empty(), "sheets that could act on the machine: {}", wrong.join(", "));
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
        let allowed = source.path.starts_with("sys/") || source.path.starts_with("sandbox/");
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

/// The paths that a text begins with, such as `a::b` and `a::c::d` for `a::{b, c::d}`.
fn paths(text: &str) -> Vec<String> {
    let text = text.trim_start();
    if let Some(inner) = text.strip_prefix('{') {
        return within_braces(inner).into_iter().flat_map(paths).collect();
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    match rest.strip_prefix("::") {
        Some(rest) => paths(rest).into_iter().map(|path| format!("{word}::{path}")).collect(),
        None => vec![word.to_owned()],
    }
}

/// What stands between commas, up to the brace that closes.
fn within_braces(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                parts.push(&text[begin..at]);
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// The modules of the files: `change::plan` for `change/plan.rs`, `change` for `change/mod.rs`.
fn module(path: &str) -> String {
    path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
}

/// The files that a file imports from.
fn imports<'s>(source: &Source, files: &BTreeMap<String, &'s Source>) -> BTreeSet<&'s str> {
    let here = module(&source.path);
    let above = here.rsplit_once("::").map_or("", |(above, _)| above);
    let children = source.code.lines().filter_map(|line| {
        let name = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ")?;
        name.strip_suffix(';').map(|name| (format!("{name}::"), format!("{here}::{name}::")))
    });
    let mut starts: Vec<(String, String)> = children.collect();
    starts.push(("self::".into(), format!("{here}::")));
    starts.push((
        "super::super::".into(),
        above.rsplit_once("::").map_or(String::new(), |(above, _)| format!("{above}::")),
    ));
    starts.push(("super::".into(), format!("{above}::")));
    starts.push(("crate::".into(), String::new()));
    let mut found = BTreeSet::new();
    for (start, stands_for) in starts {
        for (at, _) in source.code.match_indices(&start) {
            let before = &source.code[..at];
            // Who may see an item is no import.
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
                || before.ends_with("pub(in ")
            {
                continue;
            }
            for path in paths(&source.code[at + start.len()..]) {
                let whole = format!("{stands_for}{path}");
                let mut module = whole.as_str();
                while !files.contains_key(module) {
                    let Some((above, _)) = module.rsplit_once("::") else { break };
                    module = above;
                }
                found.extend(
                    files.get(module).filter(|file| file.path != source.path).map(|file| file.path.as_str()),
                );
            }
        }
    }
    found
}

#[test]
fn every_file_is_declared_where_imports_are_looked_for() {
    // What a macro declares is seen neither by rustfmt nor here.
    let sources = sources();
    let declares = |source: &Source, name: &str| {
        let is_it = |line: &str| {
            let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            line.trim_start_matches("pub ") == format!("mod {name};")
        };
        source.text.lines().any(is_it)
    };
    let hidden = sources.iter().filter(|source| {
        let here = module(&source.path);
        let (above, name) = here.rsplit_once("::").unwrap_or(("", &here));
        let is_above = |other: &&Source| {
            module(&other.path) == above
                || above.is_empty() && ["lib.rs", "main.rs"].contains(&other.path.as_str())
        };
        !["lib", "main"].contains(&here.as_str())
            && !sources.iter().filter(is_above).any(|above| declares(above, name))
    });
    let hidden: Vec<&str> = hidden.map(|source| source.path.as_str()).collect();
    assert!(hidden.is_empty(), "files that no plain mod declares: {}", hidden.join(", "));
}

/// What can be reached from a file, step by step.
fn reached<'s>(from: &'s str, arrows: &BTreeMap<&'s str, BTreeSet<&'s str>>) -> BTreeSet<&'s str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(name) = next.pop() {
        next.extend(arrows[name].iter().filter(|name| seen.insert(**name)));
    }
    seen
}

#[test]
fn no_two_files_import_each_other_directly_or_by_way_of_others() {
    let sources = sources();
    let files: BTreeMap<String, &Source> =
        sources.iter().map(|source| (module(&source.path), source)).collect();
    let arrows: BTreeMap<&str, BTreeSet<&str>> =
        sources.iter().map(|source| (source.path.as_str(), imports(source, &files))).collect();
    let ways: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|name| (*name, reached(name, &arrows))).collect();
    let circles: BTreeSet<Vec<&str>> = ways
        .iter()
        .filter(|(name, way)| way.contains(*name))
        .map(|(name, way)| way.iter().copied().filter(|other| ways[other].contains(name)).collect())
        .collect();
    assert!(circles.is_empty(), "files that import each other:\n{circles:#?}");
}

#[test]
fn paths_of_an_import_are_told_apart() {
    let read = |text| paths(text).join(" ");
    assert_eq!(read("a::{b, c::{d, e as f}, g};"), "a::b a::c::d a::c::e a::g");
    assert_eq!(read("a::b(c::d)"), "a::b");
}
