//! The envelope, input and payloads (schema/README.md, "The envelope", "Input", "Actions"): the envelope, what is done
//! to input before an action sees it, and the payload of every action.
//!
//! What `start`, `stop` and `update` do to a service is tested in `service`; here they are only spoken to.

use super::support::plugin::Plugin;
use super::support::sandbox::Sandbox;
use super::support::smtp::is_closed;
use super::support::{
    ACTIONS, PATIENCE, TLS_OPTIONAL, TLS_YES, eventually, failure, refused_fields, skip, status, success,
    text,
};
use serde_json::{Value, json};
use std::net::TcpListener;

/// The payload of an action on a machine where nothing was ever configured.
#[track_caller]
fn unconfigured(method: &str) -> Value {
    let sandbox = Sandbox::new();
    sandbox.plugin().payload(method, Value::Null)
}

/// Calls `update` with one faulty member after the other; each is refused under its own name.
#[track_caller]
fn assert_refused(field: &str, values: impl IntoIterator<Item = Value>) {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    for value in values {
        let answer = plugin.call("update", json!({field: value}));
        assert_eq!(refused_fields(&answer), [field], "{value}");
    }
}

/// Calls `stop` with the flag, on a machine that is alone.
#[track_caller]
fn stop_with_flag(plugin: &mut Plugin, flag: &Value) -> Value {
    plugin.call("stop", json!({"cascade_to_nodes": flag}))
}

// Section 3: the envelope.

#[test]
fn status_comes_first_and_payload_second() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send_request(1, "listServiceName", Value::Null);
    let reply = String::from_utf8(plugin.receive_raw()).unwrap();
    assert!(reply.contains(r#""result":{"status":0,"payload":"smtp2"}"#), "{reply}");
}

#[test]
fn the_envelope_holds_nothing_else() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for method in ACTIONS {
        let answer = plugin.call(method, Value::Null);
        let mut members: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        let of_failure = answer["status"] != 0;
        let expected: &[&str] =
            if of_failure { &["error", "payload", "status"] } else { &["payload", "status"] };
        assert_eq!(members, expected, "{method}");
    }
}

#[test]
fn a_failure_is_plain_text_whose_first_line_says_something() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for (method, params) in
        [("start", json!({})), ("update", json!({})), ("stop", json!({"cascade_to_nodes": 2}))]
    {
        let answer = plugin.call(method, params);
        assert!(text(&answer).lines().next().is_some_and(|line| line.contains(' ')), "{method}: {answer}");
    }
}

#[test]
fn a_failure_says_why_to_programs() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let never = plugin.call("start", Value::Null);
    assert_eq!(never["error"], json!({"reason": "never_configured", "retry": false, "step": "plan"}));
    let refused = plugin.call("update", json!({"alternate_smtp_port": 0, "auth_mode": TLS_YES, "x": 1}));
    let fields = refused["error"]["fields"].as_array().unwrap().iter();
    let fields: Vec<String> = fields
        .map(|field| {
            let told = |member: &str| field[member].as_str().unwrap();
            assert!(text(&refused).contains(&format!("{}: {}", told("name"), told("message"))), "{refused}");
            format!("{} {}", told("name"), told("keyword"))
        })
        .collect();
    assert_eq!(fields, ["alternate_smtp_port minimum", "x additionalProperties"]);
}

#[test]
fn the_sandbox_fails_as_its_configuration_asks_for_and_does_nothing_then() {
    let sandbox =
        Sandbox::with_config("[sandbox]\nfail = [\"start:409:port_held\", \"isRunning:403:not_seen\"]\n");
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let answer = plugin.call("start", Value::Null);
    failure(&answer, 409);
    let error = &answer["error"];
    assert_eq!((&error["reason"], &error["retry"]), (&json!("port_held"), &json!(false)));
    assert_eq!(error["fields"][0]["name"], "alternate_smtp_port", "{answer}");
    assert!(is_closed(port));
    failure(&plugin.call("isRunning", Value::Null), 403);
    plugin.succeed("stop", Value::Null);
}

#[test]
fn a_configuration_of_failures_that_there_are_not_is_told() {
    for fail in ["\"start\"", "\"begin:409:port_held\"", "\"start:0:port_held\"", "\"start:409:moon\"", "7"] {
        let sandbox = Sandbox::with_config(&format!("[sandbox]\nfail = {fail}\n"));
        let run = sandbox.launch().args(&["call", "isRunning"]).run();
        assert_eq!(run.code, Some(1), "{fail}: {}", run.stderr);
        assert!(run.stderr.contains("ACTION:STATUS:REASON"), "{fail}: {}", run.stderr);
    }
}

#[test]
fn all_faults_of_an_input_are_told_at_once() {
    let sandbox = Sandbox::new();
    let input =
        json!({"alternate_smtp_port": 70000, "auth_mode": "none", "cascade_to_nodes": 2, "colour": "red"});
    let answer = sandbox.plugin().call("update", input);
    let mut fields = refused_fields(&answer);
    fields.sort_unstable();
    assert_eq!(fields, ["alternate_smtp_port", "auth_mode", "cascade_to_nodes", "colour"]);
}

#[test]
fn a_name_of_the_hosts_is_cut_to_one_kib() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"a".repeat(100_000): 1, "auth_mode": TLS_YES}));
    let told = failure(&answer, 11);
    assert!(!told.contains(&"a".repeat(1025)), "{} bytes of it", told.len());
}

#[test]
fn a_value_of_the_hosts_is_cut_to_one_kib() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"auth_mode": "a".repeat(100_000)}));
    assert!(!failure(&answer, 11).contains(&"a".repeat(1025)));
}

#[test]
fn each_name_of_the_hosts_is_cut_for_itself() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"a".repeat(1000): 1, "b".repeat(1000): 1}));
    let told = failure(&answer, 11);
    assert!(told.contains(&"a".repeat(900)) && told.contains(&"b".repeat(900)), "{told}");
}

#[test]
fn control_characters_of_a_name_of_the_hosts_are_replaced() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"a\u{0}\u{7}\u{1b}[31m\t\r\u{7f}\u{85}b": 1}));
    let told = failure(&answer, 11);
    assert!(!told.chars().any(|letter| letter.is_control() && letter != '\n'), "{told:?}");
}

#[test]
fn a_name_of_the_hosts_cannot_add_a_line() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"colour\nauth_mode: forged": 1}));
    assert_eq!(failure(&answer, 11).lines().count(), 2, "{answer}");
}

// Section 4: normalise, validate.

#[test]
fn an_integer_may_come_as_a_form_sends_it() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let spellings: [fn(u16) -> Value; 3] =
        [|port| json!(port), |port| json!(port.to_string()), |port| json!(f64::from(port))];
    for spell in spellings {
        let port = sandbox.port();
        let sent = spell(port);
        assert_eq!(plugin.call("update", json!({"alternate_smtp_port": sent})), success(), "{sent}");
        assert_eq!(plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"], port, "{sent}");
    }
}

#[test]
fn nothing_else_is_bent_into_an_integer() {
    assert_refused(
        "alternate_smtp_port",
        [
            json!(" 2587"),
            json!("2587 "),
            json!("+2587"),
            json!("-2587"),
            json!("02587"),
            json!("2587.0"),
            json!("2.587e3"),
            json!("0x1f4"),
            json!("２５８７"),
            json!("smtp"),
            json!(2587.5),
            json!(true),
            json!(false),
            json!([2587]),
            json!({"port": 2587}),
        ],
    );
}

#[test]
fn a_port_out_of_range_is_refused() {
    assert_refused(
        "alternate_smtp_port",
        [
            json!(0),
            json!("0"),
            json!(-1),
            json!(65536),
            json!("65536"),
            json!("99999"),
            json!("100000"),
            json!(-587.0),
            json!(u64::MAX),
            json!(1e300),
        ],
    );
}

#[test]
fn an_unknown_auth_mode_is_refused() {
    assert_refused(
        "auth_mode",
        [
            json!("0"),
            json!(0),
            json!("auth_no"),
            json!("AUTH_YES/TLS_YES"),
            json!(" auth_yes/tls_yes"),
            json!("auth_yes/tls_yes "),
            json!("auth_yes/tls_yes\n"),
            json!("auth_yes"),
            json!(true),
            json!(["auth_yes/tls_yes"]),
            json!({"auth": true}),
        ],
    );
}

#[test]
fn a_flag_may_come_as_a_form_sends_it() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for flag in
        [json!(0), json!(1), json!("0"), json!("1"), json!(true), json!(false), json!(""), Value::Null]
    {
        assert_eq!(stop_with_flag(&mut plugin, &flag), success(), "{flag}");
    }
}

#[test]
fn nothing_else_is_bent_into_a_flag() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for flag in [
        json!(2),
        json!(-1),
        json!("2"),
        json!("true"),
        json!("yes"),
        json!("01"),
        json!(" 1"),
        json!(0.5),
        json!([1]),
    ] {
        assert_eq!(refused_fields(&stop_with_flag(&mut plugin, &flag)), ["cascade_to_nodes"], "{flag}");
    }
}

#[test]
fn a_member_that_is_null_or_empty_counts_as_absent() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_OPTIONAL);
    for nothing in [Value::Null, json!("")] {
        let params =
            json!({"alternate_smtp_port": nothing, "auth_mode": nothing, "cascade_to_nodes": nothing});
        assert_eq!(plugin.call("update", params), success());
    }
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL}));
}

#[test]
fn an_unknown_member_is_refused_by_every_action() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for method in ACTIONS {
        let answer = plugin.call(method, json!({"colour": 1}));
        assert!(refused_fields(&answer).contains(&"colour"), "{method}: {answer}");
    }
}

#[test]
fn an_input_of_another_action_is_an_unknown_member() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for (method, field) in [
        ("isRunning", "node_id"),
        ("start", "node_id"),
        ("startOnNode", "cascade_to_nodes"),
        ("stop", "alternate_smtp_port"),
        ("queryUpdate", "auth_mode"),
    ] {
        let answer = plugin.call(method, json!({field: 1}));
        assert_eq!(refused_fields(&answer), [field], "{method}");
    }
}

#[test]
fn refused_input_leaves_the_settings_alone() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    let input = json!({"alternate_smtp_port": sandbox.port(), "auth_mode": "none"});
    assert_eq!(status(&plugin.call("update", input)), 11);
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
}

#[test]
fn an_absent_value_of_an_update_takes_the_current_one() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL}));
}

#[test]
fn an_unconfigured_machine_must_be_told_the_auth_mode_once() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for params in [json!({}), json!({"alternate_smtp_port": sandbox.port()}), json!({"auth_mode": ""})] {
        let answer = plugin.call("update", params);
        assert_eq!(refused_fields(&answer), ["auth_mode"], "{answer}");
    }
}

#[test]
fn an_unconfigured_machine_takes_587_for_an_absent_port() {
    let Ok(held) = TcpListener::bind("127.0.0.1:587") else {
        return skip("port 587 cannot be had here");
    };
    drop(held);
    // What another test has just forked has it for a moment longer.
    eventually(PATIENCE, "nobody listens on 587", || is_closed(587));
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.succeed("update", json!({"auth_mode": TLS_YES}));
    assert_eq!(plugin.payload("listPortNumbersArray", Value::Null), json!([587]));
}

#[test]
fn the_number_0_that_an_unconfigured_service_reports_is_not_taken_back() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for mode in [json!("0"), json!(0)] {
        let answer = plugin.call("update", json!({"alternate_smtp_port": sandbox.port(), "auth_mode": mode}));
        assert_eq!(refused_fields(&answer), ["auth_mode"]);
    }
}

#[test]
fn the_primary_servers_own_port_is_refused_input() {
    let sandbox = Sandbox::new();
    let answer = sandbox.plugin().call("update", json!({"alternate_smtp_port": 25, "auth_mode": TLS_YES}));
    assert_eq!(refused_fields(&answer), ["alternate_smtp_port"]);
}

// Section 5: the actions.

#[test]
fn an_unconfigured_service_is_not_running() {
    assert_eq!(unconfigured("isRunning"), false);
}

#[test]
fn an_unconfigured_service_is_not_running_on_this_node() {
    assert_eq!(unconfigured("isRunningOnNode"), false);
}

#[test]
fn the_general_name_is_the_hosts_token() {
    assert_eq!(unconfigured("listGeneralName"), "##LG_ALTERNATE_INBOUND_SMTP_SERVER##");
}

#[test]
fn the_ports_of_an_unconfigured_service_are_the_pages_success() {
    assert_eq!(unconfigured("listPortNumbers"), "Success");
}

#[test]
fn the_array_of_ports_of_an_unconfigured_service_holds_an_empty_string() {
    assert_eq!(unconfigured("listPortNumbersArray"), json!([""]));
}

#[test]
fn the_required_permission_is_email() {
    assert_eq!(unconfigured("listRequiredPermissions"), json!(["EMAIL"]));
}

#[test]
fn the_service_info_of_an_unconfigured_service_is_the_pages_example() {
    assert_eq!(
        unconfigured("listServiceInfo"),
        json!({
            "id": "smtp2",
            "name": "##LG_ALTERNATE_INBOUND_SMTP_SERVER##",
            "ports": "",
            "page": "/nodeworx/mail/mta",
            "ctrl": "/nodeworx/mail/smtp2",
            "is_running": 0,
        })
    );
}

#[test]
fn the_service_info_comes_in_the_order_of_the_page() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send_request(1, "listServiceInfo", Value::Null);
    let reply = String::from_utf8(plugin.receive_raw()).unwrap();
    let places: Vec<_> =
        ["\"status\"", "\"id\":\"smtp2\"", "\"name\"", "\"ports\"", "\"page\"", "\"ctrl\"", "\"is_running\""]
            .iter()
            .map(|member| reply.find(member).unwrap_or_else(|| panic!("no {member} in {reply}")))
            .collect();
    assert!(places.is_sorted(), "{reply}");
}

#[test]
fn the_service_name_is_its_id() {
    assert_eq!(unconfigured("listServiceName"), "smtp2");
}

#[test]
fn the_service_page_is_the_pages() {
    assert_eq!(unconfigured("listServicePage"), "/nodeworx/mail/mta");
}

#[test]
fn an_unconfigured_service_offers_the_pages_defaults_for_an_update() {
    assert_eq!(unconfigured("queryUpdate"), json!({"alternate_smtp_port": 587, "auth_mode": "0"}));
}

#[test]
fn a_stopped_service_lists_its_port() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.configure(&mut plugin, TLS_YES);
    assert_eq!(plugin.payload("listPortNumbers", Value::Null), port.to_string());
    assert_eq!(plugin.payload("listPortNumbersArray", Value::Null), json!([port]));
    let info = plugin.payload("listServiceInfo", Value::Null);
    assert_eq!((&info["ports"], &info["is_running"]), (&json!(port.to_string()), &json!(0)));
}

#[test]
fn a_running_service_says_so_in_every_reading_action() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.run(&mut plugin, TLS_OPTIONAL);
    assert_eq!(plugin.payload("isRunning", Value::Null), true);
    assert_eq!(plugin.payload("isRunningOnNode", Value::Null), true);
    let info = plugin.payload("listServiceInfo", Value::Null);
    assert_eq!((&info["ports"], &info["is_running"]), (&json!(port.to_string()), &json!(1)));
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": TLS_OPTIONAL}));
}

#[test]
fn this_machine_is_a_node_under_its_configured_id() {
    let sandbox = Sandbox::with_config("[cluster]\nself = \"node1.example.com\"\n");
    let mut plugin = sandbox.plugin();
    assert_eq!(plugin.payload("isRunningOnNode", json!({"node_id": "node1.example.com"})), false);
}

#[test]
fn this_machine_is_a_node_under_its_host_name() {
    let name = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.plugin().payload("isRunningOnNode", json!({"node_id": name})), false);
}

#[test]
fn the_actions_on_this_node_do_what_the_base_actions_do() {
    let sandbox = Sandbox::with_config("[cluster]\nself = \"node1.example.com\"\n");
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, TLS_YES);
    let here = json!({"node_id": "node1.example.com"});
    for (method, running) in [("startOnNode", true), ("restartOnNode", true), ("stopOnNode", false)] {
        plugin.succeed(method, here.clone());
        assert_eq!(plugin.payload("isRunning", Value::Null), running, "after {method}");
    }
}

#[test]
fn an_absent_node_id_is_this_machine() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for params in [Value::Null, json!([]), json!({}), json!({"node_id": ""}), json!({"node_id": null})] {
        plugin.succeed("stopOnNode", params);
    }
}

#[test]
fn an_unknown_node_id_is_refused_with_the_known_ones() {
    let sandbox = Sandbox::with_config("[cluster]\nself = \"node1.example.com\"\n");
    let mut plugin = sandbox.plugin();
    for method in ["isRunningOnNode", "startOnNode", "stopOnNode", "restartOnNode"] {
        let answer = plugin.call(method, json!({"node_id": "elsewhere"}));
        assert_eq!(refused_fields(&answer), ["node_id"], "{method}");
        assert!(text(&answer).contains("node1.example.com"), "{answer}");
    }
}

#[test]
fn a_node_id_that_is_no_string_is_refused() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for id in [json!(1), json!(true), json!(["a"]), json!({"id": "a"})] {
        assert_eq!(
            refused_fields(&plugin.call("isRunningOnNode", json!({"node_id": id}))),
            ["node_id"],
            "{id}"
        );
    }
}

#[test]
fn an_unconfigured_service_cannot_be_started() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for method in ["start", "restart", "startOnNode", "restartOnNode"] {
        failure(&plugin.call(method, Value::Null), 412);
    }
}

#[test]
fn stopping_what_was_never_configured_is_success() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.succeed("stop", Value::Null);
    plugin.succeed("stopOnNode", Value::Null);
}
