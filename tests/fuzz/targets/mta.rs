//! What mail servers print and write: Exim about its configuration, supervise about a service.
//!
//! Lists and addresses are written once more and read back; a status is read by its offsets.

use std::net::IpAddr;
use std::path::Path;

use crate::mta::exim::{conf, read};
use crate::mta::qmail::status;
use crate::mta::{AuthMode, Listener};

/// Exim's lists, addresses, options, and a configuration of ours.
pub(super) fn exim(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    list(&text);
    addresses(data);
    options(&text);
    configuration(data, &text);
}

/// The items of a list are those of the list that is made of them.
fn list(text: &str) {
    // Exim's strings end at a zero byte.
    let items = read::list(&text.replace('\0', ""));
    let written: Vec<String> = items.iter().map(|item| item.replace(';', ";;")).collect();
    assert_eq!(read::list(&format!("<; {}", written.join(" ; "))), items, "{text:?}");
    assert!(items.iter().all(|item| !item.is_empty() && item.trim() == item), "{items:?}");
}

/// A port is found in each way to write an address.
fn addresses(data: &[u8]) {
    let Some((port, rest)) = data.split_first_chunk::<2>() else { return };
    let port = u16::from_be_bytes(*port);
    let four = rest.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
    let six = rest.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
    for address in four.into_iter().chain(six) {
        for written in [format!("{address}.{port}"), format!("[{address}]:{port}")] {
            assert_eq!(read::port_in(&written), Some(port), "{written}");
        }
        assert_eq!(read::port_in(&address.to_string()), None, "{address}");
    }
}

/// A main option has the value of its last line before the authenticators, each of which has a line.
fn options(text: &str) {
    let printed = read::printed(text);
    let is_head = |line: &&str| line.ends_with(" authenticator:");
    assert_eq!(printed.authenticators.len(), text.lines().filter(is_head).count(), "{text:?}");
    let main = || text.lines().take_while(|line| !is_head(line));
    for line in main() {
        match line.split_once('=') {
            Some((name, _)) => {
                let same = |line: &&str| line.split('=').next().map(str::trim) == Some(name.trim());
                let last = main().filter(|line| line.contains('=')).filter(same).last();
                let value = last.and_then(|line| line.split_once('=')).map(|(_, value)| value.trim());
                assert_eq!(Some(printed.option(name.trim())), value, "{text:?}");
            }
            None => assert!(printed.macros.contains(line.trim()), "{text:?}"),
        }
    }
}

/// Port and mode of our configuration are read back, whatever the administrator's own lines are.
fn configuration(data: &[u8], text: &str) {
    if let Some(listener) = conf::listener_in(text) {
        assert!(listener.port > 0 && text.contains(conf::PORT), "{text:?}");
    }
    let port = data.first_chunk::<2>().map_or(587, |bytes| u16::from_be_bytes(*bytes)).max(1);
    for auth_mode in [AuthMode::TlsYes, AuthMode::TlsOptional] {
        let listener = Listener { port, auth_mode };
        let written = conf::configuration(&listener, &[(conf::ACL_OPTION, text)], Path::new(text));
        assert_eq!(conf::listener_in(&written), Some(listener), "{written}");
    }
}

/// The bytes of a status say what stands at their offsets.
pub(super) fn supervise(data: &[u8]) {
    let number = |range: std::ops::Range<usize>| -> u128 {
        data[range].iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
    };
    let expected = (data.len() == 18 || data.len() == 20).then(|| {
        let pid = data[12..16].iter().rev().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        // TAI64: 2^62 is the beginning of 1970, which UTC was ten seconds behind.
        (pid, number(0..8).saturating_sub((1 << 62) + 10))
    });
    let expected = expected.filter(|(pid, _)| *pid < 1 << 31);
    let told = status::parse(data).map(|service| {
        (service.pid.map_or(0, |pid| u128::from(pid.unsigned_abs())), u128::from(service.since))
    });
    assert_eq!(told, expected, "{data:?}");
}
