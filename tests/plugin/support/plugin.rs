//! The program as a host holds it: spawned, spoken to over pipes, ended.
//!
//! Writing never blocks a test (a thread does it), and nothing is read before a test first asks for a reply, so that
//! a host that does not read can be played as well. Every wait has a deadline. Dropping a plugin kills it; a failing
//! test prints the end of its stderr.

use super::kernel::Kernel;
use super::process::{as_pid, name, only_child, signal, waits_to_write};
use super::{PATIENCE, eventually, success, within};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// How messages are told apart on the pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Lines,
    Headers,
}

/// What becomes of the program's stderr.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Diagnostics {
    Collected,
    Unread,
}

/// How to start the program.
pub(crate) struct Launch {
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    framing: Framing,
    diagnostics: Diagnostics,
    user: Option<u32>,
    folder: Option<OsString>,
    kernel: Kernel,
}

/// What a run that took no requests left behind.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Launch {
    /// The program at this path, without a flag.
    pub(crate) fn of(program: &Path) -> Self {
        Self {
            command: vec![program.into()],
            environment: Vec::new(),
            framing: Framing::Lines,
            diagnostics: Diagnostics::Collected,
            user: None,
            folder: None,
            kernel: Kernel::of_the_run(),
        }
    }

    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.push(argument.as_ref().to_owned());
        self
    }

    pub(crate) fn args(self, arguments: &[&str]) -> Self {
        arguments.iter().fold(self, Launch::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(crate) fn framing(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Opens a pipe for stderr and never reads it.
    pub(crate) fn unread_stderr(mut self) -> Self {
        self.diagnostics = Diagnostics::Unread;
        self
    }

    pub(crate) fn by_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    pub(crate) fn in_folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// On another kernel than the run's.
    pub(crate) fn on(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Lets a shell run the program, as `"$@"` of the script.
    pub(crate) fn under_shell(self, script: &str) -> Self {
        self.under(&["sh", "-c", script, "sh"])
    }

    /// Lets other programs start the program, as their last words.
    pub(crate) fn under(mut self, words: &[&str]) -> Self {
        self.command.splice(0..0, words.iter().map(OsString::from));
        self
    }

    /// The command, for a test that brings its own descriptors.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env_remove("RUST_LOG").envs(self.environment.iter().cloned());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Starts a conversation.
    #[track_caller]
    pub(crate) fn spawn(self) -> Plugin {
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.kernel.spawn(&mut command).expect("the program starts");
        Plugin::attach(child, self.framing, self.diagnostics)
    }

    /// Runs the program to its end with nothing on stdin.
    #[track_caller]
    pub(crate) fn run(self) -> Run {
        self.run_on(Stdio::null())
    }

    /// Runs the program to its end with these bytes, in a file, on stdin.
    #[track_caller]
    pub(crate) fn run_with(self, input: &[u8]) -> Run {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        self.run_on(file.into())
    }

    #[track_caller]
    fn run_on(self, stdin: Stdio) -> Run {
        let [mut stdout, mut stderr] = [tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap()];
        let mut command = self.command();
        command.stdin(stdin).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        let mut child = Killed(self.kernel.spawn(&mut command).expect("the program starts"));
        let status = wait(&mut child.0, PATIENCE);
        let mut texts = [String::new(), String::new()];
        for (file, text) in [&mut stdout, &mut stderr].into_iter().zip(&mut texts) {
            file.rewind().unwrap();
            file.read_to_string(text).expect("output is UTF-8");
        }
        let [stdout, stderr] = texts;
        Run { code: status.code(), stdout, stderr }
    }
}

/// A child that does not outlive its test.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.end_what_was_entered_for();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    /// Kills what nsenter has started, so that nsenter reaps it. What it leaves is reaped by this machine's first process, in
    /// some containers a second or two later, and until then the machine that was entered cannot end.
    fn end_what_was_entered_for(&mut self) {
        let pid = self.0.id();
        if let Some(program) = only_child(pid).filter(|_| name(pid) == "nsenter") {
            let _ = kill(as_pid(program), Signal::SIGKILL);
            // It stops itself when the program is stopped.
            let _ = kill(as_pid(pid), Signal::SIGCONT);
            within(PATIENCE, || !matches!(self.0.try_wait(), Ok(None)));
        }
    }
}

/// What a conversation left when it ended.
pub(crate) struct Ending {
    pub(crate) replies: Vec<Vec<u8>>,
    pub(crate) status: ExitStatus,
}

impl Ending {
    /// The replies that were not read before the end.
    #[track_caller]
    pub(crate) fn values(&self) -> Vec<Value> {
        self.replies.iter().map(|reply| well_formed(reply)).collect()
    }
}

/// One running program.
pub(crate) struct Plugin {
    child: Killed,
    framing: Framing,
    input: Option<Sender<Vec<u8>>>,
    written: Arc<AtomicUsize>,
    output: Output,
    unclaimed: VecDeque<Value>,
    diagnostics: Arc<Mutex<Vec<u8>>>,
    listener: Option<JoinHandle<()>>,
    last_id: u64,
}

enum Output {
    Closed,
    Unread(ChildStdout),
    Read(Receiver<Heard>),
}

enum Heard {
    Message(Vec<u8>),
    Rubbish(Vec<u8>),
}

impl Plugin {
    fn attach(mut child: Child, framing: Framing, diagnostics: Diagnostics) -> Self {
        let written = Arc::new(AtomicUsize::new(0));
        let input = write_behind(child.stdin.take().unwrap(), Arc::clone(&written));
        let output = Output::Unread(child.stdout.take().unwrap());
        let collected = Arc::new(Mutex::new(Vec::new()));
        let listener = (diagnostics == Diagnostics::Collected)
            .then(|| collect(child.stderr.take().unwrap(), Arc::clone(&collected)));
        Self {
            child: Killed(child),
            framing,
            input: Some(input),
            written,
            output,
            unclaimed: VecDeque::new(),
            diagnostics: collected,
            listener,
            last_id: 0,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The bytes that the program (or its pipe) has taken so far.
    pub(crate) fn taken(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Waits until the program stands still because nobody reads its answers.
    #[track_caller]
    pub(crate) fn await_standstill(&self) {
        assert!(matches!(self.output, Output::Unread(_)), "a reader holds stdout");
        eventually(PATIENCE, "writing an answer keeps the program waiting", || waits_to_write(self.pid()));
    }

    /// What the program has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.diagnostics.lock().unwrap()).into_owned()
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub(crate) fn send_raw(&self, bytes: impl Into<Vec<u8>>) {
        let _ = self.input.as_ref().expect("stdin is open").send(bytes.into());
    }

    /// Sends one message in the session's framing.
    #[track_caller]
    pub(crate) fn send(&self, message: impl AsRef<[u8]>) {
        let message = message.as_ref();
        let framed = match self.framing {
            Framing::Lines => [message, b"\n"].concat(),
            Framing::Headers => {
                [format!("Content-Length: {}\r\n\r\n", message.len()).as_bytes(), message].concat()
            }
        };
        self.send_raw(framed);
    }

    /// Sends a request under an id of the test's choice.
    #[track_caller]
    pub(crate) fn send_request(&self, id: impl Into<Value>, method: &str, params: impl Into<Value>) {
        self.send(request(id, method, params).to_string());
    }

    /// The next message, byte for byte.
    #[track_caller]
    pub(crate) fn receive_raw(&mut self) -> Vec<u8> {
        self.next_message().expect("the program said nothing more")
    }

    /// The next message, after checking what holds for every message.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Value {
        if let Some(reply) = self.unclaimed.pop_front() {
            return reply;
        }
        well_formed(&self.receive_raw())
    }

    /// The reply with this id; replies that overtake it are kept.
    #[track_caller]
    pub(crate) fn receive_reply(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        if let Some(at) = self.unclaimed.iter().position(|reply| reply["id"] == id) {
            return self.unclaimed.remove(at).unwrap();
        }
        loop {
            let reply = well_formed(&self.receive_raw());
            if reply["id"] == id {
                return reply;
            }
            self.unclaimed.push_back(reply);
        }
    }

    /// Whether no reply has come yet beside those already received.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.start_reading();
        let Output::Read(heard) = &self.output else { return true };
        while let Ok(Heard::Message(message)) = heard.try_recv() {
            self.unclaimed.push_back(well_formed(&message));
        }
        self.unclaimed.is_empty()
    }

    /// Sends one request and waits for its whole reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, method: &str, params: impl Into<Value>) -> Value {
        let id = self.post(method, params);
        self.receive_reply(id)
    }

    /// Sends one request under a new id, and does not wait.
    #[track_caller]
    pub(crate) fn post(&mut self, method: &str, params: impl Into<Value>) -> String {
        self.last_id += 1;
        let id = format!("call {}", self.last_id);
        self.send_request(id.as_str(), method, params);
        id
    }

    /// Sends one request and waits for the envelope.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: impl Into<Value>) -> Value {
        envelope(self.ask(method, params))
    }

    /// The payload of a request that must succeed.
    #[track_caller]
    pub(crate) fn payload(&mut self, method: &str, params: impl Into<Value>) -> Value {
        let mut envelope = self.call(method, params);
        assert_eq!(envelope["status"], 0, "{method}: {envelope}");
        envelope["payload"].take()
    }

    /// Calls an action that must answer `Success`.
    #[track_caller]
    pub(crate) fn succeed(&mut self, method: &str, params: impl Into<Value>) {
        let answer = self.call(method, params);
        assert_eq!(answer, success(), "{method}");
    }

    /// Checks that the conversation goes on.
    #[track_caller]
    pub(crate) fn assert_answers(&mut self) {
        assert_eq!(self.payload("listServiceName", Value::Null), "smtp2");
    }

    /// Ends the input, once everything sent so far is written.
    pub(crate) fn close_stdin(&mut self) {
        self.input = None;
    }

    /// Hangs up the reading end; only before anything was read.
    #[track_caller]
    pub(crate) fn close_stdout(&mut self) {
        assert!(matches!(self.output, Output::Unread(_)), "a reader holds stdout");
        self.output = Output::Closed;
    }

    pub(crate) fn signal(&self, number: Signal) {
        signal(self.pid(), number);
    }

    /// Kills the program at once and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Waits for the program's end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child.0, PATIENCE)
    }

    /// Ends the input, reads everything, waits for the end of the program and of both its pipes.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ending {
        self.close_stdin();
        self.drain()
    }

    /// Reads everything and waits for the end without closing stdin.
    #[track_caller]
    pub(crate) fn drain(mut self) -> Ending {
        let mut replies: Vec<Vec<u8>> =
            self.unclaimed.drain(..).map(|reply| reply.to_string().into_bytes()).collect();
        while let Some(reply) = self.next_message() {
            replies.push(reply);
        }
        let status = self.wait();
        if let Some(listener) = &self.listener {
            eventually(PATIENCE, "nobody holds stderr any more", || listener.is_finished());
        }
        Ending { replies, status }
    }

    #[track_caller]
    fn next_message(&mut self) -> Option<Vec<u8>> {
        self.start_reading();
        let Output::Read(heard) = &self.output else { panic!("stdout was closed by the test") };
        match heard.recv_timeout(PATIENCE) {
            Ok(Heard::Message(message)) => Some(message),
            Ok(Heard::Rubbish(bytes)) => panic!("not a message: {:?}", String::from_utf8_lossy(&bytes)),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no reply within {PATIENCE:?}"),
        }
    }

    fn start_reading(&mut self) {
        self.output = match std::mem::replace(&mut self.output, Output::Closed) {
            Output::Unread(stdout) => Output::Read(read_ahead(stdout, self.framing)),
            other => other,
        };
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if thread::panicking() {
            let said = self.stderr();
            let from = said.char_indices().rev().nth(4_000).map_or(0, |(at, _)| at);
            eprintln!("--- stderr of {}\n{}", self.pid(), &said[from..]);
        }
    }
}

/// A request as JSON; params that are null are left out.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: impl Into<Value>) -> Value {
    let mut message = json!({"jsonrpc": "2.0", "id": id.into(), "method": method});
    let params = params.into();
    if !params.is_null() {
        message["params"] = params;
    }
    message
}

/// A notification as JSON.
pub(crate) fn notification(method: &str, params: impl Into<Value>) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params.into()})
}

/// The envelope in a reply.
#[track_caller]
pub(crate) fn envelope(mut reply: Value) -> Value {
    assert!(reply["result"].is_object(), "no envelope in {reply}");
    reply["result"].take()
}

/// Checks what holds for every reply, alone or in a batch, and parses it.
#[track_caller]
pub(crate) fn well_formed(message: &[u8]) -> Value {
    let text = std::str::from_utf8(message).expect("a message is UTF-8");
    assert!(is_compact(text), "a message is compact: {text}");
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    match &value {
        Value::Array(replies) => {
            assert!(!replies.is_empty(), "an empty batch of replies");
            replies.iter().for_each(assert_is_reply);
        }
        single => assert_is_reply(single),
    }
    value
}

#[track_caller]
fn assert_is_reply(reply: &Value) {
    assert_eq!(reply["jsonrpc"], "2.0", "{reply}");
    assert!(reply.get("id").is_some(), "a reply without id: {reply}");
    assert_ne!(
        reply.get("result").is_some(),
        reply.get("error").is_some(),
        "not one of result and error: {reply}"
    );
    if let Some(error) = reply.get("error") {
        assert!(error["code"].is_i64() && error["message"].is_string(), "not an error object: {reply}");
    }
}

fn is_compact(text: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    text.bytes().all(|byte| {
        let here = (quoted, escaped);
        escaped = quoted && !escaped && byte == b'\\';
        quoted ^= byte == b'"' && !here.1;
        here.0 || !byte.is_ascii_whitespace()
    })
}

#[track_caller]
pub(crate) fn wait(child: &mut Child, limit: std::time::Duration) -> ExitStatus {
    let mut status = None;
    let ended = within(limit, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    assert!(ended, "the program still runs after {limit:?}");
    status.unwrap()
}

fn write_behind(mut stdin: ChildStdin, written: Arc<AtomicUsize>) -> Sender<Vec<u8>> {
    let (sender, queue) = channel::<Vec<u8>>();
    thread::spawn(move || {
        for bytes in queue {
            for piece in bytes.chunks(4096) {
                if stdin.write_all(piece).is_err() {
                    return;
                }
                written.fetch_add(piece.len(), Ordering::Relaxed);
            }
        }
    });
    sender
}

fn read_ahead(stdout: ChildStdout, framing: Framing) -> Receiver<Heard> {
    let (sender, heard) = channel();
    thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        while let Some(message) = match framing {
            Framing::Lines => read_line(&mut stdout),
            Framing::Headers => read_framed(&mut stdout),
        } {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    heard
}

fn read_line(stdout: &mut impl BufRead) -> Option<Heard> {
    let mut line = Vec::new();
    stdout.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
    Some(if line.pop_if(|last| *last == b'\n').is_some() {
        Heard::Message(line)
    } else {
        Heard::Rubbish(line)
    })
}

fn read_framed(stdout: &mut impl BufRead) -> Option<Heard> {
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        if stdout.read_until(b'\n', &mut header).ok()? == 0 {
            return (!header.is_empty()).then_some(Heard::Rubbish(header));
        }
    }
    let text = String::from_utf8_lossy(&header);
    let Some(length) =
        text.trim_end().strip_prefix("Content-Length: ").and_then(|number| number.parse().ok())
    else {
        return Some(Heard::Rubbish(header));
    };
    let mut body = vec![0; length];
    Some(if stdout.read_exact(&mut body).is_ok() { Heard::Message(body) } else { Heard::Rubbish(header) })
}

fn collect(mut stderr: impl Read + Send + 'static, collected: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = [0; 8192];
        while let Ok(length @ 1..) = stderr.read(&mut piece) {
            collected.lock().unwrap().extend_from_slice(&piece[..length]);
        }
    })
}
