//! One SMTP session of the sandbox as pieces in and replies out: the policy around the library `mailin`.
//!
//! It decides what is offered and refused when (RFC 5321, 3207, 4954); sockets, threads and TLS are `server`'s.
//! `mailin` parses and keeps the order of commands, but after AUTH it forgets the client at the next EHLO or RSET, it
//! takes STARTTLS under TLS, and it knows neither `MAIL FROM:<>` nor HELO where AUTH is on. Each is corrected by giving
//! it another line or another `mailin` session: a client that has logged in goes on in a session built *without* AUTH,
//! where mail is accepted, a second AUTH is 503, and EHLO and RSET change nothing. Whatever a client sends, the state
//! is bounded: 100 recipients of 256 octets, and a message is counted, never kept. Nothing here fails: every fault is a
//! reply.

use std::mem;
use std::net::{IpAddr, Ipv4Addr};

use mailin::response::OK;
use mailin::{Action, AuthMechanism, Handler, Response, Session, SessionBuilder};

use crate::mta::sheet::AuthMode;

/// The account's name, and its password.
pub const ACCOUNT: &str = "sandbox";
/// The longest piece that [`Dialogue::piece`] wants to see; a longer command line is answered 500.
pub const LONGEST_LINE: usize = 4096;
/// The reply to bytes that follow STARTTLS in the clear (RFC 3207 6; the class of CVE-2011-0411); then the end.
pub const INJECTED: &[u8] = b"554 5.5.0 Plain text after STARTTLS, closing connection\r\n";
/// The reply to a client that says nothing for too long; then the end.
pub const IDLE: &[u8] = b"421 4.4.2 Idle for too long, closing connection\r\n";

const LARGEST_MESSAGE: u64 = 64 << 20;
// RFC 5321 4.5.3.1.3 and 4.5.3.1.8: the least that a server has to take, and all that this one does.
const LONGEST_PATH: usize = 256;
const MOST_RECIPIENTS: usize = 100;

/// When AUTH is offered and mail is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether the clear channel is good for anything but STARTTLS.
    pub tls: Tls,
    /// Whether mail needs AUTH.
    pub auth: Auth,
}

/// The place of TLS in a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// AUTH and mail only under TLS.
    Required,
    /// AUTH and mail in the clear, too.
    Optional,
}

/// The place of AUTH in a [`Policy`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// Mail only after AUTH.
    Required,
    /// Mail from anybody.
    Offered,
}

impl From<AuthMode> for Policy {
    fn from(mode: AuthMode) -> Self {
        let tls = match mode {
            AuthMode::TlsYes => Tls::Required,
            AuthMode::TlsOptional => Tls::Optional,
        };
        Self { tls, auth: Auth::Required }
    }
}

/// What to do after a piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    Silent,
    /// Write this, then read on.
    Say(Vec<u8>),
    /// Write this, then close.
    Close(Vec<u8>),
    /// If nothing else was received yet: write this, shake hands, tell [`Dialogue::secured`], read on.
    /// If something was: write [`INJECTED`] instead and close.
    Secure(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Clear,
    Tls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not authenticated.
    Stranger,
    /// Not authenticated, in a mail transaction, where the policy is [`Auth::Offered`].
    Guest,
    /// Authenticated.
    Known,
}

/// How the previous piece ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seam {
    LineEnd,
    CarriageReturn,
    MidLine,
}

/// One session, from greeting to end.
pub struct Dialogue {
    policy: Policy,
    host: String,
    channel: Channel,
    standing: Standing,
    session: Session<Drain>,
    challenged: bool,
    message: Option<u64>,
    seam: Seam,
}

impl Dialogue {
    /// A session on a clear channel of the machine named `host`.
    pub fn new(policy: Policy, host: &str) -> Self {
        let (channel, standing) = (Channel::Clear, Standing::Stranger);
        Self {
            policy,
            host: host.to_owned(),
            channel,
            standing,
            session: open(policy, channel, standing),
            challenged: false,
            message: None,
            seam: Seam::LineEnd,
        }
    }

    /// What the server says first.
    pub fn greeting(&self) -> Vec<u8> {
        format!("220 {} ESMTP mail-smtp2 sandbox\r\n", self.host).into_bytes()
    }

    /// The channel is under TLS now; all that the client said before is forgotten (RFC 3207 4.2).
    pub fn secured(&mut self) {
        self.channel = Channel::Tls;
        self.standing = Standing::Stranger;
        self.session = open(self.policy, self.channel, self.standing);
    }

    /// Takes a line with its end, or [`LONGEST_LINE`] bytes of one that is longer.
    pub fn piece(&mut self, piece: &[u8]) -> Step {
        match self.message {
            Some(size) => self.content(piece, size),
            None => self.command(piece),
        }
    }

    fn content(&mut self, piece: &[u8], size: u64) -> Step {
        let seam = match piece {
            [.., b'\r', b'\n'] => Seam::LineEnd,
            [b'\n'] if self.seam == Seam::CarriageReturn => Seam::LineEnd,
            [.., b'\r'] => Seam::CarriageReturn,
            _ => Seam::MidLine,
        };
        // Only <CRLF>.<CRLF> ends a message: the rest of a long line, or of one with a bare LF, is never asked.
        if mem::replace(&mut self.seam, seam) == Seam::LineEnd {
            let response = self.session.process(piece);
            if response.action != Action::NoReply {
                return self.taken(response, size);
            }
        }
        self.message = Some(size.saturating_add(piece.len() as u64));
        Step::Silent
    }

    fn taken(&mut self, response: Response, size: u64) -> Step {
        self.message = None;
        if self.standing == Standing::Guest {
            self.resume(Standing::Stranger);
        }
        // Said here and not by the handler: mailin stays in DATA when its handler refuses.
        if size > LARGEST_MESSAGE { say("552 5.3.4 Message too big") } else { step(&response) }
    }

    fn command(&mut self, piece: &[u8]) -> Step {
        let ended = piece.ends_with(b"\n");
        let before = mem::replace(&mut self.seam, if ended { Seam::LineEnd } else { Seam::MidLine });
        if !ended {
            return Step::Silent;
        }
        if before != Seam::LineEnd {
            return say("500 5.5.2 Line too long");
        }
        if mem::take(&mut self.challenged) {
            return self.answer(piece);
        }
        match verb(piece).as_slice() {
            b"EHLO" => self.hello(piece),
            b"HELO" => self.old_hello(piece),
            b"MAIL" => self.mail(piece),
            b"STARTTLS" if self.channel == Channel::Tls => say("503 5.5.1 Already under TLS"),
            b"RSET" => {
                self.leave();
                self.ask(piece)
            }
            _ => self.ask(piece),
        }
    }

    fn ask(&mut self, line: &[u8]) -> Step {
        let response = self.session.process(line);
        match response.code {
            235 => self.resume(Standing::Known),
            334 => self.challenged = true,
            354 => self.message = Some(0),
            _ => (),
        }
        step(&response)
    }

    /// A line of an AUTH exchange. mailin would wait for credentials for ever after one that is none, `*` included.
    fn answer(&mut self, line: &[u8]) -> Step {
        match self.ask(line) {
            Step::Say(reply) if reply.starts_with(b"500") => {
                self.resume(self.standing);
                say("501 5.5.2 AUTH cancelled")
            }
            other => other,
        }
    }

    fn hello(&mut self, line: &[u8]) -> Step {
        self.leave();
        match self.ask(line) {
            Step::Say(reply) if reply.starts_with(b"250-") => {
                let offers = reply.split_inclusive(|byte| *byte == b'\n').skip(1).collect::<Vec<_>>();
                let head = format!("250-{}\r\n250-PIPELINING\r\n", self.host);
                Step::Say([head.as_bytes(), &offers.concat()].concat())
            }
            other => other,
        }
    }

    fn old_hello(&mut self, line: &[u8]) -> Step {
        self.leave();
        match self.ask(&[b"EHLO", line.get(4..).unwrap_or_default()].concat()) {
            Step::Say(reply) if reply.starts_with(b"250-") => say(&format!("250 {}", self.host)),
            other => other,
        }
    }

    fn mail(&mut self, line: &[u8]) -> Step {
        match (self.standing, self.policy.tls, self.channel, self.policy.auth) {
            (Standing::Stranger, Tls::Required, Channel::Clear, _) => {
                say("530 5.7.0 Must issue a STARTTLS command first")
            }
            (Standing::Stranger, _, _, Auth::Required) => say("530 5.7.0 Authentication required"),
            (Standing::Stranger, _, _, Auth::Offered) => {
                self.resume(Standing::Guest);
                self.ask(&plain_mail(line))
            }
            _ => self.ask(&plain_mail(line)),
        }
    }

    /// The end of a guest's transaction.
    fn leave(&mut self) {
        if self.standing == Standing::Guest {
            self.resume(Standing::Stranger);
        }
    }

    /// Goes on, greeted, in a fresh session of the library.
    fn resume(&mut self, standing: Standing) {
        self.standing = standing;
        self.session = open(self.policy, self.channel, standing);
        self.session.process(b"EHLO client\r\n");
    }
}

fn open(policy: Policy, channel: Channel, standing: Standing) -> Session<Drain> {
    let mut builder = SessionBuilder::new("");
    builder.enable_start_tls();
    if standing == Standing::Stranger && (policy.tls == Tls::Optional || channel == Channel::Tls) {
        builder
            .enable_auth(AuthMechanism::Plain)
            .enable_auth(AuthMechanism::Login)
            .insecure_enable_plaintext_auth();
    }
    let mut session = builder.build(IpAddr::V4(Ipv4Addr::LOCALHOST), Drain::default());
    if channel == Channel::Tls {
        session.tls_active();
    }
    session
}

fn verb(line: &[u8]) -> Vec<u8> {
    line.trim_ascii_end().split(|byte| *byte == b' ').next().unwrap_or_default().to_ascii_uppercase()
}

/// A MAIL command as mailin can read it: with some path for the null one (RFC 5321 4.5.5), and without parameters,
/// of which it knows BODY alone while RFC 4954 5 has clients send `AUTH=` to whoever offers AUTH. None matters to a
/// server that drops the message.
fn plain_mail(line: &[u8]) -> Vec<u8> {
    match line.iter().position(|byte| *byte == b'>') {
        Some(end) if line.ends_with(b"\r\n") => {
            let path = &line[..end];
            let null: &[u8] = if path.ends_with(b"<") { b"null" } else { b"" };
            [path, null, b">\r\n"].concat()
        }
        _ => line.to_vec(),
    }
}

fn say(reply: &str) -> Step {
    Step::Say(format!("{reply}\r\n").into_bytes())
}

fn step(response: &Response) -> Step {
    // Writing into a Vec cannot fail.
    let reply = response.buffer().unwrap_or_default();
    match response.action {
        Action::NoReply => Step::Silent,
        Action::Reply => Step::Say(reply),
        Action::Close => Step::Close(reply),
        Action::UpgradeTls => Step::Secure(reply),
    }
}

/// Where mail goes: nowhere.
#[derive(Default)]
struct Drain {
    recipients: usize,
}

impl Handler for Drain {
    fn mail(&mut self, _ip: IpAddr, _domain: &str, from: &str) -> Response {
        self.recipients = 0;
        if from.len() > LONGEST_PATH { refusal(501, "5.1.7 Path too long") } else { OK }
    }

    fn rcpt(&mut self, to: &str) -> Response {
        if to.len() > LONGEST_PATH {
            return refusal(501, "5.1.3 Path too long");
        }
        if self.recipients >= MOST_RECIPIENTS {
            return refusal(452, "4.5.3 Too many recipients");
        }
        self.recipients += 1;
        OK
    }

    fn data_end(&mut self) -> Response {
        Response::custom(250, "2.0.0 accepted and dropped by the sandbox".to_owned())
    }

    fn auth_plain(&mut self, acting_as: &str, name: &str, password: &str) -> Response {
        if acting_as.is_empty() || acting_as == ACCOUNT {
            self.auth_login(name, password)
        } else {
            refusal(535, "5.7.8 Authentication credentials invalid")
        }
    }

    fn auth_login(&mut self, name: &str, password: &str) -> Response {
        if name == ACCOUNT && password == ACCOUNT {
            Response::custom(235, "2.7.0 Authentication succeeded".to_owned())
        } else {
            refusal(535, "5.7.8 Authentication credentials invalid")
        }
    }
}

fn refusal(code: u16, text: &str) -> Response {
    Response::custom(code, text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "AUTH PLAIN AHNhbmRib3gAc2FuZGJveA==";
    const BAD: &str = "AUTH PLAIN AHNhbmRib3gAc2FuZGJveHg=";

    fn dialogue(mode: AuthMode) -> Dialogue {
        Dialogue::new(mode.into(), "host.example")
    }

    fn guests(tls: Tls) -> Dialogue {
        Dialogue::new(Policy { tls, auth: Auth::Offered }, "host.example")
    }

    /// The reply to the last of `lines`.
    fn tell(dialogue: &mut Dialogue, lines: &[&str]) -> String {
        let mut last = Step::Silent;
        for line in lines {
            last = dialogue.piece(format!("{line}\r\n").as_bytes());
        }
        match last {
            Step::Silent => String::new(),
            Step::Say(reply) | Step::Close(reply) | Step::Secure(reply) => String::from_utf8(reply).unwrap(),
        }
    }

    fn secured(mode: AuthMode) -> Dialogue {
        let mut dialogue = dialogue(mode);
        assert!(tell(&mut dialogue, &["EHLO a", "STARTTLS"]).starts_with("220 "));
        dialogue.secured();
        dialogue
    }

    fn authenticated() -> Dialogue {
        let mut dialogue = secured(AuthMode::TlsYes);
        assert!(tell(&mut dialogue, &["EHLO a", GOOD]).starts_with("235 "));
        dialogue
    }

    #[track_caller]
    fn code(reply: &str, code: &str) {
        assert!(reply.starts_with(code), "{reply}");
    }

    #[test]
    fn the_greeting_says_sandbox() {
        assert_eq!(dialogue(AuthMode::TlsYes).greeting(), b"220 host.example ESMTP mail-smtp2 sandbox\r\n");
    }

    #[test]
    fn under_tls_yes_the_clear_channel_offers_starttls_and_no_auth() {
        let offers = tell(&mut dialogue(AuthMode::TlsYes), &["EHLO a"]);
        assert_eq!(offers, "250-host.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n");
    }

    #[test]
    fn under_tls_yes_auth_in_the_clear_is_refused() {
        code(&tell(&mut dialogue(AuthMode::TlsYes), &["EHLO a", GOOD]), "503 ");
    }

    #[test]
    fn under_tls_yes_mail_in_the_clear_asks_for_starttls() {
        let reply = tell(&mut dialogue(AuthMode::TlsYes), &["EHLO a", "MAIL FROM:<a@b>"]);
        assert_eq!(reply, "530 5.7.0 Must issue a STARTTLS command first\r\n");
    }

    #[test]
    fn under_tls_auth_is_offered_and_starttls_is_not() {
        let offers = tell(&mut secured(AuthMode::TlsYes), &["EHLO a"]);
        assert_eq!(offers, "250-host.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n");
    }

    #[test]
    fn under_tls_mail_asks_for_auth() {
        let reply = tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "MAIL FROM:<a@b>"]);
        assert_eq!(reply, "530 5.7.0 Authentication required\r\n");
    }

    #[test]
    fn under_tls_optional_both_are_offered_at_once() {
        let offers = tell(&mut dialogue(AuthMode::TlsOptional), &["EHLO a"]);
        assert!(offers.contains("STARTTLS") && offers.contains("AUTH PLAIN LOGIN"), "{offers}");
    }

    #[test]
    fn under_tls_optional_mail_in_the_clear_asks_for_auth() {
        let reply = tell(&mut dialogue(AuthMode::TlsOptional), &["EHLO a", "MAIL FROM:<a@b>"]);
        assert_eq!(reply, "530 5.7.0 Authentication required\r\n");
    }

    #[test]
    fn under_tls_optional_auth_in_the_clear_opens_the_door() {
        let reply = tell(&mut dialogue(AuthMode::TlsOptional), &["EHLO a", GOOD, "MAIL FROM:<a@b>"]);
        code(&reply, "250 ");
    }

    #[test]
    fn a_null_sender_is_refused_like_any_other_before_auth() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "MAIL FROM:<>"]), "530 ");
    }

    #[test]
    fn recipients_are_refused_before_auth() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "RCPT TO:<a@b>"]), "503 ");
    }

    #[test]
    fn a_wrong_password_is_535() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", BAD]), "535 ");
    }

    #[test]
    fn mail_is_refused_after_a_wrong_password() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", BAD, "MAIL FROM:<a@b>"]), "530 ");
    }

    #[test]
    fn a_right_password_after_a_wrong_one_opens_the_door() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", BAD, GOOD, "MAIL FROM:<a@b>"]), "250 ");
    }

    #[test]
    fn acting_as_somebody_else_is_535() {
        let line = "AUTH PLAIN cm9vdABzYW5kYm94AHNhbmRib3g=";
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", line]), "535 ");
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let lines = ["EHLO a", "AUTH LOGIN", "c2FuZGJveA==", "c2FuZGJveA=="];
        code(&tell(&mut secured(AuthMode::TlsYes), &lines), "235 ");
    }

    #[test]
    fn plain_without_an_initial_response_is_asked_for_it() {
        let lines = ["EHLO a", "AUTH PLAIN", "AHNhbmRib3gAc2FuZGJveA=="];
        code(&tell(&mut secured(AuthMode::TlsYes), &lines), "235 ");
    }

    #[test]
    fn a_star_cancels_auth() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "AUTH LOGIN", "*"]), "501 ");
    }

    #[test]
    fn auth_may_be_tried_again_after_it_was_cancelled() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "AUTH LOGIN", "*", GOOD]), "235 ");
    }

    #[test]
    fn a_password_that_reads_like_a_command_is_a_password() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "AUTH LOGIN", "MAIL"]), "334 ");
    }

    #[test]
    fn auth_twice_is_503() {
        code(&tell(&mut authenticated(), &[GOOD]), "503 ");
    }

    #[test]
    fn auth_before_ehlo_is_503() {
        code(&tell(&mut secured(AuthMode::TlsYes), &[GOOD]), "503 ");
    }

    #[test]
    fn mail_is_taken_after_auth_and_another_ehlo() {
        code(&tell(&mut authenticated(), &["EHLO a", "MAIL FROM:<a@b>"]), "250 ");
    }

    #[test]
    fn mail_is_taken_after_auth_and_helo() {
        code(&tell(&mut authenticated(), &["HELO a", "MAIL FROM:<a@b>"]), "250 ");
    }

    #[test]
    fn mail_is_taken_after_auth_and_rset() {
        code(&tell(&mut authenticated(), &["RSET", "MAIL FROM:<a@b>"]), "250 ");
    }

    #[test]
    fn auth_twice_is_503_after_another_ehlo_too() {
        code(&tell(&mut authenticated(), &["EHLO a", GOOD]), "503 ");
    }

    #[test]
    fn helo_before_auth_is_answered_in_one_line() {
        assert_eq!(tell(&mut secured(AuthMode::TlsYes), &["HELO a"]), "250 host.example\r\n");
    }

    #[test]
    fn a_null_sender_is_taken_after_auth() {
        code(&tell(&mut authenticated(), &["MAIL FROM:<>"]), "250 ");
    }

    #[test]
    fn parameters_of_mail_are_taken() {
        code(&tell(&mut authenticated(), &["MAIL FROM:<a@b> BODY=8BITMIME AUTH=<>"]), "250 ");
    }

    #[test]
    fn a_message_is_accepted_and_dropped() {
        let lines = ["MAIL FROM:<a@b>", "RCPT TO:<c@anywhere.example>", "DATA", "hello", "..", "."];
        let reply = tell(&mut authenticated(), &lines);
        assert_eq!(reply, "250 2.0.0 accepted and dropped by the sandbox\r\n");
    }

    #[test]
    fn a_second_message_is_accepted_in_the_same_session() {
        let lines = ["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "."];
        code(&tell(&mut authenticated(), &[lines, lines].concat()), "250 2.0.0 ");
    }

    fn in_data() -> Dialogue {
        let mut dialogue = authenticated();
        code(&tell(&mut dialogue, &["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"]), "354 ");
        dialogue
    }

    #[test]
    fn the_rest_of_a_long_line_does_not_end_a_message() {
        let mut dialogue = in_data();
        dialogue.piece(&[b'x'; LONGEST_LINE]);
        assert_eq!(dialogue.piece(b".\r\n"), Step::Silent);
    }

    #[test]
    fn a_dot_after_a_bare_line_feed_does_not_end_a_message() {
        let mut dialogue = in_data();
        dialogue.piece(b"x\n");
        assert_eq!(dialogue.piece(b".\r\n"), Step::Silent);
    }

    #[test]
    fn a_line_end_torn_in_two_is_a_line_end() {
        let mut dialogue = in_data();
        dialogue.piece(b"xxx\r");
        dialogue.piece(b"\n");
        assert_ne!(dialogue.piece(b".\r\n"), Step::Silent);
    }

    #[test]
    fn a_message_beyond_the_limit_is_552() {
        let mut dialogue = in_data();
        dialogue.message = Some(LARGEST_MESSAGE + 1);
        code(&tell(&mut dialogue, &["."]), "552 ");
    }

    #[test]
    fn the_session_goes_on_after_552() {
        let mut dialogue = in_data();
        dialogue.message = Some(LARGEST_MESSAGE + 1);
        code(&tell(&mut dialogue, &[".", "MAIL FROM:<a@b>"]), "250 ");
    }

    #[test]
    fn a_command_line_that_is_too_long_is_500_once() {
        let mut dialogue = dialogue(AuthMode::TlsYes);
        assert_eq!(dialogue.piece(&[b'N'; LONGEST_LINE]), Step::Silent);
        code(&tell(&mut dialogue, &["OOP"]), "500 ");
        code(&tell(&mut dialogue, &["NOOP"]), "250 ");
    }

    #[test]
    fn the_hundred_and_first_recipient_is_452() {
        let mut dialogue = authenticated();
        tell(&mut dialogue, &["MAIL FROM:<a@b>"]);
        code(&tell(&mut dialogue, &["RCPT TO:<c@d>"; 100]), "250 ");
        code(&tell(&mut dialogue, &["RCPT TO:<c@d>"]), "452 ");
    }

    #[test]
    fn a_path_that_is_too_long_is_501() {
        let path = format!("RCPT TO:<{}@d>", "c".repeat(LONGEST_PATH));
        code(&tell(&mut authenticated(), &["MAIL FROM:<a@b>", &path]), "501 ");
    }

    #[test]
    fn starttls_under_tls_is_503() {
        code(&tell(&mut secured(AuthMode::TlsYes), &["EHLO a", "STARTTLS"]), "503 ");
    }

    #[test]
    fn starttls_after_auth_under_tls_is_503() {
        code(&tell(&mut authenticated(), &["starttls"]), "503 ");
    }

    #[test]
    fn what_was_proven_in_the_clear_is_forgotten_under_tls() {
        let mut dialogue = dialogue(AuthMode::TlsOptional);
        code(&tell(&mut dialogue, &["EHLO a", GOOD, "STARTTLS"]), "220 ");
        dialogue.secured();
        code(&tell(&mut dialogue, &["EHLO a", "MAIL FROM:<a@b>"]), "530 ");
    }

    #[test]
    fn vrfy_expn_and_etrn_give_nothing_away() {
        for ask in ["VRFY sandbox", "EXPN sandbox", "ETRN example.org"] {
            let reply = tell(&mut authenticated(), &[ask]);
            assert!(!reply.contains("sandbox") && !reply.starts_with("250"), "{reply}");
        }
    }

    #[test]
    fn quit_ends_the_session() {
        assert!(matches!(dialogue(AuthMode::TlsYes).piece(b"QUIT\r\n"), Step::Close(_)));
    }

    #[test]
    fn a_guest_may_send_mail_where_auth_is_only_offered() {
        let lines = ["EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", "."];
        code(&tell(&mut guests(Tls::Optional), &lines), "250 2.0.0 ");
    }

    #[test]
    fn a_guest_may_authenticate_after_a_message() {
        let lines = ["EHLO a", "MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA", ".", GOOD];
        code(&tell(&mut guests(Tls::Optional), &lines), "235 ");
    }

    #[test]
    fn a_guest_may_authenticate_after_rset() {
        code(&tell(&mut guests(Tls::Optional), &["EHLO a", "MAIL FROM:<a@b>", "RSET", GOOD]), "235 ");
    }

    #[test]
    fn a_guest_is_asked_for_tls_where_it_is_required() {
        code(&tell(&mut guests(Tls::Required), &["EHLO a", "MAIL FROM:<a@b>"]), "530 5.7.0 Must");
    }
}
