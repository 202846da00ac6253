//! Every kind of failure in every position, for clusters of one to sixteen other nodes: what is injected is reported.
//!
//! The kinds are laid around the nodes and turned by one for each cascade, so that each comes to stand everywhere, beside
//! every neighbour. Each line of the answer is held against what its node did: number, words, and what is known of the
//! service there.

use super::simulated::Simulated;
use super::support::plugin::Plugin;
use super::support::{PATIENCE, eventually, failure, success};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is known of the service on a node that failed.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    Untouched,
    Nothing,
    /// Its envelope says it.
    Said,
}

use Known::{Nothing, Said, Untouched};

/// How a node behaves, and what the line says that is its own; no words are a success.
const KINDS: [(&str, &str, Known); 27] = [
    ("fine", "", Said),
    ("changed", "502 its host key is not the one that known_hosts has", Untouched),
    ("stranger", "502 its host key is not known here", Untouched),
    ("denied", "502 it does not accept our key", Untouched),
    ("nameless", "502 its name cannot be resolved", Untouched),
    ("minor", "", Said),
    ("refused", "502 no ssh server answers there", Untouched),
    ("cut", "502 it does not answer", Untouched),
    ("missing", "502 no mail-smtp2 is on the PATH there", Untouched),
    ("barred", "502 the mail-smtp2 there cannot be executed", Untouched),
    (
        "misled",
        "502 the plugin there ended with exit status 1: mail-smtp2: /etc/mail-smtp2.toml, line 3",
        Untouched,
    ),
    ("rubbish", "502 something there prints text before the plugin speaks", Untouched),
    (
        "ended",
        "502 the login there ended before the plugin spoke; see that the user's shell and the command in \
         authorized_keys start mail-smtp2: This account is currently not available.",
        Untouched,
    ),
    ("killed", "502 the plugin there was killed, or ended with exit status 255", Nothing),
    ("newer", concat!("502 mail-smtp2 2.0.0 runs there and ", env!("CARGO_PKG_VERSION"), " here"), Untouched),
    ("older", concat!("502 mail-smtp2 0.9.1 runs there and ", env!("CARGO_PKG_VERSION"), " here"), Untouched),
    ("fine", "", Said),
    ("hangs", "502 no answer came within", Nothing),
    ("deaf", "502 no answer came within", Untouched),
    ("dies", "502 the connection to the plugin there broke", Nothing),
    ("resets", "502 it went silent", Nothing),
    ("garbles", "502 what came from there is no reply of mail-smtp2: Segmentation fault", Nothing),
    ("floods", "502 a reply from there is longer than", Nothing),
    ("busy", "502 the plugin there answers with the error -32009", Untouched),
    ("faulty", "502 the plugin there answers with the error -32603", Nothing),
    ("full", "500 cannot write /x: No space left on device; nothing was changed", Said),
    ("fields", "11 the input was refused; alternate_smtp_port: is a port of the primary", Said),
];

/// Seconds for a node to answer: what the nodes that hang cost each cascade, and what the others have on a busy machine.
const DEADLINE: f64 = 12.0;

#[test]
fn each_failure_is_reported_wherever_it_happens_and_nothing_else_is() {
    let (injected, reported) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for size in 1..=16 {
            for turn in 0..KINDS.len() {
                // One after the other: where all begin at once, nodes that are fine are late. The deadlines of those
                // that hang are waited for side by side.
                let cascade = Cascade::begin(size, turn);
                scope.spawn(|| cascade.judge(&injected, &reported));
            }
        }
    });
    let (injected, reported) = (injected.into_inner(), reported.into_inner());
    eprintln!("failures injected: {injected}, reported: {reported}");
    assert_eq!(injected, reported);
}

/// A cascade under way.
struct Cascade {
    kinds: Vec<(&'static str, &'static str, Known)>,
    cluster: Simulated,
    plugin: Plugin,
    id: String,
}

impl Cascade {
    /// When this returns, the ssh of every node was started.
    fn begin(size: usize, turn: usize) -> Self {
        let kinds: Vec<_> = (0..size).map(|at| KINDS[(at + turn) % KINDS.len()]).collect();
        let cluster = Simulated::patient(DEADLINE, kinds.iter().map(|(kind, ..)| *kind));
        let mut plugin = cluster.plugin();
        let id = plugin.post("stop", json!({"cascade_to_nodes": 1}));
        let numbers = 2..2 + size;
        eventually(PATIENCE, "every ssh was started", || {
            numbers.clone().all(|number| cluster.starts(number) > 0)
        });
        Self { kinds, cluster, plugin, id }
    }

    /// Holds its answer against what its nodes did.
    fn judge(self, injected: &AtomicUsize, reported: &AtomicUsize) {
        let Self { kinds, cluster, mut plugin, id } = self;
        let size = kinds.len();
        let answer = plugin.receive_reply(id)["result"].take();
        let expected: Vec<_> = (2..).zip(&kinds).filter(|(_, (_, words, _))| !words.is_empty()).collect();
        injected.fetch_add(expected.len(), Ordering::Relaxed);
        let names: Vec<_> = kinds.iter().map(|(kind, ..)| kind).collect();
        if expected.is_empty() {
            assert_eq!(answer, success(), "{names:?}");
        } else {
            let text = failure(&answer, 502);
            let mut lines = text.lines();
            let first = format!("done here; {} of {size} nodes failed", expected.len());
            assert_eq!(lines.next(), Some(&*first), "{names:?}: {text}");
            let lines: Vec<_> = lines.collect();
            assert_eq!(lines.len(), expected.len(), "{names:?}: {text}");
            for (line, (number, (_, words, known))) in lines.iter().zip(&expected) {
                assert!(line.starts_with(&format!("node{number}: {words}")), "{names:?}: {line}");
                let untouched = line.ends_with("; nothing was changed there");
                let unknown = line.contains("is not known, and it is not sent again");
                assert_eq!((untouched, unknown), (*known == Untouched, *known == Nothing), "{line}");
            }
            let nodes = answer["error"]["nodes"].as_array().unwrap();
            for (node, line) in nodes.iter().zip(&lines) {
                let told = |name: &str| node[name].as_str().unwrap_or_default().replace('\n', "; ");
                let (id, sentence) = (told("id"), told("sentence"));
                assert_eq!(*line, format!("{id}: {} {sentence}", node["status"]), "{names:?}");
                // A node of 1.0.0 says no reason of its own.
                assert!(node["reason"].is_string() || node["status"] == 500, "{names:?}: {node}");
            }
            assert_eq!((nodes.len(), &answer["error"]["reason"]), (lines.len(), &json!("nodes_failed")));
            reported.fetch_add(lines.len(), Ordering::Relaxed);
        }
        // A change is sent once, whatever becomes of it.
        for number in 2..2 + size {
            assert!(cluster.asked(number).len() <= 1, "{names:?}: node{number} {:?}", cluster.asked(number));
        }
        plugin.end();
        cluster.assert_nothing_left();
    }
}

#[test]
fn a_read_of_one_node_fails_as_its_change_does() {
    for (kind, words, _) in KINDS.into_iter().filter(|(.., known)| *known == Untouched) {
        let seconds = if kind == "deaf" { 1.0 } else { 50.0 };
        let cluster = Simulated::patient(seconds, [kind]);
        let answer = cluster.plugin().call("isRunningOnNode", json!({"node_id": "node2"}));
        let number = words.split(' ').next().unwrap().parse().unwrap();
        let text = failure(&answer, number);
        let words = words.split_once(' ').unwrap().1;
        assert!(text.starts_with(&format!("node2: {words}")), "{kind}: {text}");
    }
}

#[test]
fn a_cascade_that_fails_here_contacts_no_node() {
    let cluster = Simulated::of(["fine", "fine"]);
    let answer = cluster.plugin().call("start", json!({"cascade_to_nodes": 1}));
    failure(&answer, 412);
    assert_eq!((cluster.starts(2), cluster.starts(3)), (0, 0));
}

#[test]
fn refused_input_of_a_cascade_contacts_no_node() {
    let cluster = Simulated::of(["fine"]);
    let answer = cluster.plugin().call("update", json!({"alternate_smtp_port": 0, "cascade_to_nodes": 1}));
    failure(&answer, 11);
    assert_eq!(cluster.starts(2), 0);
}

#[test]
fn each_node_is_asked_for_what_came_in_and_for_no_cascade_of_its_own() {
    let cluster = Simulated::of(["fine", "fine"]);
    let mut plugin = cluster.plugin();
    let port = cluster.here().port();
    plugin.succeed(
        "update",
        json!({"alternate_smtp_port": port.to_string(), "auth_mode": "auth_yes/tls_yes", "cascade_to_nodes": "1"}),
    );
    plugin.succeed("update", json!({"auth_mode": "auth_yes/tls_optional", "cascade_to_nodes": true}));
    let params = |request: &Value| request["params"].clone();
    for number in [2, 3] {
        let asked: Vec<Value> = cluster.asked(number).iter().map(params).collect();
        let first =
            json!({"alternate_smtp_port": port, "auth_mode": "auth_yes/tls_yes", "cascade_to_nodes": 0});
        // The port is each node's own.
        let second = json!({"auth_mode": "auth_yes/tls_optional", "cascade_to_nodes": 0});
        assert_eq!(asked, [first, second]);
    }
}

#[test]
fn the_manual_knows_every_line() {
    let manual = include_str!("../../src/manual/mail-smtp2-cluster.7.md");
    for (kind, words, _) in KINDS {
        let Some(words) = words.strip_prefix("502 ") else { continue };
        let rows = manual.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
        let known = rows.filter(|begin| begin.len() > 10).any(|begin| {
            let (begin, words) = (begin.as_bytes(), words.as_bytes());
            begin.starts_with(words)
                || words.starts_with(begin)
                || kind == "older" && begin.starts_with(b"mail-smtp2 2.0.0")
        });
        assert!(known, "{kind}: the manual has no line that begins with {words}");
    }
}
