//! `master.cf` as `postconf -M` prints it: its services, their ports, and which of them are ours.
//!
//! It reads what an entry says, the port that it names, and whether it is kept from running. Which of them matter to a
//! listener is `alternate`'s. What is no entry is left out. Source: master(5), postconf(5).

use super::instance::SYSLOG_NAME;

/// The type of a service that listens on a port.
pub(super) const INET: &str = "inet";
/// The type of a service that is handed its clients (postscreen(8)).
pub(super) const PASS: &str = "pass";

/// A service of `master.cf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    /// The first column without its port: the address that it binds, if it names one.
    pub(super) address: Option<String>,
    /// The port, a number or a name.
    pub(super) port: String,
    /// The column that says whether it runs in the chroot.
    pub(super) chroot: String,
    /// The program, the first word of the command.
    pub(super) program: String,
    /// The parameters of `main.cf` that its command line overrides.
    pub(super) overrides: Vec<String>,
    /// Whether it is a service of ours.
    pub(super) ours: bool,
}

impl Service {
    /// The first column.
    pub(super) fn name(&self) -> String {
        self.with_port(&self.port)
    }

    /// The first column of a service that is bound alike, on another port.
    pub(super) fn with_port(&self, port: impl std::fmt::Display) -> String {
        match &self.address {
            Some(address) => format!("{address}:{port}"),
            None => port.to_string(),
        }
    }
}

/// The services of a type in what `postconf -M` prints: one a line, seven columns and the command's arguments.
pub(super) fn parse(text: &str, wanted: &str) -> Vec<Service> {
    let service = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, kind, _private, _unpriv, chroot, _wakeup, _limit, program, ref arguments @ ..] = words[..]
        else {
            return None;
        };
        if kind != wanted {
            return None;
        }
        let (address, port) = match name.rsplit_once(':') {
            Some((address, port)) => (Some(address.to_owned()), port),
            None => (None, name),
        };
        Some(Service {
            address,
            port: port.to_owned(),
            chroot: chroot.to_owned(),
            program: program.to_owned(),
            overrides: overrides(arguments),
            ours: is_ours(line),
        })
    };
    text.lines().filter_map(service).collect()
}

/// The names in `-o name=value` and `-o { name = value }` (master(5)).
fn overrides(arguments: &[&str]) -> Vec<String> {
    let named = arguments.iter().enumerate().filter(|(_, word)| **word == "-o").filter_map(|(at, _)| {
        let words = arguments.get(at + 1..)?;
        words.iter().map(|word| word.trim_start_matches('{')).find(|word| !word.is_empty())
    });
    named.filter_map(|word| Some(word.split('=').next()?.to_owned())).collect()
}

/// Whether an entry of `master.cf` carries the name by which ours are known, however postconf(1) or somebody else has laid it
/// out.
pub(super) fn is_ours(entry: &str) -> bool {
    let spaced = entry.replace(['=', '{', '}', ','], " = ");
    let words: Vec<&str> = spaced.split_ascii_whitespace().filter(|word| *word != "=").collect();
    words.windows(2).any(|pair| pair == ["syslog_name", SYSLOG_NAME])
}

/// The entries of a list in `main.cf`, which are set apart by commas or blanks (postconf(5)).
pub(super) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// Whether a list such as `master_service_disable` names an internet service: by its type, or by name and type; the first
/// entry that does counts, and one with a `!` says that it is not meant (postconf(5)).
pub(super) fn disables(list: &str, name: &str) -> bool {
    let all = [format!("{name}/inet"), format!("{name}.inet"), "inet".to_owned()];
    let named = |entry: &str| all.iter().any(|known| known == entry);
    let mut entries = words(list).map(|entry| (entry, entry.trim_start_matches('!')));
    entries.find(|(_, bare)| named(bare)).is_some_and(|(entry, _)| !entry.starts_with('!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_service_are_read() {
        let text = "smtp       inet  n       -       y       -       -       smtpd\n\
                    127.0.0.1:587 inet n - n - - smtpd -o syslog_name=postfix/smtp2\n\
                    [::1]:submission inet n - y - - smtpd\n\
                    pickup     unix  n       -       y       60      1       pickup\n";
        let services = parse(text, INET);
        assert_eq!(services.len(), 3);
        assert_eq!((services[0].address.as_deref(), services[0].port.as_str()), (None, "smtp"));
        assert_eq!((services[1].address.as_deref(), services[1].ours), (Some("127.0.0.1"), true));
        assert_eq!(
            (services[2].address.as_deref(), services[2].port.as_str()),
            (Some("[::1]"), "submission")
        );
        assert_eq!(services[1].overrides, ["syslog_name"]);
        assert_eq!((services[0].chroot.as_str(), services[0].program.as_str()), ("y", "smtpd"));
    }

    #[test]
    fn the_first_entry_that_names_a_service_says_whether_it_is_disabled() {
        assert!(disables("submission/inet", "submission") && disables("smtp.inet, inet", "587"));
        assert!(!disables("", "587") && !disables("!587/inet, inet", "587") && !disables("unix", "587"));
    }

    #[test]
    fn a_service_that_is_handed_its_clients_is_told_apart() {
        let text = "smtp inet n - n - 1 postscreen\nsmtpd pass - - y - - smtpd\n";
        let passed = parse(text, PASS);
        assert_eq!((passed.len(), passed[0].port.as_str(), passed[0].chroot.as_str()), (1, "smtpd", "y"));
    }

    #[test]
    fn what_an_entry_overrides_is_told_in_every_layout() {
        let text = "587 inet n - y - - smtpd -v -o a=b -o { c = d e } -o {f=g} -o h={ i }\n";
        assert_eq!(parse(text, INET)[0].overrides, ["a", "c", "f", "h"]);
    }

    #[test]
    fn an_entry_is_ours_by_its_whole_name_in_every_layout() {
        for ours in [
            "587 inet n - y - - smtpd -o syslog_name=postfix/smtp2",
            "587 inet x\n  -o { syslog_name = postfix/smtp2 }",
        ] {
            assert!(is_ours(ours), "{ours}");
        }
        for theirs in ["587 inet n - y - - smtpd -o syslog_name=postfix/smtp2x", "587 inet n - y - - smtpd"] {
            assert!(!is_ours(theirs), "{theirs}");
        }
    }
}
