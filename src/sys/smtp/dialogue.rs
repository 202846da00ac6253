//! The dialogues themselves: what is said to a server that is to be proven, and under which name.
//!
//! It answers what a server says to a client that does not authenticate, before STARTTLS or after it. Each dialogue stands
//! under one deadline and one limit of bytes. Which answers are right is `change::client`'s to judge. A refused command is
//! no failure but a reply; the failures are [`SmtpError`]'s.

use std::io;
use std::net::SocketAddr;

use super::connection::connect;
use super::error::{SmtpError, Step};
use super::question::{Dialogue, Heard, Layer, Question, Upgrade};
use super::reply::Reply;
use super::session::{CLEAR, Name, Session, TLS};
use crate::sys::deadline::Deadline;

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
    let (session, greeting) = Session::begin(address, Name::Literal, deadline)?;
    session.quit();
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

fn dialogue_as(
    name: Name,
    address: SocketAddr,
    question: &Question,
    deadline: Deadline,
) -> Result<Dialogue, SmtpError> {
    let (mut session, greeting) = Session::begin(address, name, deadline)?;
    let clear = session.ehlo(Step::Ehlo)?;
    if question.layer == Layer::Clear {
        let heard = session.ask(&CLEAR, &question.command, &clear, &greeting)?;
        session.quit();
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
        session.quit();
        return Ok(without(greeting, clear, Upgrade::NotOffered));
    }
    let go_ahead = session.command(Step::StartTls, "STARTTLS")?.reply();
    if go_ahead.code != 220 {
        session.quit();
        return Ok(without(greeting, clear, Upgrade::Refused(go_ahead)));
    }
    let mut session = match session.encrypt()? {
        Ok(session) => session,
        Err(reason) => return Ok(without(greeting, clear, Upgrade::Failed(reason))),
    };
    let certificate = session.certificate();
    let offer = session.ehlo(Step::TlsEhlo)?;
    let heard = session.ask(&TLS, &question.command, &offer, &greeting)?;
    session.quit();
    Ok(Dialogue { greeting, clear, upgrade: Upgrade::Done(offer), heard, certificate })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::sys::smtp::question::{Asked, Offer, Recipient};
    use crate::sys::smtp::script::*;
    use crate::sys::smtp::session::MAIL;

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
    fn a_greeting_other_than_220_is_an_error() {
        for greeting in ["554 no\r\n", "421 later\r\n"] {
            assert!(matches!(error(&[greeting]), SmtpError::Greeting { .. }));
        }
    }

    #[test]
    fn a_port_without_a_listener_refuses() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // What another test just forks has the listener for a moment longer.
        let until = soon();
        while !refuses(address, soon()).unwrap() {
            assert!(!until.passed(), "somebody listens still");
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
