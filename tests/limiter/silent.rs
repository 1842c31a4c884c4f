//! Calls in line that nobody polls: the others go on within the grace, and the silent one goes first when it is
//! polled again.
#![cfg(feature = "tokio")]
#![expect(clippy::disallowed_methods, reason = "goes by tokio's paused time")]

use crate::common::{Wakes, poll_once, poll_with};
use crate::line::{leak, queued, sharing};
use futures_util::FutureExt;
use ringgate::time::{ManualClock, Timestamp};
use ringgate::{Limiter, LimiterAcquire, Priority, Rate, Semaphore, SlidingWindow};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The default.
const GRACE: Duration = s(1);

fn by_rate(limit: u32, window: Duration) -> Limiter {
    Limiter::builder().margin(Duration::ZERO).rate(Rate::new(limit, window)).build()
}

/// The same, by a clock that the test moves.
fn by_hand(limit: u32, window: Duration) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(limit, window));
    (builder.clock(clock.clone()).build(), clock)
}

/// Broken by: `Queued::look_past_silent` without the second look; by a sleep that counts those ahead by the rate.
#[tokio::test(start_paused = true)]
async fn one_call_goes_within_the_grace_behind_up_to_64_that_were_leaked() {
    for leaked in [1, 2, 3, 10, 64] {
        let limiter = by_rate(1, s(60));
        let start = Instant::now();
        drop(limiter.try_acquire().unwrap());
        for _ in 0..leaked {
            leak(limiter.acquire_owned());
        }
        drop(limiter.acquire().await.unwrap());
        let late = start.elapsed().checked_sub(s(60)).expect("too early");
        assert!(late <= GRACE, "{leaked} leaked: {late:?} after the rate allowed it");
        // Those are not waited for a second time.
        drop(limiter.acquire().await.unwrap());
        assert!(start.elapsed() <= s(120) + 2 * GRACE, "{leaked} leaked, the second one");
        drop(limiter.acquire().await.unwrap());
        assert!(start.elapsed() <= s(180) + 3 * GRACE, "{leaked} leaked, the third one");
    }
}

/// They leave at once from behind. Broken by: `look_past_silent` counting those ahead by who has left.
#[tokio::test(start_paused = true)]
async fn calls_that_gave_up_behind_made_those_ahead_seem_fewer() {
    let limiter = by_rate(1, s(60));
    let start = Instant::now();
    drop(limiter.try_acquire().unwrap());
    for _ in 0..64 {
        leak(limiter.acquire_owned());
    }
    let next = limiter.clone();
    let next = tokio::spawn(async move { next.acquire_owned().await.map(drop) });
    tokio::task::yield_now().await;
    for _ in 0..64 {
        drop(queued(&limiter));
    }
    next.await.unwrap().unwrap();
    let late = start.elapsed().checked_sub(s(60)).expect("too early");
    assert!(late <= GRACE, "{late:?}");
}

/// One is leaked in each window. Broken by: `Line::join` counting calls that have had their turn.
#[tokio::test(start_paused = true)]
async fn calls_leaked_long_ago_made_later_ones_wait_longer() {
    let limiter = by_rate(1, s(10));
    drop(limiter.try_acquire().unwrap());
    for n in 0..200 {
        let start = Instant::now();
        leak(limiter.acquire_owned());
        drop(limiter.acquire().await.unwrap());
        let late = start.elapsed().saturating_sub(s(10));
        assert!(late <= GRACE, "{late:?} after {n} more");
    }
}

/// As the documentation of the grace promises. Broken by: a second look that comes as late as the first one.
#[tokio::test(start_paused = true)]
async fn behind_more_silent_calls_it_takes_longer() {
    for leaked in [200, 1000, 3000] {
        let limiter = by_rate(1, s(600));
        let start = Instant::now();
        drop(limiter.try_acquire().unwrap());
        for _ in 0..leaked {
            leak(limiter.acquire_owned());
        }
        drop(limiter.acquire().await.unwrap());
        let late = start.elapsed().checked_sub(s(600)).expect("too early");
        assert!(late <= GRACE + GRACE * (leaked - 64) / 128, "{leaked} leaked: {late:?}");
    }
}

/// Broken by: turns of silent calls that count for good.
#[tokio::test(start_paused = true)]
async fn the_whole_rate_is_used_behind_leaked_calls() {
    let limiter = by_rate(10, s(10));
    let start = Instant::now();
    for _ in 0..10 {
        drop(limiter.try_acquire().unwrap());
    }
    for _ in 0..20 {
        leak(limiter.acquire_owned());
    }
    for _ in 0..100 {
        drop(limiter.acquire().await.unwrap());
    }
    let late = start.elapsed().checked_sub(s(100)).expect("too early");
    assert!(late <= 2 * GRACE, "{late:?} late");
}

/// Broken by: turns of silent calls that count for good; a call that does not look while slots lack.
#[tokio::test(start_paused = true)]
async fn a_slot_that_was_offered_to_a_silent_call_goes_to_the_next() {
    for leaked in [1, 5, 64] {
        let limiter = Limiter::builder().max_concurrent(1).build();
        let held = limiter.acquire().await.unwrap();
        for _ in 0..leaked {
            leak(limiter.acquire_owned());
        }
        let next = limiter.clone();
        let next = tokio::spawn(async move { next.acquire_owned().await.map(drop) });
        sleep(s(10)).await;
        let freed = Instant::now();
        drop(held);
        next.await.unwrap().unwrap();
        assert!(freed.elapsed() <= GRACE, "{leaked} leaked: {:?}", freed.elapsed());
        assert_eq!(limiter.available_permits(), 1);
        // Tries go, too, once those turns have lapsed.
        sleep(GRACE).await;
        assert!(limiter.try_acquire().is_ok());
    }
}

/// Both limits, the rate open and the slot freed later. Broken by: a look that waits for the next window.
#[tokio::test(start_paused = true)]
async fn a_slot_freed_in_an_open_window_does_not_wait_for_the_next_one() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(2, s(60)))
        .max_concurrent(1)
        .build();
    let held = limiter.try_acquire().unwrap();
    leak(limiter.acquire_owned());
    let next = limiter.clone();
    let next = tokio::spawn(async move { next.acquire_owned().await.map(drop) });
    sleep(s(10)).await;
    let freed = Instant::now();
    drop(held);
    next.await.unwrap().unwrap();
    assert!(freed.elapsed() <= GRACE, "{:?}", freed.elapsed());
}

/// Broken by: a call that was silent lining up behind the one that watches.
#[test]
fn a_silent_call_goes_first_when_it_is_polled_again() {
    let (limiter, clock) = by_hand(1, s(60));
    drop(limiter.try_acquire().unwrap());
    let mut silent = queued(&limiter);
    let mut others = [queued(&limiter), queued(&limiter), queued(&limiter)];
    let mut went = 0;
    let tick = Duration::from_millis(50);
    for _ in 0..2 * 62 * 20 {
        clock.advance(tick);
        if let Some(other) = others.get_mut(went)
            && poll_once(other.as_mut()).is_ready()
        {
            went += 1;
        }
    }
    assert_eq!(went, 2, "the others did not go on");
    // It wakes up while the third one waits for the next window.
    assert!(poll_once(silent.as_mut()).is_pending());
    clock.advance(s(60));
    assert!(poll_once(others[2].as_mut()).is_pending(), "it went before the one that was silent");
    assert!(poll_once(silent.as_mut()).is_ready());
    clock.advance(s(60));
    assert!(poll_once(others[2].as_mut()).is_ready());
}

/// A `select!` loop forgets a pinned call while another call of the same task waits: the program of Oxide's RFD 609
/// in our terms. With tokio's semaphore it hangs.
#[tokio::test(start_paused = true)]
async fn a_loop_that_forgets_its_first_call_does_not_wait_for_itself() {
    let limiter = Limiter::builder().max_concurrent(1).build();
    let held = limiter.acquire_owned().await.unwrap();
    tokio::spawn(async move {
        sleep(s(5)).await;
        drop(held);
    });
    let mut forgotten = pin!(limiter.acquire());
    tokio::select! {
        _ = &mut forgotten => unreachable!("the slot is in use"),
        () = sleep(s(1)) => {}
    }
    let start = Instant::now();
    // `forgotten` is first in line, and this task polls it no more.
    drop(timeout(s(60), limiter.acquire()).await.expect("it hangs").unwrap());
    assert!(start.elapsed() <= s(4) + GRACE);
    assert!(forgotten.await.is_ok());

    let semaphore = tokio::sync::Semaphore::new(0);
    let mut forgotten = pin!(semaphore.acquire());
    assert!(forgotten.as_mut().now_or_never().is_none());
    semaphore.add_permits(1);
    assert!(timeout(s(3600), semaphore.acquire()).await.is_err(), "tokio's does not hang any more");
}

/// A window's line keeps the same promise, with a grace of its own.
/// Broken by: `SlidingWindowBuilder::grace` not handed on.
#[tokio::test(start_paused = true)]
async fn a_window_goes_on_within_its_own_grace() {
    for grace in [Duration::from_millis(40), s(20)] {
        let window = SlidingWindow::builder().rate(Rate::new(1, s(60))).grace(grace).build();
        let window = Arc::new(window);
        let start = Instant::now();
        window.try_acquire().unwrap();
        leak(Arc::clone(&window).acquire_owned());
        window.acquire().await.unwrap();
        let late = start.elapsed().checked_sub(s(60)).expect("too early");
        assert!(late <= grace && late >= grace / 4, "{late:?}");
    }
}

/// The runtime of the first in line is gone. Broken by: tokio's panic let through.
#[test]
fn a_call_outlives_its_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let limiter = by_rate(1, Duration::from_millis(20));
    let mut first = Box::pin(limiter.acquire_owned());
    let gone = runtime().unwrap();
    gone.block_on(async {
        drop(limiter.try_acquire().unwrap());
        assert!(poll_once(first.as_mut()).is_pending());
    });
    drop(gone);
    // Polled elsewhere, it waits by another timer.
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(other.block_on(first).unwrap());
}

/// Without a timer in the runtime calls wait all the same. Broken by: tokio's panic let through.
#[test]
fn a_runtime_without_a_timer_is_enough() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let limiter = by_rate(1, Duration::from_millis(5));
        for _ in 0..3 {
            drop(limiter.acquire().await.unwrap());
        }
    });
}

/// Broken by: a look that is due at once, again and again.
#[test]
fn at_the_end_of_time_a_call_in_line_kept_waking_itself() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder().max_concurrent(1).clock(clock.clone()).build();
    clock.set(Timestamp::from_nanos(u64::MAX));
    let held = limiter.try_acquire().unwrap();
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut calls = [Box::pin(limiter.acquire()), Box::pin(limiter.acquire())];
    for _ in 0..10 {
        assert!(calls.iter_mut().all(|call| poll_with(call.as_mut(), &waker).is_pending()));
    }
    assert_eq!(wakes.count(), 0);
    drop(held);
    assert!(poll_once(calls[0].as_mut()).is_ready());
}

/// The first leaves while another one's turn is not answered yet. Broken by: `Reason::Successor` forgotten while turns
/// are out.
#[test]
fn the_second_in_line_did_not_hear_that_the_first_had_left() {
    let (limiter, _) = by_hand(1, s(60));
    drop(limiter.try_acquire().unwrap());
    let [mut first, mut second, mut third] = [(); 3].map(|()| queued(&limiter));
    for _ in 0..3 {
        limiter.set_rate(Rate::new(1, s(60))).unwrap();
    }
    let wakes = Wakes::new();
    assert!(poll_once(first.as_mut()).is_pending());
    assert!(poll_with(second.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    drop(first);
    assert!(poll_once(third.as_mut()).is_pending());
    assert_eq!(wakes.count(), 1);
}

// ---- many at once --------------------------------------------------------------------------------

/// Each is woken once, and nobody else. Broken by: one turn for each that has left.
#[test]
fn a_window_that_opens_for_a_thousand_wakes_a_thousand_at_once() {
    let (limiter, clock) = by_hand(1000, s(60));
    for _ in 0..1000 {
        drop(limiter.try_acquire().unwrap());
    }
    let wakes: Vec<_> = (0..1500).map(|_| Wakes::new()).collect();
    let mut calls: Vec<_> = (0..1500).map(|_| Box::pin(limiter.acquire())).collect();
    let wakers: Vec<_> = wakes.iter().map(|wakes| Waker::from(Arc::clone(wakes))).collect();
    for (call, waker) in calls.iter_mut().zip(&wakers) {
        assert!(poll_with(call.as_mut(), waker).is_pending());
    }
    clock.advance(s(60));
    // The clock has woken all that sleep by it.
    let before: Vec<_> = wakes.iter().map(|wakes| wakes.count()).collect();
    let first = poll_with(calls[0].as_mut(), &wakers[0]);
    assert!(first.is_ready());
    for (n, wakes) in wakes.iter().enumerate().skip(1) {
        assert_eq!(wakes.count() - before[n], usize::from(n < 1000), "call {n}");
    }
    for (call, waker) in calls.iter_mut().zip(&wakers).skip(1).take(999) {
        assert!(poll_with(call.as_mut(), waker).is_ready());
    }
    assert!(calls[1000..].iter_mut().all(|call| poll_once(call.as_mut()).is_pending()));
}

/// Broken by: a wake for those behind when one leaves.
#[tokio::test(start_paused = true)]
async fn calls_that_all_answer_are_woken_once_each() {
    let limiter = Limiter::builder().max_concurrent(4).build();
    let held: Vec<_> = (0..4).map(|_| limiter.try_acquire_owned().unwrap()).collect();
    let wakes: Vec<_> = (0..20).map(|_| Wakes::new()).collect();
    let wakers: Vec<_> = wakes.iter().map(|wakes| Waker::from(Arc::clone(wakes))).collect();
    let mut calls: Vec<_> = (0..20).map(|_| Box::pin(limiter.acquire())).collect();
    for (call, waker) in calls.iter_mut().zip(&wakers) {
        assert!(poll_with(call.as_mut(), waker).is_pending());
    }
    drop(held);
    for batch in 0..5 {
        let ours = batch * 4..batch * 4 + 4;
        assert!(wakes[ours.clone()].iter().all(|wakes| wakes.count() == 1), "batch {batch}");
        assert!(wakes[ours.end..].iter().all(|wakes| wakes.count() == 0), "batch {batch}");
        let permits: Vec<_> =
            ours.map(|n| poll_with(calls[n].as_mut(), &wakers[n]).map(Result::unwrap)).collect();
        assert!(permits.iter().all(std::task::Poll::is_ready), "batch {batch}");
    }
    assert!(wakes.iter().all(|wakes| wakes.count() == 1));
}

// ---- shared semaphores ---------------------------------------------------------------------------

/// F18: twenty tasks of one limiter, one of another, and twenty direct users. Broken by: one call of a limiter at a
/// time in the semaphore's line.
#[tokio::test(start_paused = true)]
async fn a_shared_semaphore_is_fair_by_call() {
    let semaphore = Arc::new(Semaphore::new(4));
    let sharing = || Limiter::builder().semaphore(Arc::clone(&semaphore)).build();
    let (many, one) = (sharing(), sharing());
    let hold = || sleep(Duration::from_millis(10));
    let mut tasks = Vec::new();
    for n in 0..41 {
        let (many, one, semaphore) = (many.clone(), one.clone(), Arc::clone(&semaphore));
        tasks.push(tokio::spawn(async move {
            let (mut calls, start) = (0_u32, Instant::now());
            while start.elapsed() < s(20) {
                match n {
                    0..20 => {
                        let _permit = many.acquire().await.unwrap();
                        hold().await;
                    }
                    20 => {
                        let _permit = one.acquire().await.unwrap();
                        hold().await;
                    }
                    _ => {
                        let _permit = semaphore.acquire().await.unwrap();
                        hold().await;
                    }
                }
                calls += 1;
            }
            calls
        }));
    }
    let mut calls = Vec::new();
    for task in tasks {
        calls.push(task.await.unwrap());
    }
    let (least, most) = (calls.iter().min().unwrap(), calls.iter().max().unwrap());
    assert!(most - least <= 2, "{calls:?}");
}

/// The only permit was granted to a silent call, and stayed with it for good.
/// Broken by: stands that do not look; grants that nobody else can claim.
#[tokio::test(start_paused = true)]
async fn a_silent_call_kept_its_shared_permit() {
    for silent in [1, 2, 10] {
        let semaphore = Arc::new(Semaphore::new(1));
        let (limiter, other) = (sharing(&semaphore), sharing(&semaphore));
        let held = semaphore.acquire().await.unwrap();
        for _ in 0..silent {
            leak(limiter.acquire_owned());
        }
        drop(held);
        for n in 0..silent + 3 {
            let start = Instant::now();
            let limiter = if n % 2 == 0 { &other } else { &limiter };
            drop(limiter.acquire().await.unwrap());
            assert!(start.elapsed() <= GRACE, "{silent}: call {n} after {:?}", start.elapsed());
        }
        assert_eq!(semaphore.available_permits(), 1);
    }
}

/// Both permits are used within the grace, although one of them goes on from call to call meanwhile.
/// Broken by: a look that takes the progress of others for a sign of life.
#[tokio::test(start_paused = true)]
async fn one_of_two_shared_permits_was_not_used() {
    let semaphore = Arc::new(Semaphore::new(2));
    let limiter = sharing(&semaphore);
    let held = semaphore.acquire_many(2).await.unwrap();
    leak(limiter.acquire_owned());
    let mut tasks = Vec::new();
    let start = Instant::now();
    for _ in 0..10 {
        let limiter = limiter.clone();
        tasks.push(tokio::spawn(async move {
            let mut calls = 0;
            while start.elapsed() < s(10) {
                let _permit = limiter.acquire().await.unwrap();
                sleep(Duration::from_millis(10)).await;
                calls += 1;
            }
            calls
        }));
    }
    tokio::task::yield_now().await;
    drop(held);
    let mut calls = 0;
    for task in tasks {
        calls += task.await.unwrap();
    }
    assert!(calls >= 1900, "{calls}");
    assert_eq!(semaphore.available_permits(), 2);
}

/// Broken by: a `try_acquire` that does not look for permits of silent calls.
#[tokio::test(start_paused = true)]
async fn a_silent_call_kept_its_shared_permit_from_calls_that_do_not_wait() {
    let semaphore = Arc::new(Semaphore::new(1));
    let limiter = sharing(&semaphore);
    let held = semaphore.acquire().await.unwrap();
    leak(limiter.acquire_owned());
    leak(limiter.acquire_owned());
    drop(held);
    for _ in 0..3 {
        let start = Instant::now();
        while limiter.try_acquire().is_err() {
            sleep(Duration::from_millis(10)).await;
            assert!(start.elapsed() <= GRACE);
        }
    }
    assert_eq!(semaphore.available_permits(), 1);
}

/// A call that stands holds none of the limiter's own slots. Broken by: stands with a slot in hand.
#[tokio::test(start_paused = true)]
async fn a_silent_call_that_stood_kept_a_slot_of_its_limiter() {
    let semaphore = Arc::new(Semaphore::new(1));
    let builder = Limiter::builder().max_concurrent(1).semaphore(Arc::clone(&semaphore));
    let limiter = builder.build();
    let held = semaphore.acquire().await.unwrap();
    leak(limiter.acquire_owned());
    let line: Vec<_> = (0..3)
        .map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move { drop(limiter.acquire().await.unwrap()) })
        })
        .collect();
    sleep(s(5)).await;
    drop(held);
    let start = Instant::now();
    for call in line {
        call.await.unwrap();
    }
    assert!(start.elapsed() <= GRACE, "{:?}", start.elapsed());
    assert_eq!((semaphore.available_permits(), limiter.available_permits()), (1, 1));
}

/// Broken by: `Slot::with_shared` that drops the slot of its limiter.
#[test]
fn a_call_that_had_stood_held_no_slot_of_its_limiter() {
    let semaphore = Arc::new(Semaphore::new(2));
    let builder = Limiter::builder().max_concurrent(1).semaphore(Arc::clone(&semaphore));
    let limiter = builder.build();
    let held = semaphore.try_acquire_many(2).unwrap();
    let mut call = queued(&limiter);
    drop(held);
    let permit = call.as_mut().now_or_never().unwrap().unwrap();
    assert_eq!((limiter.available_permits(), semaphore.available_permits()), (0, 1));
    assert!(limiter.try_acquire().is_err(), "two at once");
    drop(permit);
    assert_eq!((limiter.available_permits(), semaphore.available_permits()), (1, 2));
    let _permit = limiter.try_acquire().unwrap();
    assert!(limiter.try_acquire().is_err(), "there are two slots now");
}

/// Whether one of so many tries, at each eighth of the grace, goes.
fn tries(limiter: &Limiter, clock: &ManualClock, times: u32) -> bool {
    (0..times).any(|_| {
        clock.advance(GRACE / 8);
        limiter.try_acquire().is_ok()
    })
}

/// Broken by: a permit of a silent call that is claimed from a closed semaphore.
#[test]
fn a_shared_permit_of_a_silent_call_was_claimed_after_the_close() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    let limiter = Limiter::builder().semaphore(Arc::clone(&semaphore)).clock(clock.clone()).build();
    let held = semaphore.try_acquire().unwrap();
    let silent = queued(&limiter);
    drop(held);
    assert!(limiter.try_acquire().is_err());
    semaphore.close();
    assert!(!tries(&limiter, &clock, 16));
    drop(silent);
    assert_eq!(semaphore.available_permits(), 1);
}

/// One slot of the limiter is free, and a call has been woken for it.
/// Broken by: a try that claims a silent call's shared permit, and does not look at the turns.
#[test]
fn a_try_with_a_shared_permit_of_a_silent_call_used_the_turn_of_another() {
    let semaphore = Arc::new(Semaphore::new(3));
    let clock = ManualClock::new();
    let sharing = || Limiter::builder().semaphore(Arc::clone(&semaphore)).clock(clock.clone());
    let (limiter, other) = (sharing().max_concurrent(2).build(), sharing().build());
    let held = [(); 2].map(|()| limiter.try_acquire().unwrap());
    let one = semaphore.try_acquire().unwrap();
    let _silent = queued(&other);
    drop(one);
    for held in held {
        let mut woken = queued(&limiter);
        drop(held);
        assert!(limiter.try_acquire().is_err(), "it used the turn");
        clock.advance(GRACE / 4);
        let _goes = poll_once(woken.as_mut()).map(|permit| std::mem::forget(permit.unwrap()));
    }
    assert_eq!(limiter.available_permits(), 0);
}

/// It has room for all, so that each is refused.
/// Broken by: a try that claims a silent call's shared permit, and does not look at the rate.
#[test]
fn a_try_that_a_rate_of_zero_refused_took_the_shared_permit_of_a_silent_call() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(Rate::new(2, s(1))).semaphore(Arc::clone(&semaphore));
    let limiter = builder.clock(clock.clone()).build();
    let held = semaphore.try_acquire().unwrap();
    let silent = queued(&limiter);
    drop(held);
    limiter.set_rate(Rate::new(0, s(1))).unwrap();
    assert!(!tries(&limiter, &clock, 16));
    assert_eq!(semaphore.available_permits(), 0, "it is free");
    drop(silent);
    assert_eq!(semaphore.available_permits(), 1);
}

/// It stands for a permit, and others of other limiters are granted theirs before it, again and again.
/// Broken by: stands that keep room for as long as the semaphore is busy.
#[tokio::test(start_paused = true)]
async fn a_silent_call_in_a_busy_line_kept_the_room_of_its_limiter() {
    let semaphore = Arc::new(Semaphore::new(4));
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, s(5)));
    let limiter = builder.semaphore(Arc::clone(&semaphore)).build();
    let held = semaphore.acquire_many(4).await.unwrap();
    leak(limiter.acquire_owned());
    for _ in 0..20 {
        let semaphore = Arc::clone(&semaphore);
        tokio::spawn(async move {
            loop {
                let _permit = semaphore.acquire().await.unwrap();
                sleep(Duration::from_millis(30)).await;
            }
        });
    }
    tokio::task::yield_now().await;
    drop(held);
    for calls in 0..4 {
        let start = Instant::now();
        drop(limiter.acquire().await.unwrap());
        // Its place lapses after three quarters of the grace; then room is seen unused twice.
        let at_most = if calls == 0 { s(0) } else { s(5) } + GRACE + GRACE / 4;
        assert!(start.elapsed() <= at_most, "call {calls} after {:?}", start.elapsed());
    }
}

/// It is woken by its grant, and finds out only when it is polled. Broken by: a claim of a permit that is not there.
#[test]
fn a_call_whose_shared_permit_has_gone_on_waits_again() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    let limiter = Limiter::builder().semaphore(Arc::clone(&semaphore)).clock(clock.clone()).build();
    let held = limiter.try_acquire().unwrap();
    let (mut slow, mut quick) = (queued(&limiter), queued(&limiter));
    drop(held);
    let mut granted = None;
    for _ in 0..8 {
        clock.advance(GRACE / 8);
        granted = granted.or(quick.as_mut().now_or_never());
    }
    let granted = granted.expect("within the grace").unwrap();
    assert!(poll_once(slow.as_mut()).is_pending());
    let mut last = queued(&limiter);
    assert_eq!(semaphore.available_permits(), 0);
    drop(granted);
    assert!(poll_once(last.as_mut()).is_pending());
    assert!(poll_once(slow.as_mut()).is_ready());
    assert!(poll_once(last.as_mut()).is_ready());
    assert_eq!(semaphore.available_permits(), 1);
}

/// Broken by: a grant that is given back twice, or not at all, when its call is dropped after another has claimed it.
#[test]
fn a_dropped_call_whose_shared_permit_has_gone_on_gives_nothing_back() {
    let semaphore = Arc::new(Semaphore::new(1));
    let clock = ManualClock::new();
    let limiter = Limiter::builder().semaphore(Arc::clone(&semaphore)).clock(clock.clone()).build();
    let held = limiter.try_acquire().unwrap();
    let (slow, mut quick) = (queued(&limiter), queued(&limiter));
    drop(held);
    let mut granted = None;
    for _ in 0..8 {
        clock.advance(GRACE / 8);
        granted = granted.or(quick.as_mut().now_or_never());
    }
    assert!(granted.is_some());
    drop(slow);
    assert_eq!(semaphore.available_permits(), 0);
    drop(granted);
    assert_eq!(semaphore.available_permits(), 1);
}

/// The first in line is silent; the others heard of the close within the grace only.
/// Broken by: places that do not watch for the close of a shared semaphore.
#[test]
fn a_close_of_a_shared_semaphore_was_heard_late_behind_a_silent_call() {
    let semaphore = Arc::new(Semaphore::new(0));
    let limiter = Limiter::builder().max_concurrent(1).semaphore(Arc::clone(&semaphore)).build();
    let wakes = [(); 4].map(|()| Wakes::new());
    let mut line = [(); 4].map(|()| Box::pin(limiter.acquire()));
    for (call, wakes) in line.iter_mut().zip(&wakes) {
        assert!(poll_with(call.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
    }
    semaphore.close();
    for (call, wakes) in line.iter_mut().zip(&wakes).skip(1) {
        assert_eq!(wakes.count(), 1);
        assert!(poll_once(call.as_mut()).is_ready());
    }
}

/// Broken by: a rate of zero that is told to the first in line only.
#[test]
fn a_rate_of_zero_was_heard_late_behind_a_silent_call() {
    let limiter = by_rate(1, s(60));
    let _held = limiter.try_acquire().unwrap();
    let wakes = [(); 4].map(|()| Wakes::new());
    let mut line = [(); 4].map(|()| Box::pin(limiter.acquire()));
    for (call, wakes) in line.iter_mut().zip(&wakes) {
        assert!(poll_with(call.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
    }
    limiter.set_rate(Rate::new(0, s(60))).unwrap();
    for (call, wakes) in line.iter_mut().zip(&wakes).skip(1) {
        assert!(wakes.count() >= 1);
        assert!(poll_once(call.as_mut()).is_ready());
    }
}

/// Its permits are all in use, and nobody is silent. Broken by: room that calls which stand will use, taken for unused.
#[tokio::test(start_paused = true)]
async fn while_a_shared_semaphore_was_busy_all_calls_came_to_stand() {
    let semaphore = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(5, s(60)))
        .semaphore(Arc::clone(&semaphore))
        .build();
    let held = semaphore.acquire().await.unwrap();
    for _ in 0..100 {
        let limiter = limiter.clone();
        tokio::spawn(async move { drop(limiter.acquire().await.unwrap()) });
    }
    sleep(s(20)).await;
    assert_eq!(semaphore.waiters(), 5);
    drop(held);
    sleep(Duration::from_millis(100)).await;
    assert_eq!((limiter.waiters(), semaphore.waiters()), (95, 0));
}

// ---- priorities ----------------------------------------------------------------------------------

fn call_of(limiter: &Limiter, priority: Priority) -> Pin<Box<LimiterAcquire<'_>>> {
    let mut call = Box::pin(limiter.call().priority(priority).acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    call
}

/// Of any 21 turns the classes get 16, 4 and 1. Broken by: strict priorities; shares that are reversed.
#[test]
fn no_class_starves() {
    let limiter = Limiter::builder().max_concurrent(1).build();
    let mut held = Some(limiter.try_acquire().unwrap());
    // It waits in front, before all classes.
    let mut first = call_of(&limiter, Priority::Low);
    let classes = [Priority::Low, Priority::Normal, Priority::High];
    let mut lines = classes.map(|class| {
        let line: Vec<_> = (0..100).map(|_| call_of(&limiter, class)).collect();
        line.into_iter()
    });
    drop(held.take());
    drop(poll_once(first.as_mut()).map(Result::unwrap));
    drop(first);
    let mut heads: Vec<_> = lines.iter_mut().map(|line| line.next().unwrap()).collect();
    let mut turns = Vec::new();
    for _ in 0..105 {
        let ready = heads.iter_mut().position(|head| poll_once(head.as_mut()).is_ready());
        let ready = ready.expect("nobody has a turn");
        turns.push(ready);
        heads[ready] = lines[ready].next().unwrap();
    }
    for turns in turns.windows(21) {
        let count = |class| turns.iter().filter(|turn| **turn == class).count();
        assert_eq!([count(0), count(1), count(2)], [1, 4, 16]);
    }
}

/// Broken by: a class that has nobody waiting taking its share all the same.
#[test]
fn what_a_class_does_not_need_goes_to_the_others() {
    let limiter = Limiter::builder().max_concurrent(1).build();
    let held = limiter.try_acquire().unwrap();
    let mut low: Vec<_> = (0..50).map(|_| call_of(&limiter, Priority::Low)).collect();
    let mut late = call_of(&limiter, Priority::High);
    drop(held);
    // The first had waited before there was another.
    assert!(poll_once(low.remove(0).as_mut()).is_ready());
    assert!(poll_once(late.as_mut()).is_ready());
    for mut call in low {
        assert!(poll_once(call.as_mut()).is_ready());
    }
    assert_eq!(limiter.waiters(), 0);
}

/// Broken by: estimates that count all classes alike.
#[test]
fn estimates_and_refusals_know_the_priorities() {
    let (limiter, _) = by_hand(1, s(10));
    drop(limiter.try_acquire().unwrap());
    let batch: Vec<_> = (0..40).map(|_| call_of(&limiter, Priority::Low)).collect();
    let wait =
        |priority| limiter.call().priority(priority).try_acquire().unwrap_err().retry_after();
    assert_eq!(wait(Priority::Low), Some(s(410)));
    assert!(wait(Priority::High).unwrap() <= s(20));
    let urgent = call_of(&limiter, Priority::High);
    assert!(urgent.estimated_wait().unwrap() <= s(20));
    assert_eq!(batch[39].position(), Some(40));
    // It can be in time before the others, so it is not refused.
    let call = limiter.call().priority(Priority::High).timeout(s(40));
    assert!(poll_once(pin!(call.acquire())).is_pending());
    let refused = limiter.call().priority(Priority::Low).timeout(s(40)).acquire();
    assert!(poll_once(pin!(refused)).is_ready());
}
