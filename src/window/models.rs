//! The ring under loom: every interleaving, and every stale read that the orderings allow.
//!
//! A ring has at most four cells here and takes one step from a stale hint before it searches, so
//! small scenes reach all of it. Each scene checks the stamps against the definition, and that
//! nobody was refused who should not have been. Each names a change of the code that it catches.

use super::ring::Ring;
use crate::sync::{model, thread};
use core::time::Duration;
use std::sync::Arc;

const WINDOW: u64 = 10;

fn ring(limit: u32) -> Arc<Ring> {
    Arc::new(Ring::new(limit, Duration::from_nanos(WINDOW)))
}

/// Claims at each of these times; returns the stamps of those that were admitted.
fn claim(ring: &Ring, times: &[u64]) -> Vec<u64> {
    times.iter().filter_map(|&now| ring.try_acquire(now).ok()).collect()
}

/// Claims on another thread and on this one; returns all stamps, in order.
fn claim_at_once(ring: &Arc<Ring>, theirs: &'static [u64], ours: &[u64]) -> Vec<u64> {
    let there = Arc::clone(ring);
    let other = thread::spawn(move || claim(&there, theirs));
    let mut stamps = claim(ring, ours);
    stamps.extend(other.join().unwrap());
    stamps.sort_unstable();
    stamps
}

/// Never more than `limit` in any half-open window.
fn assert_exact(stamps: &[u64], limit: usize) {
    for (first, after_all) in stamps.iter().zip(stamps.iter().skip(limit)) {
        assert!(after_all - first >= WINDOW, "more than {limit} in a window: {stamps:?}");
    }
}

/// The next place becomes free exactly when the oldest of the last `limit` stamps leaves the window.
fn assert_next_place(ring: &Ring, stamps: &[u64], limit: usize) {
    let free_at = stamps[stamps.len() - limit] + WINDOW;
    assert_eq!(ring.try_acquire(free_at - 1).map_err(|busy| busy.free_at), Err(Some(free_at)));
    assert_eq!(ring.try_acquire(free_at).ok(), Some(free_at.max(stamps[stamps.len() - 1])));
}

/// Caught: `is_free` compares with `now + 1`; `claim` stores instead of comparing.
#[test]
fn model_never_more_than_the_limit_and_never_fewer() {
    model(3, || {
        let ring = ring(2);
        let stamps = claim_at_once(&ring, &[5, 5], &[5]);
        assert_eq!(stamps, [5, 5]);
        assert!(ring.try_acquire(14).is_err());
    });
}

/// Both cells are free for both callers. Caught: `locate` does not read the newest word again.
#[test]
fn model_no_refusal_while_a_cell_is_free() {
    model(3, || {
        let ring = ring(2);
        assert_eq!(claim(&ring, &[0, 0]), [0, 0]);
        let stamps = claim_at_once(&ring, &[10], &[11]);
        assert_eq!(stamps.len(), 2, "{stamps:?}");
    });
}

/// One cell, which is its own predecessor. Caught: `this_lap` without `(oldest == 0)`.
#[test]
fn model_one_cell() {
    model(3, || {
        let ring = ring(1);
        assert_eq!(claim(&ring, &[0]), [0]);
        assert_eq!(claim_at_once(&ring, &[10], &[10]), [10]);
        assert_eq!(claim(&ring, &[19, 20]), [20]);
    });
}

/// Several laps on each side, so that both lap bits are met by stragglers.
/// Caught: `claim` keeps the lap bit.
#[test]
fn model_laps_wrap() {
    model(2, || {
        let ring = ring(2);
        assert_eq!(claim(&ring, &[0, 0]), [0, 0]);
        let stamps = claim_at_once(&ring, &[10, 20], &[10, 20, 30]);
        assert_exact(&stamps, 2);
        // From 20 on there were at least two places: one for each of the late claims.
        assert!(stamps.iter().filter(|&&stamp| stamp >= 20).count() >= 2, "{stamps:?}");
        assert_eq!(claim(&ring, &[50, 50, 50]).len(), 2);
    });
}

/// The other thread goes once around while we look at two neighbours.
/// Caught: `locate` does not read the newest word again; Relaxed in `word` or in `claim`.
#[test]
fn model_a_lap_passes_between_two_reads() {
    model(3, || {
        let ring = ring(2);
        assert_eq!(claim(&ring, &[0, 0, 10]), [0, 0, 10]);
        let mut stamps = claim_at_once(&ring, &[10, 20, 20], &[30]);
        stamps.insert(0, 10);
        assert_exact(&stamps, 2);
        assert_next_place(&ring, &stamps, 2);
    });
}

/// The other thread moves the oldest cell on by two; our hint may be any older one.
/// Caught: `locate` trusts the hint (returns without comparing the laps).
#[test]
fn model_stale_hint() {
    model(3, || {
        let ring = ring(3);
        assert_eq!(claim(&ring, &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(claim_at_once(&ring, &[12, 12], &[12]), [12, 12, 12]);
        assert!(ring.try_acquire(21).is_err());
    });
}

/// A claimer that is held up for a whole lap sets the hint back when it goes on.
/// Caught: `locate` stops after `WALK` steps instead of searching.
#[test]
fn model_hint_set_back_by_a_straggler() {
    model(2, || {
        let ring = ring(3);
        let stamps = claim_at_once(&ring, &[0], &[0, 0, 10, 10, 10]);
        assert_exact(&stamps, 3);
        // The last three of ours found at least two places free of the other's.
        assert!(stamps.iter().filter(|&&stamp| stamp == 10).count() >= 2, "{stamps:?}");
        assert_eq!(claim(&ring, &[30, 30, 30, 30]).len(), 3);
    });
}

/// Clocks that disagree: stamps still never decrease along the ring, so the oldest is the oldest.
/// Caught: `claim` does not clamp the stamp.
#[test]
fn model_clocks_that_disagree() {
    model(3, || {
        let ring = ring(2);
        let stamps = claim_at_once(&ring, &[7], &[3]);
        assert_eq!(stamps.len(), 2);
        let first = stamps[0];
        assert_eq!(claim(&ring, &[first + WINDOW - 1]), []);
        assert_eq!(claim(&ring, &[first + WINDOW]), [first + WINDOW]);
    });
}

/// A refusal says when: then, and not before, there is a place.
/// Caught: `check` reports the newest cell's time.
#[test]
fn model_a_refusal_tells_the_moment() {
    model(3, || {
        let ring = ring(2);
        assert_eq!(claim(&ring, &[1]), [1]);
        let there = Arc::clone(&ring);
        let other = thread::spawn(move || there.try_acquire(4));
        let ours = ring.try_acquire(5);
        let theirs = other.join().unwrap();
        let refused = if ours.is_ok() { theirs } else { ours };
        assert_eq!(refused.map_err(|busy| busy.free_at), Err(Some(1 + WINDOW)));
    });
}

/// Five admissions on three cells (2, 2, 1). Caught: `claim` counts the room of a new cell in full.
#[test]
fn model_shared_cells() {
    model(2, || {
        let ring = ring(5);
        assert_eq!(claim(&ring, &[0, 0]).len(), 2);
        let stamps = claim_at_once(&ring, &[1, 1], &[1, 1]);
        assert_eq!(stamps.len(), 3);
        assert!(ring.try_acquire(9).is_err());
    });
}

/// What was seen free and then taken by another is looked for anew.
/// Caught: `take` gives up when its claim fails.
#[test]
fn model_an_opening_taken_by_another() {
    model(3, || {
        let ring = ring(2);
        let opening = ring.peek(0);
        let there = Arc::clone(&ring);
        let other = thread::spawn(move || there.try_acquire(0).is_ok());
        assert!(ring.take(opening.ok().unwrap()).is_ok());
        assert!(other.join().unwrap());
        assert!(ring.peek(9).is_err());
    });
}

/// Onlookers see a count that was true at some moment, and always come to an end.
/// Caught: `remaining` counts the cells after the first busy one.
#[test]
fn model_remaining_against_claims() {
    model(2, || {
        let ring = ring(3);
        assert_eq!(claim(&ring, &[0]), [0]);
        let there = Arc::clone(&ring);
        let onlooker = thread::spawn(move || there.remaining(1));
        assert_eq!(claim(&ring, &[1, 1]).len(), 2);
        assert!(onlooker.join().unwrap() <= 2);
        assert_eq!(ring.remaining(1), 0);
        assert_eq!(ring.free_at(1, 1), Some(1 + WINDOW));
    });
}
