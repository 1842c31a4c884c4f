//! No call's work grows with what came before it. The tests count the atomic steps of single calls.

use super::harness::poll_once;
use crate::sync::freeze::steps;
use crate::time::ManualClock;
use crate::{AcquireOwned, Limiter, Rate, Semaphore};
use core::time::Duration;
use std::pin::{Pin, pin};
use std::sync::Arc;

/// The number of waiters in line.
const LINE: usize = 20_000;
/// The most steps that a call may take: one step of the sweep, and some to spare.
const MOST: u64 = 4_000;

type Waiting = Pin<Box<AcquireOwned>>;

fn wait(semaphore: &Arc<Semaphore>) -> Waiting {
    let mut waiting = Box::pin(Arc::clone(semaphore).acquire_owned());
    assert!(poll_once(waiting.as_mut()).is_pending());
    waiting
}

/// The most steps any of these calls takes.
fn most<T>(calls: impl IntoIterator<Item = T>, call: impl Fn(T)) -> u64 {
    calls.into_iter().map(|one| steps(|| call(one)).0).max().unwrap_or(0)
}

fn shuffle<T>(items: &mut [T]) {
    let mut seed = 7_usize;
    for i in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        items.swap(i, (seed >> 33) % (i + 1));
    }
}

/// Caught: chunks of doubling size (one call allocates their nodes: not counted in steps, but see
/// `tests/semaphore/faults.rs`); a walk from the front when the last waiter has left.
#[test]
fn freeze_joining_a_long_line_is_no_more_work() {
    let semaphore = Arc::new(Semaphore::new(0));
    let mut line = Vec::new();
    for _ in 0..LINE {
        let (taken, waiting) = steps(|| wait(&semaphore));
        assert!(taken < 200, "{taken} steps with {} in line", line.len());
        line.push(waiting);
        // The last waiter leaves, and another joins.
        let (taken, ()) = steps(|| drop(wait(&semaphore)));
        assert!(taken < 200, "{taken} steps with {} in line", line.len());
    }
}

/// Caught: cancelled waiters left for a sweep of the whole line.
#[test]
fn freeze_leaving_a_long_line_is_no_more_work() {
    type Order = fn(&mut Vec<Waiting>);
    let orders: [Order; 3] = [|_| (), |line| line.reverse(), |line| shuffle(line)];
    for order in orders {
        let semaphore = Arc::new(Semaphore::new(0));
        let front = wait(&semaphore);
        let mut fickle: Vec<_> = (0..LINE).map(|_| wait(&semaphore)).collect();
        let last = wait(&semaphore);
        order(&mut fickle);
        let taken = most(fickle, drop);
        assert!(taken < MOST, "{taken} steps to leave");
        // All that have left are unlinked.
        let taken = most([2], |permits| semaphore.add_permits(permits));
        assert!(taken < MOST, "{taken} steps to release");
        for mut waiting in [front, last] {
            assert!(poll_once(waiting.as_mut()).is_ready());
        }
        assert_eq!(semaphore.available_permits(), 2);
    }
}

/// Caught: a release that passes all waiters that have left behind the front.
#[test]
fn freeze_a_release_behind_many_who_left_is_no_more_work() {
    let semaphore = Arc::new(Semaphore::new(0));
    let front = wait(&semaphore);
    let fickle: Vec<_> = (0..LINE).map(|_| wait(&semaphore)).collect();
    let mut last = wait(&semaphore);
    drop(fickle);
    let taken = most([front], drop);
    assert!(taken < MOST, "{taken} steps to leave the front");
    let taken = most([1], |permits| semaphore.add_permits(permits));
    assert!(taken < MOST, "{taken} steps to release");
    assert!(poll_once(last.as_mut()).is_ready());
}

/// No node knows its predecessor, so all are left for the sweep. It goes on in steps and leaves few.
/// Caught: no sweep; a sweep of the whole line; a sweep that waits for a part of a long line.
#[test]
fn freeze_a_sweep_is_no_more_work_in_a_long_line() {
    let semaphore = Arc::new(Semaphore::new(0));
    let line: Vec<_> = (0..LINE).map(|_| wait(&semaphore)).collect();
    line.iter().for_each(|waiting| semaphore.lose_neighbour(waiting));
    let (stay, mut leave): (Vec<_>, Vec<_>) =
        line.into_iter().enumerate().partition(|(place, _)| place % 2 == 0);
    shuffle(&mut leave);
    let taken = most(leave, drop);
    assert!(taken < MOST, "{taken} steps to leave");
    let left_over = semaphore.nodes_in_use() as usize - stay.len();
    assert!(left_over < 4_500, "{left_over} are still in line");
}

/// Caught: a call that handles each change by itself, one after the other.
#[test]
fn freeze_many_changes_of_a_rate_are_no_more_work() {
    let builder =
        Limiter::builder().margin(Duration::ZERO).rate(Rate::per_minute(60)).max_concurrent(1);
    let limiter = builder.clock(ManualClock::new()).build();
    let held = limiter.try_acquire().unwrap();
    let mut waiting = pin!(limiter.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    for _ in 0..LINE {
        limiter.set_rate(Rate::per_minute(90)).unwrap();
    }
    let (taken, waits) = steps(|| poll_once(waiting.as_mut()).is_pending());
    assert!(waits && taken < 500, "{taken} steps");
    drop(held);
}
