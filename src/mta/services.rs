//! Names of TCP ports, as configurations use them (services(5)).
//!
//! Who listens on a port is `change::live`'s. A name that is not in the table has no number.

use std::path::Path;

use crate::sys::View;

/// Names that every machine knows, whatever its `/etc/services` says (RFC 6409, RFC 8314).
const NAMES: [(&str, u16); 4] = [("smtp", 25), ("submission", 587), ("smtps", 465), ("submissions", 465)];

/// The number of a port that may be named.
pub(super) fn number(host: &dyn View, port: &str) -> Option<u16> {
    if let Ok(number) = port.parse() {
        return Some(number);
    }
    let known = NAMES.iter().find(|(name, _)| *name == port).map(|(_, number)| *number);
    known.or_else(|| {
        let text = host.read(Path::new("/etc/services")).ok()??;
        String::from_utf8_lossy(&text).lines().find_map(|line| {
            let mut words = line.split('#').next()?.split_ascii_whitespace();
            let name = words.next()?;
            let number = words.next()?.strip_suffix("/tcp")?;
            (name == port || words.any(|alias| alias == port)).then(|| number.parse().ok())?
        })
    })
}
