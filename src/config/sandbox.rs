//! `[sandbox]`: how changes fail and how long they take, so that a host can be tried against it.
//!
//! The failures are played by `change::rehearsal`. An action, a status or a reason that there is not is refused.

use std::time::Duration;

use serde::Deserialize;

use mail_smtp2::action;
use mail_smtp2::change::rehearsal::{Rehearsal, Scene};
use mail_smtp2::wire::{reason, status};

/// `[sandbox]`: what a host is to be tried against.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Sandbox {
    /// The actions that fail: one, or a list of them.
    fail: Scenes,
    /// How much longer a change takes.
    #[serde(deserialize_with = "delay")]
    delay: Duration,
}

impl Sandbox {
    pub(crate) fn rehearsal(&self) -> Rehearsal {
        let scenes = match &self.fail {
            Scenes::One(scene) => std::slice::from_ref(scene),
            Scenes::Several(scenes) => scenes,
        };
        Rehearsal { fail: scenes.iter().map(|Scripted(scene)| scene.clone()).collect(), delay: self.delay }
    }
}

#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "expected ACTION:STATUS:REASON, such as start:409:port_held, or a list of them"
)]
enum Scenes {
    One(Scripted),
    Several(Vec<Scripted>),
}

impl Default for Scenes {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// `start:409:port_held`.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Scripted(Scene);

impl TryFrom<String> for Scripted {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let words: Vec<&str> = text.split(':').collect();
        let [action, number, reason] = words[..] else { return Err("expected ACTION:STATUS:REASON") };
        let action = action::find(action).ok_or("no such action")?.name.to_owned();
        let status = status::TABLE.iter().find(|row| row.number != 0 && row.number.to_string() == number);
        let reason = reason::TABLE.iter().find(|row| row.name == reason);
        let (status, reason) = status.zip(reason).ok_or("no such status of a failure, or no such reason")?;
        Ok(Self(Scene { action, status: status.status, reason: reason.this }))
    }
}

fn delay<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    match (0.0..=60.0).contains(&value) {
        true => Ok(Duration::from_secs_f64(value)),
        false => Err(serde::de::Error::custom("expected a number of seconds from 0 to 60")),
    }
}
