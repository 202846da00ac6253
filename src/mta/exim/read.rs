//! What Exim prints about itself and its configuration, as values.
//!
//! It reads the output of `-bV`, `-d -bV` and `-bP`, Exim's lists, and a port inside an address of one. These are pure
//! functions; what a value means for a listener is `alternate`'s and `needs`'s. What is not understood counts as
//! absent. Source: Exim's specification, chapters 5 (`-bP`, `-bV`), 6 (lists) and 13 (addresses), and Exim 4.96.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// What `-bP` prints.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Main options and their values.
    pub options: BTreeMap<String, String>,
    /// The names of the macros that are defined.
    pub macros: BTreeSet<String>,
    /// Authenticators and their options.
    pub authenticators: Vec<Authenticator>,
}

impl Printed {
    /// The value of a main option, empty where it has none.
    pub fn option(&self, name: &str) -> &str {
        self.options.get(name).map_or("", String::as_str)
    }
}

/// One of the `begin authenticators` section.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Authenticator {
    /// Its name there.
    pub name: String,
    options: BTreeMap<String, String>,
}

impl Authenticator {
    fn has(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| !value.is_empty())
    }

    /// Whether it serves clients; one without any of the conditions and secrets only logs in elsewhere.
    pub fn serves(&self) -> bool {
        const SERVER: [&str; 4] = ["server_condition", "server_secret", "server_password", "server_socket"];
        const ALWAYS: [&str; 4] = ["cyrus_sasl", "gsasl", "heimdal_gssapi", "tls"];
        let driver = self.options.get("driver").map_or("", String::as_str);
        SERVER.iter().any(|option| self.has(option)) || ALWAYS.contains(&driver)
    }

    /// The mechanism that it offers, which is its own name unless it says otherwise.
    pub fn mechanism(&self) -> &str {
        self.options.get("public_name").filter(|name| !name.is_empty()).unwrap_or(&self.name)
    }

    /// The condition under which it is offered, if that asks for TLS.
    pub fn needs_tls(&self) -> Option<&str> {
        let condition = self.options.get("server_advertise_condition")?;
        ["tls_in_cipher", "tls_cipher"].iter().any(|name| condition.contains(name)).then_some(condition)
    }
}

/// The values in the output of `-bP`.
pub fn printed(text: &str) -> Printed {
    let mut printed = Printed::default();
    for line in text.lines() {
        if let Some(name) = line.strip_suffix(" authenticator:") {
            let options = BTreeMap::new();
            printed.authenticators.push(Authenticator { name: name.to_owned(), options });
            continue;
        }
        let pair =
            line.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        match (pair, printed.authenticators.last_mut()) {
            (Some((name, value)), Some(authenticator)) => authenticator.options.insert(name, value),
            (Some((name, value)), None) => printed.options.insert(name, value),
            (None, _) => {
                printed.macros.insert(line.trim().to_owned());
                None
            }
        };
    }
    printed
}

/// The configuration that `-bV` says to be in use.
pub fn configuration(version: &str) -> Option<PathBuf> {
    version.lines().find_map(|line| line.strip_prefix("Configuration file is ")).map(PathBuf::from)
}

/// The list of configurations that keep their privilege, which `-d -bV` says to be compiled in.
pub fn trusted(version: &str) -> Option<PathBuf> {
    let quoted = version.lines().find_map(|line| line.strip_prefix("TRUSTED_CONFIG_LIST: "))?;
    Some(PathBuf::from(quoted.trim_matches('"')))
}

/// The error in what Exim says of a configuration, without the time before it.
pub fn error(said: &str) -> &str {
    said.find("Exim configuration error").map_or(said, |at| &said[at..]).trim()
}

/// The items of a list: set apart by colons, or by what stands behind a `<` at its head; twice, it is no separator.
pub fn list(text: &str) -> Vec<String> {
    let text = text.trim_start();
    let (separator, text) = match text.strip_prefix('<').and_then(|rest| rest.chars().next()) {
        Some(separator) => (separator, &text[1 + separator.len_utf8()..]),
        None => (':', text),
    };
    let doubled: String = [separator, separator].iter().collect();
    let items = text.replace(&doubled, "\0");
    let items =
        items.split(separator).map(|item| item.replace('\0', &separator.to_string()).trim().to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

/// The port in an address of `local_interfaces`: `[::1]:587`, `127.0.0.1.587` or `::1.587`.
pub fn port_in(address: &str) -> Option<u16> {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.rsplit_once("]:")?.1.parse().ok();
    }
    let (address, port) = address.rsplit_once('.')?;
    let whole = address.split('.').count() == 4 || address.parse::<Ipv6Addr>().is_ok();
    whole.then(|| port.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_macros_and_authenticators_are_told_apart() {
        let text = "acl_smtp_mail = acl_check_mail\nMAIN_X\n\nplain_server authenticator:\ndriver = plaintext\n\
                    server_condition = ${if eq{a}{b}}\nserver_advertise_condition = ${if eq{$tls_in_cipher}{}{}{*}}\n\n\
                    login authenticator:\ndriver = plaintext\nserver_condition = \n";
        let printed = printed(text);
        assert_eq!(printed.option("acl_smtp_mail"), "acl_check_mail");
        assert!(printed.macros.contains("MAIN_X"));
        let serves: Vec<_> = printed.authenticators.iter().map(|a| (a.name.as_str(), a.serves())).collect();
        assert_eq!(serves, [("plain_server", true), ("login", false)]);
        assert!(
            printed.authenticators[0].needs_tls().is_some()
                && printed.authenticators[1].needs_tls().is_none()
        );
    }

    #[test]
    fn lists_have_colons_or_a_separator_of_their_own() {
        assert_eq!(list("25 : smtp:"), ["25", "smtp"]);
        assert_eq!(list("127.0.0.1 : ::::1"), ["127.0.0.1", "::1"]);
        assert_eq!(list("<; 127.0.0.1 ; ::1"), ["127.0.0.1", "::1"]);
        assert!(list("").is_empty());
    }

    #[test]
    fn an_address_of_a_list_may_hold_a_port() {
        let ports = ["127.0.0.1.587", "[127.0.0.1]:26", "::1.465", "[::1]:2525", "127.0.0.1", "::1", "[::1]"];
        let ports: Vec<_> = ports.iter().map(|address| port_in(address)).collect();
        assert_eq!(ports, [Some(587), Some(26), Some(465), Some(2525), None, None, None]);
    }

    #[test]
    fn what_the_version_tells_is_found() {
        let text = "TRUSTED_CONFIG_LIST: \"/etc/exim4/trusted_configs\"\nConfiguration file is /etc/exim4/exim4.conf\n";
        assert_eq!(configuration(text), Some("/etc/exim4/exim4.conf".into()));
        assert_eq!(trusted(text), Some("/etc/exim4/trusted_configs".into()));
        assert_eq!(trusted("Exim version 4.96"), None);
    }
}
