//! The conversation, but for lanes and endings (schema/README.md, "The conversation"): messages, ids, faults, framing,
//! the size limit.

use super::support::plugin::{Framing, notification, request, well_formed};
use super::support::sandbox::Sandbox;
use super::support::{ACTIONS, fault, status};
use serde_json::{Value, json};

const MAX_MESSAGE: usize = 1_048_576;

/// The one reply to one message.
#[track_caller]
fn reply_to(message: impl AsRef<[u8]>) -> Value {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(message);
    plugin.receive()
}

/// Everything that is said to these bytes before the end of input, which ends well.
#[track_caller]
fn replies_to(bytes: impl AsRef<[u8]>) -> Vec<Value> {
    let sandbox = Sandbox::new();
    let plugin = sandbox.plugin();
    plugin.send_raw(bytes.as_ref());
    let ending = plugin.end();
    assert_eq!(ending.status.code(), Some(0));
    ending.values()
}

/// Checks that each message is answered with this fault and this id, in one conversation.
#[track_caller]
fn assert_faults(code: i64, cases: &[(&str, Value)]) {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for (message, id) in cases {
        plugin.send(message);
        let reply = plugin.receive();
        assert_eq!((fault(&reply), &reply["id"]), (code, id), "{message} got {reply}");
    }
    plugin.assert_answers();
}

/// `listServiceName`, blown up to an exact length.
fn padded(length: usize) -> String {
    let bare = r#"{"jsonrpc":"2.0","id":1,"method":"listServiceName"}"#;
    format!("{}{}}}", &bare[..bare.len() - 1], " ".repeat(length - bare.len()))
}

#[test]
fn a_request_is_answered_on_one_line() {
    assert_eq!(
        reply_to(request(1, "listServiceName", Value::Null).to_string())["result"]["payload"],
        "smtp2"
    );
}

#[test]
fn crlf_ends_a_line_too() {
    let line = request(1, "listServiceName", Value::Null).to_string();
    assert_eq!(replies_to(format!("{line}\r\n{line}\r\n")).len(), 2);
}

#[test]
fn blank_lines_are_passed_over() {
    let line = request(1, "listServiceName", Value::Null).to_string();
    assert_eq!(replies_to(format!("\n\r\n\n{line}\n\n\r\n")).len(), 1);
}

#[test]
fn an_unterminated_last_line_is_a_message() {
    assert_eq!(replies_to(request(1, "listServiceName", Value::Null).to_string()).len(), 1);
}

#[test]
fn an_unterminated_last_line_that_is_no_json_is_a_fault() {
    let replies = replies_to(r#"{"jsonrpc":"2.0","id":1,"#);
    assert_eq!(replies.iter().map(fault).collect::<Vec<_>>(), [-32700]);
}

#[test]
fn no_input_at_all_is_no_reason_to_speak() {
    assert!(replies_to("").is_empty());
}

#[test]
fn every_form_of_empty_params_is_taken_by_every_reading_action() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for method in ACTIONS.iter().filter(|name| name.starts_with("list") || name.starts_with("isRunning")) {
        for params in ["", r#","params":null"#, r#","params":{}"#, r#","params":[]"#] {
            plugin.send(format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"{params}}}"#));
            let reply = plugin.receive();
            assert_eq!(reply["result"]["status"], 0, "{method} {params} got {reply}");
        }
    }
}

#[test]
fn positions_stand_for_the_inputs_in_the_order_of_the_page() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.port();
    plugin.succeed("update", json!([port, "auth_yes/tls_optional", 0]));
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_optional"}));
}

#[test]
fn fewer_positions_than_inputs_leave_the_rest_absent() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    sandbox.configure(&mut plugin, "auth_yes/tls_optional");
    let port = sandbox.port();
    plugin.succeed("update", json!([port]));
    let settings = plugin.payload("queryUpdate", Value::Null);
    assert_eq!(settings, json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_optional"}));
}

#[test]
fn more_positions_than_inputs_are_refused_input() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.port();
    for (method, params) in [
        ("isRunning", json!([1])),
        ("stop", json!([0, 0])),
        ("isRunningOnNode", json!(["", ""])),
        ("update", json!([port, "auth_yes/tls_yes", 0, null])),
    ] {
        let answer = plugin.call(method, params.clone());
        assert_eq!(status(&answer), 11, "{method} {params} got {answer}");
    }
}

#[test]
fn scalar_params_are_an_invalid_request() {
    let cases: Vec<_> = ["5", "\"x\"", "true", "false", "1.5"]
        .map(|params| format!(r#"{{"jsonrpc":"2.0","id":7,"method":"listServiceName","params":{params}}}"#))
        .into();
    assert_faults(-32600, &cases.iter().map(|case| (case.as_str(), json!(7))).collect::<Vec<_>>());
}

#[test]
fn ids_come_back_byte_for_byte() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for id in [
        "null",
        "0",
        "-0",
        "-1",
        "1.0",
        "1.50",
        "1E5",
        "-2e-3",
        "18446744073709551616",
        "123456789012345678901234567890",
        "-9223372036854775809",
        r#""""#,
        r#""a""#,
        r#""\u0041""#,
        r#""\/ \" \\ \n""#,
        r#""\ud83d\ude00""#,
        "\"grüße 😀\"",
        "\"\u{2028}\u{2029}\"",
    ] {
        plugin.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"listServiceName"}}"#));
        let reply = String::from_utf8(plugin.receive_raw()).unwrap();
        let found = [",", "}"].iter().any(|next| reply.contains(&format!("\"id\":{id}{next}")));
        assert!(found, "id {id} got {reply}");
    }
}

#[test]
fn ids_come_back_byte_for_byte_with_a_fault_too() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for id in ["-1", "1.50", "123456789012345678901234567890", r#""\u0041""#] {
        plugin.send(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"noSuchAction"}}"#));
        let reply = String::from_utf8(plugin.receive_raw()).unwrap();
        assert!(reply.contains(&format!("\"id\":{id}")), "id {id} got {reply}");
    }
}

#[test]
fn an_id_of_another_type_is_an_invalid_request_with_id_null() {
    let cases: Vec<_> = ["true", "false", "[]", "[1]", "{}", r#"{"a":1}"#]
        .map(|id| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"listServiceName"}}"#))
        .into();
    assert_faults(-32600, &cases.iter().map(|case| (case.as_str(), Value::Null)).collect::<Vec<_>>());
}

#[test]
fn an_id_as_long_as_a_message_comes_back_whole() {
    let id = "x".repeat(1_000_000);
    let reply = reply_to(request(id.as_str(), "listServiceName", Value::Null).to_string());
    assert!(reply["id"] == id.as_str(), "the id differs");
}

#[test]
fn a_null_id_is_a_request_and_not_a_notification() {
    let reply = reply_to(r#"{"jsonrpc":"2.0","id":null,"method":"listServiceName"}"#);
    assert_eq!(reply["result"]["payload"], "smtp2");
}

#[test]
fn notifications_get_no_reply() {
    let lines = [
        notification("listServiceName", json!({})),
        notification("noSuchAction", json!({})),
        notification("update", json!({"alternate_smtp_port": 0})),
        notification("stop", json!([])),
    ];
    assert!(replies_to(lines.map(|line| format!("{line}\n")).concat()).is_empty());
}

#[test]
fn a_change_that_comes_as_a_notification_is_done() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    let port = sandbox.port();
    let params = json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_yes"});
    plugin.send(notification("update", params).to_string());
    plugin.succeed("stop", Value::Null);
    assert_eq!(plugin.payload("queryUpdate", Value::Null)["alternate_smtp_port"], port);
}

#[test]
fn what_is_not_json_is_a_parse_error_with_id_null() {
    let cases = [
        "{",
        "}",
        "nul",
        "NaN",
        "'single'",
        "{\"jsonrpc\":\"2.0\",\"id\":1,}",
        "[1,]",
        "[1 2]",
        "{\"a\" 1}",
        "{a:1}",
        "01",
        "1.",
        "+1",
        "\"open",
        "\"\\x\"",
        "\"tab\there\"",
        "{} {}",
        "[] x",
        "// comment",
    ];
    assert_faults(-32700, &cases.map(|case| (case, Value::Null)));
}

#[test]
fn what_is_json_and_no_request_is_an_invalid_request() {
    assert_faults(
        -32600,
        &[
            ("1", Value::Null),
            ("\"text\"", Value::Null),
            ("null", Value::Null),
            ("true", Value::Null),
            ("{}", Value::Null),
            (r#"{"jsonrpc":"2.0"}"#, Value::Null),
            (r#"{"jsonrpc":"2.0","id":3}"#, json!(3)),
            (r#"{"jsonrpc":"2.0","id":4,"method":1}"#, json!(4)),
            (r#"{"jsonrpc":"2.0","id":"5","method":null}"#, json!("5")),
            (r#"{"jsonrpc":"2.0","id":6,"method":["listServiceName"]}"#, json!(6)),
        ],
    );
}

#[test]
fn another_version_of_the_protocol_is_an_invalid_request() {
    assert_faults(
        -32600,
        &[
            (r#"{"id":1,"method":"listServiceName"}"#, json!(1)),
            (r#"{"jsonrpc":"1.0","id":2,"method":"listServiceName"}"#, json!(2)),
            (r#"{"jsonrpc":2.0,"id":3,"method":"listServiceName"}"#, json!(3)),
            (r#"{"jsonrpc":null,"id":4,"method":"listServiceName"}"#, json!(4)),
        ],
    );
}

#[test]
fn a_doubled_member_of_the_request_is_an_invalid_request() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"listServiceName"}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"listServiceName"}"#,
        r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"listServiceName"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"listServiceName","method":"stop"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"listServiceName","params":{},"params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"listServiceName","\u006dethod":"stop"}"#,
    ] {
        plugin.send(message);
        let reply = plugin.receive();
        assert_eq!(fault(&reply), -32600, "{message} got {reply}");
    }
}

#[test]
fn a_doubled_member_at_any_depth_is_an_invalid_request() {
    let cases: Vec<_> = [
        r#"{"auth_mode":"auth_yes/tls_yes","auth_mode":"auth_yes/tls_yes"}"#,
        r#"{"auth_mode":"auth_yes/tls_yes","\u0061uth_mode":"auth_yes/tls_optional"}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"[{"b":1,"b":1}]"#,
        r#"{"a":[[{"b":{"c":[0,{"d":1,"e":2,"d":3}]}}]]}"#,
    ]
    .map(|params| format!(r#"{{"jsonrpc":"2.0","id":9,"method":"update","params":{params}}}"#))
    .into();
    assert_faults(-32600, &cases.iter().map(|case| (case.as_str(), json!(9))).collect::<Vec<_>>());
}

#[test]
fn the_same_member_in_two_objects_is_not_doubled() {
    let reply = reply_to(r#"{"jsonrpc":"2.0","id":1,"method":"update","params":{"a":{"b":1},"c":{"b":1}}}"#);
    assert_eq!(reply["result"]["status"], 11, "{reply}");
}

#[test]
fn an_unknown_action_is_method_not_found() {
    let cases =
        ["noSuchAction", "", "ISRUNNING", "isrunning", "nodeworx.mail.smtp2.isRunning", "rpc.", " isRunning"]
            .map(|name| request(1, name, Value::Null).to_string());
    assert_faults(-32601, &cases.each_ref().map(|case| (case.as_str(), json!(1))));
}

#[test]
fn an_escaped_action_name_is_the_same_name() {
    let reply = reply_to(r#"{"jsonrpc":"2.0","id":1,"method":"\u0069s\u0052unning"}"#);
    assert_eq!(reply["result"]["payload"], false, "{reply}");
}

#[test]
fn refused_input_of_a_known_action_is_a_result() {
    let reply = reply_to(request(1, "update", json!({"alternate_smtp_port": "much"})).to_string());
    assert_eq!(reply["result"]["status"], 11, "{reply}");
}

#[test]
fn separators_that_break_lines_in_javascript_are_escaped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    for message in [
        request(1, "update", json!({"a\u{2028}\u{2029}b": 1})),
        request(2, "no\u{2028}such\u{2029}action", json!({})),
        request(3, "isRunningOnNode", json!({"node_id": "a\u{2028}\u{2029}b"})),
    ] {
        plugin.send(message.to_string());
        let reply = String::from_utf8(plugin.receive_raw()).unwrap();
        assert!(!reply.contains(['\u{2028}', '\u{2029}']), "{message} got {reply}");
    }
}

#[test]
fn a_message_of_exactly_the_limit_is_answered() {
    assert_eq!(reply_to(padded(MAX_MESSAGE))["result"]["payload"], "smtp2");
}

#[test]
fn a_message_one_byte_above_the_limit_is_too_big() {
    let reply = reply_to(padded(MAX_MESSAGE + 1));
    assert_eq!((fault(&reply), &reply["id"]), (-32007, &Value::Null), "{reply}");
}

#[test]
fn the_session_goes_on_after_a_message_that_is_too_big() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send(padded(3 * MAX_MESSAGE));
    assert_eq!(fault(&plugin.receive()), -32007);
    plugin.assert_answers();
}

#[test]
fn an_unterminated_last_line_that_is_too_big_is_answered_at_the_end_of_input() {
    let replies = replies_to(padded(MAX_MESSAGE + 1));
    assert_eq!(replies.iter().map(fault).collect::<Vec<_>>(), [-32007]);
}

#[test]
fn the_limit_is_a_setting() {
    let sandbox = Sandbox::with_config("[wire]\nmax_message = 65536\n");
    let mut plugin = sandbox.plugin();
    plugin.send(padded(65_536));
    plugin.send(padded(65_537));
    assert_eq!(plugin.receive()["result"]["payload"], "smtp2");
    assert_eq!(fault(&plugin.receive()), -32007);
}

#[test]
fn a_session_that_begins_with_a_header_speaks_headers() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    for _ in 0..3 {
        plugin.assert_answers();
    }
}

#[test]
fn header_framing_counts_bytes() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send_request("grüße 😀", "listServiceName", Value::Null);
    plugin.send_request("next", "listServiceName", Value::Null);
    assert_eq!(plugin.receive()["id"], "grüße 😀");
    assert_eq!(plugin.receive()["id"], "next");
}

#[test]
fn header_framing_takes_a_message_of_several_lines() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send("{\n  \"jsonrpc\": \"2.0\",\r\n  \"id\": 1,\n  \"method\": \"listServiceName\"\n}\n");
    assert_eq!(plugin.receive()["result"]["payload"], "smtp2");
}

#[test]
fn a_framed_message_that_the_end_cuts_short_is_answered() {
    let sandbox = Sandbox::new();
    let plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send_raw("Content-Length: 100\r\n\r\n{\"jsonrpc\":");
    let ending = plugin.end();
    assert_eq!(ending.values().iter().map(fault).collect::<Vec<_>>(), [-32700]);
    assert_eq!(ending.status.code(), Some(0));
}

#[test]
fn a_byte_order_mark_before_the_first_message_is_skipped() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.plugin();
    plugin.send_raw(format!("\u{feff}{}\n", request(1, "listServiceName", Value::Null)));
    assert_eq!(plugin.receive()["result"]["payload"], "smtp2");
}

#[test]
fn replies_that_are_fed_back_are_not_answered() {
    let sandbox = Sandbox::new();
    let plugin = sandbox.plugin();
    plugin.send(r#"{"jsonrpc":"2.0","id":1,"result":{"status":0,"payload":"smtp2"}}"#);
    plugin.send(r#"[{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}]"#);
    assert_eq!(plugin.end().replies.len(), 0);
}

#[test]
fn header_framing_takes_further_headers() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    let body = request(1, "listServiceName", Value::Null).to_string();
    let kind = "Content-Type: application/vscode-jsonrpc; charset=utf-8";
    plugin.send_raw(format!("Content-Length: {}\r\n{kind}\r\n\r\n{body}", body.len()));
    assert_eq!(plugin.receive()["result"]["payload"], "smtp2");
}

#[test]
fn header_framing_answers_what_is_not_json_and_goes_on() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send("{not json");
    assert_eq!(fault(&plugin.receive()), -32700);
    plugin.assert_answers();
}

#[test]
fn header_framing_answers_a_message_that_is_too_big_and_goes_on() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send(padded(2 * MAX_MESSAGE));
    let reply = plugin.receive();
    assert_eq!((fault(&reply), &reply["id"]), (-32007, &Value::Null));
    plugin.assert_answers();
}

#[test]
fn header_framing_is_silent_about_notifications() {
    let sandbox = Sandbox::new();
    let plugin = sandbox.launch().framing(Framing::Headers).spawn();
    plugin.send(notification("listServiceName", json!({})).to_string());
    plugin.send_request(1, "listServiceName", Value::Null);
    let ending = plugin.end();
    assert_eq!((ending.replies.len(), ending.status.code()), (1, Some(0)));
}

#[test]
fn discovery_answers_the_document_itself() {
    let document = reply_to(request(1, "rpc.discover", Value::Null).to_string())["result"].take();
    assert!(document["openrpc"].is_string(), "{document}");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn discovery_lists_every_action() {
    let document = reply_to(request(1, "rpc.discover", Value::Null).to_string())["result"].take();
    let names: Vec<_> =
        document["methods"].as_array().unwrap().iter().map(|method| &method["name"]).collect();
    for action in ACTIONS {
        assert!(names.iter().any(|name| *name == action), "{action} is not among {names:?}");
    }
}

#[test]
fn stdin_may_be_a_file() {
    let sandbox = Sandbox::new();
    let line = request(1, "listServiceName", Value::Null).to_string();
    let run = sandbox.launch().run_with(format!("{line}\n{line}").as_bytes());
    let replies: Vec<_> = run.stdout.lines().map(|line| well_formed(line.as_bytes())).collect();
    assert_eq!((run.code, replies.len()), (Some(0), 2));
}

#[test]
fn stdin_and_stdout_may_be_a_socket() {
    use std::io::{BufRead, BufReader, Write};
    let sandbox = Sandbox::new();
    let (mut host, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    host.set_read_timeout(Some(super::support::PATIENCE)).unwrap();
    let mut command = sandbox.launch().command();
    command.stdin(std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()));
    command.stdout(std::os::fd::OwnedFd::from(theirs));
    let _child = super::support::plugin::Killed(command.spawn().unwrap());
    drop(command);
    writeln!(host, "{}", request(1, "listServiceName", Value::Null)).unwrap();
    let mut line = String::new();
    BufReader::new(host).read_line(&mut line).unwrap();
    assert_eq!(well_formed(line.trim_end().as_bytes())["result"]["payload"], "smtp2");
}

#[test]
fn at_trace_level_stdout_still_carries_nothing_but_the_protocol() {
    let sandbox = Sandbox::new();
    let mut plugin = sandbox.launch().args(&["--log", "trace"]).spawn();
    sandbox.run(&mut plugin, "auth_yes/tls_yes");
    plugin.succeed("restart", Value::Null);
    plugin.succeed("stop", Value::Null);
    assert!(plugin.end().values().is_empty());
}
