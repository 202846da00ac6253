//! How many TCP connections stand on a port of ours.
//!
//! Counted in the tables of `proc_net(5)`, which anybody may read. What cannot be read counts for nothing: the number is to
//! be told to a person, and nothing is decided by it.

use std::path::Path;

use super::host::View;

/// The tables of both families.
const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];
/// The state of an established connection (`include/net/tcp_states.h`).
const ESTABLISHED: &str = "01";

/// The connections that stand on `port`.
pub fn established(host: &dyn View, port: u16) -> u64 {
    let table = |path: &&str| host.read(Path::new(path)).ok().flatten().unwrap_or_default();
    TABLES.iter().map(table).map(|table| count(&String::from_utf8_lossy(&table), port)).sum()
}

/// The lines of a table that are connections on `port`: number, local address, remote address, state.
fn count(table: &str, port: u16) -> u64 {
    let local = format!(":{port:04X}");
    let stands = |line: &&str| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        columns.next().is_some_and(|at| at.ends_with(&local)) && columns.nth(1) == Some(ESTABLISHED)
    };
    table.lines().skip(1).filter(stands).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_on_the_port_itself_are_counted_and_nothing_else() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             \x20  0: 00000000:024B 00000000:0000 0A 00000000:00000000\n\
             \x20  1: 0100007F:024B 0100007F:C350 01 00000000:00000000\n\
             \x20  2: 0100007F:C350 0100007F:024B 01 00000000:00000000\n\
             \x20  3: 0100007F:024B 0100007F:C351 06 00000000:00000000\n";
        assert_eq!((count(table, 587), count(table, 50000), count("", 587)), (1, 1, 0));
    }
}
