//! What was recorded on a machine, as data: scenes, and the commands that lead from one to another.
//!
//! A *scene* is all that the machine shows at an instant about the ports, processes and files that were looked at: the
//! fixed list of those stands in the first line of `smtp.jsonl`, so that what was not looked at is never answered. A
//! command is known by its argv, the scene it was run in and every file that differs from `root/`; it leads to a scene.
//! One that only asks about the files knows no scenes. Of a file that differs from another in `root/` only the
//! difference is kept. How a scene is looked at is `recorder`'s, who asks is `recorded`'s. A recording that cannot be
//! read fails the test.

use mail_smtp2::sys::smtp::Step;
use mail_smtp2::sys::{Asked, Dialogue, Question, Socket};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The state directory of every recorded machine.
pub(super) const STATE: &str = "/var/lib/mail-smtp2";
/// Our own program on every recorded machine.
pub(super) const PROGRAM: &str = "/usr/bin/mail-smtp2";

/// What is looked at for a scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Survey {
    /// On these addresses (nobody is spoken to on an unspecified one),
    pub(super) addresses: Vec<IpAddr>,
    /// these ports;
    pub(super) ports: Vec<u16>,
    /// who listens on these others, to whom nobody speaks;
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) others: Vec<u16>,
    /// every process of these programs;
    pub(super) programs: Vec<PathBuf>,
    /// these Unix sockets;
    pub(super) unix: Vec<PathBuf>,
    /// these FIFOs;
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fifos: Vec<PathBuf>,
    /// these service directories, and who works in them;
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) services: Vec<PathBuf>,
    /// and these files, which the mail server writes itself.
    pub(super) files: Vec<PathBuf>,
}

impl Survey {
    /// What there is to look at on a host of this name.
    fn of(host: &str) -> Self {
        let addresses = |all: &[&str]| all.iter().map(|address| address.parse().unwrap()).collect();
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        let bare = Self {
            addresses: addresses(&["127.0.0.1", "::1"]),
            ports: vec![587, 2587],
            others: Vec::new(),
            programs: Vec::new(),
            unix: Vec::new(),
            fifos: Vec::new(),
            services: Vec::new(),
            files: Vec::new(),
        };
        match host {
            "sandbox" => Self {
                // Of a mail server that was configured there before.
                programs: paths(&["/usr/sbin/exim4", "/usr/sbin/exim", "/usr/exim/bin/exim"]),
                files: vec![Path::new(STATE).join("sandbox/daemon.lock")],
                ..bare
            },
            "postfix-debian" => Self {
                addresses: addresses(&["0.0.0.0", "::", "127.0.0.1", "::1"]),
                others: vec![25, 10587],
                programs: paths(&[
                    "/usr/lib/postfix/sbin/master",
                    "/usr/libexec/postfix/master",
                    "/usr/lib/postfix/master",
                    "/usr/lib/postfix/bin/master",
                ]),
                unix: paths(&["/var/spool/postfix/private/auth"]),
                files: paths(&["/var/spool/postfix/pid/master.pid"]),
                ..bare
            },
            "exim-debian" => Self {
                addresses: addresses(&["0.0.0.0", "::", "127.0.0.1", "::1"]),
                others: vec![25],
                programs: paths(&["/usr/sbin/exim4", "/usr/sbin/exim", "/usr/exim/bin/exim"]),
                ..bare
            },
            "qmail-daemontools" => Self {
                addresses: addresses(&["0.0.0.0", "::", "127.0.0.1", "::1"]),
                others: vec![25, 5870],
                programs: paths(&["/var/qmail/bin/qmail-send"]),
                fifos: paths(&["/service/smtp2/supervise/ok", "/service/smtp2/supervise/control"]),
                services: paths(&["/service/smtp2"]),
                files: paths(&["/service/smtp2/supervise/status"]),
                ..bare
            },
            _ => bare,
        }
    }

    /// Every address and port that is looked at.
    pub(super) fn places(&self) -> impl Iterator<Item = SocketAddr> {
        let ports = self.ports.iter();
        ports.flat_map(|port| self.addresses.iter().map(|address| SocketAddr::new(*address, *port)))
    }

    /// Where somebody else may be heard who is there besides.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = SocketAddr> {
        let heard = self.addresses.iter().filter(|address| !address.is_unspecified());
        heard.flat_map(|address| self.others.iter().map(|port| SocketAddr::new(*address, *port)))
    }
}

/// What the machine shows at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scene {
    /// How it is spoken of.
    #[serde(rename = "scene")]
    pub(super) name: String,
    /// The sockets that listen, IPv4 first.
    pub(super) sockets: Vec<Listening>,
    /// Who is there.
    pub(super) processes: Vec<Somebody>,
    /// Where a connection is refused.
    pub(super) refusing: BTreeSet<SocketAddr>,
    /// Where a socket cannot be bound, and the number of the system's error; port 0 is any.
    pub(super) unbindable: BTreeMap<SocketAddr, i32>,
    /// The Unix sockets that accept connections.
    pub(super) unix: BTreeSet<PathBuf>,
    /// The FIFOs that somebody reads.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) fifos: BTreeSet<PathBuf>,
    /// Files that the mail server wrote.
    pub(super) files: BTreeMap<PathBuf, String>,
    /// What a client is told.
    #[serde(skip)]
    pub(super) dialogues: Vec<Spoken>,
}

/// A socket and who holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listening {
    /// The socket.
    #[serde(flatten)]
    pub(super) socket: Socket,
    /// Who.
    pub(super) holders: Vec<Holder>,
}

/// A process that holds a socket, and as which descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) pid: i32,
    pub(super) fd: i32,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Somebody {
    /// Its id.
    pub(super) pid: i32,
    /// What it executes.
    pub(super) exe: Option<PathBuf>,
    /// What it calls itself.
    pub(super) name: String,
    /// What it was started with, of a program that is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) words: Vec<String>,
    /// In which service directory it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) works_in: Option<PathBuf>,
}

/// What stands in a `supervise/status` of daemontools, as a recording shows it: the process, or none, and what was
/// asked. The time is left out.
pub(super) fn status_shown(bytes: &[u8], mut number: impl FnMut(i32) -> i32) -> String {
    assert_eq!(bytes.len(), 18, "a status of daemontools");
    let pid = match u32::from_le_bytes(bytes[12..16].try_into().unwrap()) {
        0 => "none".to_owned(),
        pid => number(i32::try_from(pid).unwrap()).to_string(),
    };
    let wants = match bytes[17] {
        0 => '-',
        letter => char::from(letter),
    };
    format!("process {pid}, paused {}, wants {wants}\n", bytes[16])
}

/// The bytes that were shown so.
pub(super) fn status_bytes(shown: &str) -> Vec<u8> {
    let words: Vec<&str> = shown.split([' ', ',', '\n']).filter(|word| !word.is_empty()).collect();
    let ["process", pid, "paused", paused, "wants", wants] = words[..] else { panic!("no status: {shown}") };
    let pid: u32 = pid.parse().unwrap_or_default();
    let wants = if wants == "-" { 0 } else { wants.as_bytes()[0] };
    // 2026-01-01T00:00:00Z, when everything happens, in TAI64N.
    let since = 0x4000_0000_0000_000a_u64 + 1_767_225_600;
    [&since.to_be_bytes()[..], &[0; 4], &pid.to_le_bytes(), &[paused.parse().unwrap(), wants]].concat()
}

/// Whether a file is the status of a supervised service.
pub(super) fn is_status(path: &Path) -> bool {
    path.ends_with("supervise/status")
}

/// A dialogue with a socket of a scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spoken {
    /// The scene's name.
    #[serde(rename = "dialogue_in")]
    pub(super) scene: String,
    /// With whom.
    pub(super) at: SocketAddr,
    /// What was asked.
    pub(super) question: Question,
    /// What was said.
    pub(super) said: Said,
}

/// How a dialogue went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// To its end.
    All(Box<Dialogue>),
    /// The server hung up at this step.
    HungUp { hung_up: Step },
}

impl Said {
    /// What was said, if it came to its end.
    pub(super) fn all(&self) -> Option<&Dialogue> {
        match self {
            Self::All(dialogue) => Some(dialogue),
            Self::HungUp { .. } => None,
        }
    }
}

/// Something that is done to the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Deed {
    /// A command is run.
    Argv(Vec<String>),
    /// A signal is sent to the process that is called so.
    Signal(String, String),
    /// These letters are written into this FIFO.
    Feed(PathBuf, String),
    /// A program that has nothing to do with us begins to listen on this port.
    Neighbour(u16),
}

impl Deed {
    /// Whether it only asks about the files.
    pub(super) fn asks(&self) -> bool {
        let shows = |argv: &[String]| ["-bV", "-bP"].iter().any(|flag| argv.iter().any(|word| word == flag));
        matches!(self, Self::Argv(argv) if argv[0] == "postconf" || shows(argv))
    }

    /// Whether a file may make a difference to it: any but the plugin's own, and of those what it is pointed at.
    pub(super) fn meets(&self, path: &Path) -> bool {
        let words = match self {
            Self::Argv(argv) => argv.as_slice(),
            Self::Signal(..) | Self::Feed(..) | Self::Neighbour(_) => &[],
        };
        if path.starts_with(STATE) {
            return words.iter().any(|word| path.starts_with(word));
        }
        !path.starts_with("/run/mail-smtp2") && path != Path::new(PROGRAM)
    }
}

/// How a deed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum End {
    /// With this status.
    Exit(i32),
    /// Killed by this signal.
    Killed(i32),
}

/// The files that differ from `root/`; `None` is one that is gone.
pub(super) type Differing = BTreeMap<PathBuf, Option<Content>>;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    /// A file with this text.
    Text(String),
    /// A symbolic link.
    Link { link: PathBuf },
    /// A file that differs in this from one in `root/`.
    Difference { from: PathBuf, difference: Vec<String> },
}

/// How a text differs from another, as `diff -U1` has it, without its head.
pub(super) fn difference(old: &str, new: &str) -> Vec<String> {
    let diff = similar::TextDiff::from_lines(old, new);
    diff.unified_diff().context_radius(1).to_string().lines().map(str::to_owned).collect()
}

/// A deed, when it was done, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// What was done.
    #[serde(flatten)]
    pub(super) deed: Deed,
    /// In which scene; absent is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
    /// With which files, as [`Recording::shown`] has them.
    pub(super) files: Differing,
    /// How it ended.
    #[serde(flatten)]
    pub(super) end: End,
    /// What it said,
    pub(super) stdout: String,
    /// and complained of.
    pub(super) stderr: String,
    /// The scene that it led to; absent is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

/// A file with its permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// What stands in it.
    pub(super) bytes: Vec<u8>,
    /// Who may do what with it. Of a fixture only "may be executed" is known.
    pub(super) mode: u32,
}

/// Everything that was recorded on a machine.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) root: BTreeMap<PathBuf, Stored>,
    pub(super) survey: Survey,
    pub(super) scenes: Vec<Scene>,
    pub(super) entries: Vec<Entry>,
}

/// A line of `smtp.jsonl`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Survey { looked_at: Survey },
    Scene(Scene),
    Spoken(Box<Spoken>),
}

impl Recording {
    /// Of a machine on which nothing has been recorded yet.
    pub(super) fn begin(folder: &Path) -> Self {
        let host = folder.file_name().unwrap().to_string_lossy();
        let survey = Survey::of(&host);
        Self { root: BTreeMap::new(), survey, scenes: Vec::new(), entries: Vec::new() }
    }

    /// What stands in the folder of a host, or why nothing does.
    pub(super) fn load(folder: &Path) -> Result<Self, String> {
        let mut recording = Self::begin(folder);
        recording.root = tree(&folder.join("root"));
        let path = folder.join("commands.json");
        let commands = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        recording.entries =
            serde_json::from_slice(&commands).map_err(|error| format!("{}: {error}", path.display()))?;
        for line in lines(&folder.join("smtp.jsonl"))? {
            match line {
                Line::Survey { looked_at } => recording.survey = looked_at,
                Line::Scene(scene) => recording.scenes.push(scene),
                Line::Spoken(spoken) => {
                    let scene = recording.scenes.iter_mut().find(|scene| scene.name == spoken.scene);
                    scene.unwrap_or_else(|| panic!("no scene {:?}", spoken.scene)).dialogues.push(*spoken);
                }
            }
        }
        Ok(recording)
    }

    /// Writes it into the folder of its host.
    pub(super) fn save(&self, folder: &Path) {
        let root = folder.join("root");
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        for (path, file) in &self.root {
            let path = root.join(path.strip_prefix("/").unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.bytes).unwrap();
            let mode = if file.mode & 0o111 == 0 { 0o644 } else { 0o755 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let commands = serde_json::to_string_pretty(&self.entries).unwrap();
        fs::write(folder.join("commands.json"), commands + "\n").unwrap();
        let mut text = line(&Line::Survey { looked_at: self.survey.clone() });
        for scene in &self.scenes {
            text += &line(&Line::Scene(scene.clone()));
            text.extend(scene.dialogues.iter().map(|spoken| line(&Line::Spoken(Box::new(spoken.clone())))));
        }
        fs::write(folder.join("smtp.jsonl"), text).unwrap();
    }

    /// Files as they are kept: where there is one of that path in `root/`, or else one of that name, the difference.
    pub(super) fn shown(&self, files: &Differing) -> Differing {
        let shown = |path: &PathBuf, content: &Content| {
            let Content::Text(text) = content else { return content.clone() };
            let mut namesakes = self.root.keys().filter(|known| known.file_name() == path.file_name());
            let from = self.root.get_key_value(path).map(|(path, _)| path).or_else(|| namesakes.next());
            let Some(from) = from else { return content.clone() };
            let old = String::from_utf8_lossy(&self.root[from].bytes);
            Content::Difference { from: from.clone(), difference: difference(&old, text) }
        };
        files.iter().map(|(path, c)| (path.clone(), c.as_ref().map(|c| shown(path, c)))).collect()
    }

    /// The scene under its name: that of an equal one if there is one, else one of its own.
    pub(super) fn named(&mut self, mut scene: Scene) -> Scene {
        if let Some(known) = self.scenes.iter().find(|known| known.shows(&scene)) {
            return known.clone();
        }
        let telling = scene.telling();
        let names = std::iter::once(telling.clone()).chain((2..).map(|n| format!("{telling} ({n})")));
        let mut free = names.filter(|name| self.scenes.iter().all(|known| known.name != *name));
        scene.rename(&free.next().unwrap());
        self.scenes.push(scene.clone());
        scene
    }
}

impl Scene {
    /// What a process is called: its name, or all its words where there are namesakes.
    pub(super) fn called(&self, process: &Somebody) -> String {
        let namesakes = self.processes.iter().filter(|other| other.name == process.name).count();
        if namesakes > 1 { process.words.join(" ") } else { process.name.clone() }
    }

    /// Whether both are the same but for the name.
    fn shows(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.rename(&self.name);
        *self == other
    }

    fn rename(&mut self, name: &str) {
        self.name = name.to_owned();
        for spoken in &mut self.dialogues {
            spoken.scene = name.to_owned();
        }
    }

    /// A name that tells what is to be seen.
    fn telling(&self) -> String {
        let ports: BTreeSet<u16> = self.sockets.iter().map(|l| l.socket.address.port()).collect();
        let each = ports.into_iter().map(|port| {
            let login = |spoken: &&Spoken| spoken.at.port() == port && spoken.question.command == Asked::Auth;
            let spoken = self.dialogues.iter().find(login);
            match spoken.and_then(|spoken| Some(spoken.said.all()?.clear.auth.is_empty())) {
                Some(true) => format!("{port} offers AUTH after TLS"),
                Some(false) => format!("{port} offers AUTH at once"),
                None => format!("{port} listens"),
            }
        });
        let left = |port: &u16| {
            let who = self.sockets.iter().filter(|l| l.socket.address.port() == *port);
            who.flat_map(|l| &l.holders).any(|holder| {
                let somebody = self.processes.iter().find(|process| process.pid == holder.pid);
                somebody.is_some_and(|somebody| somebody.works_in.is_some()) && self.fifos.is_empty()
            })
        };
        let each = each.map(|said| match said.split(' ').next().and_then(|port| port.parse().ok()) {
            Some(port) if left(&port) => format!("{said} unsupervised"),
            _ => said,
        });
        let unix = self.unix.iter().map(|path| format!("{} answers", path.file_name().unwrap().display()));
        match each.chain(unix).collect::<Vec<_>>() {
            nobody if nobody.is_empty() => "nobody listens".to_owned(),
            all => all.join(", "),
        }
    }
}

/// The files below a folder, by the paths that they stand for.
pub(super) fn tree(folder: &Path) -> BTreeMap<PathBuf, Stored> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let executable = fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0;
            let stored =
                Stored { bytes: fs::read(&path).unwrap(), mode: if executable { 0o755 } else { 0o644 } };
            found.insert(Path::new("/").join(path.strip_prefix(folder).unwrap()), stored);
        }
    }
    found
}

/// The lines of a file, each a JSON document; none where there is no file.
pub(super) fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let parse = |line| serde_json::from_str(line).map_err(|e| format!("{}: {e}: {line}", path.display()));
    text.lines().map(parse).collect()
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap() + "\n"
}
