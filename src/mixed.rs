//! Everything mixed, on random and on priority-based schedules (PCT, Burckhardt and others 2010):
//! longer programs than loom can go through, without its weak memory.
//!
//! A failure prints its schedule; `shuttle::replay` plays it again.

use crate::sync::{number_threads_anew, thread};
use crate::time::ManualClock;
use crate::window::log::{Layout, Log};
use crate::{Limiter, Semaphore};
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SECOND: Duration = Duration::from_secs(1);
const THREADS: u32 = 3;
const STEPS: u32 = 4;

/// On so many schedules of each kind.
fn check(schedules: usize, program: impl Fn() + Send + Sync + 'static) {
    let program = Arc::new(program);
    let again = Arc::clone(&program);
    let anew = |program: &dyn Fn()| {
        number_threads_anew();
        program();
    };
    shuttle::check_random(move || anew(&*program), schedules);
    shuttle::check_pct(move || anew(&*again), schedules, 3);
    println!("{} schedules", 2 * schedules);
}

fn below(end: u32) -> u32 {
    thread_rng().gen_range(0..end)
}

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

/// Polls with a waker that is then replaced.
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

/// Broken by: leaving out any one of: the wake, the retiring of a concluded front, the permits a
/// cancelled waiter had collected.
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

/// Broken by: `close` concluding the front alone; a granted waiter keeping its permit.
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

/// Broken by: no second look at the newest cell; no clamp.
#[test]
fn shuttle_the_window_is_exact_for_clocks_that_disagree() {
    const WINDOW: u64 = 10;
    check(50_000, || {
        let limit = 1 + below(6);
        let ring = Arc::new(Ring::new(limit, Duration::from_nanos(WINDOW)));
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let ring = Arc::clone(&ring);
                thread::spawn(move || {
                    let mut now = 0;
                    let step = |_| {
                        now += u64::from(below(8));
                        ring.try_acquire(now).ok()
                    };
                    (0..6).filter_map(step).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut stamps: Vec<_> =
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        stamps.sort_unstable();
        let limit = limit as usize;
        for (first, after_all) in stamps.iter().zip(stamps.iter().skip(limit)) {
            assert!(after_all - first >= WINDOW, "more than {limit}: {stamps:?}");
        }
        // And no place is lost; shared cells may hold one back.
        let end = stamps.last().unwrap() + WINDOW;
        let admitted = (0..=limit).filter(|_| ring.try_acquire(end).is_ok()).count();
        assert!(admitted == limit || limit > 4 && admitted + 1 == limit, "{admitted} of {limit}");
    });
}

// ---- the limiter -----------------------------------------------------------------------------

/// Calls that wait, give up and try, while another thread moves the time until all are through.
/// Broken by: `line_up` returning without its turn given up; a lost wake of the clock's.
#[test]
fn shuttle_every_call_comes_through_both_limits() {
    check(20_000, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().rate(1, SECOND).max_concurrent(1);
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
        assert_eq!((limiter.available_permits(), limiter.waiting()), (1, 0));
    });
}
