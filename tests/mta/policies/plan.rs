//! A plan: what it says is what then happens, and nothing happens by asking.

use crate::subject::{Squatter, Subject, configure, on, policies, settings};
use crate::support::plugin::Plugin;
use crate::support::sandbox::addresses;
use crate::support::{PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure};
use serde_json::{Value, json};
use similar::TextDiff;

policies! {
    what_a_plan_says_is_what_then_happens,
    a_plan_names_first_what_the_change_is_refused_by,
}

fn what_a_plan_says_is_what_then_happens<S: Subject>() {
    on::<S>(|machine| {
        let flags = ["--log", "mail_smtp2::change=debug", "--log-format", "json"];
        let mut plugin = machine.launch().args(&flags).spawn();
        configure(&mut plugin, machine.port(), TLS_YES);
        for (nth, action) in ["start", "restart", "stop"].into_iter().enumerate() {
            let plan = plugin.payload("queryPlan", json!({ "action": action }));
            assert_eq!((&plan["is_refused"], &plan["changes"]), (&json!(0), &json!(1)), "{action}: {plan}");
            let files: Vec<Value> = plan["files"].as_array().unwrap().clone();
            let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
            let read = || paths.iter().map(|path| text(machine, path)).collect::<Vec<_>>();
            let (before, told) = (read(), told(&plugin).len());
            let again = plugin.payload("queryPlan", json!({ "action": action }));
            let of = |plan: &Value| (plan["files"].clone(), plan["warnings"].clone());
            assert!(of(&plan) == of(&again) && read() == before, "{action}: asking has changed something");

            plugin.succeed(action, Value::Null);
            // The update above was the first.
            eventually(PATIENCE, "the change is in the log", || count(&plugin, "change") == nth + 2);
            let seen = self::told(&plugin).split_off(told);
            assert_eq!(once(&seen), once(&tells(&plan)), "{action}");
            for ((file, old), new) in files.iter().zip(&before).zip(&read()) {
                let (path, diff) = (file["path"].as_str().unwrap(), file["diff"].as_str().unwrap());
                // A file that not everybody may read is shown without what stands around.
                let is_so = [0, 3].into_iter().any(|radius| {
                    let real = TextDiff::from_lines(&**old, &**new);
                    real.unified_diff().context_radius(radius).header(path, path).to_string() == diff
                });
                assert!(is_so, "{action}: {path} is now\n{new}\nand was\n{old}\nwhich is not\n{diff}");
            }
            if action == "start" {
                let idle = plugin.payload("queryPlan", json!({ "action": action }));
                assert_eq!(
                    (&idle["changes"], &idle["files"], &idle["tells"]),
                    (&json!(0), &json!([]), &json!([]))
                );
            }
        }
    });
}

fn a_plan_names_first_what_the_change_is_refused_by<S: Subject>() {
    on::<S>(|machine| {
        let mut plugin = machine.launch().spawn();
        let plan = plugin.payload("queryPlan", Value::Null);
        assert_eq!(plan["refusals"][0]["status"], 412, "{plan}");
        let port = machine.port();
        configure(&mut plugin, port, TLS_YES);
        let _squatter = Squatter::on(machine, addresses(port)[0]);
        // An update to what is set already would change nothing, and be refused by nothing.
        for (action, input) in [("start", json!({})), ("update", settings(port, TLS_OPTIONAL))] {
            let mut asked = input.clone();
            asked["action"] = json!(action);
            let plan = plugin.payload("queryPlan", asked);
            let first = &plan["refusals"][0];
            assert_eq!(
                (&plan["is_refused"], &first["field"]),
                (&json!(1), &json!("alternate_smtp_port")),
                "{plan}"
            );
            let answer = plugin.call(action, input);
            let said = failure(&answer, first["status"].as_i64().unwrap());
            assert!(said.starts_with(first["sentence"].as_str().unwrap()), "{said} is not {plan}");
        }
    });
}

/// A file of the machine's, as a plan shows it; nothing where there is none.
fn text(machine: &impl Subject, path: &str) -> String {
    let output = machine.command("cat").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Those of the log's lines that say this.
fn lines(plugin: &Plugin, what: &str) -> Vec<Value> {
    let log = plugin.stderr();
    // The last line may still be on its way.
    let whole = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let fields = whole.filter_map(|line| Some(serde_json::from_str::<Value>(line).ok()?["fields"].take()));
    fields.filter(|fields| fields["message"] == what).collect()
}

fn count(plugin: &Plugin, what: &str) -> usize {
    lines(plugin, what).len()
}

/// What was told so far, as the log has it.
fn told(plugin: &Plugin) -> Vec<String> {
    lines(plugin, "tell").iter().map(telling).collect()
}

/// What a plan says that would be told.
fn tells(plan: &Value) -> Vec<String> {
    plan["tells"].as_array().unwrap().iter().map(telling).collect()
}

/// Without the pid: a mail server's sessions come and go.
fn telling(fields: &Value) -> String {
    let who = fields["who"].as_str().unwrap();
    format!("{}: {}", who.split(" (pid ").next().unwrap(), fields["what"].as_str().unwrap())
}

/// Each once, where several in a row are the same.
fn once(tellings: &[String]) -> Vec<&String> {
    let mut once: Vec<&String> = tellings.iter().collect();
    once.dedup();
    once
}
