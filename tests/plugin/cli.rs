//! The command line of mail-smtp2(8) and what `remove` promises, as far as they can be seen without a real MTA: flags,
//! exit codes, `call`, `schema`, `remove`, a bad configuration, paths that may not be trusted, a terminal.

use super::support::plugin::{Killed, Launch, Run, request, wait, well_formed};
use super::support::process::{as_pid, holds_open, is_root};
use super::support::sandbox::{NOBODY, Sandbox, kill_listeners};
use super::support::smtp::{is_closed, is_open};
use super::support::terminal::Terminal;
use super::support::{
    ACTIONS, PATIENCE, TLS_YES, eventually, names_number, program, skip, status, success, within,
};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

/// Runs the program in a fresh sandbox with these arguments after the sandbox's own.
#[track_caller]
fn run(arguments: &[&str]) -> Run {
    Sandbox::new().launch().args(arguments).run()
}

/// Checks that a wrong use is told on stderr, with exit code 2 and a silent stdout.
#[track_caller]
fn assert_misuse(arguments: &[&str]) {
    let run = run(arguments);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}");
    assert!(run.stderr.to_lowercase().contains("usage"), "{arguments:?}: {}", run.stderr);
}

/// Checks that the program will not begin, and names the path.
#[track_caller]
fn assert_refuses_to_begin(launch: Launch, path: &Path) {
    let run = launch.run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
    assert!(run.stderr.contains(&*path.to_string_lossy()), "no {} in {}", path.display(), run.stderr);
}

/// Checks that a configuration is refused with its file and these words.
#[track_caller]
fn assert_bad_config(toml: &str, words: &[&str]) {
    let sandbox = Sandbox::with_config(toml);
    let run = sandbox.launch().run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{toml}: {}", run.stderr);
    for word in words.iter().copied().chain([&*sandbox.config().to_string_lossy()]) {
        assert!(run.stderr.contains(word), "{toml}: no {word} in {}", run.stderr);
    }
}

#[track_caller]
fn envelope_of(run: &Run) -> Value {
    serde_json::from_str(&run.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?} {}", run.stdout, run.stderr))
}

// Flags.

#[test]
fn the_version_is_told() {
    let run = run(&["--version"]);
    assert_eq!((run.code, run.stdout.trim()), (Some(0), concat!("mail-smtp2 ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn the_help_names_every_flag_and_subcommand() {
    let run = run(&["--help"]);
    assert_eq!(run.code, Some(0));
    for word in [
        "--config",
        "--mta",
        "--state-dir",
        "--log",
        "--log-format",
        "--version",
        "call",
        "schema",
        "completions",
        "remove",
    ] {
        assert!(run.stdout.contains(word), "no {word} in {}", run.stdout);
    }
}

#[test]
fn bash_completes_what_is_begun_and_offers_nothing_that_is_hidden() {
    let run = run(&["completions", "bash"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let script = "eval \"$1\"; for begun in sch sand; do COMP_WORDS=(mail-smtp2 $begun) COMP_CWORD=1
                  _mail__smtp2 mail-smtp2 $begun mail-smtp2; echo \"$begun: ${COMPREPLY[*]}\"; done";
    let bash = Command::new("bash").args(["-c", script, "bash", &run.stdout]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&bash.stdout), "sch: schema\nsand: \n");
}

#[test]
fn zsh_and_fish_have_completions_too() {
    for (shell, begin) in [("zsh", "#compdef mail-smtp2\n"), ("fish", "# Print an optspec")] {
        let run = run(&["completions", shell]);
        assert_eq!(run.code, Some(0));
        assert!(run.stdout.starts_with(begin), "{shell}: {}", run.stdout);
    }
}

#[test]
fn a_bad_flag_is_a_misuse() {
    assert_misuse(&["--no-such-flag"]);
}

#[test]
fn an_unknown_subcommand_is_a_misuse() {
    assert_misuse(&["no-such-subcommand"]);
}

#[test]
fn an_action_in_the_place_of_a_subcommand_is_told_how_it_is_called() {
    for action in ["start", "stop", "update", "isRunning", "listServiceInfo"] {
        let run = run(&[action]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
        assert!(run.stderr.contains(&format!("mail-smtp2 call {action}")), "{}", run.stderr);
    }
}

#[test]
fn an_unknown_action_is_told_which_there_are() {
    let run = run(&["call", "status"]);
    assert_eq!(run.code, Some(2));
    for action in ["isRunning", "start", "update", "queryStatus", "rpc.discover"] {
        assert!(run.stderr.contains(action), "no {action} in {}", run.stderr);
    }
}

#[test]
fn a_flag_without_its_value_is_a_misuse() {
    let run = run(&["--log"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("--log"), "{}", run.stderr);
}

#[test]
fn an_unknown_kind_of_mta_is_a_misuse() {
    let run = Sandbox::new().launch_plain().args(&["--mta", "no-such-mta"]).run();
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
}

#[test]
fn an_unknown_log_format_is_a_misuse() {
    let run = run(&["--log-format", "xml"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_call_without_an_action_is_a_misuse() {
    assert_misuse(&["call"]);
}

#[test]
fn logs_go_to_stderr_as_json_if_asked_for() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().args(&["--log", "trace", "--log-format", "json"]).spawn();
    sandbox.configure(&mut plugin, TLS_YES);
    eventually(PATIENCE, "a line is logged", || plugin.stderr().contains('\n'));
    let logged = plugin.stderr();
    for line in logged.lines().take(logged.matches('\n').count()) {
        assert!(serde_json::from_str::<Value>(line).is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[test]
fn without_logs_stderr_is_empty() {
    let sandbox = Sandbox::new();
    let run = sandbox.launch().args(&["--log", "off"]).run_with(b"{}\n");
    assert!(run.stdout.contains("-32600"), "{}", run.stdout);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn recognised_mtas_that_are_not_built_answer_reads() {
    for kind in ["opensmtpd", "sendmail"] {
        let sandbox = Sandbox::new();
        let mut plugin =
            sandbox.launch_plain().args(&["--mta", kind, "--state-dir"]).arg(sandbox.state()).spawn();
        assert_eq!(plugin.payload("isRunning", Value::Null), false, "{kind}");
        assert_eq!(plugin.payload("listPortNumbersArray", Value::Null), json!([""]), "{kind}");
    }
}

#[test]
fn recognised_mtas_that_are_not_built_make_no_change() {
    if !is_root() {
        return skip("without root, a change of a real MTA is forbidden before anything else");
    }
    for kind in ["opensmtpd", "sendmail"] {
        let sandbox = Sandbox::new();
        let mut plugin =
            sandbox.launch_plain().args(&["--mta", kind, "--state-dir"]).arg(sandbox.state()).spawn();
        let params = json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES});
        let answer = plugin.call("update", params);
        assert!([501, 503].contains(&status(&answer)), "neither not built nor not found: {answer}");
    }
}

#[test]
fn reads_need_no_mta_at_all() {
    let sandbox = Sandbox::new();
    let mut plugin =
        sandbox.launch_plain().args(&["--mta", "auto", "--state-dir"]).arg(sandbox.state()).spawn();
    for method in ACTIONS.iter().filter(|name| name.starts_with("list") || **name == "isRunning") {
        plugin.payload(method, Value::Null);
    }
}

// The configuration file.

#[test]
fn a_configuration_that_is_no_toml_is_told_with_its_line() {
    assert_bad_config("[wire]\nmax_message = = 3\n", &["2"]);
}

#[test]
fn a_configured_value_of_the_wrong_type_is_told_with_key_value_and_line() {
    assert_bad_config("[wire]\n\nmax_message = \"plenty\"\n", &["max_message", "plenty", "3"]);
}

#[test]
fn an_unknown_kind_of_mta_in_the_configuration_is_told() {
    assert_bad_config("[mta]\nkind = \"no-such-mta\"\n", &["kind", "no-such-mta", "2"]);
}

#[test]
fn a_variable_of_qmail_that_is_no_name_is_told_with_key_value_and_line() {
    assert_bad_config("[mta.qmail]\nport = \"PORT!\"\n", &["mta.qmail", "PORT!", "line 2"]);
    let twice = "[mta.qmail]\nport = \"ONE\"\nauth = \"ONE\"\n";
    assert_bad_config(twice, &["mta.qmail", "different variables"]);
}

#[test]
fn an_unknown_key_of_the_configuration_is_told() {
    assert_bad_config("[deadlines]\nlunch = 3\n", &["lunch", "2"]);
}

#[test]
fn a_configuration_that_cannot_be_read_is_told() {
    let sandbox = Sandbox::new();
    let folder = sandbox.base().join("folder");
    fs::create_dir(&folder).unwrap();
    let launch = Launch::of(&program()).arg("--config").arg(&folder);
    assert_refuses_to_begin(launch.args(&["--mta", "sandbox"]), &folder);
}

#[test]
fn a_bad_configuration_is_told_to_every_subcommand_that_needs_it() {
    let sandbox = Sandbox::with_config("[wire]\nmax_message = \"plenty\"\n");
    for arguments in [&["call", "isRunning"][..], &["remove"]] {
        let run = sandbox.launch().args(arguments).run();
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn the_configuration_may_name_the_mta() {
    let sandbox = Sandbox::with_config("[mta]\nkind = \"sandbox\"\n");
    let mut plugin = sandbox.launch_plain().arg("--state-dir").arg(sandbox.state()).spawn();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert!(is_open(port));
}

#[test]
fn the_flag_wins_over_the_configuration() {
    let sandbox = Sandbox::with_config("[mta]\nkind = \"opensmtpd\"\n");
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    assert!(is_open(port));
}

#[test]
fn the_whole_example_of_a_configuration_is_taken() {
    let sandbox = Sandbox::with_config(
        r#"
[mta]
kind = "auto"

[wire]
max_message = 1048576

[deadlines]            # seconds
lock = 10
change = 20
node = 50

[cluster]
self = "node1.example.com"       # default: the host name
ssh_program = "/usr/bin/ssh"

[[cluster.node]]
id = "node2.example.com"
ssh = "root@node2.example.com"   # any destination ssh understands; ~/.ssh/config applies
"#,
    );
    sandbox.plugin().assert_answers();
}

// call.

#[test]
fn a_call_prints_the_envelope_of_a_success_and_exits_with_0() {
    let run = run(&["call", "listServiceName"]);
    assert_eq!((run.code, envelope_of(&run)), (Some(0), json!({"status": 0, "payload": "smtp2"})));
}

#[test]
fn a_call_that_answers_false_is_a_success() {
    let run = run(&["call", "isRunning"]);
    assert_eq!((run.code, envelope_of(&run)), (Some(0), json!({"status": 0, "payload": false})));
}

#[test]
fn a_call_that_fails_prints_the_envelope_and_exits_otherwise() {
    for (arguments, expected) in
        [(&["call", "start"][..], 412), (&["call", "update", r#"{"alternate_smtp_port":0}"#], 11)]
    {
        let run = run(arguments);
        assert_eq!(status(&envelope_of(&run)), expected, "{arguments:?}");
        assert_ne!(run.code, Some(0), "{arguments:?}");
    }
}

#[test]
fn a_call_of_an_unknown_action_is_no_success() {
    let run = run(&["call", "noSuchAction"]);
    let said: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &said["error"]["code"]), (Some(2), &json!(-32601)), "{}", run.stdout);
    assert!(run.stderr.starts_with("mail-smtp2: Method not found: noSuchAction"), "{}", run.stderr);
}

#[test]
fn a_call_with_bad_json_is_no_success() {
    for json in ["{", "5", r#"{"a":{"b":1,"b":2}}"#] {
        let run = run(&["call", "isRunning", json]);
        assert_ne!(run.code, Some(0), "{json}");
        let said: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((run.stdout.lines().count(), said["error"]["code"].is_i64()), (1, true), "{json}: {said}");
    }
}

#[test]
fn calls_do_the_whole_job() {
    let sandbox = Sandbox::new();
    let port = sandbox.port();
    let settings = json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}).to_string();
    for arguments in [&["call", "update", &settings][..], &["call", "start"]] {
        let run = sandbox.launch().args(arguments).run();
        assert_eq!(run.code, Some(0), "{arguments:?}: {} {}", run.stdout, run.stderr);
    }
    assert!(is_open(port));
    assert_eq!(sandbox.launch().args(&["call", "stop"]).run().code, Some(0));
    assert!(is_closed(port));
}

#[test]
fn a_change_that_was_called_outlives_its_terminal() {
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        let sandbox = Sandbox::new();
        let lock = sandbox.hold_lock();
        let settings = json!({"alternate_smtp_port": sandbox.port(), "auth_mode": TLS_YES}).to_string();
        let mut command = sandbox.launch().args(&["call", "update", &settings]).command();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually(PATIENCE, "the change waits for the lock", || holds_open(child.id(), &sandbox.lock()));
        kill(as_pid(child.id()), signal).unwrap();
        drop(lock);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{signal}: {said}");
        assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), success(), "{signal}");
    }
}

#[test]
fn a_call_reads_nothing_from_stdin() {
    let sandbox = Sandbox::new();
    let line = format!("{}\n", request(1, "listServicePage", Value::Null));
    let run = sandbox.launch().args(&["call", "listServiceName"]).run_with(line.as_bytes());
    assert_eq!(envelope_of(&run)["payload"], "smtp2");
}

// schema.

#[test]
fn what_cannot_be_written_is_no_success() {
    let sandbox = Sandbox::new();
    let outputs = || {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        [("full", full), ("not open for writing", File::open("/dev/null").unwrap())]
    };
    for arguments in [
        &["call", "isRunning"][..],
        &["status"],
        &["history"],
        &["nodes"],
        &["check"],
        &["man"],
        &["man", "--list"],
        &["completions", "bash"],
        &["--help"],
        &["--version"],
    ] {
        for (name, stdout) in outputs() {
            let mut command = sandbox.launch().args(arguments).command();
            let output = command.stdin(Stdio::null()).stdout(stdout).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {name}: {said}");
        }
    }
}

#[test]
fn the_schema_documents_are_written_into_a_folder() {
    let sandbox = Sandbox::new();
    let folder = sandbox.base().join("documents");
    let run = sandbox.launch().arg("schema").arg(&folder).run();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let actions =
        ACTIONS.iter().flat_map(|action| [format!("params/{action}.json"), format!("payload/{action}.json")]);
    let schemas: Vec<String> = actions.chain(["envelope.json".to_owned()]).collect();
    let older = schemas.iter().map(|name| format!("draft-07/{name}"));
    let others = ["status-codes.json", "reasons.json", "openrpc.json"].map(str::to_owned);
    for name in schemas.iter().cloned().chain(older).chain(others) {
        let text = fs::read(folder.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(serde_json::from_slice::<Value>(&text).is_ok(), "{name} is not JSON");
    }
}

#[test]
fn the_schema_folder_has_a_default() {
    let sandbox = Sandbox::new();
    let run = sandbox.launch().arg("schema").in_folder(sandbox.base()).run();
    assert_eq!(
        (run.code, sandbox.base().join("schema/envelope.json").exists()),
        (Some(0), true),
        "{}",
        run.stderr
    );
}

#[test]
fn a_check_of_documents_just_written_finds_nothing() {
    let sandbox = Sandbox::new();
    let folder = sandbox.base().join("documents");
    sandbox.launch().arg("schema").arg(&folder).run();
    let check = sandbox.launch().args(&["schema", "--check"]).arg(&folder).run();
    assert_eq!(check.code, Some(0), "{} {}", check.stdout, check.stderr);
}

#[test]
fn a_check_says_which_document_differs_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let folder = sandbox.base().join("documents");
    sandbox.launch().arg("schema").arg(&folder).run();
    fs::write(folder.join("envelope.json"), "{}\n").unwrap();
    let check = sandbox.launch().args(&["schema", "--check"]).arg(&folder).run();
    assert_eq!(check.code, Some(1));
    assert!(
        format!("{}{}", check.stdout, check.stderr).contains("envelope.json"),
        "{} {}",
        check.stdout,
        check.stderr
    );
    assert_eq!(fs::read(folder.join("envelope.json")).unwrap(), b"{}\n");
}

#[test]
fn a_check_says_which_document_is_missing() {
    let sandbox = Sandbox::new();
    let folder = sandbox.base().join("documents");
    sandbox.launch().arg("schema").arg(&folder).run();
    fs::remove_file(folder.join("params/update.json")).unwrap();
    let check = sandbox.launch().args(&["schema", "--check"]).arg(&folder).run();
    assert_eq!(check.code, Some(1));
    assert!(
        format!("{}{}", check.stdout, check.stderr).contains("update.json"),
        "{} {}",
        check.stdout,
        check.stderr
    );
}

// status, history, check.

#[test]
fn status_history_and_check_say_in_words_and_by_exit_code_how_it_is() {
    let sandbox = Sandbox::new();
    let said = |verb: &str| {
        let run = sandbox.launch().arg(verb).run();
        (run.code, run.stdout)
    };
    assert_eq!(said("check").0, Some(3));
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_YES);
    let (code, text) = said("check");
    assert!(code == Some(0) && text.starts_with("SMTP2 OK") && text.contains("running=1"), "{text}");
    assert!(text.contains("sessions=") && text.contains(" certificate_days="), "{text}");
    let run = sandbox.launch().args(&["check", "-w", "999999", "-c", "99999"]).run();
    assert!(run.code == Some(2) || run.code == Some(1), "the certificate has less: {}", run.stdout);
    let run = sandbox.launch().args(&["status", "--probe"]).run();
    assert!(run.stdout.contains("127.0.0.1 fits") && run.stdout.contains("certificate  "), "{}", run.stdout);
    assert!(run.stdout.lines().all(|line| line.len() <= 80), "{}", run.stdout);
    let run = sandbox.launch().arg("nodes").run();
    let rows: Vec<&str> = run.stdout.lines().collect();
    assert!(run.code == Some(0) && rows.len() == 2 && rows[1].contains(" running "), "{}", run.stdout);
    let (code, text) = said("status");
    assert!(code == Some(0) && text.contains(&format!("port {port}, auth_yes/tls_yes")), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let (_, text) = said("history");
    assert!(text.contains("  start    ok    asked by "), "{text}");
    assert!(text.contains(&format!("  update   ok    alternate_smtp_port={port}")), "{text}");
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    plugin.succeed("stop", Value::Null);
    assert_eq!(said("check").0, Some(0));
    plugin.succeed("start", Value::Null);
    kill_listeners(port);
    let (code, text) = said("check");
    assert!(code == Some(2) && text.contains("(ended)"), "{text}");
}

#[test]
fn to_a_monitoring_system_what_cannot_be_looked_at_is_unknown() {
    let sandbox = Sandbox::new();
    let code = |arguments: &[&str]| sandbox.launch().args(arguments).run().code;
    assert_eq!(code(&["check", "--warning", "soon"]), Some(3), "2 would say that the service is down");
    fs::write(sandbox.config(), "[wire]\nmax_message = 0\n").unwrap();
    let run = sandbox.launch().arg("check").run();
    assert_eq!(run.code, Some(3), "{}", run.stdout);
    assert!(
        run.stdout.starts_with("SMTP2 UNKNOWN - ") && run.stdout.contains("max_message"),
        "{}",
        run.stdout
    );
}

// plan.

#[test]
fn a_plan_on_the_command_line_is_text_and_exits_with_whether_it_would_be_refused() {
    let sandbox = Sandbox::new();
    let run = |words: &[&str]| sandbox.launch().args(words).run();
    let never = run(&["plan", "start"]);
    assert!(
        never.code == Some(1) && never.stdout.starts_with("start would be refused\n"),
        "{}",
        never.stdout
    );
    let mut plugin = sandbox.plugin();
    let port = sandbox.port();
    plugin.succeed("update", json!({ "alternate_smtp_port": port, "auth_mode": TLS_YES }));
    let start = run(&["plan", "start"]);
    assert!(start.code == Some(0) && start.stdout.contains(&format!("+port = {port}\n")), "{}", start.stdout);
    assert!(!start.stdout.contains('\x1b') && start.stderr.is_empty(), "{}{}", start.stdout, start.stderr);
    let other = run(&["plan", "update", "alternate_smtp_port=25", "--json"]);
    assert_eq!(other.code, Some(1), "{}", other.stdout);
    let plan: Value = serde_json::from_str(&other.stdout).unwrap();
    assert_eq!(plan["payload"]["refusals"][0]["field"], "alternate_smtp_port", "{plan}");
    let unknown = run(&["plan", "start", "alternate_smtp_port=2525"]);
    assert!(unknown.code == Some(1) && unknown.stderr.contains("is no input of start"), "{}", unknown.stderr);
    assert_eq!((run(&["plan", "remove"]).code, run(&["plan", "start", "port"]).code), (Some(2), Some(2)));
}

// remove.

#[test]
fn remove_stops_the_service_and_deletes_the_state() {
    let sandbox = Sandbox::new();
    let port = sandbox.run(&mut sandbox.plugin(), TLS_YES);
    let run = sandbox.launch().arg("remove").run();
    assert_eq!((run.code, is_closed(port)), (Some(0), true), "{}", run.stderr);
    for name in ["settings.json", "history.jsonl", "intent"] {
        assert!(!sandbox.state().join(name).exists(), "{name} is still there");
    }
}

#[test]
fn after_remove_the_service_is_unconfigured() {
    let sandbox = Sandbox::new();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    sandbox.launch().arg("remove").run();
    assert_eq!(sandbox.plugin().payload("listPortNumbersArray", Value::Null), json!([""]));
}

#[test]
fn a_service_can_be_configured_again_after_remove() {
    let sandbox = Sandbox::new();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    sandbox.launch().arg("remove").run();
    let port = sandbox.run(&mut sandbox.plugin(), TLS_YES);
    assert!(is_open(port));
}

#[test]
fn remove_has_nothing_to_do_where_nothing_is() {
    let sandbox = Sandbox::new();
    for _ in 0..2 {
        let run = sandbox.launch().arg("remove").run();
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
}

#[test]
fn remove_exits_with_1_when_another_change_keeps_the_lock() {
    let sandbox = Sandbox::with_config("[deadlines]\nlock = 1\n");
    let port = sandbox.run(&mut sandbox.plugin(), TLS_YES);
    let _lock = sandbox.hold_lock();
    let run = sandbox.launch().arg("remove").run();
    assert_eq!((run.code, is_open(port)), (Some(1), true), "{}", run.stderr);
    assert!(names_number(&run.stderr, std::process::id()), "{}", run.stderr);
}

// Paths that may not be trusted.

#[test]
fn a_state_directory_that_others_may_write_is_not_trusted() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    for mode in [0o777, 0o770, 0o702] {
        let sandbox = Sandbox::new();
        sandbox.make_state();
        fs::set_permissions(sandbox.state(), Permissions::from_mode(mode)).unwrap();
        assert_refuses_to_begin(sandbox.launch(), &sandbox.state());
    }
}

#[test]
fn a_state_directory_of_another_user_is_not_trusted() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    let sandbox = Sandbox::new();
    sandbox.make_state();
    chown(sandbox.state(), Some(NOBODY), None).unwrap();
    assert_refuses_to_begin(sandbox.launch(), &sandbox.state());
}

#[test]
fn a_state_directory_below_a_folder_that_others_may_write_is_not_trusted() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    let sandbox = Sandbox::new();
    let open = sandbox.base().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    assert_refuses_to_begin(sandbox.launch_ephemeral().arg("--state-dir").arg(open.join("state")), &open);
}

#[test]
fn a_sticky_folder_passes_as_a_parent() {
    let sandbox = Sandbox::new();
    let sticky = sandbox.base().join("sticky");
    fs::create_dir(&sticky).unwrap();
    fs::set_permissions(&sticky, Permissions::from_mode(0o1777)).unwrap();
    sandbox.launch_ephemeral().arg("--state-dir").arg(sticky.join("state")).spawn().assert_answers();
}

#[test]
fn a_state_directory_that_is_a_link_is_not_followed() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.base().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o700)).unwrap();
    symlink(&elsewhere, sandbox.state()).unwrap();
    assert_refuses_to_begin(sandbox.launch(), &sandbox.state());
}

#[test]
fn a_configuration_that_others_may_write_is_not_trusted() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    for mode in [0o666, 0o620] {
        let sandbox = Sandbox::new();
        fs::set_permissions(sandbox.config(), Permissions::from_mode(mode)).unwrap();
        assert_refuses_to_begin(sandbox.launch(), &sandbox.config());
    }
}

#[test]
fn a_configuration_of_another_user_is_not_trusted() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    let sandbox = Sandbox::new();
    chown(sandbox.config(), Some(NOBODY), None).unwrap();
    assert_refuses_to_begin(sandbox.launch(), &sandbox.config());
}

#[test]
fn a_configuration_that_is_a_link_is_not_followed() {
    if !is_root() {
        return skip("only root distrusts paths");
    }
    let sandbox = Sandbox::new();
    let real = sandbox.base().join("real.toml");
    fs::rename(sandbox.config(), &real).unwrap();
    symlink(&real, sandbox.config()).unwrap();
    assert_refuses_to_begin(sandbox.launch(), &sandbox.config());
}

// A terminal.

/// What a terminal shows, as it comes and until its back is closed.
fn watch(mut terminal: File) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (sender, shown) = channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut piece) {
            if sender.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    shown
}

#[test]
fn on_a_terminal_two_lines_say_what_it_is_and_it_still_serves() {
    let sandbox = Sandbox::new();
    let [dialogue, remarks] = [Terminal::open(), Terminal::open()];
    let mut command = sandbox.launch().args(&["--log", "off"]).command();
    command.stdin(dialogue.back.try_clone().unwrap()).stdout(dialogue.back).stderr(remarks.back);
    let mut child = Killed(command.spawn().unwrap());
    drop(command);
    let mut keyboard = dialogue.front.try_clone().unwrap();
    let [screen, told] = [watch(dialogue.front), watch(remarks.front)];
    writeln!(keyboard, "{}", request(1, "listServiceName", Value::Null)).unwrap();

    let mut shown = Vec::new();
    let answered = within(PATIENCE, || {
        shown.extend(screen.try_iter().flatten());
        let text = String::from_utf8_lossy(&shown);
        // The last one may not have come to its end.
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.any(|line| line.contains("\"result\"") && well_formed(line.trim().as_bytes())["id"] == 1)
    });
    assert!(answered, "no answer in {}", String::from_utf8_lossy(&shown));
    keyboard.write_all(&[4]).unwrap();
    assert_eq!(wait(&mut child.0, PATIENCE).code(), Some(0));
    let remarked: Vec<u8> = told.iter().flatten().collect();
    let remarked = String::from_utf8_lossy(&remarked);
    assert_eq!(remarked.lines().count(), 2, "{remarked}");
}

#[test]
fn remove_takes_out_what_a_killed_write_left() {
    let sandbox = Sandbox::new();
    sandbox.run(&mut sandbox.plugin(), TLS_YES);
    for name in [".intent.mail-smtp2", ".settings.json.mail-smtp2"] {
        std::fs::write(sandbox.state().join(name), "cut short").unwrap();
    }
    let run = sandbox.launch().arg("remove").run();
    assert_eq!((run.code, sandbox.state().exists()), (Some(0), false), "{}", run.stderr);
}
