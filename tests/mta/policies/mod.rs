//! The policies: what `schema/README.md` promises of every mail server, written once against [`Subject`].
//!
//! Each function is one policy and takes the subject as its type; `policies!` at the head of its file registers it, and
//! it is a test of every subject that does not leave it out. One that is not registered is dead code, which the lints
//! refuse. What only one MTA can be asked stands in a module of that MTA's name.
//!
//! [`Subject`]: super::subject::Subject

use super::subject::Subject;

mod administrator;
mod conflicts;
mod crashes;
mod hangs;
mod idempotence;
mod life;
mod plan;
mod primary;
mod sight;
mod truth;
mod two;

/// All that there are.
const ALL: [&[&str]; 12] = [
    administrator::POLICIES,
    conflicts::POLICIES,
    crashes::POLICIES,
    hangs::POLICIES,
    idempotence::POLICIES,
    life::POLICIES,
    plan::POLICIES,
    primary::POLICIES,
    sight::POLICIES,
    truth::POLICIES,
    two::POLICIES,
    POLICIES,
];

/// A policy that was renamed would otherwise come back without a word, or what is left out stay in the list for ever.
fn what_is_left_out_is_a_policy_or_a_group_of_them<S: Subject>() {
    let is_one = |what: &str| {
        let mut names = ALL.iter().flat_map(|group| group.iter());
        names.any(|name| name.ends_with(&format!("::{what}")) || name.contains(&format!("::{what}::")))
    };
    for (what, reason) in S::LEFT_OUT {
        assert!(is_one(what), "{} leaves out {what}, which there is not ({reason})", S::NAME);
    }
}
crate::subject::policies! { what_is_left_out_is_a_policy_or_a_group_of_them }
