//! Leases with one stalled thread.

use super::harness::{Waiter, at_every_step, every_pair, scene};
use crate::raw::leases::{LIVE, RawLeases};
use crate::sync::freeze::steps;
use crate::tests::pairs::{leased, leases};
use crate::time::{ManualClock, Timestamp};
use crate::{Limiter, Rate};
use std::sync::Arc;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

#[test]
fn freeze_every_operation_on_leases_against_every_other() {
    every_pair("leases", leases::STARTS, leases::OPERATIONS);
}

/// The one who grants stops in the middle of a lease: what was granted before can be taken, and nothing else. Caught: `show`
/// with the number first.
#[test]
fn freeze_a_granter_in_the_middle_of_a_lease() {
    for live in [1, LIVE] {
        at_every_step("leases: grant", || {
            let (leases, mut granter) = RawLeases::with_granter(false);
            for _ in 0..live {
                leases.grant(&mut granter, 2, at(50)).unwrap();
            }
            let leases = Arc::new(leases);
            let [first, second] = [(); 2].map(|()| Arc::clone(&leases));
            scene(
                move || {
                    first.grant(&mut granter, 4, at(60)).unwrap();
                },
                move || {
                    let left = second.left(at(1));
                    // The oldest may have ended, and the new one be there.
                    let before = 2 * live;
                    let ended = if live == LIVE { 2 } else { 0 };
                    assert!([before, before - ended, before - ended + 4].contains(&left), "{left}");
                    let taken = second.take(at(1), left).unwrap();
                    assert!(second.take(at(1), 1).is_err());
                    second.settle(&taken.mark, left, left);
                    // Older leases have run out, whether a new one is there or not.
                    assert!([0, 4].contains(&second.left(at(55))) || left > 0);
                },
                move || {
                    assert!([0, 4].contains(&leases.left(at(1))));
                    assert_eq!(leases.left(at(60)), 0);
                },
            )
        });
    }
}

/// Caught: a look that walks all that was granted.
#[test]
fn freeze_no_call_walks_all_leases() {
    let (leases, mut granter) = RawLeases::with_granter(false);
    let mut most = 0;
    for now in 0..3000 {
        let (taken, _) = steps(|| leases.grant(&mut granter, 3, at(now + 20)));
        most = most.max(taken);
        for amount in [1, 4, 2] {
            let (taken, call) = steps(|| leases.take(at(now), amount));
            most = most.max(taken);
            if let Ok(call) = call {
                most = most.max(steps(|| leases.settle(&call.mark, amount, amount / 2)).0);
            }
        }
        most = most.max(steps(|| leases.left(at(now + 15))).0);
    }
    assert!(most < 100, "{most} steps");
}

#[test]
fn freeze_every_operation_against_every_other_with_leases() {
    every_pair("leased limiter", leased::STARTS, leased::OPERATIONS);
}

/// A call has noted that it joined. Another one rings for both, or is about to, and stops. Caught: changes that are taken as told before
/// the ring; a ring that finds another before it and leaves it to that one.
#[test]
fn freeze_a_ring_for_others_that_never_comes() {
    at_every_step("bell: ring for another", || {
        let builder = Limiter::builder().rate(Rate::per_second(1)).clock(ManualClock::new());
        let (limiter, mut lessee) = builder.build_leased().unwrap();
        let mut hears = Waiter::new(async move { lessee.changed().await });
        let [first, second] = [limiter.clone(), limiter.clone()];
        limiter.core().leasing().unwrap().bell().note();
        scene(
            move || first.core().ring_if_noted(),
            move || {
                second.core().ring_if_noted();
                // A wake that the stopped thread has in its hands is late.
                assert!(hears.is_woken() || hears.poll().is_ready(), "not told");
            },
            move || drop(limiter),
        )
    });
}
