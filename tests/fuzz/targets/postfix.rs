//! What `postconf -M` prints: a service for each line that has its columns, and the overrides that were written.
//!
//! Fails where a line is read as a service that it is not, or an option is not found again.

use super::master::{INET, is_ours, parse};

/// The lines of `postconf -M`.
pub fn services(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let services = parse(&text, INET);
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() >= 8 && words[1] == INET)
        .collect();
    assert_eq!(services.len(), lines.len(), "{text:?}");
    for (service, words) in services.iter().zip(&lines) {
        assert_eq!((&*service.name(), &*service.program), (words[0], words[7]), "{text:?}");
        assert_eq!((&*service.chroot, service.port.contains(':')), (words[4], false), "{text:?}");
        let names = words[8..].iter().filter(|word| **word == "-o").count();
        assert!(service.overrides.len() <= names, "{text:?}: {:?}", service.overrides);
        assert_eq!(service.ours, is_ours(&words.join(" ")), "{text:?}: other blanks, another owner");
    }
    written(&text);
}

/// Names that are written as overrides, in each of the ways of master(5), are found again in their order.
fn written(text: &str) {
    let is_name = |word: &&str| {
        word.len() < 40 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let names: Vec<&str> = text.split_ascii_whitespace().filter(is_name).take(20).collect();
    let options = names.iter().enumerate().map(|(at, name)| match at % 3 {
        0 => format!(" -o {name}=a,b"),
        1 => format!(" -o {{ {name} = a b }}"),
        _ => format!(" -o {{{name}=a b}}"),
    });
    let line = format!("587 inet n - n - - smtpd{}", options.collect::<String>());
    assert_eq!(parse(&line, INET)[0].overrides, names, "{line}");
}
