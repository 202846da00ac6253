//! The program on kernels that can do less than this one: what is missing there is done without.
//!
//! Every test asks the whole life of a listener of the sandbox, and the end of a session. That real mail servers are changed
//! there too is the policy suite's, with `MAIL_SMTP2_KERNEL` set.

use super::support::TLS_YES;
use super::support::kernel::Kernel;
use super::support::plugin::Launch;
use super::support::sandbox::Sandbox;
use super::support::smtp::{is_closed, is_open};
use serde_json::{Value, json};

fn on_each(test: impl Fn(Kernel, &Sandbox, Launch)) {
    for kernel in Kernel::LESSER {
        let sandbox = Sandbox::new();
        let launch = sandbox.launch().on(kernel);
        test(kernel, &sandbox, launch);
    }
}

#[test]
fn a_lesser_kernel_is_enough_for_the_life_of_a_listener() {
    on_each(|kernel, sandbox, launch| {
        let (mut plugin, port, next) = (launch.spawn(), sandbox.port(), sandbox.port());
        plugin.succeed("update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
        plugin.succeed("start", Value::Null);
        assert!(is_open(port), "{kernel:?}");
        assert_eq!(plugin.payload("listServiceInfo", Value::Null)["is_running"], 1, "{kernel:?}");
        plugin.succeed("update", json!({"alternate_smtp_port": next}));
        assert!(is_closed(port) && is_open(next), "{kernel:?}");
        plugin.succeed("restart", Value::Null);
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(next), "{kernel:?}");
        assert_eq!(plugin.payload("isRunning", Value::Null), false, "{kernel:?}");
    });
}

#[test]
fn a_port_that_another_holds_is_seen_on_a_lesser_kernel() {
    on_each(|kernel, sandbox, launch| {
        let (mut plugin, port) = (launch.spawn(), sandbox.port());
        let _holder = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        let envelope = plugin.call("update", json!({"alternate_smtp_port": port, "auth_mode": TLS_YES}));
        let told = super::support::failure(&envelope, 409);
        assert!(told.contains(&format!("(pid {})", std::process::id())), "{kernel:?}: {told}");
    });
}

#[test]
fn a_session_on_a_lesser_kernel_ends_with_its_input() {
    on_each(|kernel, _, launch| {
        let request = br#"{"jsonrpc":"2.0","id":1,"method":"isRunning"}"#;
        let run = launch.run_with(request);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{kernel:?}");
        assert!(run.stdout.contains("\"payload\":false"), "{kernel:?}: {}", run.stdout);
    });
}
