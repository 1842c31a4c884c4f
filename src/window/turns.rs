//! What the ring foretells, against what then happens, with cells of one admission and of several.

use super::ring::{Busy, Ring};
use core::time::Duration;
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Case {
    limit: u32,
    most_cells: u32,
    window: u64,
    /// Before each attempt time moves so far.
    moves: Vec<i64>,
    ahead: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let moves = prop::collection::vec(prop_oneof![0..12_i64, -40..0_i64, 0..150_i64], 0..60);
    (1..30_u32, prop_oneof![Just(4_u32), Just(64)], 1..100_u64, moves, 0..70_u64).prop_map(
        |(limit, most_cells, window, moves, ahead)| Case {
            limit,
            most_cells,
            window,
            moves,
            ahead,
        },
    )
}

/// The ring after some traffic, and the time then.
fn played(case: &Case) -> (Ring, u64) {
    let window = Duration::from_nanos(case.window);
    let ring = Ring::with_cells(case.limit, window, case.most_cells);
    let mut now = 50_u64;
    for by in &case.moves {
        now = now.saturating_add_signed(*by);
        let _ = ring.try_acquire(now);
    }
    (ring, now)
}

fn moment(busy: Busy) -> u64 {
    busy.free_at.expect("time does not end here")
}

/// Takes an admission as soon as there is one; returns when.
fn wait(ring: &Ring, now: u64) -> u64 {
    match ring.try_acquire(now) {
        Ok(_) => now,
        Err(busy) => {
            let free_at = moment(busy);
            assert!(ring.try_acquire(free_at - 1).is_err(), "free before the time it told");
            assert!(ring.try_acquire(free_at).is_ok(), "not free at the time it told");
            free_at
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Broken by: laps counted from the old stamps; the newest cell's room left out.
    #[test]
    fn a_turn_comes_when_it_was_foretold(case in cases()) {
        let (ring, mut now) = played(&case);
        let told = ring.free_at(case.ahead, now);
        for _ in 0..case.ahead {
            now = wait(&ring, now);
        }
        prop_assert_eq!(told, Some(ring.peek(now).map_or_else(moment, |_| now)));
    }

    /// Broken by: counting the newest cell whole, where it is free but has been begun.
    #[test]
    fn as_many_are_admitted_as_remain(case in cases()) {
        let (ring, now) = played(&case);
        let remaining = ring.remaining(now);
        for _ in 0..remaining {
            prop_assert!(ring.try_acquire(now).is_ok());
        }
        prop_assert!(ring.try_acquire(now).is_err());
    }
}
