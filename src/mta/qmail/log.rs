//! The log that a service's own logger writes.
//!
//! It finds out where that is, as far as the scripts of the service tell (multilog(8) and svlogd(8) write a file
//! `current` into each folder that they are given), reads its end, and tells which files of a folder are a logger's. It
//! only ever explains another failure, so that a log that cannot be read is none.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::run;
use crate::mta::sheet::Log;
use crate::sys::{Entry, View};

/// What a logger writes into.
const CURRENT: &str = "current";
/// Where the folder of a service's log is, by the service's name, where no script says so.
const USUAL: [&str; 2] = ["/var/log", "/var/log/qmail"];
/// What a logger has besides, and what it begins the names of old logs with.
const KEPT: [&str; 7] = [CURRENT, "lock", "state", "newstate", "previous", "processed", "newprocessed"];
const OLD: u8 = b'@';
/// How much of its end is read, in bytes.
const END: usize = 64 << 10;

/// The end of the log of the service in `dir`.
pub(super) fn end(host: &dyn View, dir: &Path) -> Option<Log> {
    let logger = dir.join("log");
    let named = |folder: &Path| {
        let script = host.read(&folder.join("run")).ok().flatten().unwrap_or_default();
        folders(&String::from_utf8_lossy(&script), folder)
    };
    let usual = |place: &&str| Some(Path::new(place).join(dir.file_name()?));
    let places = [named(&logger), named(dir), USUAL.iter().filter_map(usual).collect()].concat();
    places.into_iter().find_map(|folder| {
        let path = folder.join(CURRENT);
        let end = host.end_of(&path, END).ok().flatten().filter(|end| !end.is_empty())?;
        Some(Log { path, end })
    })
}

/// The folders that a script in `dir` may name: words that are paths, and cannot be anything but paths for a logger.
fn folders(script: &str, dir: &Path) -> Vec<PathBuf> {
    let text = run::without_comments(script);
    let words = run::words(&text).into_iter();
    words.filter(|word| word.starts_with(['/', '.'])).map(|word| dir.join(word)).collect()
}

/// Whether these entries are those of a folder that a logger writes into.
pub(super) fn is_logs(entries: &[Entry]) -> bool {
    ["lock", CURRENT].iter().all(|name| entries.iter().any(|entry| entry.name == *name))
}

/// Whether a file of such a folder is the logger's.
pub(super) fn is_loggers(name: &OsStr) -> bool {
    KEPT.iter().any(|kept| name == *kept) || name.as_encoded_bytes().first() == Some(&OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_a_logger_are_found_in_its_script() {
        for (script, folder) in [
            (
                "#!/bin/sh\nexec setuidgid qmaill multilog t s100000 n20 /var/log/qmail/smtp2\n",
                "/var/log/qmail/smtp2",
            ),
            ("#!/bin/sh\nexec setuidgid qmaill /usr/bin/multilog t ./main", "/service/smtp2/log/./main"),
            ("#!/bin/sh\nexec chpst -u log svlogd -tt \"/var/log/smtp2\"", "/var/log/smtp2"),
            ("#!/bin/sh\nexec svlogd -tt .", "/service/smtp2/log/."),
        ] {
            assert!(folders(script, Path::new("/service/smtp2/log")).contains(&folder.into()), "{script}");
        }
    }

    #[test]
    fn what_a_comment_names_is_no_folder() {
        assert_eq!(
            folders("# multilog t /var/log/other\nexec multilog t e", Path::new("/s")),
            [""; 0].map(PathBuf::from)
        );
    }
}
