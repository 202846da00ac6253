//! The texts that make an alternate listener of Exim: its configuration, its ACL, its unit.
//!
//! Port and mode are read back from the first of them. These are pure functions; what the primary's configuration says
//! beyond the few values that they are given is `alternate`'s to find out. A text from which port or mode cannot be
//! read gives none. Source: Exim's specification, chapters 6 (macros, `.include`), 14 (main options) and 43 (ACLs);
//! systemd.service(5).

use std::net::IpAddr;
use std::path::Path;

use crate::mta::sheet::{AuthMode, Listener};

/// Defined while our configuration is read: by it an administrator's own tells whose listener it is read for.
pub const PORT: &str = "MAIL_SMTP2_PORT";
const AUTH_MODE: &str = "MAIL_SMTP2_AUTH_MODE";
/// With it, the authenticators that Debian ships are offered without TLS, too.
pub const NOTLS: &str = "AUTH_SERVER_ALLOW_NOTLS_PASSWORDS";
/// The option that names the ACL for MAIL.
pub const ACL_OPTION: &str = "acl_smtp_mail";
/// The option that names the ACL before a message's data.
pub const DATA_OPTION: &str = "acl_smtp_predata";
/// Nobody but who has logged in, also where the ACL for MAIL has ceased to be ours.
pub const DATA_ACL: &str = "accept authenticated = *";
/// The macro that Debian's configuration, and those that follow it, set that option to.
pub const ACL_MACRO: &str = "MAIN_ACL_CHECK_MAIL";
/// The option that says to whom AUTH is offered.
pub const ADVERTISE: &str = "auth_advertise_hosts";

/// Our configuration: lines `name = value` over the primary's.
pub fn configuration(listener: &Listener, lines: &[(&str, &str)], primary: &Path) -> String {
    let mut text = format!("{PORT} = {}\n{AUTH_MODE} = {}\n", listener.port, listener.auth_mode.name());
    for (name, value) in lines {
        text.push_str(&format!("{name} = {value}\n"));
    }
    text + &format!(".include {}\n", primary.display())
}

/// The listener that a configuration of ours tells.
pub fn listener_in(text: &str) -> Option<Listener> {
    let value = |name: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim())
    };
    let port = value(PORT)?.parse().ok().filter(|port| *port > 0)?;
    // Where the mode cannot be read, the stricter one is what was meant.
    let optional = value(AUTH_MODE) == Some(AuthMode::TlsOptional.name());
    let auth_mode = if optional { AuthMode::TlsOptional } else { AuthMode::TlsYes };
    Some(Listener { port, auth_mode })
}

/// The hosts to which AUTH is offered.
pub fn advertise(mode: AuthMode) -> &'static str {
    match mode {
        AuthMode::TlsYes => "${if def:tls_in_cipher{*}{}}",
        AuthMode::TlsOptional => "*",
    }
}

/// Whether a value of `auth_advertise_hosts` says what `mode` asks for.
pub fn advertises(value: &str, mode: AuthMode) -> bool {
    const UNDER_TLS: [&str; 3] =
        ["${ifdef:tls_in_cipher{*}{}}", "${ifdef:tls_in_cipher{*}}", "${ifeq{$tls_in_cipher}{}{}{*}}"];
    let spelled: String = value.split_whitespace().collect();
    let spelled = spelled.replace("tls_cipher", "tls_in_cipher");
    match mode {
        AuthMode::TlsYes => UNDER_TLS.contains(&spelled.as_str()),
        AuthMode::TlsOptional => spelled == "*",
    }
}

/// What keeps the administrator's ACL for MAIL where it is no plain name.
const THEIRS: &str = "acl_m_mail_smtp2";

/// Our ACL for MAIL; after it, that of the administrator has its say: a name, or whatever comes of an expression.
pub fn acl(mode: AuthMode, theirs: &str) -> String {
    let tls = match mode {
        AuthMode::TlsYes => {
            "deny\n  message = 530 5.7.0 Must issue a STARTTLS command first\n  !encrypted = *\n"
        }
        AuthMode::TlsOptional => "",
    };
    let auth = "deny\n  message = 530 5.7.0 Authentication required\n  !authenticated = *\n";
    let then = match theirs {
        "" => "accept\n".to_owned(),
        theirs if theirs.contains(|c: char| c == '$' || c.is_whitespace()) => {
            // The condition would take what stands behind a blank for arguments.
            format!("warn\n  set {THEIRS} = {theirs}\naccept\n  endpass\n  acl = ${THEIRS}\n")
        }
        theirs => format!("accept\n  endpass\n  acl = {theirs}\n"),
    };
    format!("{tls}{auth}{then}")
}

/// The addresses and the port as `-oX` takes them.
pub fn interfaces(addresses: &[IpAddr], port: u16) -> String {
    let item = |address: &IpAddr| match address {
        // Only so is it the wildcard that leaves IPv4 alone.
        IpAddr::V6(six) if six.is_unspecified() => format!(";[::0]:{port}"),
        other => format!(";[{other}]:{port}"),
    };
    let items: String = addresses.iter().map(item).collect();
    format!("<{items}")
}

/// What version 1.0.0 did not write into the unit.
const LATE: &str =
    "# An address may be late at boot: it tries again until it can bind it.\nStartLimitIntervalSec=0\n";
const AGAIN: &str = "Restart=on-failure\nRestartSec=5\n";

/// Our unit as version 1.0.0 wrote it.
pub fn unit_of_1_0_0(daemon: &str, configuration: &Path, interfaces: &str) -> String {
    unit(daemon, configuration, interfaces).replace(LATE, "").replace(AGAIN, "")
}

/// Our unit.
pub fn unit(daemon: &str, configuration: &Path, interfaces: &str) -> String {
    let configuration = configuration.display();
    format!(
        "[Unit]\nDescription=Alternate inbound SMTP server (mail-smtp2)\nWants=network-online.target\n\
         After=network-online.target\n{LATE}\n\
         [Service]\nType=exec\nExecStart={daemon} -C {configuration} -bdf -oX \"{interfaces}\"\n\
         {AGAIN}\
         # Deliveries that have begun run to their end.\nKillMode=process\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_of_a_configuration_is_read_back() {
        for auth_mode in [AuthMode::TlsYes, AuthMode::TlsOptional] {
            let listener = Listener { port: 2525, auth_mode };
            let text = configuration(&listener, &[(NOTLS, "yes")], Path::new("/etc/exim4/exim4.conf"));
            assert_eq!(listener_in(&text), Some(listener));
        }
        assert_eq!(listener_in("MAIL_SMTP2_PORT = x\n"), None);
    }

    #[test]
    fn the_wildcard_of_ipv6_leaves_ipv4_alone() {
        let addresses: Vec<IpAddr> = ["0.0.0.0", "::", "::1"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(interfaces(&addresses, 587), "<;[0.0.0.0]:587;[::0]:587;[::1]:587");
    }

    #[test]
    fn spellings_of_offering_auth_under_tls_only_are_known() {
        for value in ["${if def:tls_in_cipher {*}{}}", "${if eq {$tls_cipher}{}{}{*}}"] {
            assert!(
                advertises(value, AuthMode::TlsYes) && !advertises(value, AuthMode::TlsOptional),
                "{value}"
            );
        }
        assert!(!advertises("!10.0.0.0/8", AuthMode::TlsOptional));
    }

    #[test]
    fn the_unit_of_version_1_0_0_is_known() {
        let unit =
            unit_of_1_0_0("/usr/sbin/exim4", Path::new("/etc/exim4/mail-smtp2.conf"), "<;[0.0.0.0]:587");
        assert_eq!(
            unit,
            "[Unit]\nDescription=Alternate inbound SMTP server (mail-smtp2)\nWants=network-online.target\n\
             After=network-online.target\n\n[Service]\nType=exec\n\
             ExecStart=/usr/sbin/exim4 -C /etc/exim4/mail-smtp2.conf -bdf -oX \"<;[0.0.0.0]:587\"\n\
             # Deliveries that have begun run to their end.\nKillMode=process\n\n\
             [Install]\nWantedBy=multi-user.target\n"
        );
    }

    #[test]
    fn an_administrators_acl_is_asked_after_ours() {
        assert!(
            acl(AuthMode::TlsYes, "acl_check_mail").ends_with("accept\n  endpass\n  acl = acl_check_mail\n")
        );
        let expression = acl(AuthMode::TlsYes, "${if eq {a}{b} {accept}{check}}");
        assert!(expression.ends_with(
            "warn\n  set acl_m_mail_smtp2 = ${if eq {a}{b} {accept}{check}}\naccept\n  endpass\n  acl = $acl_m_mail_smtp2\n"
        ));
        assert!(acl(AuthMode::TlsOptional, "").ends_with("\naccept\n"));
    }
}
