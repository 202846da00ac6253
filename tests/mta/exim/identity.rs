//! Who is Exim: a process that runs Exim's own program here, as root or as Exim's user; and a primary that is just being
//! reloaded is looked at until it is settled.

use super::{Exim, OURS};
use crate::subject::{on, plugin_of, running, stopped};
use crate::support::process::alive;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{PATIENCE, TLS_YES, eventually, failure};
use serde_json::Value;

/// Anybody may mount what he likes over a path, in namespaces of his own, and call it what he likes.
#[test]
fn a_program_that_somebody_has_mounted_over_exims_path_is_not_exim() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        let listen = format!(
            "socket(S,PF_INET,SOCK_STREAM,0); setsockopt(S,SOL_SOCKET,SO_REUSEADDR,1); bind(S,sockaddr_in({port},INADDR_ANY)) or die; listen(S,9); sleep 999"
        );
        machine.sh(&format!(
            "setsid unshare --mount bash -c 'mount --bind /usr/bin/perl /usr/sbin/exim4
               exec setpriv --reuid=bob --regid=bob --clear-groups \\
                 /usr/sbin/exim4 -MSocket -e \"{listen}\" -- -bd -C {}' >/run/forge.log 2>&1 </dev/null &
             for n in $(seq 200); do (exec 5<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && exit 0; sleep 0.05; done; cat /run/forge.log; exit 1",
            OURS[0]
        ));
        assert_eq!(plugin.payload("isRunning", Value::Null), false, "a forger is taken for Exim");
        let answer = plugin.call("start", Value::Null);
        assert!(!failure(&answer, 409).contains("left behind"), "{answer}");
        assert!(is_open(25));
    });
}

#[test]
fn what_somebody_calls_like_a_primary_of_another_configuration_keeps_no_start() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = stopped(machine, TLS_YES);
        machine.sh(
            "setsid setpriv --reuid=bob --regid=bob --clear-groups bash -c 'exec -a \"exim4\" perl -e \"sleep 999\" -- -bd -C /home/bob/mine' >/dev/null 2>&1 </dev/null &",
        );
        plugin.succeed("start", Value::Null);
        assert!(is_open(port));
    });
}

/// In a container that shares the machine's files, as the host sees its processes.
#[test]
fn a_containers_exim_is_not_ended_by_a_stop_out_here() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        machine.sh(&format!(
            "setsid unshare --pid --fork --kill-child --net --mount-proc bash -c 'ip link set lo up; exec exim4 -C {} -bdf -oX \"[127.0.0.1]:2999\"' >/dev/null 2>&1 </dev/null &",
            OURS[0]
        ));
        let container = || -> Vec<u32> {
            let line =
                |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let all = std::fs::read_dir("/proc").unwrap();
            let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
            pids.filter(|pid| line(pid).starts_with("exim4") && line(pid).contains("2999")).collect()
        };
        eventually(PATIENCE, "the container's Exim runs", || !container().is_empty());
        let theirs = container()[0];
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(port));
        assert!(alive(theirs), "the container's Exim was ended");
    });
}

/// A hook after the renewal of a certificate: the primary shows half of its listeners for a moment.
#[test]
fn a_start_right_after_a_reload_of_the_primary_leaves_what_ran_running() {
    on::<Exim>(|machine| {
        let (mut plugin, port) = running(machine, TLS_YES);
        for round in 0..7 {
            machine.sh("kill -HUP $(cat /run/exim4/exim.pid)");
            plugin.succeed("start", Value::Null);
            assert!(is_open(port), "round {round}");
            eventually(PATIENCE, "the primary is back", || is_open(25));
        }
        for round in 0..7 {
            plugin.succeed("stop", Value::Null);
            machine.sh("kill -HUP $(cat /run/exim4/exim.pid)");
            plugin.succeed("start", Value::Null);
            assert!(is_open(port), "round {round}");
        }
    });
}

/// A restarted container has the host's boot id, but another first process.
#[test]
fn what_ran_before_a_restart_of_the_container_is_brought_back() {
    on::<Exim>(|machine| {
        let (plugin, port) = running(machine, TLS_YES);
        plugin.end();
        machine.kill(Exim::ours);
        // The first process cannot be replaced here; what was noted of it can.
        machine.sh("sed -i '2s/.*/1/' /var/lib/mail-smtp2/boot");
        assert_eq!(plugin_of(machine).payload("isRunning", Value::Null), true);
        assert!(is_open(port));
    });
}
