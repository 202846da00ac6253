//! Servers that follow a script, for the tests of this folder: they give the answers that they are told to.
//!
//! A server serves one connection on loopback, in the clear or over TLS, and hands back the lines that it was sent. It judges
//! nothing; that is the tests'. One that is left by its client ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection, StreamOwned, server};

use super::dialogue::dialogue;
use super::error::SmtpError;
use super::question::{Asked, Dialogue, Layer, Question, Recipient};
use super::reply::Reply;
use crate::sys::deadline::Deadline;

pub(super) const OPEN: &[&str] = &["250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n", "554 5.7.1 no\r\n"];
pub(super) const EHLO: &str = "EHLO [127.0.0.1]";
pub(super) const RCPT: &str = "RCPT TO:<postmaster>";

pub(super) const fn asked(layer: Layer, command: Asked) -> Question {
    Question { layer, command }
}

pub(super) const MAIL_IN_CLEAR: Question = asked(Layer::Clear, Asked::Mail(Recipient::Postmaster));
pub(super) const AUTH_IN_CLEAR: Question = asked(Layer::Clear, Asked::Auth);
pub(super) const MAIL_OVER_TLS: Question = asked(Layer::Tls, Asked::Mail(Recipient::Postmaster));
pub(super) const AUTH_OVER_TLS: Question = asked(Layer::Tls, Asked::Auth);

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// A server for one connection.
pub(super) fn serve<T: Send + 'static>(
    talk: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (address, thread::spawn(move || talk(listener.accept().unwrap().0)))
}

/// Gives the answers, one for each line that comes, and hangs up. Returns the lines.
pub(super) fn script(stream: &mut (impl Read + Write), answers: &[&str]) -> Vec<String> {
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
pub(super) fn hold(
    question: &Question,
    answers: &[&'static str],
) -> (Result<Dialogue, SmtpError>, Vec<String>) {
    let answers = answers.to_vec();
    let (address, server) = serve(move |mut stream| {
        let (greeting, rest) = answers.split_first().unwrap();
        stream.write_all(greeting.as_bytes()).unwrap();
        script(&mut stream, rest)
    });
    let result = dialogue(address, question, soon());
    (result, server.join().unwrap())
}

pub(super) fn with_greeting(answers: &[&'static str]) -> Vec<&'static str> {
    [&["220 mx\r\n"], answers].concat()
}

pub(super) fn error(answers: &[&'static str]) -> SmtpError {
    hold(&MAIL_IN_CLEAR, answers).0.unwrap_err()
}

/// A certificate that is self-signed, expired, and for somebody else.
pub(super) fn certificate() -> (CertificateDer<'static>, KeyPair) {
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
pub(super) fn tls_server(certificate: CertificateDer<'static>, key: &KeyPair) -> ServerConnection {
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
pub(super) fn tls(
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

pub(super) fn reply(code: u16, text: &str) -> Reply {
    Reply { code, text: text.to_owned() }
}
