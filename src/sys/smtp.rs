//! SMTP as a client sees it: the dialogues that prove a listener, and whether a port refuses connections.
//!
//! Answers for: what a server says to a client that does not authenticate, before STARTTLS or after it (RFC 5321,
//! 3207, 4954). A dialogue asks one question and so commits at most one error, whatever limits a server has for them. It
//! sends no credentials and no mail. Does not know: which of these answers are right; and it does not judge
//! certificates: neither names, issuers and dates nor kinds of keys. What a server sends is hostile: each dialogue
//! stands under one deadline and one limit of bytes. A failure names the server and the step.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::linux::net::TcpStreamExt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde::{Deserialize, Serialize};

use super::deadline::Deadline;

/// How many bytes a server may send in one dialogue, TLS included.
pub const LIMIT: usize = 64 * 1024;

/// How many bytes of a reply's text are kept.
pub const TEXT_LIMIT: usize = 1024;

/// How many bytes of something that is no reply are quoted.
const QUOTE: usize = 120;

/// How many mechanisms are listed; real servers offer a handful.
const MECHANISMS: usize = 64;

/// How long the answer to QUIT is waited for.
const FAREWELL: Duration = Duration::from_millis(200);

// The null sender leaves the least trace, and no server looks up its domain.
const MAIL: &str = "MAIL FROM:<>";
/// The mechanism that is begun, if it is offered or nothing is.
const PLAIN: &str = "PLAIN";

/// What one dialogue asks: a command that a client which has not authenticated gives, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Before STARTTLS or after it.
    pub layer: Layer,
    /// The command.
    pub command: Asked,
}

/// Where in a connection something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// In the clear.
    Clear,
    /// After STARTTLS.
    Tls,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// AUTH without an initial response, which tells nothing; where the server goes on, it is given up (`*`).
    Auth,
    /// MAIL from the null sender, and where that is accepted RCPT to this recipient.
    Mail(Recipient),
}

/// Whom mail would be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// Bare `postmaster`, whom every server has to take (RFC 5321, section 4.5.1).
    Postmaster,
    /// `postmaster` at the domain that the server greets with.
    PostmasterThere,
}

/// A server's reply (RFC 5321, section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The code, 200 to 599.
    pub code: u16,
    /// The text without the codes, lines joined with `\n`, at most [`TEXT_LIMIT`] bytes. Bytes that are no UTF-8 are
    /// replaced; what else a server may put there is not: escape it before showing it ([`Display`] does).
    pub text: String,
}

impl Reply {
    /// Whether the command was accepted (2xx).
    pub fn accepted(&self) -> bool {
        self.code / 100 == 2
    }
}

impl Display for Reply {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.code, self.text.escape_debug())
    }
}

/// The answer to EHLO.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The reply to EHLO.
    pub ehlo: Reply,
    /// Whether STARTTLS was offered.
    pub starttls: bool,
    /// The mechanisms that were offered, in upper case and in the server's order, each once; the ones of the old form
    /// `AUTH=LOGIN` too.
    pub auth: Vec<String>,
}

/// What became of STARTTLS (RFC 3207).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// It was not asked for.
    Unasked,
    /// It was not offered.
    NotOffered,
    /// It was offered and then refused.
    Refused(Reply),
    /// It was granted, but the handshake failed (or the server hung up in it).
    Failed(String),
    /// The connection was encrypted, and EHLO asked again.
    Done(Offer),
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// There was no TLS to ask it under: see [`Upgrade`].
    NotAsked,
    /// The reply to AUTH. 334 means: go on, send your credentials (we did not).
    Auth(Reply),
    /// The reply to MAIL, and to RCPT, which is sent only after an accepted MAIL.
    Mail(Reply, Option<Reply>),
}

/// One whole dialogue with a server that greeted with 220.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The greeting.
    pub greeting: Reply,
    /// What was offered before STARTTLS.
    pub clear: Offer,
    /// What became of STARTTLS, and what was offered after it.
    pub upgrade: Upgrade,
    /// What the question was answered.
    pub heard: Heard,
    /// The server's certificate, in DER; `None` where there was no TLS. Not recorded.
    #[serde(skip)]
    pub certificate: Option<Vec<u8>>,
}

/// Where in the dialogue something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Connecting.
    Connect,
    /// The greeting.
    Greeting,
    /// EHLO in the clear.
    Ehlo,
    /// AUTH in the clear.
    Auth,
    /// MAIL in the clear.
    Mail,
    /// RCPT in the clear.
    Rcpt,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// EHLO after STARTTLS.
    TlsEhlo,
    /// AUTH after STARTTLS.
    TlsAuth,
    /// MAIL after STARTTLS.
    TlsMail,
    /// RCPT after STARTTLS.
    TlsRcpt,
}

impl Display for Step {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "the connection",
            Self::Greeting => "the greeting",
            Self::Ehlo => "EHLO",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::TlsEhlo => "EHLO after STARTTLS",
            Self::TlsAuth => "AUTH after STARTTLS",
            Self::TlsMail => "MAIL after STARTTLS",
            Self::TlsRcpt => "RCPT after STARTTLS",
        })
    }
}

/// Why there is no [`Dialogue`].
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    /// No connection could be had.
    #[error("cannot connect to {address}")]
    Connect {
        /// The server.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The greeting was not 220.
    #[error("{address} greets with {reply}")]
    Greeting {
        /// The server.
        address: SocketAddr,
        /// Its greeting.
        reply: Reply,
    },
    /// The deadline passed.
    #[error("{address} was not done with {step} in time")]
    TimedOut {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// The server hung up.
    #[error("{address} hung up at {step}")]
    Closed {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// The server answered 421: it is about to hang up.
    #[error("{address} answered {step} with {reply}")]
    Unavailable {
        /// The server.
        address: SocketAddr,
        /// What it answered.
        step: Step,
        /// Its answer.
        reply: Reply,
    },
    /// What came is no reply, or nobody had asked for it.
    #[error("{address} answered {step} with what is no reply to it: {quote:?}")]
    Malformed {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
        /// The beginning of what came.
        quote: String,
    },
    /// The server sent more than [`LIMIT`] bytes.
    #[error("{address} sent more than {LIMIT} bytes by {step}")]
    TooMuch {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
    },
    /// Something followed the go-ahead to STARTTLS in the clear: somebody in between, or a server that would let them.
    #[error("{address} sent plain text after its go-ahead to STARTTLS")]
    Injected {
        /// The server.
        address: SocketAddr,
    },
    /// The connection broke.
    #[error("the connection to {address} broke at {step}")]
    Io {
        /// The server.
        address: SocketAddr,
        /// What it was at.
        step: Step,
        /// How.
        source: io::Error,
    },
}

impl SmtpError {
    /// What the server itself has said.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Greeting { reply, .. } | Self::Unavailable { reply, .. } => Some(reply),
            Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::Malformed { .. }
            | Self::TooMuch { .. }
            | Self::Injected { .. }
            | Self::Io { .. } => None,
        }
    }
}

/// Whether a TCP connection to `address` is refused (`true`) or accepted (`false`).
///
/// # Errors
///
/// Everything else that `connect(2)` may say, and `TimedOut` at the deadline.
pub fn refuses(address: SocketAddr, deadline: Deadline) -> io::Result<bool> {
    match connect(address, deadline) {
        // A port that nobody listens on may be given to our own end, which then meets itself.
        Ok(stream) => Ok(stream.local_addr()? == address),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        Err(error) => Err(error),
    }
}

/// Connects and reads the greeting; nothing more is said but QUIT.
///
/// # Errors
///
/// See [`SmtpError`].
pub fn greeting(address: SocketAddr, deadline: Deadline) -> Result<Reply, SmtpError> {
    let (talk, greeting) = Talk::begin(address, Name::Literal, deadline)?;
    talk.quit();
    Ok(greeting)
}

/// Holds one dialogue: greeting, EHLO, STARTTLS and EHLO again (if the question is for there), what is asked, and QUIT. All
/// of it is over at `deadline`, but for the answer to QUIT, which is not waited for longer than 200 ms, and is no part of
/// the proof. Where what we call ourselves is refused, it is held anew under the next name; where none is taken, the first
/// refusal counts.
///
/// # Errors
///
/// See [`SmtpError`]. A refused command is no error but a [`Reply`]; a failed handshake is [`Upgrade::Failed`].
pub fn dialogue(address: SocketAddr, question: &Question, deadline: Deadline) -> Result<Dialogue, SmtpError> {
    let first = dialogue_as(Name::Literal, address, question, deadline)?;
    let is_refused = |dialogue: &Dialogue| dialogue.clear.ehlo.code / 100 == 5;
    if !is_refused(&first) {
        return Ok(first);
    }
    let others = [Name::Untagged, Name::OfHost].into_iter().filter(|name| name.is_for(address));
    let mut dialogues = others.filter_map(|name| dialogue_as(name, address, question, deadline).ok());
    Ok(dialogues.find(|dialogue| !is_refused(dialogue)).unwrap_or(first))
}

/// What we call ourselves in EHLO. Some servers hold against us what others ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// Whoever speaks (RFC 5321, section 4.1.3).
    Literal,
    /// The same of an IPv6 address without `IPv6:`, which Exim compares with the address (`verify = helo`).
    Untagged,
    /// The machine's own host name.
    OfHost,
}

impl Name {
    fn is_for(self, address: SocketAddr) -> bool {
        self != Self::Untagged || address.is_ipv6()
    }

    /// As it is said by somebody whose own address is `own`.
    fn said_by(self, own: IpAddr) -> String {
        match (self, own) {
            (Self::Literal, IpAddr::V6(six)) => format!("[IPv6:{six}]"),
            (Self::Literal | Self::Untagged, own) => format!("[{own}]"),
            (Self::OfHost, own) => {
                let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
                name.filter(|name| !name.is_empty()).unwrap_or_else(|| Self::Literal.said_by(own))
            }
        }
    }
}

fn dialogue_as(
    name: Name,
    address: SocketAddr,
    question: &Question,
    deadline: Deadline,
) -> Result<Dialogue, SmtpError> {
    let (mut talk, greeting) = Talk::begin(address, name, deadline)?;
    let clear = talk.ehlo(Step::Ehlo)?;
    if question.layer == Layer::Clear {
        let heard = talk.ask(&CLEAR, &question.command, &clear, &greeting)?;
        talk.quit();
        return Ok(Dialogue { greeting, clear, upgrade: Upgrade::Unasked, heard, certificate: None });
    }
    let without = |greeting, clear, upgrade| Dialogue {
        greeting,
        clear,
        upgrade,
        heard: Heard::NotAsked,
        certificate: None,
    };
    if !clear.starttls {
        talk.quit();
        return Ok(without(greeting, clear, Upgrade::NotOffered));
    }
    let go_ahead = talk.command(Step::StartTls, "STARTTLS")?.reply();
    if go_ahead.code != 220 {
        talk.quit();
        return Ok(without(greeting, clear, Upgrade::Refused(go_ahead)));
    }
    let mut talk = match talk.encrypt()? {
        Ok(talk) => talk,
        Err(reason) => return Ok(without(greeting, clear, Upgrade::Failed(reason))),
    };
    let certificate = talk.certificate();
    let offer = talk.ehlo(Step::TlsEhlo)?;
    let heard = talk.ask(&TLS, &question.command, &offer, &greeting)?;
    talk.quit();
    Ok(Dialogue { greeting, clear, upgrade: Upgrade::Done(offer), heard, certificate })
}

fn connect(address: SocketAddr, deadline: Deadline) -> io::Result<TcpStream> {
    let left = deadline.left();
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let stream = TcpStream::connect_timeout(&address, left)?;
    // A dialogue waits for every answer: what is held back to be sent together waits for a timer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The steps of a question, before STARTTLS or after it.
struct Steps {
    auth: Step,
    mail: Step,
    rcpt: Step,
}

const CLEAR: Steps = Steps { auth: Step::Auth, mail: Step::Mail, rcpt: Step::Rcpt };
const TLS: Steps = Steps { auth: Step::TlsAuth, mail: Step::TlsMail, rcpt: Step::TlsRcpt };

/// A connection in the middle of a dialogue.
struct Talk {
    address: SocketAddr,
    wire: Wire,
    /// What has been received and not yet been understood.
    buffer: Vec<u8>,
    /// What we call ourselves.
    name: String,
}

impl Talk {
    fn new(address: SocketAddr, wire: Wire, name: String) -> Self {
        Self { address, wire, buffer: Vec::new(), name }
    }

    /// A connection to a server, and its greeting.
    fn begin(address: SocketAddr, name: Name, deadline: Deadline) -> Result<(Self, Reply), SmtpError> {
        let unconnected = |source| SmtpError::Connect { address, source };
        let stream = connect(address, deadline).map_err(|source| match source.kind() {
            io::ErrorKind::TimedOut if deadline.passed() => {
                SmtpError::TimedOut { address, step: Step::Connect }
            }
            _ => unconnected(source),
        })?;
        let name = name.said_by(stream.local_addr().map_err(unconnected)?.ip());
        let mut talk = Self::new(address, Wire::Clear(Paced { stream, deadline, left: LIMIT }), name);
        match talk.answer(Step::Greeting)?.reply() {
            greeting if greeting.code == 220 => Ok((talk, greeting)),
            reply => Err(SmtpError::Greeting { address, reply }),
        }
    }

    fn ehlo(&mut self, step: Step) -> Result<Offer, SmtpError> {
        let answer = self.command(step, &format!("EHLO {}", self.name))?;
        Ok(Offer { starttls: answer.starttls(), auth: answer.mechanisms(), ehlo: answer.reply() })
    }

    /// Asks what is to be asked; the first command that is refused is the last one.
    fn ask(
        &mut self,
        steps: &Steps,
        asked: &Asked,
        offer: &Offer,
        greeting: &Reply,
    ) -> Result<Heard, SmtpError> {
        let recipient = match asked {
            Asked::Auth => return self.auth(steps.auth, offer).map(Heard::Auth),
            Asked::Mail(Recipient::Postmaster) => "postmaster".to_owned(),
            Asked::Mail(Recipient::PostmasterThere) => format!("postmaster@{}", domain(greeting)),
        };
        let mail = self.command(steps.mail, MAIL)?.reply();
        if !mail.accepted() {
            return Ok(Heard::Mail(mail, None));
        }
        let rcpt = self.command(steps.rcpt, &format!("RCPT TO:<{recipient}>"))?.reply();
        Ok(Heard::Mail(mail, Some(rcpt)))
    }

    fn auth(&mut self, step: Step, offer: &Offer) -> Result<Reply, SmtpError> {
        let plain = offer.auth.is_empty() || offer.auth.iter().any(|known| known == PLAIN);
        let mechanism = if plain { PLAIN } else { offer.auth.first().map_or(PLAIN, String::as_str) };
        let reply = self.command(step, &format!("AUTH {mechanism}"))?.reply();
        if reply.code / 100 == 3 {
            // Cancels the exchange (RFC 4954, section 4). What it is answered is no part of the proof.
            let _ = self.command(step, "*");
        }
        Ok(reply)
    }

    fn command(&mut self, step: Step, line: &str) -> Result<Answer, SmtpError> {
        if !self.buffer.is_empty() {
            // A 421 may come at any time (RFC 5321, section 3.8). After anything else that was not asked for, no reply
            // could be told from the reply to the command before.
            let unasked = self.answer(step)?.reply();
            return Err(self.malformed(step, unasked.to_string().as_bytes()));
        }
        let sent = self.wire.write_all(format!("{line}\r\n").as_bytes()).and_then(|()| self.wire.flush());
        sent.map_err(|error| self.broke(step, error))?;
        self.answer(step)
    }

    /// The next reply, unless it is 421 (which a greeting may be).
    fn answer(&mut self, step: Step) -> Result<Answer, SmtpError> {
        let answer = Answer::read(|| self.line(step))?.map_err(|line| self.malformed(step, &line))?;
        if answer.code == 421 && step != Step::Greeting {
            return Err(SmtpError::Unavailable { address: self.address, step, reply: answer.reply() });
        }
        Ok(answer)
    }

    /// The next line, without its end.
    fn line(&mut self, step: Step) -> Result<Vec<u8>, SmtpError> {
        let mut searched = 0;
        loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                line.pop();
                line.pop_if(|byte| *byte == b'\r');
                return Ok(line);
            }
            searched = self.buffer.len();
            let mut chunk = [0; 4096];
            match self.wire.read(&mut chunk) {
                Ok(0) => return Err(SmtpError::Closed { address: self.address, step }),
                Ok(read) => self.buffer.extend(chunk.iter().take(read)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.broke(step, error)),
            }
        }
    }

    /// The same talk over TLS, or why the handshake failed.
    fn encrypt(self) -> Result<Result<Self, String>, SmtpError> {
        let Self { address, wire, buffer, name } = self;
        let mut paced = match wire {
            Wire::Clear(paced) if buffer.is_empty() => paced,
            Wire::Clear(_) | Wire::Tls(_) => return Err(SmtpError::Injected { address }),
        };
        let mut tls = match client(address) {
            Ok(tls) => tls,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match tls.complete_io(&mut paced) {
            Ok(_) => Ok(Ok(Self::new(address, Wire::Tls(Box::new(StreamOwned::new(tls, paced))), name))),
            Err(error) => match broke(address, Step::Handshake, error) {
                error @ (SmtpError::TimedOut { .. } | SmtpError::TooMuch { .. }) => Err(error),
                SmtpError::Io { source, .. } => Ok(Err(source.to_string())),
                SmtpError::Closed { .. } => Ok(Err("the server hung up".to_owned())),
                error => Ok(Err(error.to_string())),
            },
        }
    }

    /// The certificate that the server has shown.
    fn certificate(&self) -> Option<Vec<u8>> {
        match &self.wire {
            Wire::Clear(_) => None,
            Wire::Tls(tls) => Some(tls.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    /// Says goodbye, for the sake of the server's log.
    fn quit(mut self) {
        let paced = self.wire.paced();
        paced.deadline = paced.deadline.within(FAREWELL);
        if self.wire.write_all(b"QUIT\r\n").and_then(|()| self.wire.flush()).is_ok() {
            let _ = self.wire.read(&mut [0; 512]);
        }
    }

    fn malformed(&self, step: Step, line: &[u8]) -> SmtpError {
        let begin = line.get(..line.len().min(QUOTE)).unwrap_or_default();
        SmtpError::Malformed {
            address: self.address,
            step,
            quote: String::from_utf8_lossy(begin).into_owned(),
        }
    }

    fn broke(&self, step: Step, error: io::Error) -> SmtpError {
        broke(self.address, step, error)
    }
}

fn broke(address: SocketAddr, step: Step, source: io::Error) -> SmtpError {
    match source.kind() {
        io::ErrorKind::TimedOut => SmtpError::TimedOut { address, step },
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => SmtpError::Closed { address, step },
        _ if source.get_ref().is_some_and(|inner| inner.is::<Excess>()) => {
            SmtpError::TooMuch { address, step }
        }
        _ => SmtpError::Io { address, step, source },
    }
}

/// Whether a line is the last one of its reply.
#[derive(PartialEq, Eq)]
enum More {
    Follows,
    None,
}

/// A line of a reply: three digits, then `-` and text, or a space and text, or nothing.
fn parse(line: &[u8]) -> Option<(u16, String, More)> {
    let (code, rest) = line.split_at_checked(3)?;
    if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let code = str::from_utf8(code).ok()?.parse().ok()?;
    let (more, text) = match rest {
        [] => (More::None, rest),
        [b' ', text @ ..] => (More::None, text),
        [b'-', text @ ..] => (More::Follows, text),
        _ => return None,
    };
    Some((code, String::from_utf8_lossy(text).into_owned(), more))
}

/// A reply with all of its lines.
#[derive(Debug)]
pub(super) struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    /// The reply in the next lines, or the line that belongs to none.
    ///
    /// # Errors
    /// A line cannot be had.
    pub(super) fn read<E>(mut next: impl FnMut() -> Result<Vec<u8>, E>) -> Result<Result<Self, Vec<u8>>, E> {
        let first = next()?;
        let Some((code, text, mut more)) = parse(&first) else { return Ok(Err(first)) };
        let mut answer = Self { code, lines: vec![text] };
        while more == More::Follows {
            let line = next()?;
            match parse(&line) {
                Some((code, text, next)) if code == answer.code => {
                    answer.lines.push(text);
                    more = next;
                }
                _ => return Ok(Err(line)),
            }
        }
        Ok(Ok(answer))
    }

    pub(super) fn reply(&self) -> Reply {
        let mut text = self.lines.join("\n");
        while text.len() > TEXT_LIMIT {
            text.pop();
        }
        Reply { code: self.code, text }
    }

    /// The lines of an accepted EHLO, but for the first, which names the server.
    fn keywords(&self) -> impl Iterator<Item = &str> {
        let lines = if self.code == 250 { self.lines.as_slice() } else { &[] };
        lines.iter().skip(1).map(String::as_str)
    }

    pub(super) fn starttls(&self) -> bool {
        self.keywords().any(|line| line.trim_ascii().eq_ignore_ascii_case("STARTTLS"))
    }

    pub(super) fn mechanisms(&self) -> Vec<String> {
        let mut mechanisms = Vec::new();
        for line in self.keywords().map(str::to_ascii_uppercase) {
            let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
            if words.next() == Some("AUTH") {
                for word in words.filter(|word| is_mechanism(word)) {
                    if mechanisms.len() < MECHANISMS && !mechanisms.iter().any(|known| known == word) {
                        mechanisms.push(word.to_owned());
                    }
                }
            }
        }
        mechanisms
    }
}

/// The domain that a server greets with (RFC 5321, section 4.2), as far as it is one.
fn domain(greeting: &Reply) -> &str {
    let word = greeting.text.split_ascii_whitespace().next().unwrap_or_default();
    let is_domain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if word.bytes().all(is_domain) { word } else { "" }
}

/// Whether a word can name a mechanism at all (RFC 4422, section 3.1).
fn is_mechanism(word: &str) -> bool {
    (1..=20).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

enum Wire {
    Clear(Paced),
    Tls(Box<StreamOwned<ClientConnection, Paced>>),
}

impl Wire {
    fn paced(&mut self) -> &mut Paced {
        match self {
            Self::Clear(paced) => paced,
            Self::Tls(tls) => &mut tls.sock,
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(paced) => paced.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(paced) => paced.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(paced) => paced.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// A connection on which everything together ends at one deadline (`TimedOut`), and on which only so much is received
/// ([`Excess`]).
struct Paced {
    stream: TcpStream,
    deadline: Deadline,
    left: usize,
}

impl Paced {
    fn span(&self) -> io::Result<Option<Duration>> {
        match self.deadline.left() {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Paced {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(self.left);
        let buffer = buffer.get_mut(..room).unwrap_or_default();
        if buffer.is_empty() {
            return Err(io::Error::other(Excess));
        }
        self.stream.set_read_timeout(self.span()?)?;
        // A server may hold its reply back until what it sent before is acknowledged (RFC 896), as after a TLS session ticket;
        // the kernel would put that off for 40 ms, and forgets between two reads that it should not (tcp(7)).
        let _only_slower_without = self.stream.set_quickack(true);
        let read = self.stream.read(buffer).map_err(late)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

impl Write for Paced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.span()?)?;
        self.stream.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A socket's own timeout (`socket(7)`, `SO_RCVTIMEO`) ends with `EAGAIN`.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

#[derive(Debug, thiserror::Error)]
#[error("more than {LIMIT} bytes")]
struct Excess;

fn client(address: SocketAddr) -> Result<ClientConnection, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.ip().into()))
}

/// Takes every certificate: what port 25 serves, this port may serve, be it of a kind that we could not even read. Whether
/// the key is the certificate's is found out before anything is changed.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        use SignatureScheme as S;
        vec![
            S::ECDSA_NISTP256_SHA256,
            S::ECDSA_NISTP384_SHA384,
            S::ECDSA_NISTP521_SHA512,
            S::ED25519,
            S::ED448,
            S::RSA_PSS_SHA256,
            S::RSA_PSS_SHA384,
            S::RSA_PSS_SHA512,
            S::RSA_PKCS1_SHA256,
            S::RSA_PKCS1_SHA384,
            S::RSA_PKCS1_SHA512,
            S::ECDSA_SHA1_Legacy,
            S::RSA_PKCS1_SHA1,
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::CertifiedKey;
    use rustls::{ServerConfig, ServerConnection, server};

    use super::*;

    const OPEN: &[&str] = &["250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n", "554 5.7.1 no\r\n"];
    const EHLO: &str = "EHLO [127.0.0.1]";
    const RCPT: &str = "RCPT TO:<postmaster>";

    const fn asked(layer: Layer, command: Asked) -> Question {
        Question { layer, command }
    }

    const MAIL_IN_CLEAR: Question = asked(Layer::Clear, Asked::Mail(Recipient::Postmaster));
    const AUTH_IN_CLEAR: Question = asked(Layer::Clear, Asked::Auth);
    const MAIL_OVER_TLS: Question = asked(Layer::Tls, Asked::Mail(Recipient::Postmaster));
    const AUTH_OVER_TLS: Question = asked(Layer::Tls, Asked::Auth);

    fn soon() -> Deadline {
        Deadline::after(Duration::from_secs(20))
    }

    /// A server for one connection.
    fn serve<T: Send + 'static>(
        talk: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (SocketAddr, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (address, thread::spawn(move || talk(listener.accept().unwrap().0)))
    }

    /// Gives the answers, one for each line that comes, and hangs up. Returns the lines.
    fn script(stream: &mut (impl Read + Write), answers: &[&str]) -> Vec<String> {
        let mut lines = Vec::new();
        let mut stream = BufReader::new(stream);
        for answer in answers {
            let mut line = String::new();
            // An answer "" stands for silence.
            if stream.read_line(&mut line).unwrap_or(0) == 0 {
                break;
            }
            lines.push(line.trim_end().to_owned());
            let _ = stream.get_mut().write_all(answer.as_bytes());
            let _ = stream.get_mut().flush();
        }
        lines
    }

    /// A dialogue with a server that gives these answers (the first is the greeting), and what it was sent.
    fn hold(question: &Question, answers: &[&'static str]) -> (Result<Dialogue, SmtpError>, Vec<String>) {
        let answers = answers.to_vec();
        let (address, server) = serve(move |mut stream| {
            let (greeting, rest) = answers.split_first().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            script(&mut stream, rest)
        });
        let result = dialogue(address, question, soon());
        (result, server.join().unwrap())
    }

    fn with_greeting(answers: &[&'static str]) -> Vec<&'static str> {
        [&["220 mx\r\n"], answers].concat()
    }

    fn error(answers: &[&'static str]) -> SmtpError {
        hold(&MAIL_IN_CLEAR, answers).0.unwrap_err()
    }

    fn ehlo(answer: &'static str) -> Offer {
        hold(&MAIL_IN_CLEAR, &with_greeting(&[answer, "530 no\r\n", "221 bye\r\n"])).0.unwrap().clear
    }

    /// A certificate that is self-signed, expired, and for somebody else.
    fn certificate() -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["somebody.else.invalid".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        (params.self_signed(&key).unwrap().der().clone(), key)
    }

    #[derive(Debug)]
    struct Always(Arc<CertifiedKey>);

    impl server::ResolvesServerCert for Always {
        fn resolve(&self, _: server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    /// A TLS server with this certificate and key, which need not belong together.
    fn tls_server(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConnection {
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = ring::default_provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(vec![certificate], key)))));
        ServerConnection::new(Arc::new(config)).unwrap()
    }

    /// A server that goes on over TLS after its go-ahead, with what it was sent there.
    fn tls(
        connection: ServerConnection,
        question: &Question,
        answers: &'static [&'static str],
    ) -> (Result<Dialogue, SmtpError>, Vec<String>) {
        let (address, server) = serve(move |mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250-mx\r\n250 StartTLS\r\n", "220 go\r\n"]);
            script(&mut StreamOwned::new(connection, stream), answers)
        });
        let result = dialogue(address, question, soon());
        (result, server.join().unwrap())
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, text: text.to_owned() }
    }

    #[test]
    fn an_open_server_is_asked_for_mail_to_its_postmaster() {
        let (result, lines) = hold(&MAIL_IN_CLEAR, &with_greeting(&[OPEN, &["221 bye\r\n"]].concat()));
        let clear = Offer { ehlo: reply(250, "mx\nPIPELINING"), starttls: false, auth: vec![] };
        let heard = Heard::Mail(reply(250, "ok"), Some(reply(554, "5.7.1 no")));
        let greeting = reply(220, "mx");
        let wanted = Dialogue { greeting, clear, upgrade: Upgrade::Unasked, heard, certificate: None };
        assert_eq!(result.unwrap(), wanted);
        assert_eq!(lines, [EHLO, MAIL, RCPT, "QUIT"]);
    }

    #[test]
    fn the_first_command_that_is_refused_is_the_last_one() {
        let (_, lines) = hold(&MAIL_IN_CLEAR, &with_greeting(&["250 mx\r\n", "530 no\r\n", "221 bye\r\n"]));
        assert_eq!(lines, [EHLO, MAIL, "QUIT"]);
    }

    #[test]
    fn a_server_that_hangs_up_after_the_first_error_has_answered() {
        let (result, _) = hold(&MAIL_IN_CLEAR, &with_greeting(&["250 mx\r\n", "530 no\r\n421 too many\r\n"]));
        assert_eq!(result.unwrap().heard, Heard::Mail(reply(530, "no"), None));
    }

    #[test]
    fn the_postmaster_there_is_at_the_domain_of_the_greeting() {
        for (greeting, recipient) in [("220 mx.lab.test ESMTP\r\n", "mx.lab.test"), ("220 <x>@y\r\n", "")] {
            let question = asked(Layer::Clear, Asked::Mail(Recipient::PostmasterThere));
            let answers = [&[greeting][..], OPEN, &["221 bye\r\n"]].concat();
            let (_, lines) = hold(&question, &answers);
            assert_eq!(lines[2], format!("RCPT TO:<postmaster@{recipient}>"));
        }
    }

    #[test]
    fn auth_that_is_refused_is_recorded() {
        let answers = with_greeting(&["250 mx\r\n", "503 no\r\n", "221 bye\r\n"]);
        let (result, lines) = hold(&AUTH_IN_CLEAR, &answers);
        assert_eq!(result.unwrap().heard, Heard::Auth(reply(503, "no")));
        assert_eq!(lines, [EHLO, "AUTH PLAIN", "QUIT"]);
    }

    #[test]
    fn auth_that_is_granted_is_cancelled() {
        let answers = with_greeting(&["250 mx\r\n", "334 \r\n", "501 cancelled\r\n", "221 bye\r\n"]);
        let (result, lines) = hold(&AUTH_IN_CLEAR, &answers);
        assert_eq!(result.unwrap().heard, Heard::Auth(reply(334, "")));
        assert_eq!(lines, [EHLO, "AUTH PLAIN", "*", "QUIT"]);
    }

    #[test]
    fn where_plain_is_not_offered_the_first_mechanism_is_begun() {
        let answers = with_greeting(&[
            "250-mx\r\n250 AUTH CRAM-MD5 LOGIN\r\n",
            "334 PDE+\r\n",
            "501 no\r\n",
            "221 bye\r\n",
        ]);
        assert_eq!(hold(&AUTH_IN_CLEAR, &answers).1[1], "AUTH CRAM-MD5");
    }

    #[test]
    fn mechanisms_are_listed_once_in_both_forms() {
        let session = ehlo("250-mx\r\n250-auth Plain LOGIN\r\n250-AUTH=LOGIN CRAM-MD5\r\n250 SIZE 1\r\n");
        assert_eq!(session.auth, ["PLAIN", "LOGIN", "CRAM-MD5"]);
    }

    #[test]
    fn what_cannot_be_a_mechanism_is_not_listed() {
        assert_eq!(ehlo("250-mx\r\n250 AUTH PL\u{1b}AIN X-OAUTH_2 \u{e9}\r\n").auth, ["X-OAUTH_2"]);
    }

    #[test]
    fn a_server_named_starttls_does_not_offer_it() {
        assert!(!ehlo("250-STARTTLS\r\n250 AUTHENTIC\r\n").starttls);
    }

    #[test]
    fn an_offer_beyond_the_kept_text_counts() {
        let answer = format!("250-mx\r\n250-X{}\r\n250 STARTTLS\r\n", "x".repeat(5000));
        let session = ehlo(answer.leak());
        assert_eq!((session.starttls, session.ehlo.text.len()), (true, TEXT_LIMIT));
    }

    #[test]
    fn a_refused_ehlo_offers_nothing() {
        let session = ehlo("550-no\r\n550 STARTTLS\r\n");
        assert_eq!((session.ehlo.code, session.starttls), (550, false));
    }

    #[test]
    fn starttls_that_is_refused_is_recorded() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "454 4.7.0 not now\r\n", "221 bye\r\n"];
        let (result, lines) = hold(&MAIL_OVER_TLS, &with_greeting(&answers));
        let dialogue = result.unwrap();
        assert_eq!(dialogue.upgrade, Upgrade::Refused(reply(454, "4.7.0 not now")));
        assert_eq!(dialogue.heard, Heard::NotAsked);
        assert_eq!(lines, [EHLO, "STARTTLS", "QUIT"]);
    }

    #[test]
    fn over_tls_ehlo_is_asked_again_and_then_the_question() {
        let (certificate, key) = certificate();
        let shown = certificate.to_vec();
        let answers = &["250-mx\r\n250 AUTH PLAIN\r\n", "250 ok\r\n", "554 no\r\n", "221 bye\r\n"];
        let (result, lines) = tls(tls_server(certificate, &key), &MAIL_OVER_TLS, answers);
        let dialogue = result.unwrap();
        assert_eq!(dialogue.certificate, Some(shown));
        assert!(matches!(dialogue.upgrade, Upgrade::Done(Offer { auth, .. }) if auth == ["PLAIN"]));
        assert_eq!(dialogue.heard, Heard::Mail(reply(250, "ok"), Some(reply(554, "no"))));
        assert_eq!(lines, [EHLO, MAIL, RCPT, "QUIT"]);
    }

    #[test]
    fn auth_is_begun_and_given_up_over_tls() {
        let (certificate, key) = certificate();
        let answers = &["250-mx\r\n250 AUTH PLAIN\r\n", "334 \r\n", "501 no\r\n", "221 bye\r\n"];
        let (result, lines) = tls(tls_server(certificate, &key), &AUTH_OVER_TLS, answers);
        assert_eq!(result.unwrap().heard, Heard::Auth(reply(334, "")));
        assert_eq!(lines, [EHLO, "AUTH PLAIN", "*", "QUIT"]);
    }

    #[test]
    fn certificates_are_not_judged_however_odd() {
        // Another's key, and bytes that are no certificate at all.
        let (_, key) = certificate();
        for odd in [certificate().0, CertificateDer::from(vec![0x30, 0x00])] {
            let answers = &["250-mx\r\n250 AUTH PLAIN\r\n", "530 no\r\n", "221 bye\r\n"];
            let (result, _) = tls(tls_server(odd, &key), &MAIL_OVER_TLS, answers);
            assert_eq!(result.unwrap().heard, Heard::Mail(reply(530, "no"), None));
        }
    }

    #[test]
    fn a_handshake_answered_with_text_fails() {
        let answers = with_greeting(&["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"]);
        let (address, server) = serve(move |mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &answers[1..]);
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"500 what?\r\n").unwrap();
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let result = dialogue(address, &MAIL_OVER_TLS, soon());
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_hangs_up_in_the_handshake_fails() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"];
        let (result, _) = hold(&MAIL_OVER_TLS, &with_greeting(&answers));
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
    }

    #[test]
    fn text_behind_the_go_ahead_is_an_injection() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"];
        let error = hold(&MAIL_OVER_TLS, &with_greeting(&answers)).0.unwrap_err();
        assert!(matches!(error, SmtpError::Injected { .. }), "{error:?}");
    }

    #[test]
    fn a_greeting_other_than_220_is_an_error() {
        for greeting in ["554 no\r\n", "421 later\r\n"] {
            assert!(matches!(error(&[greeting]), SmtpError::Greeting { .. }));
        }
    }

    #[test]
    fn a_server_that_hangs_up_is_an_error_with_the_step() {
        assert!(matches!(error(&[""]), SmtpError::Closed { step: Step::Greeting, .. }));
        assert!(matches!(error(&with_greeting(&["250 mx\r\n"])), SmtpError::Closed { step: Step::Mail, .. }));
    }

    #[test]
    fn a_421_in_the_middle_is_an_error_with_the_step() {
        let error = error(&with_greeting(&["250 mx\r\n", "421 too many errors\r\n"]));
        assert!(matches!(error, SmtpError::Unavailable { step: Step::Mail, .. }), "{error:?}");
    }

    #[test]
    fn a_421_that_nobody_asked_for_is_still_told() {
        let error = error(&with_greeting(&["250 mx\r\n421 bye\r\n"]));
        assert!(matches!(error, SmtpError::Unavailable { step: Step::Mail, .. }), "{error:?}");
    }

    #[test]
    fn a_reply_that_nobody_asked_for_is_an_error() {
        let error = error(&with_greeting(&["250 mx\r\n250 ok\r\n"]));
        assert!(matches!(error, SmtpError::Malformed { step: Step::Mail, .. }), "{error:?}");
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        for line in
            ["hello\r\n", "220", "22\r\n", "620 x\r\n", "220x\r\n", "2\u{e9}0 x\r\n", "220-a\r\n221 b\r\n"]
        {
            let closed_or_malformed =
                matches!(error(&[line]), SmtpError::Malformed { .. } | SmtpError::Closed { .. });
            assert!(closed_or_malformed, "{line:?}");
        }
    }

    #[test]
    fn a_quoted_line_is_short_and_escaped() {
        let line = format!("\u{1b}[2J{}\r\n", "x".repeat(5000));
        let text = error(&[line.leak()]).to_string();
        assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let (address, _server) = serve(|mut stream| stream.write_all(b"554 \xff\xfe no\r\n").unwrap());
        let SmtpError::Greeting { reply, .. } = dialogue(address, &MAIL_IN_CLEAR, soon()).unwrap_err() else {
            panic!("no greeting")
        };
        assert_eq!(reply.text, "\u{fffd}\u{fffd} no");
    }

    #[test]
    fn text_is_cut_between_characters() {
        let answer = Answer { code: 250, lines: vec![format!("x{}", "\u{e9}".repeat(TEXT_LIMIT))] };
        assert_eq!(answer.reply().text.len(), TEXT_LIMIT - 1);
    }

    #[test]
    fn a_line_without_end_is_too_much() {
        let (address, _server) = serve(|mut stream| while stream.write_all(&[b'2'; 1000]).is_ok() {});
        let error = dialogue(address, &MAIL_IN_CLEAR, soon()).unwrap_err();
        assert!(matches!(error, SmtpError::TooMuch { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_reply_without_end_is_too_much() {
        let (address, _server) = serve(|mut stream| while stream.write_all(b"220-and\r\n").is_ok() {});
        let error = dialogue(address, &MAIL_IN_CLEAR, soon()).unwrap_err();
        assert!(matches!(error, SmtpError::TooMuch { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_trickle_does_not_put_off_the_deadline() {
        let (address, _server) = serve(|mut stream| {
            while stream.write_all(b"2").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        // It goes on for as long as it is listened to.
        let error =
            dialogue(address, &MAIL_IN_CLEAR, Deadline::after(Duration::from_millis(300))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_silent_server_is_left_at_the_deadline() {
        let (address, _server) = serve(|mut stream| io::copy(&mut stream, &mut io::sink()).ok());
        let error = dialogue(address, &MAIL_IN_CLEAR, Deadline::after(Duration::from_secs(1))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_handshake_that_hangs_is_left_at_the_deadline() {
        let (address, _server) = serve(|mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n"]);
            io::copy(&mut stream, &mut io::sink()).ok()
        });
        let error = dialogue(address, &MAIL_OVER_TLS, Deadline::after(Duration::from_secs(2))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Handshake, .. }), "{error:?}");
    }

    #[test]
    fn the_answer_to_quit_is_not_waited_for() {
        let (address, _server) = serve(|mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250 mx\r\n", "530 no\r\n"]);
            io::copy(&mut stream, &mut io::sink()).ok()
        });
        let deadline = Deadline::after(Duration::from_secs(120));
        dialogue(address, &MAIL_IN_CLEAR, deadline).unwrap();
        assert!(!deadline.passed());
    }

    #[test]
    fn a_port_without_a_listener_refuses() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // What another test just forks has the listener for a moment longer.
        let patience = soon();
        while !refuses(address, soon()).unwrap() {
            assert!(!patience.passed(), "somebody listens still");
        }
        let error = dialogue(address, &MAIL_IN_CLEAR, soon()).unwrap_err();
        assert!(matches!(error, SmtpError::Connect { .. }));
    }

    #[test]
    fn a_port_with_a_listener_does_not_refuse() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(!refuses(listener.local_addr().unwrap(), soon()).unwrap());
    }

    #[test]
    fn nothing_is_known_of_a_port_after_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let late = refuses(listener.local_addr().unwrap(), Deadline::after(Duration::ZERO));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_dialogue_survives_being_recorded() {
        let (result, _) = hold(&MAIL_IN_CLEAR, &with_greeting(&[OPEN, &["221 bye\r\n"]].concat()));
        let dialogue = result.unwrap();
        let text = serde_json::to_string(&dialogue).unwrap();
        assert_eq!(serde_json::from_str::<Dialogue>(&text).unwrap(), dialogue);
    }
}
