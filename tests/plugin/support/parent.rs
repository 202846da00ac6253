//! A shell between the test and the plugin, where a test needs a parent that it can kill.
//!
//! The plugin gets the shell's pipes, so the test speaks to it as to any other, and its own pid comes through a file.

use super::plugin::{Launch, Plugin};
use super::sandbox::Sandbox;
use super::{PATIENCE, eventually};
use std::fs;

/// Stays the plugin's parent until it is killed, and holds none of its pipes.
pub(crate) const ALIVE: &str = r#"exec 3<&0
"$@" <&3 3<&- &
echo $! > "$PIDFILE.new"; mv "$PIDFILE.new" "$PIDFILE"
exec <&- 3<&- >&-; wait"#;

/// Ends at once, and the plugin starts only when the shell is gone.
pub(crate) const LONG_GONE: &str = r#"exec 3<&0
(while kill -0 $$ 2>/dev/null; do sleep 0.01; done; exec "$@" <&3 3<&-) &
echo $! > "$PIDFILE.new"; mv "$PIDFILE.new" "$PIDFILE""#;

/// The shell, to speak to the plugin through, and the plugin's pid.
#[track_caller]
pub(crate) fn under(sandbox: &Sandbox, launch: Launch, script: &str) -> (Plugin, u32) {
    let file = sandbox.base().join("pid");
    let shell = launch.env("PIDFILE", &file).under_shell(script).spawn();
    eventually(PATIENCE, "the shell has started the plugin", || file.exists());
    (shell, fs::read_to_string(file).unwrap().trim().parse().unwrap())
}
