//! Several threads on a real clock. Their stamps are checked afterwards.

use crate::raw::tokens::{HeldTokens, RawTokens};
use crate::time::{Clock, SystemClock, Timestamp};
use core::time::Duration;
use std::thread;

const THREADS: u64 = 4;
const OPERATIONS: u32 = 100_000;
const LIMIT: u64 = 400;
const WINDOW: Duration = Duration::from_millis(3);

/// When, and how much in the end.
type Stamps = Vec<(Timestamp, u64)>;

fn assert_exact(mut stamps: Stamps) {
    stamps.sort_unstable();
    let (mut first, mut sum) = (0, 0);
    for (stamp, amount) in &stamps {
        sum += amount;
        while stamps[first].0.saturating_add(WINDOW) <= *stamp {
            sum -= stamps[first].1;
            first += 1;
        }
        assert!(sum <= LIMIT, "{sum} in the window that ends at {stamp:?}");
    }
    // A busy machine may leave some windows unused.
    assert!(stamps.len() > 2000, "{} admissions show nothing", stamps.len());
}

fn on_all_threads(work: impl Fn(u64) -> Stamps + Sync) -> Stamps {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..THREADS).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn next(random: &mut u64) -> u64 {
    *random =
        random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

/// Broken by: no look at the sum before a block (`sum_before` returns the head's); `open` after the weight; `count` without
/// `leave`.
#[test]
fn four_threads_on_a_real_clock_admit_no_more_than_the_limit() {
    let clock = SystemClock::new();
    let tokens = RawTokens::new(LIMIT, WINDOW);
    let stamps = on_all_threads(|thread| {
        let (mut random, mut stamps) = (thread, Vec::new());
        let mut open = None;
        for _ in 0..OPERATIONS {
            let now = clock.now();
            if next(&mut random).is_multiple_of(64) {
                // Descheduled between the reading and the claim.
                thread::yield_now();
            }
            if let Ok(admission) = tokens.try_admit(now, 1 + next(&mut random) % 8) {
                stamps.push((admission.stamp(), admission.weight()));
                open = Some((stamps.len() - 1, admission));
            }
            if next(&mut random).is_multiple_of(4)
                && let Some((index, admission)) = open.take()
            {
                let actual = next(&mut random) % (admission.weight() + 1);
                tokens.settle(clock.now(), admission, actual);
                stamps[index].1 = actual;
            }
        }
        stamps
    });
    assert_exact(stamps);
}

/// Broken by: a settlement that leaves `held` first; a reservation that reads the wheel first; no version.
#[test]
fn four_threads_on_a_real_clock_hold_no_more_than_the_limit() {
    let clock = SystemClock::new();
    let tokens = HeldTokens::new(LIMIT, WINDOW);
    let stamps = on_all_threads(|thread| {
        let (mut random, mut stamps) = (thread, Vec::new());
        let mut open = Vec::new();
        for _ in 0..OPERATIONS {
            let now = clock.now();
            if next(&mut random).is_multiple_of(64) {
                thread::yield_now();
            }
            open.extend(tokens.reserve(now, 1 + next(&mut random) % 8));
            if next(&mut random).is_multiple_of(2)
                && let Some(reservation) = open.pop()
            {
                let actual = next(&mut random) % (reservation.weight() + 1);
                stamps.push((tokens.settle_held(clock.now(), reservation, actual), actual));
            }
        }
        stamps
    });
    assert_exact(stamps);
}
