//! The warnings of a change: what is as it was asked for, and will be in somebody's way later.
//!
//! This is the one place that decides which warnings come with `Success` and with a plan. A plan knows what the mail
//! server's configuration says; with `Success` the proof has heard the listener itself, and what it heard counts. What
//! is wrong now is an error, and `plan` or `prove` says it. Nothing here can fail.

use std::net::IpAddr;

use super::plan::Plan;
use crate::mta::{AuthMode, Goal, Listener, Warning, WarningKind};
use crate::sys::smtp::Upgrade;
use crate::sys::{Certificate, Dialogue};
use crate::wire::text::printable;

/// The port on which mail programs begin with TLS (RFC 8314).
const SUBMISSIONS: u16 = 465;
/// The port on which they begin with STARTTLS (RFC 6409).
const SUBMISSION: u16 = 587;
/// The ports that the usual profiles of firewalls (those of ufw, firewalld and csf) open for a mail server.
const OPENED: [u16; 3] = [25, SUBMISSIONS, SUBMISSION];

/// What there is to be known of the listener that a plan leads to; of one that runs beside no primary server nothing.
pub(super) fn warnings(plan: &Plan<'_>) -> Vec<Warning> {
    let Some(listener) = plan.phases.last().and_then(Goal::listener) else { return Vec::new() };
    if plan.mta.primary_port().is_none() {
        return Vec::new();
    }
    let mut warnings = told(listener, &plan.addresses);
    warnings.extend(plan.alternate.warnings(listener));
    warnings
}

/// What a dialogue shows of one kind of warning; of some it shows nothing.
type Shows = fn(&Dialogue) -> Option<Shown>;
/// That there is nothing to be told, or what.
type Shown = Result<(), Warning>;

/// What a listener shows to its clients, whatever its configuration says.
const SHOWN: [(WarningKind, Shows); 2] =
    [(WarningKind::SelfSigned, certificate), (WarningKind::NoPlainOrLogin, mechanisms)];

/// What was known before a change, as it was found in the proof.
pub(super) fn confirmed(plan: &Plan<'_>, known: Vec<Warning>, heard: &[Dialogue]) -> Vec<Warning> {
    if plan.mta.primary_port().is_none() { known } else { confirm(known, heard) }
}

fn confirm(mut known: Vec<Warning>, heard: &[Dialogue]) -> Vec<Warning> {
    for (kind, shows) in SHOWN {
        let shown: Vec<Shown> = heard.iter().filter_map(shows).collect();
        if shown.is_empty() {
            continue;
        }
        // One place that is not as the others is reason enough.
        match shown.into_iter().find_map(Result::err) {
            None => known.retain(|warning| warning.kind != kind),
            Some(_) if known.iter().any(|warning| warning.kind == kind) => {}
            Some(warning) => known.push(warning),
        }
    }
    known
}

fn certificate(dialogue: &Dialogue) -> Option<Shown> {
    let shown = Certificate::of(dialogue.certificate.as_deref()?)?;
    let named = format!("of {}", printable(&shown.subject));
    Some(if shown.is_self_signed { Err(Warning::self_signed(&named)) } else { Ok(()) })
}

fn mechanisms(dialogue: &Dialogue) -> Option<Shown> {
    let Upgrade::Done(offer) = &dialogue.upgrade else { return None };
    Some(Warning::of_mechanisms(offer.auth.iter().map(String::as_str)).map_or(Ok(()), Err))
}

/// What can be told from the listener alone, on these addresses.
fn told(listener: &Listener, addresses: &[IpAddr]) -> Vec<Warning> {
    let mut told = Vec::new();
    if addresses.iter().all(IpAddr::is_loopback) {
        let sentence =
            "the listener is on loopback alone, as the primary server is: nobody reaches it from elsewhere";
        told.push(Warning::new(WarningKind::LoopbackOnly, sentence));
    } else if !OPENED.contains(&listener.port) {
        let sentence = format!(
            "the usual firewall profile of a mail server opens 25, 465 and 587, and not {}: open it in yours",
            listener.port
        );
        told.push(Warning::new(WarningKind::FirewallClosed, sentence));
    }
    if listener.port == SUBMISSIONS {
        let sentence = format!(
            "mail programs begin with TLS on port {SUBMISSIONS}, and this listener with STARTTLS: they expect it on \
             {SUBMISSION}"
        );
        told.push(Warning::new(WarningKind::ImplicitTlsPort, sentence));
    } else if listener.port != SUBMISSION && listener.auth_mode == AuthMode::TlsOptional {
        let sentence = format!(
            "mail programs do not know port {} and have to be set up by hand, and with TLS optional one that is set up \
             without it sends its password in clear: let its users choose STARTTLS, or take {}",
            listener.port,
            AuthMode::TlsYes.name()
        );
        told.push(Warning::new(WarningKind::UnusualPort, sentence));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Reply;
    use crate::sys::smtp::{Heard, Offer};

    fn heard(auth: &[&str], certificate: Option<&[u8]>) -> Dialogue {
        let reply = Reply { code: 250, text: String::new() };
        let offer = |auth: &[&str]| {
            let auth = auth.iter().map(|&name| name.to_owned()).collect();
            Offer { ehlo: reply.clone(), starttls: true, auth }
        };
        Dialogue {
            greeting: reply.clone(),
            clear: offer(&[]),
            upgrade: Upgrade::Done(offer(auth)),
            heard: Heard::NotAsked,
            certificate: certificate.map(<[u8]>::to_vec),
        }
    }

    fn kinds(known: Vec<Warning>, heard: &[Dialogue]) -> Vec<&'static str> {
        confirm(known, heard).iter().map(|warning| warning.kind.name()).collect()
    }

    #[test]
    fn what_the_proof_has_heard_is_told_though_no_configuration_says_it() {
        let own = rcgen::generate_simple_self_signed(vec!["mail.example.com".to_owned()]).unwrap().cert;
        let plain = heard(&["PLAIN"], Some(own.der()));
        assert_eq!(kinds(Vec::new(), std::slice::from_ref(&plain)), ["self_signed"]);
        let digest = heard(&["CRAM-MD5"], None);
        assert_eq!(kinds(Vec::new(), &[plain, digest]), ["self_signed", "no_plain_or_login"]);
    }

    #[test]
    fn a_configuration_is_believed_only_where_the_proof_has_not_heard_otherwise() {
        let known = || vec![Warning::self_signed("/etc/cert.pem"), Warning::of_mechanisms([]).unwrap()];
        assert_eq!(kinds(known(), &[]), ["self_signed", "no_plain_or_login"]);
        assert_eq!(kinds(known(), &[heard(&["LOGIN"], None)]), ["self_signed"]);
        assert_eq!(confirm(known(), &[heard(&["NTLM"], None)]), known());
    }

    fn told_of(port: u16, auth_mode: AuthMode, address: &str) -> Vec<&'static str> {
        let told = told(&Listener { port, auth_mode }, &[address.parse().unwrap()]);
        told.iter().map(|warning| warning.kind.name()).collect()
    }

    #[test]
    fn a_listener_that_everybody_reaches_on_its_usual_port_is_told_nothing_of() {
        assert!(told_of(587, AuthMode::TlsYes, "0.0.0.0").is_empty());
        assert!(told_of(587, AuthMode::TlsOptional, "::").is_empty());
    }

    #[test]
    fn a_port_that_is_not_587_and_loopback_are_told() {
        assert_eq!(told_of(465, AuthMode::TlsYes, "127.0.0.1"), ["loopback_only", "implicit_tls_port"]);
        assert_eq!(told_of(2525, AuthMode::TlsYes, "0.0.0.0"), ["firewall_closed"]);
        assert_eq!(told_of(2525, AuthMode::TlsOptional, "::"), ["firewall_closed", "unusual_port"]);
        assert_eq!(told_of(2525, AuthMode::TlsYes, "127.0.0.1"), ["loopback_only"]);
    }
}
