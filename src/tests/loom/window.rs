//! The log under loom: every interleaving, and every stale read that the orderings allow.
//!
//! A log has cells for at most four admissions here, and a ring takes one step from a stale hint before it
//! searches. So small scenes reach all of the code. Each scene checks the stamps against the definition,
//! and that no call is refused wrongly. Each names a change of the code that makes it fail.

use crate::raw::window::Layout;
use crate::raw::window::Log;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{model, models, thread};
use crate::tests::loom::bound;
use core::time::Duration;
use std::sync::Arc;

const WINDOW: u64 = 10;

/// One log.
fn log(limit: u32) -> Arc<Log> {
    split(limit, 0)
}

/// Several rings.
fn split(limit: u32, rings_log2: u32) -> Arc<Log> {
    let layout = Layout { capacity: limit, rings_log2, ..Layout::of(1, 4, 1) };
    let rule = (limit, Duration::from_nanos(WINDOW));
    Arc::new(Log::with_layout(&[rule], Duration::ZERO, layout))
}

/// Claims at each of these times; returns the stamps of those that were admitted.
fn claim(log: &Log, times: &[u64]) -> Vec<u64> {
    times.iter().filter_map(|&now| log.try_acquire(now).ok()).collect()
}

fn claim_elsewhere(log: &Arc<Log>, times: &'static [u64]) -> thread::JoinHandle<Vec<u64>> {
    let there = Arc::clone(log);
    thread::spawn(move || claim(&there, times))
}

/// Claims on another thread and on this one; returns all stamps, in order.
fn claim_at_once(log: &Arc<Log>, theirs: &'static [u64], ours: &[u64]) -> Vec<u64> {
    let other = claim_elsewhere(log, theirs);
    let mut stamps = claim(log, ours);
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

/// The next call is admitted exactly when the oldest of the last `limit` stamps leaves the window.
fn assert_next_place(log: &Log, stamps: &[u64], limit: usize) {
    let free_at = stamps[stamps.len() - limit] + WINDOW;
    assert_eq!(log.try_acquire(free_at - 1).map_err(|full| full.free_at), Err(Some(free_at)));
    assert_eq!(log.try_acquire(free_at).ok(), Some(free_at.max(stamps[stamps.len() - 1])));
}

/// Caught: `check_fast` compares with `now + 1`; `swap` stores instead of comparing.
#[test]
fn model_never_more_than_the_limit_and_never_fewer() {
    model(3, || {
        let log = log(2);
        let stamps = claim_at_once(&log, &[5, 5], &[5]);
        assert_eq!(stamps, [5, 5]);
        assert!(log.try_acquire(14).is_err());
    });
}

/// Both cells are free for both callers. Caught: `check_fast` does not read the newest word again.
#[test]
fn model_no_refusal_while_a_cell_is_free() {
    model(3, || {
        let log = log(2);
        assert_eq!(claim(&log, &[0, 0]), [0, 0]);
        let stamps = claim_at_once(&log, &[10], &[11]);
        assert_eq!(stamps.len(), 2, "{stamps:?}");
    });
}

/// At 15 at most one stamp of this thread is in the window, so the other thread's call is admitted. Caught:
/// `check_fast` without its last look at the oldest cell, or with Relaxed for the n-th.
#[test]
fn model_a_refusal_goes_by_the_right_cell() {
    model(3, || {
        let log = log(2);
        let other = claim_elsewhere(&log, &[15]);
        assert!(!claim(&log, &[4, 10]).is_empty());
        assert_eq!(other.join().unwrap().len(), 1);
    });
}

/// One cell, which is its own predecessor. Caught: `this_lap` in `locate` without `(oldest == 0)`.
#[test]
fn model_one_cell() {
    model(3, || {
        let log = log(1);
        assert_eq!(claim(&log, &[0]), [0]);
        assert_eq!(claim_at_once(&log, &[10], &[10]), [10]);
        assert_eq!(claim(&log, &[19, 20]), [20]);
    });
}

/// Several laps on each side, so that stragglers meet both lap bits. Caught: `check_fast` keeps the lap
/// bit.
#[test]
fn model_laps_wrap() {
    model(bound(1, 2), || {
        let log = log(2);
        assert_eq!(claim(&log, &[0, 0]), [0, 0]);
        let stamps = claim_at_once(&log, &[10, 20], &[10, 20, 30]);
        assert_exact(&stamps, 2);
        // From 20 on, at least two calls are admitted: one for each of the late claims.
        assert!(stamps.iter().filter(|&&stamp| stamp >= 20).count() >= 2, "{stamps:?}");
        assert_eq!(claim(&log, &[50, 50, 50]).len(), 2);
    });
}

/// The other thread stamps a whole lap while this one reads two neighbours. Caught: `check_fast` does not
/// read the newest word again; Relaxed in `word`, `swap` or `check_fast`.
#[test]
fn model_a_lap_passes_between_two_reads() {
    model(3, || {
        let log = log(2);
        assert_eq!(claim(&log, &[0, 0, 10]), [0, 0, 10]);
        let mut stamps = claim_at_once(&log, &[10, 20, 20], &[30]);
        stamps.insert(0, 10);
        assert_exact(&stamps, 2);
        assert_next_place(&log, &stamps, 2);
    });
}

/// The other thread moves the oldest cell on by two. This thread's hint may be any older one. Caught:
/// `locate` trusts the hint (returns without comparing the laps).
#[test]
fn model_stale_hint() {
    model(3, || {
        let log = log(3);
        assert_eq!(claim(&log, &[0, 1, 2]), [0, 1, 2]);
        assert_eq!(claim_at_once(&log, &[12, 12], &[12]), [12, 12, 12]);
        assert!(log.try_acquire(21).is_err());
    });
}

/// A claimer that stalls for a whole lap sets the hint back when it continues. Caught: `locate` stops after
/// `WALK` steps instead of searching.
#[test]
fn model_hint_set_back_by_a_straggler() {
    model(bound(1, 2), || {
        let log = log(2);
        let stamps = claim_at_once(&log, &[0], &[0, 0, 10, 10]);
        assert_exact(&stamps, 2);
        // The last two of ours find at least one cell free of the other thread's stamps.
        assert!(stamps.iter().filter(|&&stamp| stamp == 10).count() >= 1, "{stamps:?}");
        assert_eq!(claim(&log, &[30, 30, 30]).len(), 2);
    });
}

/// The threads' clocks disagree. Stamps still never decrease along the ring, so the oldest cell has the
/// oldest stamp. Caught: `check_fast` and `claim_at` do not clamp the stamp.
#[test]
fn model_clocks_that_disagree() {
    model(3, || {
        let log = log(2);
        let stamps = claim_at_once(&log, &[7], &[3]);
        assert_eq!(stamps.len(), 2);
        let first = stamps[0];
        assert_eq!(claim(&log, &[first + WINDOW - 1]), []);
        assert_eq!(claim(&log, &[first + WINDOW]), [first + WINDOW]);
    });
}

/// A refusal reports the moment at which a call is admitted, and no earlier call is. Caught: `check_fast`
/// reports the newest cell's time.
#[test]
fn model_a_refusal_tells_the_moment() {
    model(3, || {
        let log = log(2);
        assert_eq!(claim(&log, &[1]), [1]);
        let there = Arc::clone(&log);
        let other = thread::spawn(move || there.try_acquire(4));
        let ours = log.try_acquire(5);
        let theirs = other.join().unwrap();
        let refused = if ours.is_ok() { theirs } else { ours };
        assert_eq!(refused.map_err(|full| full.free_at), Err(Some(1 + WINDOW)));
    });
}

/// Five admissions on three cells (2, 2, 1). Caught: `claim_at` counts the room of a new cell in full.
#[test]
fn model_shared_cells() {
    model(2, || {
        let log = log(5);
        assert_eq!(claim(&log, &[0, 0]).len(), 2);
        let stamps = claim_at_once(&log, &[1, 1], &[1, 1]);
        assert_eq!(stamps.len(), 3);
        assert!(log.try_acquire(9).is_err());
    });
}

/// Two threads find the same admission free. One of them claims it. Caught: `Reservation::take` returns a
/// stamp although its claim failed.
#[test]
fn model_a_reservation_taken_by_another() {
    model(3, || {
        let log = log(2);
        let reservation = log.peek(|| 0, &|| 0);
        let there = Arc::clone(&log);
        let other = thread::spawn(move || there.try_acquire(0).is_ok());
        let taken = reservation.ok().unwrap().take().is_some();
        assert!(other.join().unwrap());
        assert_eq!(burst(&log, 9), 2 - 1 - usize::from(taken));
    });
}

/// Caught: `remaining` without another look at the oldest cell: it returns 0, though there is always room.
#[test]
fn model_what_remains_was_true_at_some_moment() {
    model(2, || {
        let log = log(4);
        assert_eq!(claim(&log, &[0; 4]).len(), 4);
        let there = Arc::clone(&log);
        let onlooker = thread::spawn(move || there.remaining(15));
        assert_eq!(claim(&log, &[15; 3]).len(), 3);
        assert!((1..=4).contains(&onlooker.join().unwrap()));
    });
}

/// An onlooker gets a count that was true at some moment, and always returns. Caught: `remaining` counts
/// the cells after the first busy one.
#[test]
fn model_remaining_against_claims() {
    model(2, || {
        let log = log(3);
        assert_eq!(claim(&log, &[0]), [0]);
        let there = Arc::clone(&log);
        let onlooker = thread::spawn(move || there.remaining(1));
        assert_eq!(claim(&log, &[1, 1]).len(), 2);
        assert!(onlooker.join().unwrap() <= 2);
        assert_eq!(log.remaining(1), 0);
        assert_eq!(log.free_at(1, 1), Some(1 + WINDOW));
    });
}

// ---- several rings -------------------------------------------------------------------------------

/// Caught: `share` gives every ring the whole limit.
#[test]
fn model_rings_keep_their_limit_together() {
    model(3, || {
        let log = split(2, 1);
        assert_eq!(claim_at_once(&log, &[5, 5], &[5]), [5, 5]);
        assert_eq!(log.try_acquire(14).map_err(|full| full.free_at), Err(Some(15)));
    });
}

/// Both rings are free for both callers, in whichever order each tries them. Caught: `check_all_fast` stops
/// after the first ring.
#[test]
fn model_no_refusal_while_another_ring_is_free() {
    model(3, || {
        let log = split(2, 1);
        assert_eq!(claim(&log, &[0, 0]), [0, 0]);
        assert_eq!(claim_at_once(&log, &[10], &[11, 11]).len(), 2);
    });
}

/// Three cells in two rings, which are stamped again and again. Caught: `swap` stores instead of comparing;
/// `share` gives every ring the whole limit.
#[test]
fn model_laps_in_two_rings() {
    model(2, || {
        let log = split(3, 1);
        let stamps = claim_at_once(&log, &[0, 10], &[0, 5, 10, 10]);
        assert_exact(&stamps, 3);
        let (now, limit) = (stamps[stamps.len() - 1], stamps.len() - 3);
        assert_eq!(log.free_at(0, now), Some((stamps[limit] + WINDOW).max(now)));
    });
}

/// What an onlooker is told is no later than what holds once the claims that it raced are over. Caught: a forecast that is
/// not read again when its ring was stamped.
#[test]
fn model_forecast_of_two_rings_against_claims() {
    model(2, || {
        let log = split(4, 1);
        assert_eq!(claim(&log, &[0, 0, 12, 12]).len(), 4);
        let there = Arc::clone(&log);
        let onlooker = thread::spawn(move || there.free_at(0, 13));
        assert_eq!(claim(&log, &[10, 11]), [10, 11]);
        assert!(onlooker.join().unwrap() <= Some(10 + WINDOW));
        assert_eq!(log.free_at(0, 13), Some(10 + WINDOW));
    });
}

// ---- several rules -------------------------------------------------------------------------------

/// Two in ten and one in three: a call is admitted by both or by none. Caught: `check` asks only the first
/// rule; `busy` is the moment of the last rule.
#[test]
fn model_two_rules_hold_together() {
    model(3, || {
        let layout = Layout { capacity: 2, ..Layout::of(2, 4, 1) };
        let rules = [(2, WINDOW), (1, 3)].map(|(limit, ns)| (limit, Duration::from_nanos(ns)));
        let log = Arc::new(Log::with_layout(&rules, Duration::ZERO, layout));
        let stamps = claim_at_once(&log, &[0, 3], &[1, 4]);
        assert_exact(&stamps, 2);
        assert!(stamps.windows(2).all(|pair| pair[1] - pair[0] >= 3), "{stamps:?}");
        assert_eq!(stamps.len(), 2, "{stamps:?}");
        assert_eq!(log.free_at(0, 4), Some(stamps[0] + WINDOW));
    });
}

// ---- change --------------------------------------------------------------------------------------

fn set(log: &Log, limit: u32) {
    log.set(0, limit, Duration::from_nanos(WINDOW)).unwrap();
}

fn set_elsewhere(log: &Arc<Log>, limit: u32) -> thread::JoinHandle<()> {
    let there = Arc::clone(log);
    thread::spawn(move || set(&there, limit))
}

/// How many calls are admitted now.
fn burst(log: &Log, now: u64) -> usize {
    (0..8).filter(|_| log.try_acquire(now).is_ok()).count()
}

/// Caught: `set_in` changes only the limit, and sets the window to 1 ns.
#[test]
fn model_a_lower_limit_against_claims() {
    model(3, || {
        let log = log(3);
        let setter = set_elsewhere(&log, 1);
        let admitted = burst(&log, 5);
        setter.join().unwrap();
        assert!((1..=3).contains(&admitted), "{admitted}");
        assert_eq!(burst(&log, 14), 0);
        assert_eq!(burst(&log, 15), 1);
    });
}

/// Two rings share two stamps. The limit is lowered to one. Caught: a change without the touch; a claim
/// that does not read the state again.
#[test]
fn model_a_lower_limit_of_two_rings_against_claims() {
    model(bound(1, 2), || {
        let log = split(2, 1);
        let claimer = claim_elsewhere(&log, &[5, 5]);
        set(&log, 1);
        let ours = claim(&log, &[5]).len();
        let theirs = claimer.join().unwrap().len();
        assert!((1..=2).contains(&(ours + theirs)));
        // The change counted what was admitted before it.
        assert!(ours == 0 || theirs == 0, "{ours} admitted after {theirs}, of 1");
        assert_eq!((burst(&log, 14), log.remaining(15), burst(&log, 15)), (0, 1, 1));
    });
}

/// One ring has all stamps, and the limit is raised. The difference is admitted at once, and no more.
/// Caught: the rest of a limit is not dealt out.
#[test]
fn model_a_higher_limit_of_two_rings_against_claims() {
    model(1, || {
        let log = split(4, 1);
        set(&log, 2);
        assert_eq!(claim(&log, &[5, 5]).len(), 2);
        let claimer = claim_elsewhere(&log, &[6]);
        set(&log, 3);
        let late = claim(&log, &[6]).len();
        assert_eq!(claimer.join().unwrap().len() + late, 1);
        assert_eq!((burst(&log, 14), burst(&log, 15), burst(&log, 16)), (0, 2, 1));
    });
}

/// Each change is made in full, one after the other. A thread that is overtaken helps.
#[test]
fn model_two_changes_of_two_rings() {
    model(2, || {
        let log = split(3, 1);
        assert_eq!(claim(&log, &[5]).len(), 1);
        let setter = set_elsewhere(&log, 1);
        set(&log, 2);
        setter.join().unwrap();
        let limit = log.rule(0).unwrap().0;
        assert!(limit == 1 || limit == 2);
        assert_eq!(burst(&log, 6), limit as usize - 1);
        assert_eq!((burst(&log, 14), burst(&log, 15)), (0, 1));
    });
}

/// Two changes while another thread claims.
#[test]
fn model_two_changes_of_two_rings_against_a_claim() {
    model(1, || {
        let log = split(2, 1);
        assert_eq!(claim(&log, &[5]).len(), 1);
        let claimer = claim_elsewhere(&log, &[6]);
        set(&log, 1);
        set(&log, 2);
        let theirs = claimer.join().unwrap().len();
        assert_eq!(theirs + burst(&log, 6), 1);
        assert_eq!((burst(&log, 14), burst(&log, 15), burst(&log, 16)), (0, 1, 1));
    });
}

/// One thread grows the log while the other lowers the limit, either in the old log or in its successor.
#[test]
fn model_a_change_of_two_rings_while_they_grow() {
    model(2, || {
        let log = split(2, 1);
        assert_eq!(claim(&log, &[5]).len(), 1);
        let setter = set_elsewhere(&log, 1);
        set(&log, 4);
        setter.join().unwrap();
        let limit = log.rule(0).unwrap().0;
        assert!(limit == 1 || limit == 4);
        assert_eq!(burst(&log, 6), limit as usize - 1);
        assert_eq!((burst(&log, 14), burst(&log, 15)), (0, 1));
    });
}

/// The log is closed and copied while threads claim: no claim is lost, and none counts twice. Caught:
/// `close` without the mark on the newest cell's successor (the rings stay open); `seed` left out; a rule
/// that is not copied.
#[test]
fn model_growing_against_claims() {
    model(2, || {
        let log = log(1);
        let claimer = claim_elsewhere(&log, &[5]);
        set(&log, 2);
        let ours = claim(&log, &[5, 5]).len();
        assert_eq!(claimer.join().unwrap().len() + ours, 2);
        assert_eq!(burst(&log, 14), 0);
        assert_eq!(burst(&log, 15), 2);
        assert_eq!(log.rule(0).unwrap().0, 2);
    });
}

/// A claim that finds a closed ring continues in the larger log and is not refused. Caught: `check_fast`
/// takes a closed ring for a full one.
#[test]
fn model_growing_refuses_no_call() {
    model(3, || {
        let log = log(1);
        let claimer = claim_elsewhere(&log, &[5]);
        set(&log, 2);
        let ours = claim(&log, &[5]).len();
        assert_eq!(claimer.join().unwrap().len() + ours, 2);
    });
}

/// The hint of a claimer that stalled may point behind the cell that closed the ring. Caught: `check_fast`
/// takes a closed ring for a full one.
#[test]
fn model_a_straggler_meets_a_closed_ring() {
    model(bound(1, 2), || {
        let log = log(1);
        let claimer = claim_elsewhere(&log, &[0, 20]);
        claim(&log, &[10]);
        set(&log, 2);
        assert!(claimer.join().unwrap().contains(&20));
    });
}

/// Each call is in the new ring once. Caught: a change that does not close the rings.
#[test]
fn model_a_closed_ring_admits_no_call() {
    model(bound(1, 2), || {
        let log = log(2);
        let claimer = claim_elsewhere(&log, &[5]);
        set(&log, 3);
        let ours = claim(&log, &[5, 5, 5]).len();
        assert_eq!(claimer.join().unwrap().len() + ours, 3);
    });
}

/// The same for a log that was in use. Caught: `history` without the last stamp.
#[test]
fn model_growing_keeps_what_was_admitted_before() {
    model(2, || {
        let log = log(1);
        assert_eq!(claim(&log, &[5]), [5]);
        let early = claim_elsewhere(&log, &[6, 6]);
        set(&log, 2);
        let late = claim(&log, &[6, 6]).len();
        assert_eq!(early.join().unwrap().len() + late, 1);
        assert_eq!((burst(&log, 14), burst(&log, 15), burst(&log, 16)), (0, 1, 1));
    });
}

/// Two threads find the closed ring and copy its cells in chunks. If each finds a chunk that the other has
/// not finished, both copy it. Caught: `Chunks::share` without the second round.
#[test]
fn model_two_who_copy_the_same_cells() {
    model(bound(1, 2), || {
        let log = log(2);
        assert_eq!(claim(&log, &[5, 6]), [5, 6]);
        let early = claim_elsewhere(&log, &[7, 7]);
        set(&log, 3);
        let late = claim(&log, &[7]).len();
        assert_eq!(early.join().unwrap().len() + late, 1);
        assert_eq!((burst(&log, 14), burst(&log, 15), burst(&log, 16)), (0, 1, 1));
    });
}

/// Caught: `link` replaces a successor instead of comparing; the change of the thread that loses is
/// dropped.
#[test]
fn model_two_who_let_it_grow() {
    model(2, || {
        let log = log(1);
        let other = set_elsewhere(&log, 2);
        set(&log, 3);
        other.join().unwrap();
        let limit = log.rule(0).unwrap().0;
        assert!(limit == 2 || limit == 3);
        assert_eq!(burst(&log, 5), limit as usize);
    });
}

/// A thread lowers the limit, possibly in the log that is being replaced. Caught: `is_linked` only loads.
#[test]
fn model_a_change_while_it_grows() {
    model(3, || {
        let layout = Layout { capacity: 2, ..Layout::of(2, 4, 1) };
        let rules = [2, 2].map(|limit| (limit, Duration::from_nanos(WINDOW)));
        let log = Arc::new(Log::with_layout(&rules, Duration::ZERO, layout));
        let other = set_elsewhere(&log, 3);
        log.set(1, 1, Duration::from_nanos(WINDOW)).unwrap();
        assert_eq!(log.rule(1).unwrap().0, 1);
        other.join().unwrap();
        assert_eq!((log.rule(0).unwrap().0, log.rule(1).unwrap().0), (3, 1));
        assert_eq!(burst(&log, 5), 1);
    });
}

/// A log with shared cells is replaced. Only the unused room of a begun cell is lost. Caught: `close`
/// leaves the newest cell its room.
#[test]
fn model_growing_out_of_shared_cells() {
    model(2, || {
        let log = log(5);
        let claimer = claim_elsewhere(&log, &[4, 12]);
        set(&log, 9);
        let mut stamps = claimer.join().unwrap();
        stamps.extend(claim(&log, &[12; 10]));
        assert!((7..=9).contains(&stamps.len()), "{stamps:?}");
        stamps.extend(claim(&log, &[16; 10]));
        assert_exact(&stamps, 9);
    });
}

// ---- cells that are too coarse ---------------------------------------------------------------------

/// Made for sixteen, with two admissions a cell, and lowered: the next stamp makes finer cells due.
fn coarse(limit: u32) -> Arc<Log> {
    let layout = Layout { capacity: 16, ..Layout::of(1, 8, 1) };
    let rule = (16, Duration::from_nanos(WINDOW));
    let log = Arc::new(Log::with_layout(&[rule], Duration::ZERO, layout));
    set(&log, limit);
    log
}

/// Each thread that finds the ring closed makes a successor. One of them is linked, with all stamps.
/// Caught: the newest cell counts as a whole cell; a close that is settled before the newest cell has
/// another word.
#[test]
fn model_coarse_cells_are_left_by_two() {
    model(1, || {
        let log = coarse(3);
        assert_eq!(claim(&log, &[8]), [8]);
        let claimer = claim_elsewhere(&log, &[8]);
        let ours = claim(&log, &[8]).len();
        assert_eq!(claimer.join().unwrap().len() + ours, 2);
        // The newest stamp of a cell that is left with room is half a tick later.
        assert_eq!((log.per_cell(), burst(&log, 19), burst(&log, 20)), (1, 0, 3));
    });
}

/// A thread raises the limit while others make finer cells: either in the coarse cells, from which it is
/// copied, or in the finer ones. Caught: `has_successor` does not check whether the ring is closed;
/// `is_linked` with Release only; `promote_successor` does not read again which shards are current.
#[test]
fn model_a_limit_is_raised_while_coarse_cells_are_left() {
    model(1, || {
        let log = coarse(2);
        assert_eq!(claim(&log, &[8]), [8]);
        let setter = set_elsewhere(&log, 5);
        let ours = claim(&log, &[8]).len();
        setter.join().unwrap();
        assert_eq!((ours, log.rule(0).unwrap().0), (1, 5));
        // Coarse cells may hold back one.
        let rest = burst(&log, 8);
        assert!(rest == 3 || rest == 2 && log.per_cell() == 2, "{rest} of 3");
        assert_eq!(burst(&log, 17), 0);
        assert!(burst(&log, 20) >= 4);
    });
}

/// Shards that need a pin, with a limit of two, of which one is used.
fn counted() -> Arc<Log> {
    let log = coarse(2);
    assert_eq!(claim(&log, &[4]), [4]);
    assert!(log.peek(|| 4, &|| 4).is_ok() && log.per_cell() == 1, "not in finer cells yet");
    log
}

/// A thread replaces the shards by larger ones while another reads them or has a reservation in them.
/// Caught: a pin that ends with the check; the count of pins Relaxed; no pin in `promote_successor`.
#[test]
fn model_shards_are_left_under_the_hands_of_others() {
    model(2, || {
        let log = counted();
        let there = Arc::clone(&log);
        let claimer = thread::spawn(move || {
            let reservation = there.peek(|| 15, &|| 15).ok().unwrap();
            reservation.take().is_some() || there.try_acquire(15).is_ok()
        });
        set(&log, 3);
        assert!(claimer.join().unwrap());
        // The stamp of 4 has left the window at 16, and that of 15 at 25.
        assert_eq!((burst(&log, 16), burst(&log, 24), burst(&log, 25)), (2, 0, 1));
    });
}

/// Two changes: the second replaces the shards that the first has linked. Caught: `push` drops the list.
#[test]
fn model_shards_are_left_twice_under_the_hands_of_others() {
    model(1, || {
        let log = counted();
        let there = Arc::clone(&log);
        let setter = thread::spawn(move || {
            set(&there, 3);
            set(&there, 7);
        });
        assert_eq!(claim(&log, &[15]).len(), 1);
        setter.join().unwrap();
        assert_eq!((burst(&log, 16), burst(&log, 24), burst(&log, 25)), (6, 0, 1));
    });
}

/// Shards that are retired while a reader has a pin are freed by a later caller, or else by the log's drop.
/// Caught: `unpin` forgets what it cannot free.
#[test]
fn model_what_is_left_is_freed_once() {
    model(2, || {
        let log = counted();
        let setter = set_elsewhere(&log, 3);
        set(&log, 4);
        setter.join().unwrap();
        assert!([3, 4].contains(&log.rule(0).unwrap().0));
        assert!(log.remaining(5) >= 1);
    });
}

/// A reset forgets all earlier admissions. Later ones count. Caught: a fresh successor gets stamps; `reset`
/// does not check for what the successor was made.
#[test]
fn model_a_reset_against_claims_and_a_change() {
    model(1, || {
        let log = log(2);
        assert_eq!(claim(&log, &[5, 5]).len(), 2);
        let setter = set_elsewhere(&log, 3);
        log.reset();
        let ours = burst(&log, 6);
        setter.join().unwrap();
        assert_eq!((ours + burst(&log, 6), log.rule(0).unwrap().0), (3, 3));
        assert_eq!((burst(&log, 15), burst(&log, 16)), (0, 3));
    });
}

/// Two rings: a claim during the reset is either forgotten or counted. Caught: a reset that leaves a ring
/// open.
#[test]
fn model_a_reset_of_two_rings_against_a_claim() {
    model(2, || {
        let log = split(2, 1);
        assert_eq!(claim(&log, &[5]).len(), 1);
        let claimer = claim_elsewhere(&log, &[6]);
        log.reset();
        assert_eq!(claimer.join().unwrap().len(), 1);
        let late = burst(&log, 6);
        assert!(late == 1 || late == 2, "{late}");
        assert_eq!(burst(&log, 15), 0);
    });
}

/// If the log grows while a thread notices a jump, another thread may have to notice it again. Caught:
/// `migrate_to` always lifts the stamps; a successor copies an offset that is not set yet as zero.
#[test]
fn model_a_jump_while_it_grows() {
    model(1, || {
        let log = log(1);
        assert_eq!(claim(&log, &[100]), [100]);
        let (before, there) = (log.time_base(), Arc::clone(&log));
        let jump = thread::spawn(move || there.restart_time(before));
        set(&log, 2);
        let early = burst(&log, 0);
        jump.join().unwrap();
        assert_eq!(early + burst(&log, 0), 1);
        if log.time_base() == before {
            log.restart_time(before);
        }
        assert_eq!([0, 9, 10].map(|now| burst(&log, now)), [0, 0, 2]);
    });
}

// ---- snapshots -----------------------------------------------------------------------------------

/// What a snapshot has: ages, and how many admissions have them.
fn told(log: &Log, now: u64) -> Vec<(u64, u64)> {
    log.entries(&|| now).iter().map(|entry| (entry.age, entry.amount)).collect()
}

/// Caught: `Ring::stamps` without the first cell.
#[test]
fn model_a_snapshot_has_all_that_was_over_before_it() {
    model(3, || {
        let log = log(2);
        assert_eq!(claim(&log, &[5, 5]), [5, 5]);
        let (there, are_over) = (Arc::clone(&log), Arc::new(AtomicU32::new(0)));
        let over = Arc::clone(&are_over);
        let other = thread::spawn(move || {
            // ORDERING: Acquire pairs with the Release below.
            let are_over = over.load(Ordering::Acquire);
            let told = told(&there, 15);
            let of_age = |age| told.iter().filter(move |(at, _)| *at == age);
            let amount = |age| of_age(age).map(|(_, amount)| amount).sum::<u64>();
            (are_over, amount(10), amount(0))
        });
        for now in 0..2 {
            assert_eq!(claim(&log, &[15]), [15]);
            // ORDERING: Release pairs with the Acquire above.
            are_over.store(now + 1, Ordering::Release);
        }
        let (are_over, old, new) = other.join().unwrap();
        // One of the old ones is in the third cell until the second of the new ones replaces it.
        assert!(new <= 2 && (2..=3).contains(&(old + new)), "{old} {new}");
        assert!(new >= are_over.into(), "{new} of {are_over}");
    });
}

/// A larger log replaces the one that is read. Caught: a closed cell taken for a stamp.
#[test]
fn model_a_snapshot_beside_a_change_of_the_log_has_all_that_was_over() {
    models(
        2,
        [0, 1].map(|rings_log2| {
            move || {
                let log = split(2, rings_log2);
                assert_eq!(claim(&log, &[5, 5]), [5, 5]);
                let there = Arc::clone(&log);
                let other = thread::spawn(move || told(&there, 6));
                log.set(0, 3, Duration::from_nanos(WINDOW)).unwrap();
                assert_eq!(claim(&log, &[6, 6]), [6]);
                let beside = other.join().unwrap();
                assert!([vec![(1, 2)], vec![(0, 1), (1, 2)]].contains(&beside), "{beside:?}");
                assert_eq!(told(&log, 7), [(1, 1), (2, 2)]);
            }
        }),
    );
}
