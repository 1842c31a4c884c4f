//! The window of tokens under loom.
//!
//! A wheel has a few ticks of a nanosecond here, two in a block, so small scenes reach all of the code.

use crate::raw::entry::Entry;
use crate::raw::tokens::{Admission, HeldTokens, RawTokens, Refusal};
use crate::sync::{model, thread};
use crate::tests::loom::bound;
use crate::time::Timestamp;
use core::time::Duration;
use std::sync::Arc;

/// An admission counts in three ticks.
const WINDOW: u64 = 2;
const TICKS: u64 = 3;
/// A multiple of the slots of the wheel.
const LAP: u64 = 8;

fn at(tick: u64) -> Timestamp {
    Timestamp::from_nanos(tick)
}

fn tokens(limit: u64) -> Arc<RawTokens> {
    Arc::new(RawTokens::new(limit, Duration::from_nanos(WINDOW)))
}

/// Admits each of these at its time; returns the stamps and weights of those that were admitted.
fn admit(tokens: &RawTokens, calls: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let admitted = |&(tick, weight): &(u64, u64)| {
        let admission = tokens.try_admit(at(tick), weight).ok()?;
        Some((admission.stamp().as_nanos(), weight))
    };
    calls.iter().filter_map(admitted).collect()
}

fn admit_elsewhere(
    tokens: &Arc<RawTokens>,
    calls: &'static [(u64, u64)],
) -> thread::JoinHandle<Vec<(u64, u64)>> {
    let there = Arc::clone(tokens);
    thread::spawn(move || admit(&there, calls))
}

fn held_at(tokens: &RawTokens, tick: u64, weight: u64) -> Admission {
    tokens.try_admit(at(tick), weight).unwrap()
}

fn used_at(stamps: &[(u64, u64)], tick: u64) -> u64 {
    stamps.iter().filter(|(stamp, _)| stamp + TICKS > tick).map(|(_, weight)| weight).sum()
}

/// Never more than the limit in a window, and what remains is what has not been counted.
fn assert_exact(tokens: &RawTokens, limit: u64, stamps: &[(u64, u64)]) {
    let latest = stamps.iter().map(|(stamp, _)| *stamp).max().unwrap_or(0);
    for &(end, _) in stamps {
        let inside = stamps.iter().filter(|(stamp, _)| *stamp <= end && stamp + TICKS > end);
        let sum: u64 = inside.map(|(_, weight)| weight).sum();
        assert!(sum <= limit, "{sum} of {limit} in the window that ends at {end}: {stamps:?}");
    }
    for tick in latest..=latest + TICKS {
        let remains = limit - used_at(stamps, tick);
        assert_eq!(tokens.remaining(at(tick)), remains, "at {tick}: {stamps:?}");
    }
}

/// Caught: `swap_head` stores instead of comparing.
#[test]
fn model_never_more_than_the_limit_and_never_less() {
    model(3, || {
        let tokens = tokens(3);
        let other = admit_elsewhere(&tokens, &[(0, 2), (1, 1)]);
        let mut stamps = admit(&tokens, &[(0, 1), (1, 2)]);
        stamps.extend(other.join().unwrap());
        assert!(used_at(&stamps, 1) >= 2, "{stamps:?}");
        assert_exact(&tokens, 3, &stamps);
    });
}

/// Ticks, blocks and a gap: each thread enters a block of its own. Caught: `count` enters a block with the weight, or
/// opens the block before the head is in it; `open` or `leave` left out.
#[test]
fn model_blocks_are_entered_at_once() {
    model(3, || {
        let tokens = tokens(3);
        assert_eq!(admit(&tokens, &[(1, 1)]), [(1, 1)]);
        let other = admit_elsewhere(&tokens, &[(2, 1), (4, 1)]);
        let mut stamps = admit(&tokens, &[(3, 1), (5, 1)]);
        stamps.extend(other.join().unwrap());
        stamps.push((1, 1));
        assert_exact(&tokens, 3, &stamps);
    });
}

/// The first race of the prototype: a later clock is refused, and a staler one must still find what is in its window.
/// Caught: a refusal that moves the head (a head that enters the tick before the check).
#[test]
fn model_a_refusal_by_a_later_clock_hides_nothing_from_a_staler_one() {
    model(3, || {
        let tokens = tokens(2);
        assert_eq!(admit(&tokens, &[(0, 1), (1, 1)]).len(), 2);
        // In this window are both, unless the head has moved to 4.
        let other = admit_elsewhere(&tokens, &[(2, 1)]);
        // The one at 1 is in its window until 4.
        let refused = tokens.try_admit(at(3), 2).err();
        assert_eq!(refused, Some(Refusal::Until(at(4))));
        let mut stamps = admit(&tokens, &[(4, 1)]);
        stamps.extend([(0, 1), (1, 1)]);
        stamps.extend(other.join().unwrap());
        assert_exact(&tokens, 2, &stamps);
    });
}

/// The second race of the prototype: a clock that is a wheel ahead takes the slots of what is in the window of a staler
/// one. Caught: `count` opens the block before the head is in it.
#[test]
fn model_a_clock_that_is_a_wheel_ahead_hides_nothing_from_a_staler_one() {
    model(3, || {
        let tokens = tokens(2);
        assert_eq!(admit(&tokens, &[(0, 1), (1, 1)]).len(), 2);
        let other = admit_elsewhere(&tokens, &[(2, 1)]);
        let mut stamps = admit(&tokens, &[(LAP, 1), (LAP + 1, 1)]);
        stamps.extend(other.join().unwrap());
        stamps.extend([(0, 1), (1, 1)]);
        assert_exact(&tokens, 2, &stamps);
    });
}

/// Caught: `leave` or `open` left out; `count` opens the block before the head is in it.
#[test]
fn model_what_is_given_back_is_there_once() {
    model(3, || {
        let tokens = tokens(4);
        let (first, second) = (held_at(&tokens, 0, 2), held_at(&tokens, 1, 2));
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || {
            assert_eq!(there.settle(at(1), first, 1), None);
            admit(&there, &[(1, 1)])
        });
        tokens.settle(at(1), second, 0);
        let mut stamps = admit(&tokens, &[(2, 2)]);
        stamps.extend(other.join().unwrap());
        stamps.push((0, 1));
        assert_exact(&tokens, 4, &stamps);
    });
}

/// Caught: `count` enters a block with the weight. (`tests::tokens::oracle` has one that gives back what has left.)
#[test]
fn model_what_has_left_the_window_gives_nothing_back() {
    model(3, || {
        let tokens = tokens(2);
        let first = held_at(&tokens, 0, 2);
        let other = admit_elsewhere(&tokens, &[(TICKS, 1), (TICKS + 1, 1)]);
        tokens.settle(at(TICKS - 1), first, 0);
        let mut stamps = admit(&tokens, &[(TICKS, 1)]);
        stamps.extend(other.join().unwrap());
        assert_exact(&tokens, 2, &stamps);
    });
}

/// Caught: `hand_over` without closing first, or without the seals; `give_back` that ignores them; `promote`
/// without `hand_over`; Relaxed in `word`, `swap_word`, `Chain::current`.
#[test]
fn model_a_new_window_counts_what_was_before() {
    model(bound(1, 2), || {
        let tokens = Arc::new(RawTokens::new(2, Duration::from_nanos(1)));
        let first = held_at(&tokens, 0, 2);
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || {
            there.settle(at(0), first, 1);
            admit(&there, &[(1, 1)])
        });
        tokens.set(2, Some(Duration::from_nanos(2)));
        let mut stamps = admit(&tokens, &[(1, 1)]);
        stamps.extend(other.join().unwrap());
        assert_eq!(stamps.len(), 1);
        assert_eq!(tokens.remaining(at(1)), 0);
        assert_eq!(tokens.remaining(at(1 + TICKS)), 2);
    });
}

/// Caught: `hand_over` without `seed_limit`; `set` without a second look for a successor; `is_linked` as a load.
#[test]
fn model_a_limit_that_is_set_beside_a_new_time_base_is_not_lost() {
    model(2, || {
        let tokens = Arc::new(RawTokens::new(2, Duration::from_nanos(1)));
        assert_eq!(admit(&tokens, &[(5, 1)]), [(5, 1)]);
        let there = Arc::clone(&tokens);
        let other =
            thread::spawn(move || there.restart_time(&there.latest(), at(0), Duration::ZERO));
        tokens.set(3, Some(Duration::from_nanos(1)));
        assert_eq!(tokens.limit(), 3);
        other.join().unwrap();
        assert_eq!((tokens.limit(), tokens.era()), (3, 1));
        assert_eq!(tokens.remaining(at(0)), 2);
    });
}

/// A thread has seen a clock that was behind, and sleeps. Meanwhile the clock is put right. Caught: an offset that goes by the
/// reading of the thread that noticed the jump; `read` that reads the clock before the offset.
#[test]
fn model_a_restart_by_an_old_reading_lets_nothing_leave_early() {
    model(2, || {
        let tokens = Arc::new(RawTokens::new(4, Duration::from_nanos(WINDOW)));
        assert_eq!(admit(&tokens, &[(3, 1)]), [(3, 1)]);
        let latest = tokens.latest();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || there.restart_time(&latest, at(0), Duration::ZERO));
        assert_eq!(admit(&tokens, &[(5, 2)]), [(5, 2)]);
        other.join().unwrap();
        assert_eq!([6, 7].map(|tick| tokens.remaining(at(tick))), [2, 2]);
        assert_eq!(tokens.remaining(at(10)), 4);
    });
}

/// What is counted is forgotten with all the rest, or counts; what is held is held until it is settled. Caught: `hand_over`
/// that does not close first.
#[test]
fn model_what_is_settled_beside_a_reset_counts_once_at_most() {
    model(bound(1, 2), || {
        let tokens = Arc::new(HeldTokens::new(3, Duration::from_nanos(WINDOW)));
        let first = tokens.reserve(at(0), 2).unwrap();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || there.settle_held(at(0), first, 2));
        tokens.settled().reset();
        let second = tokens.reserve(at(0), 2).is_ok();
        other.join().unwrap();
        let held = 2 * u64::from(second);
        let left = tokens.remaining(at(1));
        assert_eq!(tokens.held(), held);
        // Without the first it may have been forgotten.
        assert!(left == 1 || left == 3 - held, "{left} {second}");
        assert!(!second || left == 1);
    });
}

/// Caught: `settle_held` that takes it out of `held` first; `reserve` that reads the wheel first; both of `held`'s
/// orderings Relaxed.
#[test]
fn model_what_is_settled_is_never_missed() {
    model(3, || {
        let tokens = Arc::new(HeldTokens::new(3, Duration::from_nanos(WINDOW)));
        let first = tokens.reserve(at(0), 2).unwrap();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || {
            // Two are held, or used, or both for a moment.
            assert!(there.reserve(at(0), 2).is_err());
            there.reserve(at(1), 1)
        });
        assert_eq!(tokens.settle_held(at(0), first, 2), at(0));
        let third = other.join().unwrap();
        let held = u64::from(third.is_ok());
        assert_eq!((tokens.held(), tokens.remaining(at(1))), (held, 1 - held));
    });
}

/// `held` is what it was, and yet not the same. Caught: no version in `held`.
#[test]
fn model_an_equal_sum_is_not_taken_for_the_same() {
    model(3, || {
        let tokens = Arc::new(HeldTokens::new(4, Duration::from_nanos(WINDOW)));
        let first = tokens.reserve(at(0), 2).unwrap();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || there.reserve(at(0), 2).is_ok());
        tokens.settle_held(at(0), first, 2);
        let second = tokens.reserve(at(0), 2).is_ok();
        let both = u64::from(other.join().unwrap()) + u64::from(second);
        assert_eq!((both, tokens.held()), (1, 2));
        assert_eq!(tokens.remaining(at(0)), 0);
    });
}

/// Two reservations, and one beside a change. Caught: `swap` of `held` stores instead of comparing.
#[test]
fn model_no_more_is_held_than_the_limit() {
    model(3, || {
        let tokens = Arc::new(HeldTokens::new(3, Duration::from_nanos(WINDOW)));
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || {
            let reserved = there.reserve(at(0), 2);
            reserved.map(|reservation| there.settle_held(at(0), reservation, 1)).is_ok()
        });
        let second = tokens.reserve(at(0), 2).is_ok();
        let first = other.join().unwrap();
        assert!(first || second);
        assert_eq!(tokens.held(), if second { 2 } else { 0 });
        let used = u64::from(first) + 2 * u64::from(second);
        assert_eq!(tokens.remaining(at(0)), 3 - used);
    });
}

/// Caught: as for a new window above.
#[test]
fn model_what_is_settled_beside_a_new_window_is_never_missed() {
    model(1, || {
        let tokens = Arc::new(HeldTokens::new(3, Duration::from_nanos(1)));
        let first = tokens.reserve(at(0), 2).unwrap();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || {
            there.settle_held(at(0), first, 2);
            there.reserve(at(0), 2).is_err()
        });
        tokens.settled().set(3, Some(Duration::from_nanos(2)));
        assert!(tokens.reserve(at(0), 2).is_err());
        assert!(other.join().unwrap());
        assert_eq!((tokens.held(), tokens.remaining(at(1))), (0, 1));
    });
}

// ---- snapshots -----------------------------------------------------------------------------------

fn told(entries: (u64, Vec<Entry>)) -> u64 {
    entries.1.iter().map(|entry| entry.amount).sum()
}

/// Another call is counted and given back meanwhile, in the same tick. Caught: `counted_by_tick` reads the credits of the head's
/// tick after the head.
#[test]
fn model_a_snapshot_has_all_that_was_counted_before_it() {
    model(3, || {
        let tokens = tokens(4);
        assert_eq!(admit(&tokens, &[(0, 1), (1, 1)]).len(), 2);
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || told(there.entries(at(1), 0)));
        let beside = held_at(&tokens, 1, 2);
        assert_eq!(tokens.settle(at(1), beside, 0), None);
        let meanwhile = other.join().unwrap();
        assert!([2, 4].contains(&meanwhile), "{meanwhile}");
        assert_eq!(told(tokens.entries(at(1), 0)), 2);
    });
}

/// Time goes on meanwhile, by a tick and by a block. Caught: the credits of a tick that the head has left
/// taken for the next one's.
#[test]
fn model_a_snapshot_beside_later_ticks_has_all_that_was_counted_before_it() {
    model(3, || {
        let tokens = tokens(6);
        assert_eq!(admit(&tokens, &[(0, 1)]).len(), 1);
        let settled = held_at(&tokens, 1, 3);
        assert_eq!(tokens.settle(at(1), settled, 2), None);
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || there.entries(at(1), 0).1);
        assert_eq!(admit(&tokens, &[(2, 1), (3, 1)]).len(), 2);
        let entries = other.join().unwrap();
        let amount = |age| -> u64 {
            entries.iter().filter(|entry| entry.age == age).map(|entry| entry.amount).sum()
        };
        // What is stamped later than the clock of the snapshot has no age. By tick 3 the first one has left.
        let (now, before) = (amount(0), amount(1));
        assert!((2..=4).contains(&now) && (before == 1 || now == 4), "{entries:?}");
        assert_eq!(told(tokens.entries(at(3), 0)), 4);
    });
}

/// Caught: `HeldTokens::entries` reads the wheel first.
#[test]
fn model_a_snapshot_beside_a_settlement_has_all_that_was_used() {
    model(3, || {
        let tokens = Arc::new(HeldTokens::new(4, Duration::from_nanos(WINDOW)));
        let first = tokens.reserve(at(0), 2).unwrap();
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || told(there.entries(at(0))));
        tokens.settle_held(at(0), first, 1);
        let meanwhile = other.join().unwrap();
        assert!((1..=3).contains(&meanwhile), "{meanwhile}");
        assert_eq!(told(tokens.entries(at(0))), 1);
    });
}

/// A new wheel takes over meanwhile.
#[test]
fn model_a_snapshot_beside_a_new_window_has_all_that_was_counted_before_it() {
    model(1, || {
        let tokens = tokens(4);
        assert_eq!(admit(&tokens, &[(0, 1), (1, 2)]).len(), 2);
        let there = Arc::clone(&tokens);
        let other = thread::spawn(move || told(there.entries(at(1), 0)));
        tokens.set(4, Some(Duration::from_nanos(2 * WINDOW)));
        assert_eq!(other.join().unwrap(), 3);
        assert_eq!(told(tokens.entries(at(1), 0)), 3);
    });
}
