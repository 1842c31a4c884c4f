//! Faults that reviewers found with tokio's scheduler: tasks that starve others, threads that must not block.
//! Each is the test that failed.

#![cfg(feature = "tokio")]

use futures_util::FutureExt;
use ringgate::{Limiter, Rate, Semaphore, SlidingWindow};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

// ---- a task that never has to wait ---------------------------------------------------------------

/// True if another task runs beside one that repeats this.
fn lets_others_run<F: Future + Send>(again: impl Fn() -> F + Send + 'static) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let others = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&others);
        let greedy = tokio::spawn(async move {
            for _ in 0..10_000 {
                drop(again().await);
                if seen.load(SeqCst) {
                    return true;
                }
            }
            false
        });
        let other = tokio::spawn(async move { others.store(true, SeqCst) });
        let (greedy, other) = tokio::join!(greedy, other);
        other.unwrap();
        greedy.unwrap()
    })
}

/// `timeout(100 ms, async { loop { drop(s.acquire().await) } })` never ended. Broken by: no unit of the
/// budget for each answer (in `poll_cooperatively` or in `Admission::poll`).
#[test]
fn a_task_that_is_always_served_at_once_starved_the_others() {
    let semaphore = Arc::new(Semaphore::new(1));
    let of_many = Arc::clone(&semaphore);
    assert!(lets_others_run(move || Arc::clone(&semaphore).acquire_owned()));
    assert!(lets_others_run(move || {
        let semaphore = Arc::clone(&of_many);
        async move { semaphore.acquire_many(1).await.map(drop) }
    }));
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(1_000_000))
        .max_concurrent(1)
        .build();
    let borrowed = limiter.clone();
    assert!(lets_others_run(move || limiter.acquire_owned()));
    assert!(lets_others_run(move || {
        let limiter = borrowed.clone();
        async move { limiter.acquire().await.map(drop) }
    }));
    let window = Arc::new(SlidingWindow::new(Rate::per_minute(1_000_000)));
    assert!(lets_others_run(move || Arc::clone(&window).acquire_owned()));
}

/// `while l.acquire_timeout(200 ms).await.is_err() {}` kept the thread. Broken by: a budget that only
/// admissions spend.
#[test]
fn a_task_that_is_always_refused_at_once_starved_the_others() {
    let limiter =
        Limiter::builder().margin(Duration::ZERO).rate(Rate::per_hour(1)).max_concurrent(1).build();
    drop(limiter.try_acquire());
    assert!(lets_others_run(move || limiter.acquire_timeout_owned(Duration::from_millis(200))));
    let closed = Arc::new(Semaphore::new(1));
    closed.close();
    assert!(lets_others_run(move || Arc::clone(&closed).acquire_owned()));
    let closed =
        Limiter::builder().margin(Duration::ZERO).rate(Rate::per_hour(1)).max_concurrent(1).build();
    closed.close();
    assert!(lets_others_run(move || closed.acquire_owned()));
}

/// A task takes its place in line even if its budget is spent. Broken by: a look at the budget
/// before the place is taken.
#[test]
fn a_spent_budget_costs_no_place_in_line() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let slots = Arc::new(Semaphore::new(1));
        let limiter = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::per_minute(1_000))
            .semaphore(Arc::clone(&slots))
            .build();
        let semaphore = Semaphore::new(1);
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        let (mut first, mut second) = (pin!(limiter.acquire()), pin!(limiter.acquire()));
        let mut permit = pin!(semaphore.acquire());
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        assert!(permit.as_mut().now_or_never().is_none());
        assert_eq!((first.position(), second.position()), (Some(0), Some(1)));
        assert!(limiter.try_acquire().is_err(), "a newcomer went first");
        assert_eq!(semaphore.available_permits(), 0, "decided by the first poll");
        tokio::task::yield_now().await;
        let first = first.now_or_never().unwrap().unwrap();
        assert!(permit.now_or_never().unwrap().is_ok());
        assert!(second.as_mut().now_or_never().is_none());
        drop(first);
        assert!(second.now_or_never().unwrap().is_ok());
    });
}

/// No call was in line, and both limits were open. Broken by: a place that is taken before the call must
/// wait.
#[test]
fn a_spent_budget_is_no_reason_to_find_the_line_full() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let limiter = Limiter::builder().max_concurrent(1).max_waiters(0).build();
        for _ in 0..1_000 {
            drop(limiter.acquire().await.unwrap());
        }
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        let (mut first, mut second) = (pin!(limiter.acquire()), pin!(limiter.acquire()));
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        tokio::task::yield_now().await;
        let permit = first.now_or_never().unwrap().unwrap();
        let refused = second.now_or_never().unwrap().unwrap_err();
        assert_eq!(refused.limit(), ringgate::Limit::Queue);
        drop(permit);
    });
}

/// A grant that a spent budget delays is not lost. Broken by: no release of a grant that was not reported.
#[test]
fn a_permit_that_a_spent_budget_kept_from_being_told_is_given_back() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let semaphore = Semaphore::new(3);
        while tokio::task::coop::has_budget_remaining() {
            tokio::task::coop::consume_budget().await;
        }
        {
            let mut permits = pin!(semaphore.acquire_many(2));
            assert!(permits.as_mut().now_or_never().is_none());
            assert_eq!(semaphore.available_permits(), 1);
        }
        assert_eq!(semaphore.available_permits(), 3);
    });
}

// ---- a thread that blocks -------------------------------------------------------------------------

/// It panics as tokio's does: it would block a worker that other tasks need.
#[test]
fn a_task_must_not_block_and_a_blocking_thread_may() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let limiter = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::per_minute(60))
            .max_concurrent(4)
            .build();
        let semaphore = Semaphore::new(1);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(limiter.blocking_acquire()))).is_err());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(semaphore.blocking_acquire()))).is_err());
        assert_eq!(semaphore.available_permits(), 1);
        let there = limiter.clone();
        let blocking = tokio::task::spawn_blocking(move || there.blocking_acquire().map(drop));
        assert!(blocking.await.unwrap().is_ok());
    });
}

// ---- paused time -----------------------------------------------------------------------------------

/// "retry in 5999.99 s", of a window of a minute.
/// Broken by: `notice_jump` left out of `with_fresh_clock`.
#[test]
fn a_limiter_that_had_been_used_under_paused_time_refused_for_as_long_as_that_ran() {
    let runtime = |paused| {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(paused).build().unwrap()
    };
    let limiter = Limiter::builder().margin(Duration::ZERO).rate(Rate::per_minute(2)).build();
    runtime(true).block_on(async {
        tokio::time::advance(100 * MINUTE).await;
        drop((limiter.acquire().await.unwrap(), limiter.acquire().await.unwrap()));
    });
    runtime(false).block_on(async {
        let refused = limiter.try_acquire().unwrap_err();
        assert!(refused.retry_after().unwrap() <= MINUTE, "{refused}");
    });
}
