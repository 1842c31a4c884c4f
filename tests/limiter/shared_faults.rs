//! Faults that were found in limiters whose calls share a semaphore, and that must not come back.
#![cfg(feature = "tokio")]
#![expect(clippy::disallowed_methods, reason = "goes by tokio's paused time")]

use crate::common::{Calls, Wakes, poll_once, poll_with};
use crate::line::{leak, queued, sharing};
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{Limiter, LimiterAcquire, Rate, Semaphore};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Takes its permit, and is polled so long after it was woken.
async fn polled_late(limiter: &Limiter, late: Duration) {
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut call = Box::pin(limiter.acquire());
    let permit = loop {
        let before = wakes.count();
        if let Poll::Ready(permit) = poll_with(call.as_mut(), &waker) {
            break permit.unwrap();
        }
        while wakes.count() == before {
            sleep(ms(1)).await;
        }
        sleep(late).await;
    };
    sleep(ms(10)).await;
    drop(permit);
}

/// So many tasks whose calls are polled 90 ms after their grant, without end.
fn slow_neighbours(semaphore: &Arc<Semaphore>, tasks: u32) {
    let limiter = sharing(semaphore);
    for _ in 0..tasks {
        let limiter = limiter.clone();
        tokio::spawn(async move {
            loop {
                polled_late(&limiter, ms(90)).await;
            }
        });
    }
}

/// Broken by: a slot made of two, one of which is dropped.
#[test]
fn a_slot_of_the_limiter_was_freed_when_the_shared_permit_came() {
    let semaphore = Arc::new(Semaphore::new(4));
    let limiter = Limiter::builder().max_concurrent(1).semaphore(semaphore).build();
    let held = limiter.try_acquire().unwrap();
    let mut call = queued(&limiter);
    drop(held);
    let Poll::Ready(Ok(_held)) = poll_once(call.as_mut()) else { panic!("it goes") };
    assert!(limiter.try_acquire().is_err());
}

/// Broken by: `claim_lapsed` without a look at the close, or at the debt.
#[tokio::test(start_paused = true)]
async fn a_permit_that_was_closed_or_removed_went_on_from_a_silent_call() {
    for (is_bounded, closes) in [(false, true), (false, false), (true, false)] {
        let permits = if is_bounded { Semaphore::with_max_permits } else { Semaphore::new };
        let semaphore = Arc::new(permits(1));
        let limiter = sharing(&semaphore);
        let held = semaphore.acquire().await.unwrap();
        leak(limiter.acquire_owned());
        drop(held);
        assert!(limiter.try_acquire().is_err());
        if closes {
            semaphore.close();
        } else {
            semaphore.reduce_permits(1);
        }
        for _ in 0..5 {
            sleep(s(1)).await;
            assert!(limiter.try_acquire().is_err(), "{is_bounded} {closes}");
        }
        assert_eq!(semaphore.permits_owed(), 0);
    }
}

/// A limiter with a short grace took the permits of one with a long grace, each time.
/// Broken by: a look by the looker's own grace.
#[tokio::test(start_paused = true)]
async fn a_limiter_with_a_long_grace_starved_beside_one_with_a_short_grace() {
    let semaphore = Arc::new(Semaphore::new(1));
    let with_grace =
        |grace| Limiter::builder().semaphore(Arc::clone(&semaphore)).grace(grace).build();
    let (patient, hasty) = (with_grace(s(3600)), with_grace(ms(1)));
    for _ in 0..4 {
        let hasty = hasty.clone();
        tokio::spawn(async move {
            loop {
                let _permit = hasty.acquire().await.unwrap();
                sleep(ms(20)).await;
            }
        });
    }
    tokio::task::yield_now().await;
    let start = Instant::now();
    polled_late(&patient, s(5)).await;
    assert!(start.elapsed() < s(6), "{:?}", start.elapsed());
}

/// Broken by: a sign of silence that is none (permits that are granted and not claimed at this moment).
#[tokio::test(start_paused = true)]
async fn beside_slow_neighbours_all_calls_came_to_stand() {
    let semaphore = Arc::new(Semaphore::new(1));
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(5, s(60)));
    let limiter = builder.semaphore(Arc::clone(&semaphore)).build();
    slow_neighbours(&semaphore, 20);
    sleep(ms(500)).await;
    for _ in 0..100 {
        let limiter = limiter.clone();
        tokio::spawn(async move { drop(limiter.acquire().await.unwrap()) });
    }
    for _ in 0..600 {
        sleep(ms(100)).await;
        assert!(semaphore.waiters() <= 27, "{}", semaphore.waiters());
    }
}

/// Broken by: as above.
#[tokio::test(start_paused = true)]
async fn beside_slow_neighbours_calls_went_out_of_order() {
    let semaphore = Arc::new(Semaphore::new(2));
    let limiter = Limiter::builder().max_concurrent(1).semaphore(Arc::clone(&semaphore)).build();
    slow_neighbours(&semaphore, 10);
    sleep(ms(500)).await;
    let (went, mut order) = mpsc::unbounded_channel();
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let (limiter, went) = (limiter.clone(), went.clone());
            tokio::spawn(async move {
                let _permit = limiter.acquire().await.unwrap();
                went.send(n).unwrap();
                sleep(ms(150)).await;
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    let went: Vec<_> = std::iter::from_fn(|| order.try_recv().ok()).collect();
    assert!(went.len() == 40 && went.is_sorted(), "{went:?}");
}

/// Broken by: a lapsed permit that its finder keeps although others came before.
#[tokio::test(start_paused = true)]
async fn a_newcomer_took_the_permit_of_a_silent_call_before_others_in_line() {
    for tries in [false, true] {
        let semaphore = Arc::new(Semaphore::new(1));
        let limiter = sharing(&semaphore);
        let held = Arc::clone(&semaphore).acquire_owned().await.unwrap();
        leak(limiter.acquire_owned());
        let first = tokio::spawn(Arc::clone(&semaphore).acquire_owned());
        sleep(ms(1)).await;
        drop(held);
        let mut other = Box::pin(limiter.acquire());
        let is_admitted = |other: &mut Pin<Box<LimiterAcquire<'_>>>| {
            if tries { limiter.try_acquire().is_ok() } else { poll_once(other.as_mut()).is_ready() }
        };
        while !first.is_finished() && !is_admitted(&mut other) {
            sleep(ms(10)).await;
        }
        assert!(first.is_finished(), "tries: {tries}");
    }
}

/// Broken by: a call that stands and does not look at the rate.
#[test]
fn a_rate_of_zero_was_not_heard_by_calls_that_stand() {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::new(10, s(60))).clock(clock.clone());
    let limiter = builder.semaphore(Arc::new(Semaphore::new(0))).build();
    let mut call = queued(&limiter);
    limiter.set_rate(Rate::new(0, s(60))).unwrap();
    for _ in 0..8 {
        clock.advance(ms(125));
        if let Poll::Ready(refused) = poll_once(call.as_mut()) {
            assert!(refused.unwrap_err().is_permanent());
            return;
        }
    }
    panic!("not within the grace");
}

/// Broken by: a time since the last look that is taken for a long one.
#[test]
fn after_the_clock_stepped_back_a_new_grant_was_taken_for_an_old_one() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    clock.advance(s(1000));
    let builder = Limiter::builder().clock(clock.clone());
    let limiter = builder.semaphore(Arc::clone(&semaphore)).build();
    let held = limiter.try_acquire().unwrap();
    let mut call = queued(&limiter);
    drop(held);
    assert!(limiter.try_acquire().is_err());
    clock.set(Timestamp::from_nanos(999_800_000_000));
    assert!(limiter.try_acquire().is_err());
    assert!(poll_once(call.as_mut()).is_ready());
}

/// Broken by: estimates that count a call which stood, and whose permit has gone on.
#[tokio::test(start_paused = true)]
async fn a_silent_call_that_had_stood_counted_in_estimates_for_ever() {
    let semaphore = Arc::new(Semaphore::new(1));
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, s(60)));
    let limiter = builder.semaphore(Arc::clone(&semaphore)).build();
    let held = Arc::clone(&semaphore).acquire_owned().await.unwrap();
    leak(limiter.acquire_owned());
    drop(held);
    drop(limiter.acquire().await.unwrap());
    for _ in 0..5 {
        sleep(s(30)).await;
        drop(limiter.acquire_timeout(s(45)).await.expect("the rate is free in 30 s"));
    }
}

/// Broken by: far stands that count for sixteen times as long as near ones.
#[tokio::test(start_paused = true)]
async fn silent_calls_that_stood_far_behind_kept_room_for_many_graces() {
    let semaphore = Arc::new(Semaphore::new(4));
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(100, s(3600)));
    let limiter = builder.semaphore(Arc::clone(&semaphore)).build();
    let held = Arc::clone(&semaphore).acquire_many_owned(4).await.unwrap();
    let acquire = || {
        let limiter = limiter.clone();
        tokio::spawn(async move { drop(limiter.acquire().await.unwrap()) })
    };
    let busy: Vec<_> = (0..64).map(|_| acquire()).collect();
    sleep(ms(1)).await;
    for _ in 0..36 {
        leak(limiter.acquire_owned());
    }
    drop(held);
    for call in busy {
        call.await.unwrap();
    }
    let start = Instant::now();
    acquire().await.unwrap();
    assert!(start.elapsed() <= ms(1500), "{:?}", start.elapsed());
}

/// Broken by: a look that begins anew after each permit that it gives on.
#[tokio::test(start_paused = true)]
async fn permits_of_several_silent_calls_went_on_one_after_the_other() {
    for permits in [1, 10, 50] {
        let semaphore = Arc::new(Semaphore::new(permits));
        let limiter = sharing(&semaphore);
        let held: Vec<_> = (0..permits).map(|_| semaphore.try_acquire().unwrap()).collect();
        for _ in 0..permits {
            leak(limiter.acquire_owned());
        }
        let calls: Vec<_> = (0..permits)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(
                    async move { std::mem::forget(limiter.acquire_owned().await.unwrap()) },
                )
            })
            .collect();
        tokio::task::yield_now().await;
        drop(held);
        let start = Instant::now();
        for call in calls {
            call.await.unwrap();
        }
        assert!(start.elapsed() <= s(1), "{permits}: {:?}", start.elapsed());
    }
}

/// Broken by: a claim that stays pending after it has ended.
#[test]
fn a_call_hung_after_the_waker_of_another_had_panicked_as_it_gave_its_permit_back() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(2, s(60)));
    let limiter = builder.clock(clock.clone()).semaphore(Arc::clone(&semaphore)).build();
    drop(limiter.try_acquire().unwrap());
    let held = semaphore.try_acquire().unwrap();
    let mut call = queued(&limiter);
    let mut direct = Box::pin(semaphore.acquire());
    let evil = Calls::waker(|| panic!("a waker's own"));
    assert!(poll_with(direct.as_mut(), &evil).is_pending());
    limiter.set_rate(Rate::new(1, s(60))).unwrap();
    drop(held);
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(call.as_mut()))).is_err());
    let Poll::Ready(Ok(permit)) = poll_once(direct.as_mut()) else { panic!("it was granted") };
    drop(permit);
    clock.advance(s(61));
    for _ in 0..8 {
        if poll_once(call.as_mut()).is_ready() {
            return;
        }
        clock.advance(ms(125));
    }
    panic!("not within the grace");
}

/// Broken by: a call that keeps every lapsed permit once it has given one on.
#[tokio::test(start_paused = true)]
async fn a_call_that_gave_way_once_passed_others_much_later() {
    let semaphore = Arc::new(Semaphore::new(1));
    let limiter = sharing(&semaphore);
    let held = Arc::clone(&semaphore).acquire_owned().await.unwrap();
    let (went, mut order) = mpsc::unbounded_channel();
    leak(limiter.acquire_owned());
    let direct = |n| {
        let (semaphore, went) = (Arc::clone(&semaphore), went.clone());
        tokio::spawn(async move {
            let _permit = semaphore.acquire_owned().await.unwrap();
            went.send(n).unwrap();
            sleep(s(1)).await;
        })
    };
    let mut calls: Vec<_> = (0..5).map(direct).collect();
    tokio::task::yield_now().await;
    leak(limiter.acquire_owned());
    calls.extend((5..10).map(direct));
    tokio::task::yield_now().await;
    let (last, of_last) = (limiter.clone(), went.clone());
    calls.push(tokio::spawn(async move {
        let _permit = last.acquire().await.unwrap();
        of_last.send(10).unwrap();
    }));
    tokio::task::yield_now().await;
    drop(held);
    for call in calls {
        call.await.unwrap();
    }
    let went: Vec<_> = std::iter::from_fn(|| order.try_recv().ok()).collect();
    assert!(went.len() == 11 && went.is_sorted(), "{went:?}");
}
