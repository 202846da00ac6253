//! SMTP as a client sees it: the one dialogue that proves a listener, and whether a port refuses connections.
//!
//! Answers for: what a server says to a client that does not authenticate, before STARTTLS and after it (RFC 5321,
//! 3207, 4954). It sends no credentials and no mail. Does not know: which of these answers are right; and it does not
//! judge certificates, whose names, issuers and dates are nobody's business here. What a server sends is hostile: the
//! whole dialogue stands under one deadline and one limit of bytes. A failure names the server and the step.

use std::fmt::{self, Display, Formatter};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use serde::{Deserialize, Serialize};

use super::Deadline;

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

const EHLO: &str = "EHLO smtp2-proof.invalid";
// The null sender leaves the least trace, and no server looks up its domain.
const MAIL: &str = "MAIL FROM:<>";
const RCPT: &str = "RCPT TO:<postmaster@smtp2-proof.invalid>";
// Without an initial response: it asks for the challenge and tells nothing.
const AUTH: &str = "AUTH PLAIN";

/// Whether AUTH is tried on the connection before it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthTry {
    /// It is, whether offered or not.
    InClear,
    /// It is not.
    Never,
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

/// What an unauthenticated client is told between EHLO and RSET.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The reply to EHLO.
    pub ehlo: Reply,
    /// Whether STARTTLS was offered.
    pub starttls: bool,
    /// The mechanisms that were offered, in upper case and in the server's order, each once; the ones of the old form
    /// `AUTH=LOGIN` too.
    pub auth: Vec<String>,
    /// The reply to AUTH, if it was tried. 334 means: go on, send your credentials (we did not).
    pub auth_try: Option<Reply>,
    /// The reply to MAIL.
    pub mail: Reply,
    /// The reply to RCPT, which is sent only after an accepted MAIL.
    pub rcpt: Option<Reply>,
}

/// What became of STARTTLS (RFC 3207).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upgrade {
    /// It was not offered.
    NotOffered,
    /// It was offered and then refused.
    Refused(Reply),
    /// It was granted, but the handshake failed (or the server hung up in it).
    Failed(String),
    /// The connection was encrypted, and all was asked again.
    Done(Box<Session>),
}

/// One whole dialogue with a server that greeted with 220.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialogue {
    /// The greeting.
    pub greeting: Reply,
    /// What was said before STARTTLS.
    pub clear: Session,
    /// What became of STARTTLS, and what was said after it.
    pub upgrade: Upgrade,
}

impl Dialogue {
    /// What was said after STARTTLS, if it came to that.
    pub fn tls(&self) -> Option<&Session> {
        match &self.upgrade {
            Upgrade::Done(session) => Some(session),
            Upgrade::NotOffered | Upgrade::Refused(_) | Upgrade::Failed(_) => None,
        }
    }
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
    /// RSET in the clear.
    Rset,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// EHLO after STARTTLS.
    TlsEhlo,
    /// MAIL after STARTTLS.
    TlsMail,
    /// RCPT after STARTTLS.
    TlsRcpt,
    /// RSET after STARTTLS.
    TlsRset,
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
            Self::Rset => "RSET",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "the TLS handshake",
            Self::TlsEhlo => "EHLO after STARTTLS",
            Self::TlsMail => "MAIL after STARTTLS",
            Self::TlsRcpt => "RCPT after STARTTLS",
            Self::TlsRset => "RSET after STARTTLS",
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

/// Holds the dialogue: greeting, EHLO, AUTH (if `auth` says so; never with credentials), MAIL, RCPT and RSET (after an
/// accepted MAIL), STARTTLS (if offered), EHLO, MAIL, RCPT and RSET again, QUIT. All of it is over at `deadline`, but
/// for the answer to QUIT, which is not waited for longer than 200 ms, and is no part of the proof.
///
/// # Errors
///
/// See [`SmtpError`]. A refused command is no error but a [`Reply`]; a failed handshake is [`Upgrade::Failed`].
pub fn dialogue(address: SocketAddr, auth: AuthTry, deadline: Deadline) -> Result<Dialogue, SmtpError> {
    let stream = connect(address, deadline).map_err(|source| match source.kind() {
        io::ErrorKind::TimedOut if deadline.passed() => SmtpError::TimedOut { address, step: Step::Connect },
        _ => SmtpError::Connect { address, source },
    })?;
    let mut talk = Talk::new(address, Wire::Clear(Paced { stream, deadline, left: LIMIT }));
    let greeting = talk.answer(Step::Greeting)?.reply();
    if greeting.code != 220 {
        return Err(SmtpError::Greeting { address, reply: greeting });
    }
    let clear = talk.session(&CLEAR, auth)?;
    if !clear.starttls {
        talk.quit();
        return Ok(Dialogue { greeting, clear, upgrade: Upgrade::NotOffered });
    }
    let go_ahead = talk.command(Step::StartTls, "STARTTLS")?.reply();
    if go_ahead.code != 220 {
        talk.quit();
        return Ok(Dialogue { greeting, clear, upgrade: Upgrade::Refused(go_ahead) });
    }
    let upgrade = match talk.encrypt()? {
        Ok(mut talk) => {
            let session = talk.session(&TLS, AuthTry::Never)?;
            talk.quit();
            Upgrade::Done(Box::new(session))
        }
        Err(reason) => Upgrade::Failed(reason),
    };
    Ok(Dialogue { greeting, clear, upgrade })
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

/// The steps of one session, before STARTTLS or after it.
struct Steps {
    ehlo: Step,
    mail: Step,
    rcpt: Step,
    rset: Step,
}

const CLEAR: Steps = Steps { ehlo: Step::Ehlo, mail: Step::Mail, rcpt: Step::Rcpt, rset: Step::Rset };
const TLS: Steps =
    Steps { ehlo: Step::TlsEhlo, mail: Step::TlsMail, rcpt: Step::TlsRcpt, rset: Step::TlsRset };

/// A connection in the middle of a dialogue.
struct Talk {
    address: SocketAddr,
    wire: Wire,
    /// What has been received and not yet been understood.
    buffer: Vec<u8>,
}

impl Talk {
    fn new(address: SocketAddr, wire: Wire) -> Self {
        Self { address, wire, buffer: Vec::new() }
    }

    fn session(&mut self, steps: &Steps, auth: AuthTry) -> Result<Session, SmtpError> {
        let offer = self.command(steps.ehlo, EHLO)?;
        let auth_try = match auth {
            AuthTry::InClear => Some(self.auth()?),
            AuthTry::Never => None,
        };
        let mail = self.command(steps.mail, MAIL)?.reply();
        let rcpt = if mail.accepted() {
            let rcpt = self.command(steps.rcpt, RCPT)?.reply();
            self.command(steps.rset, "RSET")?;
            Some(rcpt)
        } else {
            None
        };
        Ok(Session {
            starttls: offer.starttls(),
            auth: offer.mechanisms(),
            ehlo: offer.reply(),
            auth_try,
            mail,
            rcpt,
        })
    }

    fn auth(&mut self) -> Result<Reply, SmtpError> {
        let reply = self.command(Step::Auth, AUTH)?.reply();
        if reply.code / 100 == 3 {
            // Cancels the exchange (RFC 4954, section 4).
            self.command(Step::Auth, "*")?;
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
        let first = self.line(step)?;
        let Some((code, text, mut more)) = parse(&first) else { return Err(self.malformed(step, &first)) };
        let mut answer = Answer { code, lines: vec![text] };
        while more == More::Follows {
            let line = self.line(step)?;
            match parse(&line) {
                Some((code, text, next)) if code == answer.code => {
                    answer.lines.push(text);
                    more = next;
                }
                _ => return Err(self.malformed(step, &line)),
            }
        }
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
        let Self { address, wire, buffer } = self;
        let mut paced = match wire {
            Wire::Clear(paced) if buffer.is_empty() => paced,
            Wire::Clear(_) | Wire::Tls(_) => return Err(SmtpError::Injected { address }),
        };
        let mut tls = match client(address) {
            Ok(tls) => tls,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match tls.complete_io(&mut paced) {
            Ok(_) => Ok(Ok(Self::new(address, Wire::Tls(Box::new(StreamOwned::new(tls, paced)))))),
            Err(error) => match broke(address, Step::Handshake, error) {
                error @ (SmtpError::TimedOut { .. } | SmtpError::TooMuch { .. }) => Err(error),
                SmtpError::Io { source, .. } => Ok(Err(source.to_string())),
                error => Ok(Err(error.to_string())),
            },
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
struct Answer {
    code: u16,
    lines: Vec<String>,
}

impl Answer {
    fn reply(&self) -> Reply {
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

    fn starttls(&self) -> bool {
        self.keywords().any(|line| line.trim_ascii().eq_ignore_ascii_case("STARTTLS"))
    }

    fn mechanisms(&self) -> Vec<String> {
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
    let provider = Arc::new(ring::default_provider());
    let verifier = AnyCertificate(provider.signature_verification_algorithms);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    ClientConnection::new(Arc::new(config), ServerName::IpAddress(address.ip().into()))
}

/// Takes every certificate, but not every handshake: the server must hold the certificate's key.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};
    use std::time::Instant;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::CertifiedKey;
    use rustls::{ServerConfig, ServerConnection, server};

    use super::*;

    const OPEN: &[&str] = &["250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n", "554 5.7.1 no\r\n", "250 ok\r\n"];

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
    fn hold(auth: AuthTry, answers: &[&'static str]) -> (Result<Dialogue, SmtpError>, Vec<String>) {
        let answers = answers.to_vec();
        let (address, server) = serve(move |mut stream| {
            let (greeting, rest) = answers.split_first().unwrap();
            stream.write_all(greeting.as_bytes()).unwrap();
            script(&mut stream, rest)
        });
        let result = dialogue(address, auth, soon());
        (result, server.join().unwrap())
    }

    fn with_greeting(answers: &[&'static str]) -> Vec<&'static str> {
        [&["220 mx\r\n"], answers].concat()
    }

    fn error(answers: &[&'static str]) -> SmtpError {
        hold(AuthTry::Never, answers).0.unwrap_err()
    }

    fn ehlo(answer: &'static str) -> Session {
        hold(AuthTry::Never, &with_greeting(&[answer, "530 no\r\n", "454 no\r\n", "221 bye\r\n"]))
            .0
            .unwrap()
            .clear
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
        answers: &'static [&'static str],
    ) -> (Result<Dialogue, SmtpError>, Vec<String>) {
        let (address, server) = serve(move |mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250-mx\r\n250 StartTLS\r\n", "530 5.7.0 first\r\n", "220 go\r\n"]);
            script(&mut StreamOwned::new(connection, stream), answers)
        });
        let result = dialogue(address, AuthTry::Never, soon());
        (result, server.join().unwrap())
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, text: text.to_owned() }
    }

    #[test]
    fn an_open_server_is_asked_everything_but_for_credentials() {
        let (result, lines) = hold(AuthTry::Never, &with_greeting(&[OPEN, &["221 bye\r\n"]].concat()));
        let clear = Session {
            ehlo: reply(250, "mx\nPIPELINING"),
            starttls: false,
            auth: vec![],
            auth_try: None,
            mail: reply(250, "ok"),
            rcpt: Some(reply(554, "5.7.1 no")),
        };
        let wanted = Dialogue { greeting: reply(220, "mx"), clear, upgrade: Upgrade::NotOffered };
        assert_eq!(result.unwrap(), wanted);
        assert_eq!(lines, [EHLO, MAIL, RCPT, "RSET", "QUIT"]);
    }

    #[test]
    fn after_a_refused_mail_neither_rcpt_nor_rset_is_sent() {
        let (_, lines) = hold(AuthTry::Never, &with_greeting(&["250 mx\r\n", "530 no\r\n", "221 bye\r\n"]));
        assert_eq!(lines, [EHLO, MAIL, "QUIT"]);
    }

    #[test]
    fn auth_that_is_refused_is_recorded() {
        let answers = with_greeting(&["250 mx\r\n", "503 no\r\n", "530 no\r\n", "221 bye\r\n"]);
        let (result, lines) = hold(AuthTry::InClear, &answers);
        assert_eq!(result.unwrap().clear.auth_try, Some(reply(503, "no")));
        assert_eq!(lines, [EHLO, AUTH, MAIL, "QUIT"]);
    }

    #[test]
    fn auth_that_is_granted_is_cancelled() {
        let answers =
            with_greeting(&["250 mx\r\n", "334 \r\n", "501 cancelled\r\n", "530 no\r\n", "221 bye\r\n"]);
        let (result, lines) = hold(AuthTry::InClear, &answers);
        assert_eq!(result.unwrap().clear.auth_try, Some(reply(334, "")));
        assert_eq!(lines, [EHLO, AUTH, "*", MAIL, "QUIT"]);
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
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "530 no\r\n", "454 4.7.0 not now\r\n", "221 bye\r\n"];
        let (result, lines) = hold(AuthTry::Never, &with_greeting(&answers));
        assert_eq!(result.unwrap().upgrade, Upgrade::Refused(reply(454, "4.7.0 not now")));
        assert_eq!(lines, [EHLO, MAIL, "STARTTLS", "QUIT"]);
    }

    #[test]
    fn any_certificate_will_do_and_all_is_asked_again() {
        let (certificate, key) = certificate();
        let answers =
            &["250-mx\r\n250 AUTH PLAIN\r\n", "250 ok\r\n", "554 no\r\n", "250 ok\r\n", "221 bye\r\n"];
        let (result, lines) = tls(tls_server(certificate, &key), answers);
        let session = result.unwrap().tls().cloned().unwrap();
        assert_eq!((session.auth, session.rcpt), (vec!["PLAIN".to_owned()], Some(reply(554, "no"))));
        assert_eq!(lines, [EHLO, MAIL, RCPT, "RSET", "QUIT"]);
    }

    #[test]
    fn a_server_without_the_key_of_its_certificate_fails() {
        let (result, _) = tls(tls_server(certificate().0, &KeyPair::generate().unwrap()), &[]);
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
    }

    #[test]
    fn a_handshake_answered_with_text_fails() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "530 no\r\n", "220 go\r\n", "500 what?\r\n"];
        let answers = with_greeting(&answers);
        let (address, server) = serve(move |mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &answers[1..4]);
            stream.read_exact(&mut [0]).unwrap();
            stream.write_all(b"500 what?\r\n").unwrap();
            io::copy(&mut stream, &mut io::sink()).ok();
        });
        let result = dialogue(address, AuthTry::Never, soon());
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_hangs_up_in_the_handshake_fails() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "530 no\r\n", "220 go\r\n"];
        let (result, _) = hold(AuthTry::Never, &with_greeting(&answers));
        assert!(matches!(result.unwrap().upgrade, Upgrade::Failed(_)));
    }

    #[test]
    fn text_behind_the_go_ahead_is_an_injection() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "530 no\r\n", "220 go\r\n250 injected\r\n"];
        assert!(matches!(error(&with_greeting(&answers)), SmtpError::Injected { .. }));
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
        let SmtpError::Greeting { reply, .. } = dialogue(address, AuthTry::Never, soon()).unwrap_err() else {
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
        let error = dialogue(address, AuthTry::Never, soon()).unwrap_err();
        assert!(matches!(error, SmtpError::TooMuch { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_reply_without_end_is_too_much() {
        let (address, _server) = serve(|mut stream| while stream.write_all(b"220-and\r\n").is_ok() {});
        let error = dialogue(address, AuthTry::Never, soon()).unwrap_err();
        assert!(matches!(error, SmtpError::TooMuch { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_trickle_does_not_put_off_the_deadline() {
        let (address, _server) = serve(|mut stream| {
            while stream.write_all(b"2").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let begun = Instant::now();
        let error =
            dialogue(address, AuthTry::Never, Deadline::after(Duration::from_millis(300))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Greeting, .. }), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_silent_server_is_left_at_the_deadline() {
        let (address, _server) = serve(|mut stream| io::copy(&mut stream, &mut io::sink()).ok());
        let error = dialogue(address, AuthTry::Never, Deadline::after(Duration::from_secs(1))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Greeting, .. }), "{error:?}");
    }

    #[test]
    fn a_handshake_that_hangs_is_left_at_the_deadline() {
        let (address, _server) = serve(|mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250-mx\r\n250 STARTTLS\r\n", "530 no\r\n", "220 go\r\n"]);
            io::copy(&mut stream, &mut io::sink()).ok()
        });
        let error = dialogue(address, AuthTry::Never, Deadline::after(Duration::from_secs(2))).unwrap_err();
        assert!(matches!(error, SmtpError::TimedOut { step: Step::Handshake, .. }), "{error:?}");
    }

    #[test]
    fn the_answer_to_quit_is_not_waited_for() {
        let (address, _server) = serve(|mut stream| {
            stream.write_all(b"220 mx\r\n").unwrap();
            script(&mut stream, &["250 mx\r\n", "530 no\r\n"]);
            io::copy(&mut stream, &mut io::sink()).ok()
        });
        let begun = Instant::now();
        dialogue(address, AuthTry::Never, soon()).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_port_without_a_listener_refuses() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // What another test just forks has the listener for a moment longer.
        let patience = soon();
        while !refuses(address, soon()).unwrap() {
            assert!(!patience.passed(), "somebody listens still");
        }
        let error = dialogue(address, AuthTry::Never, soon()).unwrap_err();
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
        let (result, _) = hold(AuthTry::Never, &with_greeting(&[OPEN, &["221 bye\r\n"]].concat()));
        let dialogue = result.unwrap();
        let text = serde_json::to_string(&dialogue).unwrap();
        assert_eq!(serde_json::from_str::<Dialogue>(&text).unwrap(), dialogue);
    }
}
