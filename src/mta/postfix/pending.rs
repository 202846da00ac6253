//! What Postfix's master would end over, if it were told to read its configuration now.
//!
//! It looks whether each entry's port is known and can be bound, and whether the names in `inet_interfaces` resolve.
//! Our own entry is judged before, by `change::ports`. What would end Postfix is an error that names the entry. Source:
//! how Postfix 3.7 was seen to end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::alternate::PostfixAlternate;
use super::master::{Service, words};
use crate::mta::sheet::MtaError;
use crate::sys::{Command, Ended, Process};
use crate::wire::reason::Reason;
use crate::wire::text::printable;

impl PostfixAlternate<'_> {
    /// Whether master, told to read its configuration, will find what this service names: it ends where it does not.
    pub(super) fn loads(&self, service: &Service, master: &Process) -> Result<(), MtaError> {
        let host = self.context.view;
        let entry =
            || format!("the entry {} inet in {}", printable(service.name()), self.master_cf().display());
        let pending = |what: String| {
            Err(MtaError::Cannot(
                Reason::ConfigurationPending,
                format!("{what}; loading it now would end Postfix"),
            ))
        };
        let Some(port) = self.port(service)? else {
            return pending(format!("{} names a port that is not known here", entry()));
        };
        for socket in host.listening(port)? {
            if host.holder_among(&socket, &[master.pid])?.is_some() {
                return Ok(());
            }
        }
        let named = service.address.as_deref().map(|address| vec![address.trim_matches(['[', ']'])]);
        let interfaces = self.parameter("inet_interfaces")?;
        let (named, by) = match named {
            Some(named) => (named, entry()),
            None => (words(interfaces).collect(), format!("inet_interfaces = {}", printable(interfaces))),
        };
        for name in named {
            let Some(addresses) = self.interface(name)? else {
                return pending(format!("{by} names {}, which does not resolve", printable(name)));
            };
            for address in addresses {
                let Err(error) = host.try_bind(address, port) else { continue };
                let holders = match host.listening(port)?.first() {
                    Some(socket) => host.holders(socket)?,
                    None => Vec::new(),
                };
                let holder = holders.first().map_or(error.to_string(), |holder| {
                    format!("{} (pid {}) holds that port", printable(&holder.name), holder.pid)
                });
                return pending(format!(
                    "{}, which Postfix has not loaded yet, cannot be bound: {holder}",
                    entry()
                ));
            }
        }
        Ok(())
    }

    /// The addresses that an interface of `inet_interfaces` stands for; `None` if it does not resolve.
    fn interface(&self, name: &str) -> Result<Option<Vec<IpAddr>>, MtaError> {
        let families = self.parameter("inet_protocols")?;
        let family = |six: bool| {
            words(families).any(|word| word == "all" || word == if six { "ipv6" } else { "ipv4" })
        };
        let (four, six) = (family(false), family(true));
        let both = |v4: Ipv4Addr, v6: Ipv6Addr| {
            let (v4, v6) = (four.then_some(IpAddr::V4(v4)), six.then_some(IpAddr::V6(v6)));
            Ok(Some(v4.into_iter().chain(v6).collect()))
        };
        match name {
            "all" => return both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED),
            "loopback-only" => return both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST),
            _ => {}
        }
        if let Ok(address) = name.parse() {
            return Ok(Some(vec![address]));
        }
        // Looked up by a program, so that a server of names that does not answer keeps nobody waiting (getent(1)).
        let output = self.context.ask(&Command::new("getent").args(["ahosts", name]))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let addresses = text.lines().filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok());
        let mut addresses: Vec<IpAddr> =
            addresses.filter(|a: &IpAddr| if a.is_ipv4() { four } else { six }).collect();
        addresses.sort();
        addresses.dedup();
        Ok((output.ended == Ended::Exited(0) && !addresses.is_empty()).then_some(addresses))
    }
}
