//! The sandbox's sessions on real streams: TCP connections, or one session on standard input and output.
//!
//! It gives each connection a thread and one of a limited number of places, ends idle ones, cuts input into lines and
//! changes to TLS. What is said is `dialogue`'s, when the server begins and ends is `serve`'s. A session that fails
//! ends alone and silently, whatever it fails on; a client costs a thread, a buffer of one line and nothing that grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificate;
use super::dialogue::{Auth, Dialogue, IDLE, INJECTED, LONGEST_LINE, Policy, Step, Tls};

const MOST_SESSIONS: usize = 64;
const IO_TIMEOUT: Duration = Duration::from_secs(60);
const STACK: usize = 512 << 10;
const CROWDED: &[u8] = b"421 4.3.2 Too many sessions, closing connection\r\n";

/// What all sessions of a server share.
#[derive(Clone)]
pub struct Service {
    policy: Policy,
    tls: Arc<ServerConfig>,
    host: Arc<str>,
    places: Arc<AtomicUsize>,
}

impl Service {
    /// A service that nobody uses yet.
    pub fn new(policy: Policy, tls: Arc<ServerConfig>) -> Self {
        Self { policy, tls, host: host_name().into(), places: Arc::default() }
    }

    /// Accepts on `listener` for ever, in a thread of its own. Fails only if that thread cannot be had.
    pub fn listen(&self, listener: TcpListener) -> io::Result<()> {
        let service = self.clone();
        thread::Builder::new().stack_size(STACK).spawn(move || service.accept(&listener)).map(drop)
    }

    /// Holds one session, from greeting to end. Errors are the stream's, or the TLS library's.
    pub fn converse<S: Read + Write>(&self, mut stream: S) -> io::Result<()> {
        let mut dialogue = Dialogue::new(self.policy, &self.host);
        stream.write_all(&dialogue.greeting())?;
        stream.flush()?;
        if talk(&mut stream, &mut dialogue)? == Outcome::Secure {
            let connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
            let mut secure = StreamOwned::new(connection, stream);
            dialogue.secured();
            talk(&mut secure, &mut dialogue)?;
            secure.conn.send_close_notify();
            secure.flush()?;
        }
        Ok(())
    }

    fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.seat(stream),
                // Out of descriptors, most likely: a place gets free when a session ends.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn seat(&self, mut stream: TcpStream) {
        let Some(place) = Place::take(&self.places) else {
            // The send buffer of a new connection is empty, so this does not hold up the others.
            let _ = stream.write_all(CROWDED);
            return;
        };
        let service = self.clone();
        // A thread that cannot be had drops the connection with the closure.
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            let _place = place;
            // Replies to pipelined commands are short and many.
            let _ = stream.set_nodelay(true);
            limit_waits(&stream);
            let _ = service.converse(stream);
        });
    }
}

/// One of [`MOST_SESSIONS`], given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>) -> Option<Self> {
        let more = |taken| (taken < MOST_SESSIONS).then_some(taken + 1);
        places.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Self(Arc::clone(places)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Over,
    Secure,
}

fn talk<S: Read + Write>(stream: &mut S, dialogue: &mut Dialogue) -> io::Result<Outcome> {
    let mut reader = BufReader::with_capacity(LONGEST_LINE, stream);
    let mut piece = Vec::with_capacity(LONGEST_LINE);
    loop {
        piece.clear();
        match (&mut reader).take(LONGEST_LINE as u64).read_until(b'\n', &mut piece) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                say(reader.get_mut(), IDLE)?;
                return Ok(Outcome::Over);
            }
            other => other?,
        };
        if !piece.ends_with(b"\n") && piece.len() < LONGEST_LINE {
            return Ok(Outcome::Over);
        }
        match dialogue.piece(&piece) {
            Step::Silent => (),
            Step::Say(reply) => say(reader.get_mut(), &reply)?,
            Step::Close(reply) => return say(reader.get_mut(), &reply).map(|()| Outcome::Over),
            Step::Secure(_) if !reader.buffer().is_empty() => {
                return say(reader.get_mut(), INJECTED).map(|()| Outcome::Over);
            }
            Step::Secure(reply) => return say(reader.get_mut(), &reply).map(|()| Outcome::Secure),
        }
    }
}

fn say(stream: &mut impl Write, reply: &[u8]) -> io::Result<()> {
    stream.write_all(reply)?;
    stream.flush()
}

/// Lets reads and writes of a socket end after [`IO_TIMEOUT`]. A pipe knows no such limit: there, the other end decides.
fn limit_waits(socket: &impl AsFd) {
    let timeout = TimeVal::new(IO_TIMEOUT.as_secs().try_into().unwrap_or(60), 0);
    let _ = setsockopt(socket, sockopt::ReceiveTimeout, &timeout);
    let _ = setsockopt(socket, sockopt::SendTimeout, &timeout);
}

fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// The command `sandbox stdio`: one session on standard input and output, as a super-server such as `tcpserver` wants
/// it. The policy comes from the environment: `SMTPAUTH` beginning with `!` means AUTH required (else it is offered),
/// `FORCETLS` of `0` means AUTH in the clear, too (else, or absent, only under TLS). The certificate is kept in `dir`,
/// or fresh. Exit 1 only if there can be no session; the reason is on stderr.
#[expect(clippy::disallowed_methods, reason = "a super-server's child: its environment is its configuration")]
pub fn stdio(dir: Option<&Path>) -> ExitCode {
    let auth = std::env::var_os("SMTPAUTH").unwrap_or_default();
    let tls = std::env::var_os("FORCETLS").unwrap_or_default();
    match standard_streams(policy(auth.as_encoded_bytes(), tls.as_encoded_bytes()), dir) {
        Ok((service, streams)) => {
            // The client went away, or never came: nobody is left to be told.
            let _ = service.converse(streams);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn policy(auth: &[u8], tls: &[u8]) -> Policy {
    Policy {
        tls: if tls == b"0" { Tls::Optional } else { Tls::Required },
        auth: if auth.starts_with(b"!") { Auth::Required } else { Auth::Offered },
    }
}

/// Standard input and output as one stream, past the buffers of the standard library: what follows STARTTLS in the
/// clear has to be seen.
struct Streams {
    input: File,
    output: File,
}

#[expect(clippy::disallowed_methods, reason = "this process serves SMTP, not the plugin's protocol")]
fn standard_streams(policy: Policy, dir: Option<&Path>) -> io::Result<(Service, Streams)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?.into();
    let output = io::stdout().as_fd().try_clone_to_owned()?.into();
    limit_waits(&input);
    limit_waits(&output);
    // A client that acknowledges late would otherwise wait for the second half of a handshake.
    let _ = setsockopt(&output, sockopt::TcpNoDelay, &true);
    let tls = certificate::tls(dir).map_err(io::Error::other)?;
    Ok((Service::new(policy, tls), Streams { input, output }))
}

impl Read for Streams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Streams {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::os::unix::net::UnixStream;

    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::mta::sheet::AuthMode;

    /// A client that has said everything before it listens.
    struct Script {
        said: Cursor<Vec<u8>>,
        heard: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.said.read(buffer)
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn service(mode: AuthMode) -> Service {
        Service::new(mode.into(), certificate::tls(None).unwrap())
    }

    fn codes(mode: AuthMode, said: &[u8]) -> Vec<String> {
        let mut script = Script { said: Cursor::new(said.to_vec()), heard: Vec::new() };
        service(mode).converse(&mut script).unwrap();
        let heard = String::from_utf8(script.heard).unwrap();
        heard.lines().filter(|line| &line[3..4] == " ").map(|line| line[..3].to_owned()).collect()
    }

    const HELLO: &[u8] = b"EHLO a\r\nAUTH PLAIN AHNhbmRib3gAc2FuZGJveA==\r\n";
    const MAIL: &[u8] = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

    #[test]
    fn a_whole_session_in_one_write_is_answered_in_order() {
        let said = [HELLO, MAIL, b"hello\r\n.\r\nRSET\r\nQUIT\r\n"].concat();
        let expected = ["220", "250", "235", "250", "250", "354", "250", "250", "221"];
        assert_eq!(codes(AuthMode::TlsOptional, &said), expected);
    }

    #[test]
    fn a_message_with_a_line_beyond_every_buffer_is_taken() {
        let said = [HELLO, MAIL, &[b'x'; 3 * LONGEST_LINE], b"\r\n.\r\nNOOP\r\n"].concat();
        assert_eq!(codes(AuthMode::TlsOptional, &said)[6..], ["250", "250"]);
    }

    #[test]
    fn a_line_end_astride_two_pieces_ends_its_line() {
        let said = [HELLO, MAIL, &[b'x'; LONGEST_LINE - 1], b"\r\n.\r\nNOOP\r\n"].concat();
        assert_eq!(codes(AuthMode::TlsOptional, &said)[6..], ["250", "250"]);
    }

    #[test]
    fn a_command_line_beyond_every_buffer_is_answered_once() {
        let said = [&[b'x'; 5 * LONGEST_LINE], b"\r\nQUIT\r\n" as &[u8]].concat();
        assert_eq!(codes(AuthMode::TlsYes, &said), ["220", "500", "221"]);
    }

    #[test]
    fn a_line_without_an_end_is_not_acted_upon() {
        assert_eq!(codes(AuthMode::TlsYes, b"EHLO a\r\nQUIT"), ["220", "250"]);
    }

    #[test]
    fn plain_text_behind_starttls_ends_the_session() {
        assert_eq!(codes(AuthMode::TlsYes, b"EHLO a\r\nSTARTTLS\r\nEHLO b\r\n"), ["220", "250", "554"]);
    }

    #[test]
    fn mail_goes_through_under_tls() {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::new(AuthMode::TlsYes.into(), certificate::tls(Some(dir.path())).unwrap());
        let (mut client, server) = UnixStream::pair().unwrap();
        let session = thread::spawn(move || service.converse(server));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(dir.path().join("certificate.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.write_all(b"EHLO a\r\nSTARTTLS\r\n").unwrap();
        let mut heard = String::new();
        let mut clear = BufReader::new(client.try_clone().unwrap());
        while !heard.ends_with("220 Ready to start TLS\r\n") {
            assert_ne!(clear.read_line(&mut heard).unwrap(), 0, "{heard}");
        }
        let name = ServerName::try_from("localhost").unwrap();
        let mut secure = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), client);
        secure.write_all(&[HELLO, MAIL, b"hello\r\n.\r\nQUIT\r\n"].concat()).unwrap();
        heard.clear();
        secure.read_to_string(&mut heard).unwrap();
        session.join().unwrap().unwrap();
        assert!(heard.contains("250 2.0.0 accepted and dropped by the sandbox\r\n221 "), "{heard}");
    }

    #[test]
    fn a_place_is_free_again_when_its_session_is_over() {
        let places = Arc::new(AtomicUsize::new(MOST_SESSIONS - 1));
        drop(Place::take(&places));
        assert!(Place::take(&places).is_some());
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        assert!(Place::take(&Arc::new(AtomicUsize::new(MOST_SESSIONS))).is_none());
    }

    #[test]
    fn an_exclamation_mark_makes_auth_required() {
        assert_eq!(policy(b"!", b"0"), Policy { tls: Tls::Optional, auth: Auth::Required });
    }

    #[test]
    fn an_empty_environment_requires_tls_and_offers_auth() {
        assert_eq!(policy(b"", b""), Policy { tls: Tls::Required, auth: Auth::Offered });
    }
}
