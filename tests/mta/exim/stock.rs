//! A stock Debian Exim, as an administrator meets it: each refusal says what to do next, until the service runs.

use super::Exim;
use crate::clients::{promised, smtplib_facts};
use crate::subject::{on, plugin_of, settings};
use crate::support::sandbox::addresses;
use crate::support::smtp::{is_closed, is_open};
use crate::support::{TLS_YES, failure};
use serde_json::Value;
use std::fs;

/// Debian's packages as they are installed, on local addresses and without TLS or AUTH.
const STOCK: &str = "rm -rf /etc/exim4 /var/lib/exim4; cp -a /etc/lab/stock /etc/exim4; cp -a /etc/lab/stock-state /var/lib/exim4";

#[test]
fn on_a_stock_exim_each_refusal_leads_to_the_next_step_until_it_runs() {
    on::<Exim>(|machine| {
        machine.sh(STOCK);
        machine.kill(Exim::primary);
        let mut plugin = plugin_of(machine);
        plugin.succeed("update", settings(587, TLS_YES));
        failure(&plugin.call("start", Value::Null), 503);
        machine.restart_primary("-bd -q30m");
        let told = failure(&plugin.call("start", Value::Null), 424).to_owned();
        assert!(told.contains("MAIN_TLS_ENABLE") && told.contains("exim4.conf.localmacros"), "{told}");
        let macros = "MAIN_TLS_ENABLE = yes\nMAIN_TLS_CERTIFICATE = /etc/lab/cert.pem\nMAIN_TLS_PRIVATEKEY = /etc/lab/key.pem\n";
        fs::write(machine.path("/etc/exim4/exim4.conf.localmacros"), macros).unwrap();
        let told = failure(&plugin.call("start", Value::Null), 424).to_owned();
        let unbuilt = "/etc/exim4/exim4.conf.localmacros was written after Exim's configuration was built";
        assert!(told.contains(unbuilt) && told.contains("run update-exim4.conf"), "{told}");
        machine.sh("update-exim4.conf");
        let told = failure(&plugin.call("start", Value::Null), 424).to_owned();
        assert!(told.contains("authenticator") && told.contains("plain_server"), "{told}");
        // Debian's own examples, no longer commented out.
        machine.sh(
            "sed -i '/^# plain_server:/,/^#   .endif/s/^# //; /^# login_server:/,/^#   .endif/s/^# //' \
             /etc/exim4/exim4.conf.template; echo 'bob:'$(openssl passwd -6 secret) >/etc/exim4/passwd; \
             chgrp Debian-exim /etc/exim4/passwd; chmod 640 /etc/exim4/passwd; update-exim4.conf",
        );
        plugin.succeed("start", Value::Null);
        assert!(is_open(587) && is_open(25));
        // Debian's Exim of the stock is for local mail only, and has no other mailbox.
        let table = promised(TLS_YES);
        let Some(found) = smtplib_facts(machine, addresses(587)[0], "stock") else { return };
        let wrong: Vec<_> = table.iter().filter(|(fact, so)| found.get(*fact) != Some(*so)).collect();
        let of_mail = wrong.iter().all(|(fact, _)| fact.ends_with("mail after AUTH"));
        assert!(of_mail, "{wrong:?}");
        plugin.succeed("stop", Value::Null);
        assert!(is_closed(587) && !machine.path("/etc/exim4/trusted_configs").exists());
    });
}
