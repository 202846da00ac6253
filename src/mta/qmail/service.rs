//! Where qmail is, and the service directory of its second listener: which one, and whether somebody supervises it.
//!
//! What has to stand in that directory is `alternate`'s. A machine without one is an answer; what cannot be looked into is an
//! [`MtaError`].

use std::path::{Path, PathBuf};

use super::run::SUPERVISE;
use super::status;
use super::variables::Variables;
use crate::mta::machine::is_there;
use crate::mta::sheet::MtaError;
use crate::sys::{Process, View};

/// The daemon that delivers the queue: qmail runs when it does.
pub(super) const DAEMON: &str = "/var/qmail/bin/qmail-send";

/// The folder that belongs to the user as whom the daemon runs.
const HOMES: [&str; 1] = ["/var/qmail/queue/bounce"];

/// Where qmail's configuration is.
pub(super) const CONTROL: &str = "/var/qmail/control";

/// Where the service directory may be; often they are links to one another.
const PLACES: [&str; 3] = ["/service/smtp2", "/etc/service/smtp2", "/var/qmail/supervise/smtp2"];

/// qmail under supervise, as `[mta.qmail]` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Qmail {
    /// The service directory; `None` is the first usual one that is there.
    pub service_dir: Option<PathBuf>,
    /// What a service directory is made from where there is none.
    pub template: Option<PathBuf>,
    /// The variables of its `env/`.
    pub variables: Variables,
}

impl Qmail {
    /// The places where the service directory is looked for.
    pub(super) fn places(&self) -> Vec<&Path> {
        match &self.service_dir {
            Some(dir) => vec![dir],
            None => PLACES.iter().map(Path::new).collect(),
        }
    }

    /// The service directory: the one that is there, else where one could be made.
    pub(super) fn dir(&self, host: &dyn View) -> Option<&Path> {
        let places = self.places();
        let fits = |fit: &dyn Fn(&Path) -> bool| places.iter().copied().find(|place| fit(place));
        fits(&|place| is_there(host, place))
            .or_else(|| fits(&|place| place.parent().is_some_and(|parent| is_there(host, parent))))
    }

    /// What is supervised there, if somebody supervises it.
    pub(super) fn service(&self, host: &dyn View, dir: &Path) -> Result<Option<status::Service>, MtaError> {
        let folder = dir.join(SUPERVISE);
        // The status outlives its supervisor, and so may the process that it names.
        if !host.is_read(&folder.join("ok"))? {
            return Ok(None);
        }
        let bytes = host.read(&folder.join("status"))?.unwrap_or_default();
        Ok(Some(status::parse(&bytes).unwrap_or_default()))
    }
}

/// The daemon that delivers the queue.
pub(super) fn senders(host: &dyn View) -> Result<Vec<Process>, MtaError> {
    Ok(host.processes(&[Path::new(DAEMON)], &HOMES.map(Path::new))?)
}

/// The users as whom qmail's own programs run, by the names that they have everywhere (qmail's INSTALL.ids), and vpopmail's.
pub(super) fn users(host: &dyn View) -> Vec<u32> {
    let text = host.read(Path::new("/etc/passwd")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let user = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        ["qmail", "vpopmail", "vchkpw"].iter().any(|own| name.starts_with(own)).then_some(())?;
        fields.nth(1)?.parse().ok()
    };
    text.lines().filter_map(user).collect()
}
