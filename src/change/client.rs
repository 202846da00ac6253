//! What a client that does not log in is answered at one address, and whether that is what the mode promises.
//!
//! Each question is a dialogue of its own and has one cause: mail without AUTH goes to a recipient whom port 25 takes, AUTH
//! is begun and given up. A 4xx is no refusal. Fails where a dialogue could not be held; what does not fit is a verdict,
//! which names the address, the step and the server's own reply.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::error::Finding;
use crate::mta::{AuthMode, Mta};
use crate::sys::smtp::{Heard, Upgrade};
use crate::sys::{Asked, Deadline, Dialogue, Host, Layer, Question, Recipient, Reply, SmtpError};
use crate::wire::text::printable;

/// What one dialogue, or all of them at an address, amount to.
pub(super) enum Verdict {
    /// It is as the mode says.
    Fits,
    /// It is not, and how.
    Wrong(Finding),
    /// The server said that it would another time (4xx), and to what.
    PutOff(Finding),
}

/// Which check did not fit the last time, whichever address was asked.
#[derive(Debug, Default)]
pub(super) struct Suspect(Mutex<Option<usize>>);

impl Suspect {
    fn get(&self) -> Option<usize> {
        *self.0.lock()
    }

    fn set(&self, nth: Option<usize>) {
        *self.0.lock() = nth;
    }
}

/// A client that does not log in.
pub(super) struct Client<'a> {
    /// The machine.
    pub(super) host: &'a dyn Host,
    /// The sheet of the mail server.
    pub(super) mta: &'a dyn Mta,
    /// When AUTH is to be offered.
    pub(super) mode: AuthMode,
    /// Where the dialogues with the listener are kept.
    pub(super) heard: &'a Mutex<Vec<Dialogue>>,
}

impl Client<'_> {
    /// Asks everything that the mode says something of, all at once: some servers take their time to greet. The first answer
    /// that does not fit counts, and is the suspect from then on: it is asked for alone until it fits.
    ///
    /// # Errors
    /// A dialogue could not be held.
    pub(super) fn hear(
        &self,
        at: SocketAddr,
        suspect: &Suspect,
        deadline: Deadline,
    ) -> Result<Verdict, SmtpError> {
        type Check<'c> = Box<dyn Fn() -> Result<Verdict, SmtpError> + Sync + 'c>;
        let auth = |layer| -> Check<'_> { Box::new(move || self.auth(at, layer, deadline)) };
        let mail = |layer| -> Check<'_> { Box::new(move || self.mail(at, layer, deadline)) };
        let mut checks = vec![mail(Layer::Clear), mail(Layer::Tls), auth(Layer::Tls)];
        if self.mode == AuthMode::TlsYes {
            checks.insert(0, auth(Layer::Clear));
        }
        if let Some(check) = suspect.get().and_then(|nth| checks.get(nth)) {
            match check() {
                Ok(Verdict::Fits) => suspect.set(None),
                other => return other,
            }
        }
        let mut verdicts = at_once(&checks, |check| check()).into_iter().enumerate();
        match verdicts.find(|(_, verdict)| !matches!(verdict, Ok(Verdict::Fits))) {
            Some((nth, verdict)) => {
                suspect.set(Some(nth));
                verdict
            }
            None => Ok(Verdict::Fits),
        }
    }

    fn dialogue(
        &self,
        at: SocketAddr,
        question: &Question,
        deadline: Deadline,
    ) -> Result<Dialogue, SmtpError> {
        let dialogue = self.host.dialogue(at, question, deadline)?;
        self.heard.lock().push(dialogue.clone());
        Ok(dialogue)
    }

    /// AUTH is begun and given up: before TLS it has to be refused, after TLS somebody has to be able to log in.
    fn auth(&self, at: SocketAddr, layer: Layer, deadline: Deadline) -> Result<Verdict, SmtpError> {
        let question = Question { layer, command: Asked::Auth };
        let dialogue = self.dialogue(at, &question, deadline)?;
        if let Some(wrong) = self.offer(at, &dialogue, layer) {
            return Ok(Verdict::Wrong(wrong));
        }
        let Heard::Auth(reply) = &dialogue.heard else {
            return Ok(Verdict::Wrong(format!("{at}: AUTH was not answered").into()));
        };
        let (class, said) = (reply.code / 100, quoted(reply));
        Ok(match (layer, class) {
            (Layer::Clear, 5) | (Layer::Tls, 3) => Verdict::Fits,
            (Layer::Clear, 4) => {
                Verdict::PutOff(found(format!("{at} put AUTH before TLS off ({said})"), reply))
            }
            (Layer::Clear, _) => {
                Verdict::Wrong(found(format!("{at}: AUTH is not refused before TLS: {said}"), reply))
            }
            (Layer::Tls, 4) => Verdict::Wrong(found(
                format!("{at}: what AUTH asks does not answer, so that nobody can log in: {said}"),
                reply,
            )),
            (Layer::Tls, _) => {
                Verdict::Wrong(found(format!("{at}: nobody can log in: AUTH is answered with {said}"), reply))
            }
        })
    }

    /// Mail of somebody who has not logged in has to be refused, for no other reason than that.
    fn mail(&self, at: SocketAddr, layer: Layer, deadline: Deadline) -> Result<Verdict, SmtpError> {
        let when = if layer == Layer::Clear { "before TLS" } else { "after TLS" };
        let mut others = Vec::new();
        for recipient in [Recipient::Postmaster, Recipient::PostmasterThere] {
            let question = Question { layer, command: Asked::Mail(recipient) };
            let dialogue = self.dialogue(at, &question, deadline)?;
            if let Some(wrong) = self.offer(at, &dialogue, layer) {
                return Ok(Verdict::Wrong(wrong));
            }
            let Heard::Mail(mail, rcpt) = &dialogue.heard else {
                return Ok(Verdict::Wrong(format!("{at}: MAIL was not answered").into()));
            };
            let last = rcpt.as_ref().unwrap_or(mail);
            let command = if rcpt.is_some() { "RCPT" } else { "MAIL" };
            match (last.code / 100, rcpt) {
                (4, _) => {
                    let what = format!("{at} put {command} {when} off ({})", quoted(last));
                    return Ok(Verdict::PutOff(found(what, last)));
                }
                (5, None) => return Ok(Verdict::Fits),
                (5, Some(_)) if self.mode == AuthMode::TlsYes && layer == Layer::Clear => {
                    let what = format!("{at}: MAIL is not refused before TLS: {}", quoted(mail));
                    return Ok(Verdict::Wrong(found(what, mail)));
                }
                (5, Some(_)) => {}
                _ => {
                    let what = format!(
                        "{at}: mail is accepted {when} without AUTH: {command} is answered with {}",
                        quoted(last)
                    );
                    return Ok(Verdict::Wrong(found(what, last)));
                }
            }
            // Somebody whom this machine takes no mail for would be refused in any case.
            match self.primary_takes(at, recipient, deadline)? {
                None => return Ok(Verdict::Fits),
                Some(reply) if reply.accepted() => return Ok(Verdict::Fits),
                Some(reply) if reply.code / 100 == 4 => {
                    let what = format!("port 25 put mail for postmaster off ({})", quoted(&reply));
                    return Ok(Verdict::PutOff(found(what, &reply)));
                }
                Some(reply) => others.push(quoted(&reply)),
            }
        }
        let what = format!(
            "{at}: whether mail {when} is refused for want of AUTH cannot be told: port 25 takes none for postmaster \
             either ({})",
            others.join("; ")
        );
        Ok(Verdict::Wrong(Finding { what, said: others.pop() }))
    }

    /// What the primary server answers to mail for the same recipient; `None` where there is none to be asked.
    fn primary_takes(
        &self,
        at: SocketAddr,
        recipient: Recipient,
        deadline: Deadline,
    ) -> Result<Option<Reply>, SmtpError> {
        let Some(port) = self.mta.primary_port() else { return Ok(None) };
        let question = Question { layer: Layer::Clear, command: Asked::Mail(recipient) };
        let dialogue = self.host.dialogue(SocketAddr::new(at.ip(), port), &question, deadline)?;
        Ok(match dialogue.heard {
            Heard::Mail(mail, rcpt) => Some(rcpt.unwrap_or(mail)),
            Heard::Auth(reply) => Some(reply),
            Heard::NotAsked => None,
        })
    }

    /// What in the server's offers does not fit, the first thing.
    fn offer(&self, at: SocketAddr, dialogue: &Dialogue, layer: Layer) -> Option<Finding> {
        let clear = &dialogue.clear;
        let by = |what: &str, reply: &Reply| Some(found(format!("{at}: {what}: {}", quoted(reply)), reply));
        let lacks = |what: &str| Some(format!("{at}: {what}").into());
        match self.mode {
            _ if !clear.ehlo.accepted() => by("EHLO is refused", &clear.ehlo),
            _ if !clear.starttls => lacks("STARTTLS is not offered"),
            AuthMode::TlsYes if !clear.auth.is_empty() => lacks("AUTH is offered before TLS"),
            AuthMode::TlsOptional if clear.auth.is_empty() => lacks("AUTH is not offered"),
            _ if layer == Layer::Clear => None,
            _ => match &dialogue.upgrade {
                Upgrade::Unasked | Upgrade::NotOffered => lacks("STARTTLS is not offered"),
                Upgrade::Refused(reply) => by("STARTTLS is refused", reply),
                Upgrade::Failed(why) => lacks(&format!("TLS cannot be had: {}", printable(why))),
                Upgrade::Done(tls) if !tls.ehlo.accepted() => by("EHLO is refused after TLS", &tls.ehlo),
                Upgrade::Done(tls) if tls.auth.is_empty() => lacks("AUTH is not offered after TLS"),
                Upgrade::Done(_) => None,
            },
        }
    }
}

/// What this reply of the server's shows.
fn found(what: String, reply: &Reply) -> Finding {
    Finding { what, said: Some(quoted(reply)) }
}

fn quoted(reply: &Reply) -> String {
    printable(reply.to_string())
}

/// Does the same with each of `all` at once, in a thread for each that can be had; the results in their order.
pub(super) fn at_once<T: Sync, R: Send>(all: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let work = &work;
    thread::scope(|scope| {
        let begin = |one| {
            let name = "dialogue".to_owned();
            thread::Builder::new().name(name).spawn_scoped(scope, move || work(one)).map_err(|_| one)
        };
        let begun: Vec<_> = all.iter().map(begin).collect();
        let end = |begun: Result<thread::ScopedJoinHandle<'_, R>, _>| match begun {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(one) => work(one),
        };
        begun.into_iter().map(end).collect()
    })
}

/// How many servers are asked at once at the most.
const ABREAST: usize = 4;

/// Does the same with each of `all` in its turn; who takes longer than `turn` is not waited for before the next one's. After
/// a result that is not to `go_on` nobody has a turn any more. The results in the order of `all`; of who had no turn there
/// is none.
pub(super) fn in_turn<T: Sync, R: Send>(
    all: &[T],
    turn: Duration,
    work: impl Fn(&T) -> R + Sync,
    go_on: impl Fn(&R) -> bool,
) -> Vec<Option<R>> {
    let work = |nth: usize| (nth, catch_unwind(AssertUnwindSafe(|| work(&all[nth]))));
    let (work, mut results) = (&work, all.iter().map(|_| None).collect::<Vec<_>>());
    let (done, heard) = mpsc::channel();
    let mut keep = |(nth, result): (usize, thread::Result<R>)| {
        let result = result.unwrap_or_else(|panic| resume_unwind(panic));
        let goes_on = go_on(&result);
        results[nth] = Some(result);
        goes_on
    };
    thread::scope(|scope| {
        let mut open = 0;
        for nth in 0..all.len() {
            let done = done.clone();
            let begin = move || drop(done.send(work(nth)));
            let begun = thread::Builder::new().name("dialogue".to_owned()).spawn_scoped(scope, begin);
            open += 1;
            let result = match begun {
                Ok(_) => heard.recv_timeout(if open < ABREAST { turn } else { Duration::MAX }).ok(),
                Err(_) => Some(work(nth)),
            };
            if let Some(result) = result {
                open -= 1;
                if !keep(result) {
                    break;
                }
            }
        }
    });
    drop(done);
    for result in heard {
        keep(result);
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn who_is_done_at_once_is_asked_one_after_the_other_until_one_is_not_to_go_on() {
        let asked = Mutex::new(Vec::new());
        let work = |one: &i32| {
            asked.lock().push(*one);
            *one
        };
        let results = in_turn(&[1, 2, 3, 4], Duration::MAX, work, |one| *one < 3);
        assert_eq!(results, [Some(1), Some(2), Some(3), None]);
        assert_eq!(*asked.lock(), [1, 2, 3]);
    }

    #[test]
    fn who_takes_long_does_not_keep_the_next_one_from_being_asked() {
        let together = Barrier::new(ABREAST);
        let work = |one: &usize| {
            together.wait();
            *one
        };
        let all: Vec<usize> = (0..ABREAST).collect();
        let results = in_turn(&all, Duration::ZERO, work, |_| true);
        assert_eq!(results, all.into_iter().map(Some).collect::<Vec<_>>());
    }
}
