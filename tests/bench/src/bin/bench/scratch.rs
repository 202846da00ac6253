//! The one folder of a run: configuration, state directories, what the servers said on stderr.
//!
//! When it is dropped the folder goes, and with it whatever still works in it: a sandbox listener is due to
//! end with its state directory, and one that has not after three seconds is killed, which is said. Such a
//! process is the plugin's program with the folder in its arguments, as its directory or among its open files;
//! somebody who merely looks into the folder is left alone.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tempfile::TempDir;

use crate::fault::Fault;
use crate::server::Server;

const LEAVES_WITHIN: Duration = Duration::from_secs(3);

pub struct Scratch {
    folder: Option<TempDir>,
    path: PathBuf,
    plugin: PathBuf,
}

impl Scratch {
    pub fn new(plugin: &Path) -> Result<Scratch, Fault> {
        let folder = tempfile::Builder::new()
            .prefix("mail-smtp2-bench-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Fault::machine("making a temporary folder"))?;
        let path = folder.path().canonicalize().map_err(Fault::machine("finding the temporary folder"))?;
        let scratch = Scratch { folder: Some(folder), path, plugin: plugin.into() };
        fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(scratch.config())
            .map_err(Fault::machine("writing an empty configuration"))?;
        Ok(scratch)
    }

    /// The floor needs nothing but a place for its stderr.
    pub fn floor(&self, program: &Path) -> Server {
        Server { program: program.into(), arguments: Vec::new(), stderr: self.path.join("floor.log") }
    }

    /// The plugin on a state directory of that name, deaf to the configuration of this machine.
    pub fn plugin(&self, name: &str) -> Result<Server, Fault> {
        let state = self.path.join(name);
        fs::DirBuilder::new()
            .create(&state)
            .map_err(Fault::machine(format!("making {}", state.display())))?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700))
            .map_err(Fault::machine(format!("closing {}", state.display())))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let arguments = ["--config", &text(&self.config()), "--mta", "sandbox", "--state-dir", &text(&state)];
        Ok(Server {
            program: self.plugin.clone(),
            arguments: arguments.map(str::to_owned).to_vec(),
            stderr: self.path.join(format!("{name}.log")),
        })
    }

    fn config(&self) -> PathBuf {
        self.path.join("mail-smtp2.toml")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let workers = working_in(&self.path, &self.plugin);
        if let Some(Err(fault)) = self.folder.take().map(TempDir::close) {
            eprintln!("bench: {} could not be removed: {fault}", self.path.display());
        }
        let leaves_by = Instant::now() + LEAVES_WITHIN;
        for (id, process) in workers {
            if !ends_before(leaves_by, &process) && pidfd_send_signal(&process, Signal::KILL).is_ok() {
                eprintln!("bench: process {id} outlived its state directory and was killed");
            }
        }
    }
}

fn ends_before(deadline: Instant, process: &OwnedFd) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).ok();
    // A pidfd becomes readable when its process ends.
    poll(&mut [PollFd::new(process, PollFlags::IN)], left.as_ref()).is_ok_and(|ended| ended > 0)
}

/// The processes that have the folder in hand, held by pidfd so that a number used anew is never hit.
fn working_in(folder: &Path, plugin: &Path) -> Vec<(i32, OwnedFd)> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // Our own arguments name the plugin too.
    let own = std::process::id() as i32;
    numbers
        .filter(|id| *id != own)
        .filter_map(|id| {
            let process = pidfd_open(Pid::from_raw(id)?, PidfdFlags::empty()).ok()?;
            (is(id, plugin) && holds(id, folder)).then_some((id, process))
        })
        .collect()
}

/// Started from that file, or, if it is a script, with it as an argument.
fn is(id: i32, program: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    fs::read_link(format!("/proc/{id}/exe")).is_ok_and(|exe| exe == program)
        || arguments.split(|byte| *byte == 0).any(|argument| argument == program.as_os_str().as_bytes())
}

fn holds(id: i32, folder: &Path) -> bool {
    let name = folder.to_string_lossy();
    let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let inside = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(folder));
    let files = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    memchr::memmem::find(&arguments, name.as_bytes()).is_some()
        || inside(format!("/proc/{id}/cwd").into())
        || files.map(|file| file.path()).any(inside)
}
