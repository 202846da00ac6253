//! `run` scripts as administrators write them: each is walked from the first update to `remove`, with a login and a message
//! in between, or is refused with what to do; and every byte that is not ours is as it was.

use super::{Qmail, SMTP2, Supervisor};
use crate::subject::{MACHINES, Subject, on_four, plugin_of, settings};
use crate::support::smtp::{Session, is_closed};
use crate::support::{TLS_OPTIONAL, TLS_YES, failure, repetitions};
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

/// Scripts; READER puts the variables of `env` into the environment, ABSOLUTE does by the whole path, and SHARED those of
/// another folder; LIMIT limits memory, LIMITED to less than is needed, SERVICE is the service directory and PROGRAM the
/// program behind.
const SCRIPTS: [(&str, Fate); 45] = [
    // Life with qmail.
    (
        "#!/bin/sh\nLOCAL=`head -1 /var/qmail/control/me`\nif [ -z \"$LOCAL\" ]; then\n  echo LOCAL is unset in $0\n  exit 1\nfi\n\
         exec READER LIMIT sh -c 'exec tcpserver -v -R -H -l \"$0\" -x /etc/tcp.smtp.cdb -c 20 0 \"$PORT\" PROGRAM 2>&1' \"$LOCAL\"",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec READER sh -c 'exec tcpserver -vDRHl0 0 \"$PORT\" PROGRAM'", Serves),
    (
        "#!/bin/bash\nset -eu\nexec 2>&1\nexec READER bash -c 'exec tcpserver -RH -l 0 -b 50 -c 100 0 ${PORT:-587} PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec env - PATH=/usr/local/bin:/usr/bin:/bin \\\nREADER sh -c 'exec tcpserver -R -H -l 0 0 $PORT PROGRAM'",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec READER sh -c \"exec tcpserver -R -H -l 0 0 \\$PORT PROGRAM\"", Serves),
    (
        "#!/bin/sh\nulimit -v 4000000\nexec READER nice -n 5 sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\n# The port was 587 once; now it stands in env/PORT.\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM' # as on 25",
        Serves,
    ),
    (
        "#!/bin/sh -e\n[ -s env/PORT ]\n[ -x /usr/bin/tcpserver ]\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec READER sh -c '\n  test \"$FORCETLS\" = 0 || export FORCETLS=1\n  export SMTPAUTH\n  exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec >>/var/log/submission.txt 2>&1\nexec READER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nsleep 2\nexec READER sh -c 'sleep 2; exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    // Scripts that stay.
    ("#!/bin/sh\nREADER sh -c 'tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'\n", Serves),
    ("#!/bin/sh\nREADER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'\necho it has ended", Serves),
    (
        "#!/bin/sh\nREADER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" PROGRAM' 2>&1 | cat >/dev/null",
        Serves,
    ),
    (
        "#!/bin/sh\nwhile :; do\n  READER sh -c 'tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'\n  sleep 1\ndone",
        Serves,
    ),
    (
        "#!/bin/bash\ntrap 'kill $!' TERM\nREADER bash -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM' &\nwait",
        Serves,
    ),
    ("#!/bin/sh\n. ./settings\nexec READER sh -c 'exec tcpserver $FLAGS 0 \"$PORT\" PROGRAM'", Serves),
    // What cannot be relied on, or does not do what it should.
    (
        "#!/bin/sh\nexec 2>&1\nexec tcpserver -v -R -H -l 0 0 587 PROGRAM",
        Refused(501, "has neither envdir nor chpst -e"),
    ),
    (
        "#!/bin/sh\n. ./env.sh\nexec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM",
        Refused(501, "exec envdir ./env"),
    ),
    ("#!/bin/sh\nexec READER tcpserver -R -H -l 0 0 587 PROGRAM", Refused(501, "does not use $PORT")),
    (
        "#!/usr/bin/perl\nexec qw(envdir ./env sh -c), 'exec tcpserver 0 \"$PORT\" PROGRAM';",
        Refused(501, "envdir"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 127.0.0.1 \"$PORT\" PROGRAM'",
        Refused(520, "names the address"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 ${PORT:+2626} PROGRAM'",
        Refused(520, "does not act on PORT"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 -x /etc/no.cdb 0 \"$PORT\" false'",
        Refused(520, "hung up"),
    ),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM",
        Refused(520, "ends at once"),
    ),
    // Of collections, panels and neighbours of qmail's.
    (
        "#!/bin/sh\n[ -n \"$PORT\" ] || exec READER \"$0\"\nMAXSMTPD=`cat /var/qmail/control/concurrencyincoming`\nLOCAL=`head -1 /var/qmail/control/me`\n\
         if [ -z \"$MAXSMTPD\" -o -z \"$LOCAL\" ]; then\n  echo MAXSMTPD or LOCAL is unset in $0\n  exit 1\nfi\n\
         if [ ! -f /var/qmail/control/rcpthosts ]; then\n  echo No /var/qmail/control/rcpthosts!\n  exit 1\nfi\n\
         exec LIMIT tcpserver -v -R -H -l \"$LOCAL\" -x /etc/tcp.smtp.cdb -c \"$MAXSMTPD\" -u 0 -g 0 0 \"$PORT\" PROGRAM 2>&1",
        Serves,
    ),
    (
        "#!/bin/sh\n# RBLSMTPD is set and empty: who has logged in is on no list.\nexec 2>&1\n\
         exec READER sh -c 'export RBLSMTPD=; exec tcpserver -v -R -H -l 0 -x /etc/tcp.smtp.cdb 0 \"$PORT\" rblsmtpd -b -r zen.lab.invalid PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" recordio PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER sh -c 'exec sslserver -seVn -Rp -l mail -Xx /etc/tcp.smtp.cdb 0 \"$PORT\" PROGRAM'",
        Refused(520, "ends at once"),
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER LIMITED sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Refused(520, "hung up"),
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER sh -c 'export FORCETLS=0; exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Refused(520, "FORCETLS"),
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER sh -c 'unset SMTPAUTH; exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Refused(520, "SMTPAUTH"),
    ),
    (
        "#!/bin/sh\nQMAILDUID=`id -u qmaild`\nNOFILESGID=`id -g qmaild`\nexec LIMIT tcpserver -v -R -l mail.lab.test -x /etc/tcp.smtp.cdb \
         -c 20 -u 0 -g 0 0 submission PROGRAM 2>&1",
        Refused(501, "has neither envdir nor chpst -e"),
    ),
    (
        "#!/usr/bin/env bash\nexec 2>&1\nexec READER bash -c 'exec -a submission tcpserver -RHl0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec 2>&1\nPATH=/var/qmail/bin:/usr/local/bin:/usr/bin:/bin; export PATH LANG=C\numask 022\nulimit -n 256\n\
         exec READER sh -c 'cd /var/qmail && exec tcpserver -R -H -l 0 -c 5 -b 10 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec ABSOLUTE sh -c 'exec tcpserver -RHl0 0 \"$PORT\" PROGRAM'", Serves),
    (
        "#!/bin/sh\nexec 2>&1\ncd SERVICE || exit 1\nexec READER sh -c 'exec tcpserver -RHl0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec SHARED READER sh -c 'exec tcpserver $FLAGS 0 \"$PORT\" PROGRAM'", Serves),
    (
        "#!/bin/sh\nexec READER sh -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" PROGRAM' 2>&1 | logger -t submission",
        Serves,
    ),
    (
        "#!/bin/bash\nexec > >(exec logger -t submission) 2>&1\nexec READER bash -c 'exec tcpserver -v -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec nice -n 5 ionice -c 3 READER sh -c 'exec tcpserver -RHl0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    (
        "#!/bin/sh\nexec 2>&1\nexec READER sh -c '\n  if test \"$FORCETLS\" = 1; then REQUIRETLS=1; export REQUIRETLS; fi\n  \
         exec env UCSPITLS=! tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Serves,
    ),
    ("#!/bin/sh\nexec 2>&1\nexec READER sh -c 'exec tcpserver -R -H -l 0 -c 2 0 \"$PORT\" PROGRAM'", Serves),
    (
        "#!/usr/bin/execlineb -P\nfdmove -c 2 1\nREADER\nimportas PORT PORT\ntcpserver -R -H -l 0 0 $PORT PROGRAM",
        Refused(520, "ends at once"),
    ),
    (
        "#!/bin/sh\r\nexec READER sh -c 'exec tcpserver -R -H -l 0 0 \"$PORT\" PROGRAM'",
        Refused(520, "ends at once"),
    ),
];

/// Those that are walked: in the gate a part, in the soak all.
fn walked() -> &'static [(&'static str, Fate)] {
    &SCRIPTS[..repetitions("MAIL_SMTP2_SHAPES", 29, SCRIPTS.len()).min(SCRIPTS.len())]
}

fn every_script_serves_or_is_refused_with_what_to_do<S: Supervisor>() {
    on_four::<Qmail<S>, ()>("", |machine, share| {
        machine.sh(&format!(
            "echo :allow | tcprules /etc/tcp.smtp.cdb /etc/tcp.smtp.tmp; echo 'FLAGS=\"-R -H -l 0\"; export FLAGS' >{SMTP2}/settings
             mkdir /etc/shared-env; echo '-R -H -l 0' >/etc/shared-env/FLAGS
             echo 20 >/var/qmail/control/concurrencyincoming; echo lab.test >/var/qmail/control/rcpthosts"
        ));
        for (script, fate) in walked().iter().skip(share).step_by(MACHINES) {
            walk(machine, script, fate);
        }
    });
}

#[track_caller]
fn walk<S: Supervisor>(machine: &Qmail<S>, script: &str, fate: &Fate) {
    let (reader, limit) = match S::PROGRAMS[0] {
        "svscan" => ("envdir", "softlimit -m"),
        _ => ("chpst -e", "chpst -m"),
    };
    let mut script = (*script).to_owned();
    // The longer names first: one is the beginning of another.
    for (name, words) in [
        ("READER", format!("{reader} ./env")),
        ("ABSOLUTE", format!("{reader} {SMTP2}/env")),
        ("SHARED", format!("{reader} /etc/shared-env")),
        ("LIMITED", format!("{limit} 4000000")),
        ("LIMIT", format!("{limit} 4000000000")),
        ("SERVICE", SMTP2.to_owned()),
    ] {
        script = script.replace(name, &words);
    }
    let script = script.replace("PROGRAM", "/usr/local/bin/mail-smtp2 sandbox stdio /var/lib/smtp-lab");
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
