//! A connection in the middle of a dialogue: commands, one after the other, and their replies.
//!
//! Which commands a dialogue gives is `dialogue`'s. A reply that nobody asked for, a connection that breaks, and 421 are
//! failures that name the step (RFC 5321, 3207, 4954).

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::StreamOwned;

use super::connection::{Excess, LIMIT, Paced, Wire, connect};
use super::error::{SmtpError, Step};
use super::question::{Asked, Heard, Offer, Recipient};
use super::reply::{Answer, Reply, domain};
use super::tls;
use crate::sys::deadline::Deadline;

/// How many bytes of something that is no reply are quoted.
const QUOTE: usize = 120;

/// How long the answer to QUIT is waited for.
const FAREWELL: Duration = Duration::from_millis(200);

/// The null sender leaves the least trace, and no server looks up its domain.
pub(super) const MAIL: &str = "MAIL FROM:<>";
/// The mechanism that is begun, if it is offered or nothing is.
const PLAIN: &str = "PLAIN";

/// What we call ourselves in EHLO. Some servers hold against us what others ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// Whoever speaks (RFC 5321, section 4.1.3).
    Literal,
    /// The same of an IPv6 address without `IPv6:`, which Exim compares with the address (`verify = helo`).
    Untagged,
    /// The machine's own host name.
    OfHost,
}

impl Name {
    /// Whether it is another one than those before, to whom is at `address`.
    pub(super) fn is_for(self, address: SocketAddr) -> bool {
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

/// The steps of a question, before STARTTLS or after it.
pub(super) struct Steps {
    auth: Step,
    mail: Step,
    rcpt: Step,
}

/// In the clear.
pub(super) const CLEAR: Steps = Steps { auth: Step::Auth, mail: Step::Mail, rcpt: Step::Rcpt };
/// After STARTTLS.
pub(super) const TLS: Steps = Steps { auth: Step::TlsAuth, mail: Step::TlsMail, rcpt: Step::TlsRcpt };

/// A connection in the middle of a dialogue.
pub(super) struct Session {
    address: SocketAddr,
    wire: Wire,
    /// What has been received and not yet been understood.
    buffer: Vec<u8>,
    /// What we call ourselves.
    name: String,
}

impl Session {
    fn new(address: SocketAddr, wire: Wire, name: String) -> Self {
        Self { address, wire, buffer: Vec::new(), name }
    }

    /// A connection to a server, and its greeting.
    pub(super) fn begin(
        address: SocketAddr,
        name: Name,
        deadline: Deadline,
    ) -> Result<(Self, Reply), SmtpError> {
        let unconnected = |source| SmtpError::Connect { address, source };
        let stream = connect(address, deadline).map_err(|source| match source.kind() {
            io::ErrorKind::TimedOut if deadline.passed() => {
                SmtpError::TimedOut { address, step: Step::Connect }
            }
            _ => unconnected(source),
        })?;
        let name = name.said_by(stream.local_addr().map_err(unconnected)?.ip());
        let mut session = Self::new(address, Wire::Clear(Paced { stream, deadline, left: LIMIT }), name);
        match session.answer(Step::Greeting)?.reply() {
            greeting if greeting.code == 220 => Ok((session, greeting)),
            reply => Err(SmtpError::Greeting { address, reply }),
        }
    }

    pub(super) fn ehlo(&mut self, step: Step) -> Result<Offer, SmtpError> {
        let answer = self.command(step, &format!("EHLO {}", self.name))?;
        Ok(Offer { starttls: answer.starttls(), auth: answer.mechanisms(), ehlo: answer.reply() })
    }

    /// Asks what is to be asked; the first command that is refused is the last one.
    pub(super) fn ask(
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

    pub(super) fn command(&mut self, step: Step, line: &str) -> Result<Answer, SmtpError> {
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

    /// The same connection over TLS, or why the handshake failed.
    pub(super) fn encrypt(self) -> Result<Result<Self, String>, SmtpError> {
        let Self { address, wire, buffer, name } = self;
        let mut paced = match wire {
            Wire::Clear(paced) if buffer.is_empty() => paced,
            Wire::Clear(_) | Wire::Tls(_) => return Err(SmtpError::Injected { address }),
        };
        let mut client = match tls::client(address) {
            Ok(client) => client,
            Err(error) => return Ok(Err(error.to_string())),
        };
        match client.complete_io(&mut paced) {
            Ok(_) => Ok(Ok(Self::new(address, Wire::Tls(Box::new(StreamOwned::new(client, paced))), name))),
            Err(error) => match broke(address, Step::Handshake, error) {
                error @ (SmtpError::TimedOut { .. } | SmtpError::TooMuch { .. }) => Err(error),
                SmtpError::Io { source, .. } => Ok(Err(source.to_string())),
                SmtpError::Closed { .. } => Ok(Err("the server hung up".to_owned())),
                error => Ok(Err(error.to_string())),
            },
        }
    }

    /// The certificate that the server has shown.
    pub(super) fn certificate(&self) -> Option<Vec<u8>> {
        match &self.wire {
            Wire::Clear(_) => None,
            Wire::Tls(tls) => Some(tls.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    /// Says goodbye, for the sake of the server's log.
    pub(super) fn quit(mut self) {
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::thread;

    use super::*;
    use crate::sys::smtp::dialogue::dialogue;
    use crate::sys::smtp::script::*;

    #[test]
    fn text_behind_the_go_ahead_is_an_injection() {
        let answers = ["250-mx\r\n250 STARTTLS\r\n", "220 go\r\n250 injected\r\n"];
        let error = hold(&MAIL_OVER_TLS, &with_greeting(&answers)).0.unwrap_err();
        assert!(matches!(error, SmtpError::Injected { .. }), "{error:?}");
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
}
