//! The README: what it shows is what the program does.
//!
//! Answers for: the parts between `<!-- name -->` and `<!-- /name -->`, the commands whose output it shows, its links.
//! Does not know: whether its prose is true. `MAIL_SMTP2_BLESS=1` writes the parts that are generated anew.

use super::support::plugin::Run;
use super::support::sandbox::Sandbox;
use mail_smtp2::mta;
use mail_smtp2::schema::tables;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BLESS: &str = "MAIL_SMTP2_BLESS=1 cargo test --test plugin readme";

/// The port in the README's conversations; a test takes one that is free.
const PORT: &str = "2587";

static README: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(ROOT).join("README.md");
    let mut text = fs::read_to_string(&path).unwrap();
    if std::env::var("MAIL_SMTP2_BLESS").is_ok_and(|on| on == "1") {
        for (name, content) in generated() {
            let old = part(&text, name);
            let from = old.as_ptr().addr() - text.as_ptr().addr();
            text.replace_range(from..from + old.len(), &content);
        }
        fs::write(path, &text).unwrap();
    }
    text
});

/// The parts that are copies of something else.
fn generated() -> [(&'static str, String); 5] {
    let php = |file| {
        let text = fs::read_to_string(Path::new(ROOT).join("tests/hosts/php").join(file)).unwrap();
        format!("```php\n{text}```\n")
    };
    [
        ("actions", tables::actions()),
        ("inputs", tables::inputs()),
        ("statuses", tables::statuses()),
        ("page", php("page.php")),
        ("host", php("host.php")),
    ]
}

/// What stands between the two marks of this name.
fn part<'t>(text: &'t str, name: &str) -> &'t str {
    let (_, rest) = text
        .split_once(&format!("<!-- {name} -->\n"))
        .unwrap_or_else(|| panic!("README.md has no <!-- {name} -->"));
    let (part, _) = rest
        .split_once(&format!("<!-- /{name} -->\n"))
        .unwrap_or_else(|| panic!("README.md has no <!-- /{name} -->"));
    part
}

/// The content of the blocks of this language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split_once("```").expect("a block ends").0).collect()
}

#[track_caller]
fn assert_copied(name: &str) {
    let wanted = generated().into_iter().find(|(other, _)| *other == name).unwrap().1;
    let stands = part(&README, name);
    let diff = similar::TextDiff::from_lines(stands, &wanted);
    let diff = diff.unified_diff().context_radius(2).header("README.md", "what it should be").to_string();
    assert!(stands == wanted, "{diff}to write it anew: {BLESS}");
}

/// Runs the program on the README's example of a configuration, altered.
fn with_example(alter: impl FnOnce(&str) -> String) -> Run {
    let example = blocks(part(&README, "configuration"), "toml")[0];
    let sandbox = Sandbox::with_config(&alter(example));
    sandbox.launch_plain().args(&["--mta", "sandbox", "call", "isRunning"]).run()
}

#[test]
fn the_table_of_actions_is_that_of_the_program() {
    assert_copied("actions");
}

#[test]
fn the_table_of_inputs_is_that_of_the_program() {
    assert_copied("inputs");
}

#[test]
fn the_table_of_status_numbers_is_that_of_the_program() {
    assert_copied("statuses");
}

#[test]
fn the_page_in_php_is_the_file_that_is_tested() {
    assert_copied("page");
}

#[test]
fn the_host_in_php_is_the_file_that_is_tested() {
    assert_copied("host");
}

#[test]
fn the_first_command_gives_the_output_that_is_shown() {
    let conversation = part(&README, "conversation");
    let (command, input) = blocks(conversation, "sh")[0].split_once('\n').unwrap();
    let flags = command.strip_prefix("cargo run --locked -- ").unwrap().strip_suffix(" <<'EOF'").unwrap();
    let flags: Vec<&str> = flags.split(' ').collect();
    let sandbox = Sandbox::new();
    let port = sandbox.port().to_string();
    let input = input.strip_suffix("EOF\n").unwrap().replace(PORT, &port);
    let run = sandbox.launch_plain().args(&flags).run_with(input.as_bytes());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_shown(blocks(conversation, "json")[0], &run.stdout.replace(&port, PORT));
}

#[track_caller]
fn assert_shown(shown: &str, came: &str) {
    let diff = similar::TextDiff::from_lines(shown, came);
    assert!(shown == came, "{}", diff.unified_diff().header("README.md", "what came out"));
}

#[test]
fn the_commands_for_a_sandbox_that_stays_show_a_running_listener() {
    let commands = blocks(&README, "sh").into_iter().find(|block| block.contains("--state-dir")).unwrap();
    let sandbox = Sandbox::new();
    let script = commands
        .replace("mail-smtp2 --mta", "\"$@\" --mta")
        .replace("/tmp/try", &sandbox.state().to_string_lossy())
        .replace(PORT, &sandbox.port().to_string());
    let run = sandbox.launch_plain().under_shell(&format!("set -e\n{script}")).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let listing: Value = serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(listing["payload"]["is_running"], 1, "{}", run.stdout);
}

#[test]
fn the_example_of_a_configuration_is_accepted() {
    let run = with_example(str::to_owned);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[test]
fn the_example_of_a_configuration_shows_every_key() {
    let example = blocks(part(&README, "configuration"), "toml")[0];
    let headers = example.lines().filter(|line| line.starts_with('['));
    for header in headers.chain([""]) {
        // A key that nobody knows is told together with those that are known.
        let run = with_example(|text| match header {
            "" => format!("unheard = 1\n{text}"),
            _ => {
                let (before, after) = text.split_once(&format!("{header}\n")).unwrap();
                format!("{before}{header}\nunheard = 1\n{after}")
            }
        });
        let (_, known) = run.stderr.split_once("unknown field").expect(&run.stderr);
        let known: Vec<&str> = known.split('`').skip(3).step_by(2).collect();
        assert!(!known.is_empty(), "{}", run.stderr);
        for key in known {
            let shown = [format!("\n{key} = "), format!("[{key}]"), format!(".{key}]")];
            assert!(shown.iter().any(|shown| example.contains(shown)), "{header} {key} is not shown");
        }
    }
}

#[test]
fn the_table_of_mail_servers_says_which_ones_can_be_changed() {
    let sandbox = mta::sandbox::Sandbox { program: "/nowhere".into(), dir: "/nowhere".into(), with: None };
    for mta in mta::all(mta::qmail::Qmail::default(), sandbox) {
        let name = mta.kind().name();
        let row = README
            .lines()
            .find(|line| line.to_lowercase().starts_with(&format!("| {name} |")))
            .unwrap_or_else(|| panic!("{name} has no row"));
        let says = row.split('|').nth(4).unwrap().trim() == "yes";
        assert_eq!(says, mta.changeable().is_ok(), "{row}");
    }
}

#[test]
fn every_link_leads_to_a_file_that_exists() {
    let missing: Vec<&str> = links().filter(|link| !link.starts_with('#')).filter(is_missing).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn every_link_inside_leads_to_a_heading() {
    let anchor = |heading: &str| heading.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-");
    let anchors: Vec<String> = README.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
    let inside = links().filter_map(|link| link.strip_prefix('#'));
    let missing: Vec<&str> = inside.filter(|link| !anchors.iter().any(|anchor| anchor == link)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

fn links() -> impl Iterator<Item = &'static str> {
    README.split("](").skip(1).map(|rest| rest.split_once(')').expect("a link ends").0)
}

fn is_missing(link: &&str) -> bool {
    !Path::new(ROOT).join(link).exists()
}
