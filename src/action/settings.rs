//! `start`, `stop`, `restart` and `update` on this machine.
//!
//! Answers for: turning an admitted input into a verb of the change floor. Does not know: how a change is made, nor
//! `cascade_to_nodes`, which is the cluster's business and has been dealt with by then.

use serde_json::Value;

use super::input;
use crate::change::{Service, Verb};
use crate::wire::envelope::Envelope;
use crate::wire::reason::Reason;
use crate::wire::status::Status;

/// `start`.
pub fn start(service: &Service, input: &Value) -> Envelope {
    service.change(Verb::Start, input)
}

/// `stop`.
pub fn stop(service: &Service, input: &Value) -> Envelope {
    service.change(Verb::Stop, input)
}

/// `restart`.
pub fn restart(service: &Service, input: &Value) -> Envelope {
    service.change(Verb::Restart, input)
}

/// `update`.
pub fn update(service: &Service, input: &Value) -> Envelope {
    match serde_json::from_value::<input::Update>(input.clone()) {
        Ok(update) => {
            let verb = Verb::Update { port: update.alternate_smtp_port, auth_mode: update.auth_mode };
            service.change(verb, input)
        }
        // The schema is made from the same type, so that this is a fault of ours.
        Err(error) => {
            let what = format!("the admitted input is not understood: {error}");
            Envelope::failed(Status::Fault, what, Reason::Internal)
        }
    }
}
