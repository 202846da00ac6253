//! `run` scripts as administrators write them: each is walked from the first update to `remove`, with a login and a message
//! in between, or is refused with what to do; and every byte that is not ours is as it was.

use super::{Qmail, SMTP2, Supervisor};
use crate::subject::{MACHINES, Subject, on_four, plugin_of, settings};
use crate::support::smtp::{Session, is_closed};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure};
use serde_json::{Value, json};
use std::net::SocketAddr;

under_both!(every_script_serves_or_is_refused_with_what_to_do);

/// What becomes of a script.
enum Fate {
    Serves,
    /// Refused with this number, and a sentence in which this stands.
    Refused(i64, &'static str),
}
use Fate::{Refused, Serves};

/// Scripts; READER puts the variables of `env` into the environment, LIMIT limits memory, SERVICE is the service
/// directory and SMTPD the program behind.
const SCRIPTS: [(&str, Fate); 25] = [
    // Life with qmail.
    (
        "#!/bin/sh\nLOCAL=`head -1 /var/qmail/control/me`\nif [ -z \"$LOCAL\" ]; then\n  echo LOCAL is unset in $0\n  exit 1\nfi\n\
         exec READER LIMIT sh -c 'exec tcpserver -v -R -H -l \"$0\" -x /etc/tcp.smtp.cdb -c 20 0 \"$PORT\" SMTPD 2>&1' \"$LOCAL\"",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec READER sh -c 'exec tcpserver -vDRHl0 0 \"$PORT\" SMTPD'", Serves),
    (
        "#!/bin/bash\nset -eu\nexec 2>&1\nexec READER bash -c 'exec tcpserver -RH -l 0 -b 50 -c 100 0 ${PORT:-587} SMTPD'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec env - PATH=/usr/local/bin:/usr/bin:/bin \\\nREADER sh -c 'exec tcpserver -R -H -l 0 0 $PORT SMTPD'",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec READER sh -c \"exec tcpserver -R -H -l 0 0 \\$PORT SMTPD\"", Serves),
    (
        "#!/bin/sh\nulimit -v 4000000\nexec READER nice -n 5 sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'",
        Serves,
    ),
    (
        "#!/bin/sh\n# The port was 587 once; now it stands in env/PORT.\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD' # as on 25",
        Serves,
    ),
    (
        "#!/bin/sh -e\n[ -s env/PORT ]\n[ -x /usr/bin/tcpserver ]\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec READER sh -c '\n  test \"$FORCETLS\" = 0 || export FORCETLS=1\n  export SMTPAUTH\n  exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec >>/var/log/submission.txt 2>&1\nexec READER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" SMTPD'",
        Serves,
    ),
    ("#!/bin/sh\nsleep 1\nexec READER sh -c 'sleep 1; exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'", Serves),
    // Scripts that stay.
    ("#!/bin/sh\nREADER sh -c 'tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'\n", Serves),
    ("#!/bin/sh\nREADER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'\necho it has ended", Serves),
    (
        "#!/bin/sh\nREADER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" SMTPD' 2>&1 | cat >/dev/null",
        Serves,
    ),
    (
        "#!/bin/sh\nwhile :; do\n  READER sh -c 'tcpserver -R -H -l 0 0 \"$PORT\" SMTPD'\n  sleep 1\ndone",
        Serves,
    ),
    (
        "#!/bin/bash\ntrap 'kill $!' TERM\nREADER bash -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD' &\nwait",
        Serves,
    ),
    ("#!/bin/sh\n. ./settings\nexec READER sh -c 'exec tcpserver $FLAGS 0 \"$PORT\" SMTPD'", Serves),
    // What cannot be relied on, or does not do what it should.
    (
        "#!/bin/sh\nexec 2>&1\nexec tcpserver -v -R -H -l 0 0 587 SMTPD",
        Refused(501, "has neither envdir nor chpst -e"),
    ),
    ("#!/bin/sh\n. ./env.sh\nexec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD", Refused(501, "exec envdir ./env")),
    ("#!/bin/sh\nexec READER tcpserver -R -H -l 0 0 587 SMTPD", Refused(501, "does not use $PORT")),
    (
        "#!/usr/bin/perl\nexec qw(envdir ./env sh -c), 'exec tcpserver 0 \"$PORT\" SMTPD';",
        Refused(501, "envdir"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 127.0.0.1 \"$PORT\" SMTPD'",
        Refused(520, "names the address"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 ${PORT:+2626} SMTPD'",
        Refused(520, "does not act on PORT"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 -x /etc/no.cdb 0 \"$PORT\" false'",
        Refused(520, "hung up"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" SMTPD",
        Refused(520, "ends at once"),
    ),
];

fn every_script_serves_or_is_refused_with_what_to_do<S: Supervisor>() {
    on_four::<Qmail<S>, ()>("", |machine, share| {
        machine.sh(&format!(
            "echo :allow | tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp; echo 'FLAGS=\"-R -H -l 0\"; export FLAGS' >{SMTP2}/settings"
        ));
        for (script, fate) in SCRIPTS.iter().skip(share).step_by(MACHINES) {
            walk(machine, script, fate);
        }
    });
}

#[track_caller]
fn walk<S: Supervisor>(machine: &Qmail<S>, script: &str, fate: &Fate) {
    let (reader, limit) = match S::PROGRAMS[0] {
        "svscan" => ("envdir ./env", "softlimit -m 4000000000"),
        _ => ("chpst -e ./env", "chpst -m 4000000000"),
    };
    let script = script.replace("READER", reader).replace("LIMIT", limit);
    let script = script.replace("SMTPD", "/usr/local/bin/mail-smtp2 sandbox stdio /var/lib/smtp-lab");
    machine.sh(&format!("cat >{SMTP2}/run <<'END OF IT'\n{script}\nEND OF IT"));
    let bytes = || {
        machine.sh(&format!(
            "cd {SMTP2}; find . -name supervise -prune -o -type f -exec sha256sum {{}} + | sort"
        ))
    };
    let before = bytes();
    let (mut plugin, port) = (plugin_of(machine), machine.port());
    plugin.succeed("update", settings(port, TLS_YES));
    let answer = plugin.call("start", Value::Null);
    match fate {
        Refused(status, words) => {
            let told = failure(&answer, *status);
            assert!(told.contains(words), "{script}\n{told}");
        }
        Serves => {
            assert_eq!(answer, crate::support::success(), "{script}");
            plugin.succeed("update", json!({"auth_mode": TLS_OPTIONAL}));
            let mut client = Session::open(SocketAddr::from(([127, 0, 0, 1], port)));
            client.start_tls();
            client.log_in();
            client.deliver();
            plugin.succeed("stop", Value::Null);
        }
    }
    assert!(is_closed(port), "{script}");
    plugin.end();
    let run = machine.launch().arg("remove").run();
    assert_eq!(run.code, Some(0), "{script}\n{}", run.stderr);
    assert_eq!(bytes(), before, "{script}");
}
