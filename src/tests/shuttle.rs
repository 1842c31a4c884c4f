//! Mixed operations on random and priority-based [schedules](crate::tests::schedules): longer programs than
//! loom can explore, without its weak memory.

mod budgets;
mod claims;
mod debt;
mod leases;
mod tasks;

use crate::raw::window::Layout;
use crate::raw::window::Log;
use crate::sync::thread;
use crate::tests::schedules::{below, check};
use crate::time::ManualClock;
use crate::{Limiter, Rate, Semaphore};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use shuttle::future::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);
const THREADS: u32 = 3;
const STEPS: u32 = 4;

fn on_threads(body: impl Fn() + Send + Sync + 'static) {
    let body = Arc::new(body);
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let body = Arc::clone(&body);
            thread::spawn(move || body())
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls with a waker that the next poll replaces.
async fn with_two_wakers<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut first = true;
    poll_fn(|cx| {
        if std::mem::take(&mut first)
            && let Poll::Ready(output) =
                future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            return Poll::Ready(output);
        }
        future.as_mut().poll(cx)
    })
    .await
}

// ---- the semaphore ---------------------------------------------------------------------------

const PERMITS: usize = 2;

fn any_step(semaphore: &Semaphore) {
    let permits = 1 + below(2);
    match below(6) {
        0 => drop(semaphore.try_acquire_many(permits)),
        1 => drop(poll_once(semaphore.acquire_many(permits))),
        2 => drop(block_on(with_two_wakers(semaphore.acquire_many(permits)))),
        3 => {
            let first = semaphore.acquire();
            let mut second = semaphore.acquire_many(permits);
            drop(poll_once(&mut second));
            drop((first, second));
        }
        _ => drop(block_on(semaphore.acquire_many(permits))),
    }
}

/// Broken by: no wake; a completed front that is not retired; a cancelled waiter that keeps what it had
/// collected.
#[test]
fn shuttle_waits_and_cancellations_lose_no_permit() {
    check(50_000, || {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let shared = Arc::clone(&semaphore);
        on_threads(move || (0..STEPS).for_each(|_| any_step(&shared)));
        assert_eq!(semaphore.available_permits(), PERMITS);
        assert!(semaphore.try_acquire_many(2).is_ok());
    });
}

/// Broken by: `close` completing only the front; a granted waiter keeping its permit.
#[test]
fn shuttle_a_close_in_the_middle_tells_everybody() {
    check(50_000, || {
        let semaphore = Arc::new(Semaphore::new(PERMITS));
        let shared = Arc::clone(&semaphore);
        on_threads(move || {
            for _ in 0..STEPS {
                any_step(&shared);
                if below(6) == 0 {
                    shared.close();
                }
            }
        });
        semaphore.close();
        assert_eq!(semaphore.available_permits(), PERMITS);
        block_on(semaphore.closed());
    });
}

// ---- the window ------------------------------------------------------------------------------

const WINDOW: u64 = 10;

fn log(limit: u32, rings_log2: u32) -> Arc<Log> {
    let layout = Layout { capacity: limit, rings_log2, ..Layout::of(1, 4, 1) };
    let rule = (limit, Duration::from_nanos(WINDOW));
    Arc::new(Log::with_layout(&[rule], Duration::ZERO, layout))
}

/// The stamps that threads with clocks of their own get, in order.
fn claims(log: &Arc<Log>, before_each: fn(&Log)) -> Vec<u64> {
    let claim = |log: Arc<Log>| {
        let mut now = 0;
        let try_acquire = move |_| {
            before_each(&log);
            now += u64::from(below(8));
            log.try_acquire(now).ok()
        };
        thread::spawn(move || (0..6).filter_map(try_acquire).collect::<Vec<_>>())
    };
    let threads: Vec<_> = (0..THREADS).map(|_| claim(Arc::clone(log))).collect();
    let mut stamps: Vec<_> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    stamps.sort_unstable();
    stamps
}

fn assert_exact(stamps: &[u64], limit: usize) {
    for (first, after_all) in stamps.iter().zip(stamps.iter().skip(limit)) {
        assert!(after_all - first >= WINDOW, "more than {limit}: {stamps:?}");
    }
}

fn set(log: &Log, limit: u32) {
    log.set(0, limit, Duration::from_nanos(WINDOW)).unwrap();
}

/// How many calls are admitted at this time, of the limit and one more.
fn burst(log: &Log, now: u64) -> u32 {
    let limit = log.rule(0).unwrap().0;
    (0..=limit).map(|_| u32::from(log.try_acquire(now).is_ok())).sum()
}

/// Threads claim while the limit changes: never more than the largest, four, and in the end all of the last
/// limit.
fn assert_exact_through_changes(log: &Arc<Log>, before_each: fn(&Log)) {
    let stamps = claims(log, before_each);
    assert_exact(&stamps, 4);
    assert_eq!(burst(log, stamps.last().unwrap() + WINDOW), log.rule(0).unwrap().0);
}

/// Broken by: no second look at the newest cell; no clamp; every ring gets the whole limit.
#[test]
fn shuttle_the_window_is_exact_for_clocks_that_disagree() {
    check(50_000, || {
        let (limit, rings_log2) = (1 + below(6), below(2));
        // Shared cells and several rings exclude each other.
        let log = log(limit, if limit > 4 { 0 } else { rings_log2 });
        let stamps = claims(&log, |_| {});
        assert_exact(&stamps, limit as usize);
        // No cell is lost. Shared cells may hold back one, and their window is in whole ticks.
        let window = u64::try_from(log.rule(0).unwrap().1.as_nanos()).unwrap();
        let admitted = burst(&log, stamps.last().unwrap() + window);
        assert!(admitted == limit || limit > 4 && admitted + 1 == limit, "{admitted} of {limit}");
    });
}

/// Broken by: a rule that is not copied; rings that stay open; stamps that are not copied.
#[test]
fn shuttle_a_window_that_changes_and_grows_admits_no_more_than_the_largest_limit() {
    check(50_000, || {
        assert_exact_through_changes(&log(1 + below(2), 0), |log| {
            if below(4) == 0 {
                set(log, 1 + below(4));
            }
        });
    });
}

/// The log grows into shared cells, then into finer ones, and back. Broken by: a successor made for the
/// limit alone; `has_successor` not checking whether a ring is closed.
#[test]
fn shuttle_a_window_that_changes_far_admits_no_more_than_the_largest_limit() {
    const LIMITS: [u32; 4] = [1, 2, 8, 16];
    check(30_000, || {
        let log = log(LIMITS[below(4) as usize], 0);
        let stamps = claims(&log, |log| {
            if below(3) == 0 {
                set(log, LIMITS[below(4) as usize]);
            }
        });
        assert_exact(&stamps, 16);
        // Two windows later, plus the rest of a tick.
        let end = stamps.last().unwrap() + 2 * WINDOW + 8;
        let limit = log.rule(0).unwrap().0;
        let admitted = burst(&log, end);
        let least = limit.saturating_sub(log.per_cell() - 1).max(1);
        assert!((least..=limit).contains(&admitted), "{admitted} of {limit}");
    });
}

/// Two rings redistribute their limit while others claim, and the log grows. Broken by: a change without
/// the touch; a claim that does not read the state again.
#[test]
fn shuttle_a_split_window_that_changes_is_exact() {
    check(30_000, || {
        assert_exact_through_changes(&log(4, 1), |log| {
            if below(3) == 0 {
                set(log, 1 + below(4));
            }
        });
    });
}

// ---- the limiter -----------------------------------------------------------------------------

/// Calls wait, give up and try, while another thread moves the time until all are done. Broken by:
/// `Queued::leave` keeping the turn; a lost wake of the clock's.
#[test]
fn shuttle_every_call_comes_through_both_limits() {
    check(20_000, || {
        let clock = ManualClock::new();
        let builder =
            Limiter::builder().margin(Duration::ZERO).rate(Rate::per_second(1)).max_concurrent(1);
        let limiter = builder.clock(clock.clone()).build();
        let done = Arc::new(AtomicUsize::new(0));
        let callers: Vec<_> = (0..2)
            .map(|_| {
                let (limiter, done) = (limiter.clone(), Arc::clone(&done));
                thread::spawn(move || {
                    drop(poll_once(limiter.acquire()));
                    drop(limiter.try_acquire());
                    drop(block_on(limiter.acquire()).unwrap());
                    done.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        while done.load(Ordering::SeqCst) < callers.len() {
            clock.advance(SECOND);
            thread::yield_now();
        }
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
    });
}

/// While the head leaves, a newcomer finds it in the log or still waiting, but not both. Broken by:
/// `Queued::stamp` counting it as waiting until it has left; `estimate_for_newcomer` without its second
/// look.
#[test]
fn shuttle_a_newcomer_counts_nobody_twice() {
    check(20_000, || {
        let clock = ManualClock::new();
        let limiter = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::per_second(1))
            .clock(clock.clone())
            .build();
        drop(limiter.try_acquire().unwrap());
        let mut head = Box::pin(limiter.acquire());
        assert!(head.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        clock.advance(SECOND);
        let there = limiter.clone();
        let newcomer = thread::spawn(move || {
            for _ in 0..3 {
                // The head's turn is now, and the newcomer's a second later.
                let refused = there.try_acquire().map(drop).unwrap_err();
                assert!(refused.retry_after().unwrap() <= SECOND, "told a turn too many");
            }
        });
        // It may be told by the newcomer, which has counted a turn for it before it is polled.
        drop(block_on(head).unwrap());
        newcomer.join().unwrap();
    });
}
