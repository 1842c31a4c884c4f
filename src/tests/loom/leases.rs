//! The engine of leases under loom: two leases may be left here, and the slots of three go round.
//!
//! Each scene ends by asking what has come back of each lease: with what was taken it is all that was granted.

use crate::raw::leases::{Granter, KEPT, LIVE, MOST, RawLeases};
use crate::raw::mark::Mark;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{model, thread};
use crate::tests::loom::bound;
use crate::tests::pairs::{Waiter, go_on};
use crate::time::{ManualClock, Timestamp};
use crate::{Lessee, Limiter, Rate};
use core::time::Duration;
use std::sync::Arc;

const LATE: u64 = 90;
const END: u64 = 100;

fn at(now: u64) -> Timestamp {
    Timestamp::from_nanos(now)
}

/// With these leases: amounts, and when they run out.
fn leases(granted: &[(u64, u64)]) -> (Arc<RawLeases>, Granter) {
    let (leases, mut granter) = RawLeases::with_granter(false);
    grant(&leases, &mut granter, granted);
    (Arc::new(leases), granter)
}

fn grant(leases: &RawLeases, granter: &mut Granter, granted: &[(u64, u64)]) {
    for (amount, until) in granted {
        assert!(leases.grant(granter, *amount, at(*until)).is_some());
    }
}

/// Takes each of these at its time; returns how much.
fn take(leases: &RawLeases, calls: &[(u64, u64)]) -> Vec<(Mark, u64)> {
    let taken = |&(now, amount): &(u64, u64)| {
        let taken = leases.take(at(now), amount).ok()?;
        Some((taken.mark, amount))
    };
    calls.iter().filter_map(taken).collect()
}

/// What calls have of each of these leases.
fn by_lease<const N: usize>(taken: &[(Mark, u64)]) -> [u64; N] {
    let mut sums = [0; N];
    for (mark, amount) in taken {
        let (number, parts) = mark.as_lease().unwrap();
        let (newest, before) = (parts & MOST, parts >> 40);
        assert_eq!(newest + before, *amount);
        sums[number as usize - 1] += newest;
        if before > 0 {
            sums[number as usize - 2] += before;
        }
    }
    sums
}

/// All of each lease was taken or has come back, once all have run out.
fn assert_all_there<const N: usize>(
    leases: &RawLeases,
    granter: &mut Granter,
    granted: [u64; N],
    taken: &[(Mark, u64)],
    mut told: Vec<(u64, u64)>,
) {
    told.extend(leases.take_unused(granter, at(END), usize::MAX));
    let mut sums = by_lease::<N>(taken);
    for (number, amount) in told {
        sums[number as usize - 1] += amount;
    }
    assert_eq!(sums, granted);
}

/// Caught: `look` that does not read `newest` again; one slot less; `take` that stores instead of comparing.
#[test]
fn model_a_look_sleeps_while_all_slots_go_round() {
    model(3, || {
        let (leases, mut granter) = leases(&[(2, LATE), (2, LATE)]);
        let there = Arc::clone(&leases);
        // As much as is left when the oldest has ended and the new one is not there yet.
        let other = thread::spawn(move || take(&there, &[(1, 2)]));
        // The slot of the fourth is that of the first.
        grant(&leases, &mut granter, &[(2, LATE); 2]);
        let taken = other.join().unwrap();
        assert_eq!(taken.len(), 1, "refused though there is as much");
        assert_all_there(&leases, &mut granter, [2; 4], &taken, Vec::new());
    });
}

/// The slot of the one before the newest goes to a later lease while a call looks: what it takes is of that one. Caught: `look_at_newest` that
/// does not read `newest` again.
#[test]
fn model_a_call_keeps_the_number_of_the_lease_that_it_takes_of() {
    model(3, || {
        let (leases, mut granter) = leases(&[(1, LATE), (1, LATE)]);
        let mut taken = take(&leases, &[(1, 2)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(1, 1)]));
        grant(&leases, &mut granter, &[(1, LATE)]);
        taken.extend(take(&leases, &[(1, 1)]));
        grant(&leases, &mut granter, &[(1, LATE)]);
        taken.extend(other.join().unwrap());
        assert_all_there(&leases, &mut granter, [1; 4], &taken, Vec::new());
    });
}

/// The same of the slot of the newest. Caught: `look_at_newest` that reads its `cap` with less than Acquire.
#[test]
fn model_a_call_that_looked_before_all_slots_went_round_keeps_the_right_number() {
    model(2, || {
        let (leases, mut granter) = leases(&[(1, LATE), (1, LATE)]);
        let mut taken = take(&leases, &[(1, 2)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(1, 1)]));
        for _ in 0..2 {
            grant(&leases, &mut granter, &[(1, LATE)]);
            taken.extend(take(&leases, &[(1, 1)]));
        }
        grant(&leases, &mut granter, &[(1, LATE)]);
        taken.extend(other.join().unwrap());
        // Of the first two nothing comes back: both were taken.
        let left = leases.left(at(1));
        assert_eq!(left + taken.len() as u64, 4);
        let numbers = taken.iter().map(|(mark, _)| mark.as_lease().unwrap().0);
        assert_eq!(numbers.collect::<std::collections::BTreeSet<_>>().len(), taken.len());
    });
}

/// The look that sleeps is to find what is too much: no number that there never was. Caught: `look` that does not read
/// `newest` again.
#[test]
fn model_a_refusal_is_no_mixture_of_old_and_new_leases() {
    model(bound(2, 3), || {
        // By time 5 there are two or four.
        let (leases, mut granter) = leases(&[(1, 4), (2, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || {
            assert!(there.peek(at(5), 5).is_err());
            assert!([2, 4].contains(&there.left(at(5))));
            take(&there, &[(5, 2)])
        });
        grant(&leases, &mut granter, &[(2, LATE), (2, LATE)]);
        let taken = other.join().unwrap();
        assert_eq!(taken.len(), 1, "refused though there is as much");
        assert_all_there(&leases, &mut granter, [1, 2, 2, 2], &taken, Vec::new());
    });
}

/// Caught: `pass` that stores instead of comparing; `mark_of` by the end alone.
#[test]
fn model_two_calls_take_no_more_than_was_granted() {
    model(3, || {
        let (leases, mut granter) = leases(&[(2, LATE), (3, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(1, 3), (1, 1)]));
        let mut taken = take(&leases, &[(1, 1), (1, 2)]);
        taken.extend(other.join().unwrap());
        let sum: u64 = taken.iter().map(|(_, amount)| amount).sum();
        assert!((3..=5).contains(&sum) && sum + leases.left(at(1)) == 5, "{taken:?}");
        assert_all_there(&leases, &mut granter, [2, 3], &taken, Vec::new());
    });
}

/// By one clock a lease has run out, by the other not yet. Caught: `take` that does not skip what has run out, or tells it
/// before the exchange.
#[test]
fn model_what_has_run_out_comes_back_once() {
    model(3, || {
        let (leases, mut granter) = leases(&[(3, 4), (3, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(3, 1), (4, 1)]));
        let mut taken = take(&leases, &[(3, 1), (4, 2)]);
        let mut told = leases.take_unused(&mut granter, at(4), 1);
        taken.extend(other.join().unwrap());
        // None is refused: those of the second lease at least are there.
        assert!(taken.len() >= 3, "{taken:?}");
        told.extend(leases.take_unused(&mut granter, at(4), 9));
        assert_all_there(&leases, &mut granter, [3, 3], &taken, told);
    });
}

/// A lease that is granted ends the oldest one, of which a call takes at the same time. Caught: `grant` that shows it first,
/// or ends nothing.
#[test]
fn model_the_oldest_ends_while_a_call_takes_of_it() {
    model(3, || {
        let (leases, mut granter) = leases(&[(2, LATE), (2, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(1, 1), (1, 2)]));
        grant(&leases, &mut granter, &[(2, LATE)]);
        let mut told = leases.take_unused(&mut granter, at(1), 9);
        assert!(leases.left(at(1)) <= 2 * LIVE);
        let taken = other.join().unwrap();
        // Two are there at any time.
        assert!(!taken.is_empty(), "refused though there is as much");
        told.extend(leases.take_unused(&mut granter, at(1), 9));
        assert_all_there(&leases, &mut granter, [2; 3], &taken, told);
    });
}

/// A call is settled while the word of its lease goes to another one. Caught: `add` that does not compare the number; `begin`
/// left out, or after the lease is shown.
#[test]
fn model_nothing_comes_back_of_a_lease_that_had_the_same_word() {
    model(3, || {
        let (leases, mut granter) = leases(&[(2, LATE)]);
        let mut taken = take(&leases, &[(1, 2)]);
        let (mark, amount) = taken.remove(0);
        let more = vec![(1, LATE); KEPT as usize - 1];
        grant(&leases, &mut granter, &more);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || {
            there.settle(&mark, amount, 0);
            take(&there, &[(1, 1)])
        });
        grant(&leases, &mut granter, &[(1, LATE)]);
        let told = leases.take_unused(&mut granter, at(1), 9);
        let taken = other.join().unwrap();
        let mut sums = by_lease::<{ KEPT as usize + 1 }>(&taken);
        for (number, amount) in told.into_iter().chain(leases.take_unused(&mut granter, at(END), 9))
        {
            sums[number as usize - 1] += amount;
        }
        // What has come back of the first is dropped.
        assert!(sums[0] == 0 && sums[1..].iter().all(|sum| *sum == 1), "{sums:?}");
    });
}

/// A call takes of the newest lease, and what has come back of it must not be dropped. Caught: `begin` after the lease is
/// shown; `newest` Relaxed; `show` that stores the number Relaxed.
#[test]
fn model_what_comes_back_of_a_new_lease_is_not_dropped() {
    model(3, || {
        let (leases, mut granter) = leases(&[]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || {
            let mut taken = take(&there, &[(1, 2)]);
            taken.retain(|(mark, amount)| {
                there.settle(mark, *amount, 0);
                false
            });
            taken
        });
        grant(&leases, &mut granter, &[(2, LATE)]);
        let taken = other.join().unwrap();
        assert_all_there(&leases, &mut granter, [2], &taken, Vec::new());
    });
}

/// Caught: `take` of `Unused` that loads and stores instead of exchanging; `add` that stores.
#[test]
fn model_what_two_give_back_is_told_once() {
    model(3, || {
        let (leases, mut granter) = leases(&[(3, LATE), (2, LATE)]);
        // The second one has two of the first lease, and one of the second.
        let mut taken = take(&leases, &[(1, 1), (1, 3)]);
        let (straddles, first) = (taken.pop().unwrap(), taken.pop().unwrap());
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || there.settle(&straddles.0, straddles.1, 1));
        let mut told = leases.take_unused(&mut granter, at(1), 1);
        leases.settle(&first.0, first.1, 0);
        told.extend(leases.take_unused(&mut granter, at(1), 9));
        other.join().unwrap();
        told.extend(leases.take_unused(&mut granter, at(1), 9));
        told.sort_unstable();
        let of = |wanted| -> u64 {
            told.iter().filter(|(number, _)| *number == wanted).map(|(_, amount)| amount).sum()
        };
        assert_eq!((of(1), of(2), leases.left(at(1))), (2, 1, 1), "{told:?}");
    });
}

/// Caught: `reclaim` that tells more than it has passed; `pass` that stores instead of comparing.
#[test]
fn model_what_is_reclaimed_is_taken_by_nobody() {
    model(3, || {
        let (leases, mut granter) = leases(&[(2, LATE), (3, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || take(&there, &[(1, 2), (1, 1)]));
        let reclaimed = leases.reclaim(&mut granter, at(1), 3);
        let told = leases.take_unused(&mut granter, at(1), 9);
        let taken = other.join().unwrap();
        let sum: u64 = taken.iter().map(|(_, amount)| amount).sum();
        let back: u64 = told.iter().map(|(_, amount)| amount).sum();
        assert_eq!((back, leases.left(at(1))), (reclaimed, 5 - sum - reclaimed));
        assert_all_there(&leases, &mut granter, [2, 3], &taken, told);
    });
}

/// The granter sets a mark and looks, a call takes and looks for the mark: one of them sees the other. Caught: `set_mark`
/// without `touch`; `pass` without Acquire, `touch` without Release or without Acquire.
#[test]
fn model_a_mark_is_told_or_seen() {
    model(3, || {
        let (leases, _granter) = leases(&[(2, LATE)]);
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || there.take(at(1), 1).unwrap().is_low);
        leases.set_mark(2);
        let is_seen = leases.left(at(1)) < 2;
        assert!(other.join().unwrap() || is_seen, "a mark was not told");
    });
}

/// Who asks what is held, and then what was used, misses nothing. Caught: `settle` that counts it as used last, or `held` that
/// comes after; Relaxed in either.
#[test]
fn model_what_is_not_held_any_more_is_used() {
    model(3, || {
        let (leases, mut granter) = RawLeases::with_granter(true);
        grant(&leases, &mut granter, &[(3, 4), (2, LATE)]);
        let leases = Arc::new(leases);
        let taken = leases.take(at(1), 2).unwrap();
        let there = Arc::clone(&leases);
        let other = thread::spawn(move || {
            there.settle(&taken.mark, 2, 2);
            // One of the first lease does not come back.
            take(&there, &[(5, 1)]).len()
        });
        let (held, used) = (leases.held(&granter, at(1)), leases.used());
        assert!(held + used >= 4, "{held} held, {used} used");
        let (held, used) = (leases.held(&granter, at(5)), leases.used());
        assert!(held + used >= 4, "{held} held, {used} used");
        assert_eq!(other.join().unwrap(), 1);
        assert_eq!((leases.held(&granter, at(5)), leases.used()), (2, 2));
        assert_eq!(leases.held(&granter, at(END)), 1);
    });
}

// ---- the line ------------------------------------------------------------------------------------

/// All in line fit once more is granted, and have turns; one that comes at the same time does not fit beside them. It is not to have a
/// turn, too: it would go first, because it runs. Caught: as many turns as anybody wants if all in line fit.
#[test]
fn model_a_newcomer_has_no_turn_by_what_fits_of_those_in_line() {
    model(bound(1, 2), || {
        let window = Duration::from_nanos(10);
        let builder = Limiter::builder().margin(Duration::ZERO).tokens(16, window);
        let (limiter, mut lessee) = builder.clock(ManualClock::new()).build_leased().unwrap();
        assert!(lessee.grant(0, 1, at(LATE)).is_some());
        let call = |place, weight| {
            Waiter::new(place, Box::pin(limiter.call().output_tokens(weight).acquire_owned()))
        };
        let (mut first, mut second) = (call(0, 3), call(1, 1));
        let there = limiter.clone();
        let other = thread::spawn(move || {
            Waiter::new(2, Box::pin(there.call().output_tokens(3).acquire_owned()))
        });
        lessee.grant(0, 3, at(LATE));
        let mut newcomer = other.join().unwrap();
        go_on([&mut first, &mut second, &mut newcomer].into_iter());
        assert!(first.is_over() && second.is_over() && !newcomer.is_over(), "overtaken");
    });
}

// ---- the bell ------------------------------------------------------------------------------------

fn leased() -> (Limiter, Lessee) {
    let builder = Limiter::builder().rate(Rate::per_second(1)).clock(ManualClock::new());
    builder.build_leased().unwrap()
}

/// What has changed before a ring is seen by whom it wakes. Caught: `ring` or `arm` Relaxed; `arm` that does not return whether it
/// has rung, or comes after the look.
#[test]
fn model_a_change_is_heard_and_seen() {
    model(3, || {
        let (limiter, mut lessee) = leased();
        let (changes, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let there = Arc::clone(&changes);
        let other = thread::spawn(move || {
            // ORDERING: Relaxed: the bell publishes it.
            there.fetch_add(1, Ordering::Relaxed);
            limiter.core().ring();
        });
        let sees = Arc::clone(&seen);
        let mut hears = Waiter::new(
            0,
            Box::pin(async move {
                lessee.changed().await;
                // ORDERING: Relaxed, as above.
                sees.fetch_add(changes.load(Ordering::Relaxed), Ordering::Relaxed);
            }),
        );
        other.join().unwrap();
        go_on([&mut hears].into_iter());
        assert!(hears.is_over(), "not told");
        // ORDERING: Relaxed: one thread.
        assert_eq!(seen.load(Ordering::Relaxed), 1, "told without the change");
    });
}

/// Two note a change, and each rings if no other has rung for it. Caught: `note` Relaxed, `ring_if_noted` that loads Relaxed;
/// changes that count as told before the ring.
#[test]
fn model_a_change_that_another_rings_for_is_seen() {
    model(bound(1, 2), || {
        let (limiter, mut lessee) = leased();
        let changes = Arc::new(AtomicU64::new(0));
        let changer = || {
            let (limiter, changes) = (limiter.clone(), Arc::clone(&changes));
            move || {
                // ORDERING: Relaxed: the bell publishes it.
                changes.fetch_add(1, Ordering::Relaxed);
                let core = limiter.core();
                core.leasing().unwrap().bell().note();
                core.ring_if_noted();
            }
        };
        let others = [thread::spawn(changer()), thread::spawn(changer())];
        let sees = Arc::clone(&changes);
        let mut hears = Waiter::new(
            0,
            Box::pin(async move {
                // ORDERING: Relaxed, as above.
                while sees.load(Ordering::Relaxed) < 2 {
                    lessee.changed().await;
                }
            }),
        );
        others.into_iter().for_each(|other| other.join().unwrap());
        go_on([&mut hears].into_iter());
        assert!(hears.is_over(), "not told");
    });
}
