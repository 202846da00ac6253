//! The proof from outside, before `Success` is said (schema/README.md, "How a change is made", step 7).
//!
//! `up` proves that a listener runs as its mode promises, `down` that it does not listen any more, `primary` that the mail
//! server greets as it did before. What a client hears, and whether that fits, is `client`'s. What is not settled yet is
//! looked at again until the deadline, at the pace of `pace`; certificates are not judged.

mod down;
mod pace;
mod places;
mod primary;
mod up;

pub(super) use down::{down, is_down};
pub(super) use primary::{greeting_now, greets};
pub(super) use up::{Answers, Seen, alive, hear_all, held, listening, look_once, up};
