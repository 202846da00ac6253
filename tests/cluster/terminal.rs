//! `call` on a terminal shows how a cascade gets on; elsewhere it is silent.

use super::simulated::Simulated;
use super::support::terminal::Terminal;
use std::io::Read;

const CASCADE: [&str; 3] = ["call", "stop", r#"{"cascade_to_nodes":1}"#];

#[test]
fn a_cascade_shows_one_line_per_node_on_a_terminal() {
    let cluster = Simulated::of(["fine", "refused", "fine"]);
    let mut terminal = Terminal::open();
    let mut command = cluster.launch().args(&CASCADE).command();
    let output = command.stderr(terminal.back).output().unwrap();
    drop(command);
    let mut shown = Vec::new();
    // The end of a terminal whose other side is closed is an error (EIO).
    let _ = terminal.front.read_to_end(&mut shown);
    let shown = String::from_utf8(shown).unwrap();
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.iter().zip(1..).for_each(|(line, at)| assert!(line.starts_with(&format!("{at}/3 ")), "{shown}"));
    lines.iter_mut().for_each(|line| *line = line.split_once(' ').unwrap().1);
    lines.sort();
    assert_eq!(lines, ["node2: done", "node3: failed (502)", "node4: done"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_cascade_shows_nothing_where_nobody_watches() {
    let cluster = Simulated::of(["fine", "fine"]);
    let run = cluster.launch().args(&CASCADE).run();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}
