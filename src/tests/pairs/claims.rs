//! The operations of the semaphore while those in line must claim what they are granted, and every two of them at once.
//!
//! The account of `semaphore` finds a permit that is counted among the unclaimed for good, or twice.

use super::semaphore::{
    Left, Request, Scene, acquire, acquire_many, add_permits, cancel_behind, cancel_the_front,
    close, closed, drop_the_grant, forget_permits, look_on, on, poll_again, reduce_permits,
    release, see_the_grant, try_acquire, try_acquire_all, try_acquire_many,
};
use crate::tests::claims::{self, OwnedClaim};
#[cfg(ringgate_loom)]
use crate::tests::loom::is_long;
use crate::tests::pairs::{Run, every_pair};

every_pair! {
    starts of Scene: none_is_free two_claims_wait one_waits_behind_a_claim;
    operations:
        try_acquire try_acquire_many try_acquire_all acquire acquire_many
        release add_permits forget_permits reduce_permits
        cancel_the_front cancel_behind poll_again see_the_grant drop_the_grant
        close closed claim claim_lapsed;
    onlookers: look_on;
}

/// If both walk the whole queue, their interleavings multiply: these start with one claim in line.
#[cfg(ringgate_loom)]
const SLOW: &[[&str; 2]] = &[
    ["release", "add_permits"],
    ["release", "close"],
    ["add_permits", "add_permits"],
    ["add_permits", "cancel_the_front"],
    ["add_permits", "cancel_behind"],
    ["add_permits", "poll_again"],
    ["add_permits", "drop_the_grant"],
    ["add_permits", "close"],
    ["add_permits", "look_on"],
    ["cancel_the_front", "cancel_the_front"],
    ["cancel_the_front", "cancel_behind"],
    ["cancel_the_front", "close"],
    ["cancel_behind", "cancel_behind"],
    ["cancel_behind", "drop_the_grant"],
    ["cancel_behind", "close"],
    ["poll_again", "close"],
    ["close", "close"],
    ["close", "look_on"],
];

/// The preemption bound and the starts for two operations.
#[cfg(ringgate_loom)]
fn plan(pair: [&str; 2]) -> (usize, Vec<fn() -> Scene>) {
    if let Some(short) = short(pair).filter(|_| !is_long()) {
        return short;
    }
    if SLOW.contains(&pair) {
        return (1, vec![one_claim_waits]);
    }
    (1, vec![none_is_free, two_claims_wait, one_waits_behind_a_claim])
}

/// The short form of what takes long.
#[cfg(ringgate_loom)]
fn short(pair: [&str; 2]) -> Option<(usize, Vec<fn() -> Scene>)> {
    // The one that leaves is the only one in line.
    (pair == ["cancel_behind", "close"]).then(|| (2, vec![none_is_free as fn() -> Scene]))
}

/// Nobody waits.
fn none_is_free() -> Scene {
    Scene::with_claims()
}

#[cfg(ringgate_loom)]
fn one_claim_waits() -> Scene {
    let mut scene = none_is_free();
    scene.line_up(1);
    scene
}

fn two_claims_wait() -> Scene {
    let mut scene = none_is_free();
    scene.line_up(1);
    scene.line_up(1);
    scene
}

/// That one needs not claim.
fn one_waits_behind_a_claim() -> Scene {
    let mut scene = none_is_free();
    scene.line_up(1);
    scene.line_up_without_a_claim();
    scene
}

/// Is served at once, or queues.
fn claim(scene: &mut Scene) -> Run<Left> {
    on(scene, |semaphore| Left::joined(1, Request::Claim(OwnedClaim::new(semaphore))))
}

/// Takes the permit of a silent waiter. If the other operation is that waiter's own, they race for it.
fn claim_lapsed(scene: &mut Scene) -> Run<Left> {
    if !scene.semaphore.has_unclaimed() {
        scene.grant_the_front();
    }
    let mut seen = None;
    assert!(claims::claim_lapsed(&scene.semaphore, &mut seen).is_none(), "it was granted just now");
    on(scene, move |semaphore| {
        let was_closed = semaphore.is_closed();
        let lapsed = claims::claim_lapsed(&semaphore, &mut seen);
        assert!(!was_closed || lapsed.is_none(), "handed out after the close");
        Left::lapsed(lapsed)
    })
}
