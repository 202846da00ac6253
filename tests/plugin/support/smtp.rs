//! Mail clients as the world has them: lettre for the dialogue, a bare TCP connection for what lettre hides.
//!
//! Certificates are not judged. A command that the server refuses is an ordinary reply here; a connection that
//! breaks fails the test.

use super::TLS_YES;
use super::sandbox::addresses;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{CertificateStore, SmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// `sandbox` with its password, and with a wrong one, as AUTH PLAIN wants them.
pub(crate) const RIGHT: &str = "AHNhbmRib3gAc2FuZGJveA==";
pub(crate) const WRONG: &str = "AHNhbmRib3gAd3Jvbmc=";

/// One SMTP session.
pub(crate) struct Session(SmtpConnection);

impl Session {
    /// Connects and says EHLO.
    #[track_caller]
    pub(crate) fn open(address: SocketAddr) -> Self {
        let connected = SmtpConnection::connect(address, Some(TIMEOUT), &hello(), None, None);
        Self(connected.unwrap_or_else(|error| panic!("no SMTP session on {address}: {error:?}")))
    }

    /// Goes over to TLS and says EHLO again.
    #[track_caller]
    pub(crate) fn start_tls(&mut self) {
        let tls = TlsParameters::builder("localhost".to_owned())
            .certificate_store(CertificateStore::None)
            .dangerous_accept_invalid_certs(true)
            .dangerous_accept_invalid_hostnames(true)
            .build()
            .unwrap();
        self.0.starttls(&tls, &hello()).expect("STARTTLS works");
    }

    /// Sends one command; the reply's number and its lines.
    #[track_caller]
    pub(crate) fn say(&mut self, command: &str) -> (u16, Vec<String>) {
        match self.0.command(format!("{command}\r\n")) {
            Ok(reply) => (number(reply.code()), reply.message().map(str::to_owned).collect()),
            Err(error) => match error.status() {
                Some(code) => (number(code), Vec::new()),
                None => panic!("{command}: {error:?}"),
            },
        }
    }

    /// Whether the server refuses the command.
    #[track_caller]
    pub(crate) fn refuses(&mut self, command: &str) -> bool {
        self.say(command).0 >= 400
    }

    /// Whether EHLO lists the extension.
    #[track_caller]
    pub(crate) fn offers(&mut self, extension: &str) -> bool {
        let (code, lines) = self.say("EHLO client.example.com");
        assert_eq!(code, 250);
        lines.iter().skip(1).any(|line| line.split([' ', '=']).next() == Some(extension))
    }

    /// Whether a mail is refused before its text is asked for.
    #[track_caller]
    pub(crate) fn refuses_mail(&mut self) -> bool {
        self.refuses("MAIL FROM:<someone@example.com>") || self.refuses("RCPT TO:<anyone@elsewhere.example>")
    }

    /// Logs in the way mail programs do.
    #[track_caller]
    pub(crate) fn log_in(&mut self) {
        let account = Credentials::new("sandbox".to_owned(), "sandbox".to_owned());
        let reply = self.0.auth(&[Mechanism::Plain, Mechanism::Login], &account);
        assert_eq!(number(reply.expect("the account is accepted").code()), 235);
    }

    /// Sends a whole message to a destination elsewhere.
    #[track_caller]
    pub(crate) fn deliver(&mut self) {
        assert_eq!(self.say("MAIL FROM:<sandbox@example.com>").0, 250);
        assert_eq!(self.say("RCPT TO:<anyone@elsewhere.example>").0, 250);
        assert_eq!(self.say("DATA").0, 354);
        let reply = self.0.message(b"Subject: a test\r\n\r\n.A line that begins with a dot.\r\n");
        assert_eq!(number(reply.expect("the message is taken").code()), 250);
    }

    /// Whether the session still answers.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.0.test_connected()
    }
}

/// The first line that the server says, or what kept it from saying one.
pub(crate) fn greeting(address: SocketAddr) -> Result<String, std::io::Error> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Whether the service greets on every address of the port.
pub(crate) fn is_open(port: u16) -> bool {
    addresses(port).into_iter().all(|address| greeting(address).is_ok_and(|line| line.starts_with("220")))
}

/// Whether connections are refused on every address of the port.
pub(crate) fn is_closed(port: u16) -> bool {
    addresses(port).into_iter().all(|address| {
        TcpStream::connect_timeout(&address, TIMEOUT)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    })
}

/// A session past everything that the mode asks for before AUTH.
#[track_caller]
pub(crate) fn ready_for_auth(address: SocketAddr, mode: &str) -> Session {
    let mut session = Session::open(address);
    if mode == TLS_YES {
        session.start_tls();
    }
    session
}

fn hello() -> ClientId {
    ClientId::Domain("client.example.com".to_owned())
}

fn number(code: lettre::transport::smtp::response::Code) -> u16 {
    code.to_string().parse().unwrap()
}
