//! What clients are answered now, and which certificate they are shown: the dialogues of the proof, held when asked
//! for.
//!
//! It tells for each place where the listener is reached whether it does what the mode promises, what it offers, and
//! which certificate it shows until when. It also asks the mail server's own programs, which a status without it does
//! not: the version, and what would be written now. What an answer is worth is `client`'s to judge. No mail is sent and
//! nothing is changed. What cannot be found out is absent.

use std::net::SocketAddr;
use std::time::SystemTime;

use super::client::Verdict;
use super::drift;
use super::prove::{self, Answers};
use super::settings::Settings;
use super::site::Site;
use super::status::Status;
use crate::mta::Mta;
use crate::sys::smtp::Upgrade;
use crate::sys::{Certificate, Deadline, Host};
use crate::wire::named;
use crate::wire::text::{chain, printable};

named! {
    /// What became of the dialogues in one place.
    pub enum Outcome {
        Fits "fits": "all is as the mode promises",
        Unfit "unfit": "something is not",
        PutOff "put_off": "the server said that it would another time",
        Failed "failed": "they could not be held",
    }
}

named! {
    /// The certificate file against what is served.
    pub enum OnDisk {
        Same "same": "the same certificate",
        Newer "newer": "one that is valid from later on: the server has not loaded it yet",
        Other "other": "another one",
    }
}

/// A place where clients reach the listener.
#[derive(Debug)]
pub struct Place {
    /// Where.
    pub at: SocketAddr,
    /// Whether it does what the mode promises.
    pub outcome: Outcome,
    /// What is wrong, if something is.
    pub sentence: Option<String>,
    /// What it greets with.
    pub greeting: Option<String>,
    /// Whether it offers STARTTLS.
    pub starttls: Option<bool>,
    /// The mechanisms that it offers before TLS.
    pub auth_before_tls: Option<Vec<String>>,
    /// The mechanisms that it offers after TLS.
    pub auth_after_tls: Option<Vec<String>>,
    /// The certificate as it is served.
    pub certificate: Option<Certificate>,
    /// How the file on disk compares with it.
    pub on_disk: Option<OnDisk>,
}

/// What was found.
#[derive(Debug)]
pub struct Probe {
    /// The places, in the order of the addresses.
    pub places: Vec<Place>,
    /// Why there are none, though it runs.
    pub why_not: Option<String>,
    /// The version of the mail server.
    pub mta_version: Option<String>,
    /// When.
    pub at: SystemTime,
}

/// Holds the dialogues of a listener that runs, and looks at what a status without them leaves out.
pub(super) fn look(site: &Site, status: &mut Status) -> Probe {
    let at = site.host.now();
    let mut probe = Probe { places: Vec::new(), why_not: None, mta_version: None, at };
    let Some(kind) = status.mta.kind else { return probe };
    let (host, mta, deadline) = (&*site.host, site.mta(kind), Deadline::after(site.options.change));
    let staging = site.probing();
    let context = site.context(&staging, deadline);
    probe.mta_version = mta.version(context);
    if let Some(settings) = status.settings.clone() {
        let alternate = site.alternate(mta, context).ok();
        let whole = alternate.as_deref().and_then(|it| drift::of_bytes(host, mta, it, &settings));
        if let Some(whole) = whole {
            status.drift = whole;
        }
        let file = alternate.as_deref().and_then(|alternate| alternate.certificate_file());
        // Also where it cannot be seen who listens there.
        if !status.addresses.is_empty() {
            let on_disk = file.and_then(|file| host.read(&file).ok()?);
            let on_disk = on_disk.as_deref().and_then(Certificate::in_pem);
            match places(host, mta, &settings, status, on_disk.as_ref(), deadline) {
                Ok(places) => probe.places = places,
                Err(why) => probe.why_not = Some(why),
            }
        }
    }
    if let Err(error) = host.remove_dir(&staging) {
        tracing::debug!(error = chain(&error), "the folder of the probe stays");
    }
    probe
}

fn places(
    host: &dyn Host,
    mta: &dyn Mta,
    settings: &Settings,
    status: &Status,
    on_disk: Option<&Certificate>,
    deadline: Deadline,
) -> Result<Vec<Place>, String> {
    let heard = prove::hear_all(host, mta, &settings.listener, &status.addresses, deadline);
    let heard = heard.map_err(|error| chain(&error))?;
    Ok(heard.into_iter().map(|answers| place(answers, on_disk)).collect())
}

fn place(answers: Answers, on_disk: Option<&Certificate>) -> Place {
    let (outcome, sentence) = match answers.verdict {
        Ok(Verdict::Fits) => (Outcome::Fits, None),
        Ok(Verdict::Wrong(what)) => (Outcome::Unfit, Some(what.what)),
        Ok(Verdict::PutOff(what)) => (Outcome::PutOff, Some(what.what)),
        Err(error) => (Outcome::Failed, Some(chain(&error))),
    };
    let encrypted = answers.dialogues.iter().find(|it| matches!(it.upgrade, Upgrade::Done(_)));
    let dialogue = encrypted.or(answers.dialogues.first());
    let after = encrypted.and_then(|dialogue| match &dialogue.upgrade {
        Upgrade::Done(offer) => Some(offer.auth.clone()),
        _ => None,
    });
    let served = encrypted.and_then(|dialogue| Certificate::of(dialogue.certificate.as_deref()?));
    let compared = served.as_ref().zip(on_disk).map(|(served, on_disk)| match on_disk {
        on_disk if on_disk.sha256 == served.sha256 => OnDisk::Same,
        on_disk if on_disk.not_before > served.not_before => OnDisk::Newer,
        _ => OnDisk::Other,
    });
    Place {
        at: answers.at,
        outcome,
        sentence,
        greeting: dialogue.map(|dialogue| printable(dialogue.greeting.to_string())),
        starttls: dialogue.map(|dialogue| dialogue.clear.starttls),
        auth_before_tls: dialogue.map(|dialogue| dialogue.clear.auth.clone()),
        auth_after_tls: after,
        certificate: served,
        on_disk: compared,
    }
}
