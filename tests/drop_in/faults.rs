//! Faults that reviewers found in the crate as a drop-in replacement: threads, closing, endless lines. Each
//! is the test that failed.

use crate::common::{Wakes, at_once, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Timestamp};
use ringgate::{Limit, Limiter, Rate, Refused, Semaphore, SlidingWindow};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

// ---- threads -------------------------------------------------------------------------------------

/// Threads and tasks stand in one line.
#[test]
fn a_thread_that_waits_is_served_in_its_turn() {
    let semaphore = Arc::new(Semaphore::new(1));
    let held = Arc::clone(&semaphore).try_acquire_owned().unwrap();
    let wakes = Wakes::new();
    let mut first = pin!(semaphore.acquire());
    assert!(poll_with(first.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    let there = Arc::clone(&semaphore);
    let blocked = thread::spawn(move || drop(there.blocking_acquire_owned().unwrap()));
    while semaphore.waiters() < 2 {
        thread::yield_now();
    }
    drop(held);
    assert_eq!((wakes.count(), semaphore.available_permits()), (1, 0));
    let Poll::Ready(Ok(permit)) = poll_once(first) else { panic!("overtaken") };
    assert!(!blocked.is_finished());
    drop(permit);
    blocked.join().unwrap();
    assert_eq!(semaphore.available_permits(), 1);
}

#[test]
fn a_thread_waits_for_a_limiter_and_for_a_window() {
    let clock = ManualClock::new();
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(1))
        .max_concurrent(1)
        .clock(clock.clone());
    let (limiter, window) =
        (builder.build(), Arc::new(SlidingWindow::with_clock(Rate::per_minute(1), clock.clone())));
    drop(limiter.blocking_acquire().unwrap());
    window.blocking_acquire().unwrap();
    let refused = limiter.blocking_acquire_timeout(Duration::from_secs(1)).unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(MINUTE)));
    assert_eq!(window.blocking_acquire_timeout(Duration::from_secs(1)), Err(refused));
    let (there, too) = (limiter.clone(), Arc::clone(&window));
    let blocked = [
        thread::spawn(move || there.blocking_acquire_owned().map(drop)),
        thread::spawn(move || too.blocking_acquire()),
    ];
    while limiter.waiters() + window.waiters() < 2 {
        thread::yield_now();
    }
    clock.advance(MINUTE);
    assert!(blocked.into_iter().all(|thread| thread.join().unwrap().is_ok()));
}

// ---- closing -------------------------------------------------------------------------------------

fn is_closed<T>(refused: Result<T, Refused>) -> bool {
    refused.is_err_and(|refused| {
        let told = (refused.limit(), refused.retry_after(), refused.is_permanent());
        told == (Limit::Closed, None, true) && refused.to_string() == "the limiter is closed"
    })
}

/// There was no way to close it. Broken by: `close` without the line, or without the calls that wait for the
/// rate or a slot.
#[test]
fn a_limiter_that_is_closed_refuses_those_in_line_and_all_who_come() {
    let clock = ManualClock::new();
    for slots in [1, 2] {
        // The first in line waits for a slot, or for the rate.
        let builder = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::per_minute(1 + 2 / slots))
            .clock(clock.clone());
        let limiter = builder.max_concurrent(usize::try_from(slots).unwrap()).build();
        let held = limiter.try_acquire().unwrap();
        drop((slots == 2).then(|| limiter.try_acquire()));
        let wakes = Wakes::new();
        let mut line: Vec<Pin<Box<_>>> =
            (0..3).map(|_| Box::pin(limiter.acquire_timeout(HOUR))).collect();
        for waiting in &mut line {
            let waker = Waker::from(Arc::clone(&wakes));
            assert!(poll_with(waiting.as_mut(), &waker).is_pending());
        }
        assert!(!limiter.is_closed());
        limiter.close();
        assert!(limiter.is_closed());
        assert_eq!(wakes.count(), 3, "all are told at once");
        assert!(line.into_iter().all(|waiting| is_closed(at_once(waiting))));
        assert!(is_closed(limiter.try_acquire()));
        assert!(is_closed(at_once(limiter.acquire())));
        assert!(is_closed(at_once(limiter.acquire_timeout_owned(HOUR))));
        assert_eq!(limiter.waiters(), 0);
        drop(held);
    }
}

/// The permits of a closed limiter go back to a semaphore that others share.
#[test]
fn a_closed_limiter_gives_back_what_others_share() {
    let shared = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder().semaphore(Arc::clone(&shared)).build();
    let held = limiter.try_acquire().unwrap();
    let mut waiting = pin!(limiter.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    drop(held);
    limiter.close();
    assert!(is_closed(at_once(waiting)));
    assert_eq!(shared.available_permits(), 1);
    assert!(!shared.is_closed());
}

#[test]
fn a_window_that_is_closed_refuses_those_in_line_and_all_who_come() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::per_minute(1), clock.clone());
    window.try_acquire().unwrap();
    let mut waiting = pin!(window.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    window.close();
    assert!(window.is_closed() && is_closed(at_once(waiting)));
    assert!(is_closed(window.try_acquire()));
    assert!(is_closed(window.try_acquire_at(clock.now())));
    assert!(is_closed(at_once(window.acquire())));
}

/// The message was "concurrency limit reached: no call will ever be admitted".
#[test]
fn a_shared_semaphore_that_was_closed_was_told_as_a_limit() {
    let shared = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder().semaphore(Arc::clone(&shared)).build();
    let held = limiter.try_acquire().unwrap();
    let mut waiting = pin!(limiter.acquire());
    assert!(poll_once(waiting.as_mut()).is_pending());
    shared.close();
    assert!(is_closed(at_once(waiting)));
    assert!(is_closed(limiter.try_acquire()));
    drop(held);
}

// ---- the line ------------------------------------------------------------------------------------

/// A queue could only be bounded by looking first, and was off by one. Broken by: a place that is counted
/// after it is taken; one that is not given back.
#[test]
fn a_line_with_a_bound_never_has_one_more() {
    let limiter = Limiter::builder().max_concurrent(1).max_waiters(2).build();
    let held = limiter.try_acquire().unwrap();
    let mut line = [Box::pin(limiter.acquire()), Box::pin(limiter.acquire())];
    assert!(line.iter_mut().all(|waiting| poll_once(waiting.as_mut()).is_pending()));
    let refused = at_once(limiter.acquire()).unwrap_err();
    let told = (refused.limit(), refused.retry_after(), refused.is_permanent());
    assert_eq!(told, (Limit::Queue, None, false));
    assert_eq!(refused.to_string(), "the line is full: retry when a call in it has gone");
    let [first, second] = line;
    drop(second);
    let mut third = pin!(limiter.acquire_owned());
    assert!(poll_once(third.as_mut()).is_pending());
    drop(held);
    let held = at_once(first).unwrap();
    let mut fourth = pin!(limiter.acquire());
    assert!(poll_once(fourth.as_mut()).is_pending());
    assert_eq!(at_once(limiter.acquire_timeout(HOUR)).unwrap_err().limit(), Limit::Queue);
    drop(held);
}

/// Broken by: a count that is raised and then looked at.
#[test]
fn threads_that_race_for_the_last_places_get_just_those() {
    for _ in 0..50 {
        let limiter = Limiter::builder().max_concurrent(1).max_waiters(3).build();
        let held = limiter.try_acquire().unwrap();
        let waits = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    let mut calls = [(); 2].map(|()| Box::pin(limiter.acquire_owned()));
                    let polls = calls.iter_mut().map(|call| poll_once(call.as_mut()).is_pending());
                    (polls.filter(|waits| *waits).count(), calls)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(waits.iter().map(|(waits, _)| waits).sum::<usize>(), 3);
        drop(held);
    }
}

/// A million changes of the rate made one poll of 27 ms. (`tests::stall::work` counts its steps.)
#[test]
fn a_call_that_waits_for_its_slot_hears_of_many_changes_at_once() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(60))
        .max_concurrent(1)
        .build();
    let held = limiter.try_acquire().unwrap();
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut waiting = pin!(limiter.acquire());
    assert!(poll_with(waiting.as_mut(), &waker).is_pending());
    for limit in 0..1_000 {
        limiter.set_rate(Rate::per_minute(limit + 60)).unwrap();
    }
    assert!(poll_with(waiting.as_mut(), &waker).is_pending());
    let seen = wakes.count();
    limiter.set_rate(Rate::per_minute(0)).unwrap();
    assert_eq!(wakes.count(), seen + 1, "it hears of the next one as well");
    assert!(at_once(waiting).unwrap_err().is_permanent());
    drop(held);
}

// ---- both ----------------------------------------------------------------------------------------

/// The limit that was set last replaced the other. Broken by: either of the two left out.
#[test]
fn a_limit_of_its_own_and_a_shared_one_hold_together() {
    let shared = Arc::new(Semaphore::new(3));
    let limiter =
        |own| Limiter::builder().max_concurrent(own).semaphore(Arc::clone(&shared)).build();
    let (two, many) = (limiter(2), limiter(9));
    let held = [two.try_acquire_owned().unwrap(), two.try_acquire_owned().unwrap()];
    assert_eq!((two.available_permits(), many.available_permits()), (0, 1));
    assert_eq!(two.try_acquire().unwrap_err().limit(), Limit::Concurrency);
    let other = many.try_acquire_owned().unwrap();
    assert!(many.try_acquire().is_err(), "the shared one is exhausted");
    let mut waiting = pin!(two.acquire_owned());
    assert!(poll_once(waiting.as_mut()).is_pending());
    drop(other);
    assert!(poll_once(waiting.as_mut()).is_pending(), "its own is exhausted");
    let [first, second] = held;
    drop(first);
    let third = at_once(waiting).unwrap();
    assert_eq!(shared.available_permits(), 1);
    drop((second, third));
    assert_eq!((shared.available_permits(), two.available_permits()), (3, 2));
}

/// A call that is dropped while it holds the first of the two returns it.
#[test]
fn a_call_that_leaves_between_the_two_semaphores_gives_back_the_first() {
    let shared = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder().max_concurrent(1).semaphore(Arc::clone(&shared)).build();
    let elsewhere = shared.try_acquire().unwrap();
    {
        let mut waiting = pin!(limiter.acquire());
        assert!(poll_once(waiting.as_mut()).is_pending());
    }
    drop(elsewhere);
    assert!(limiter.try_acquire().is_ok());
    assert_eq!((shared.available_permits(), limiter.available_permits()), (1, 1));
}

// ---- types -----------------------------------------------------------------------

/// A limiter inside `catch_unwind` did not compile. (The futures are not
/// covered: they may hold a user's timer.)
#[test]
fn unwinding_past_them_is_safe() {
    fn both<T: UnwindSafe + RefUnwindSafe>() {}
    both::<Semaphore>();
    both::<Limiter>();
    both::<SlidingWindow>();
    both::<ringgate::SemaphorePermit<'_>>();
    both::<ringgate::OwnedSemaphorePermit>();
    both::<ringgate::LimiterPermit<'_>>();
    both::<ringgate::OwnedLimiterPermit>();
    both::<ringgate::Acquire<'_>>();
    both::<ringgate::AcquireOwned>();
    both::<ringgate::LimiterBuilder>();
    both::<ringgate::RateLimitPolicy>();
    both::<ManualClock>();
}

/// It printed `Exactly(999887916)`, and a permit printed the whole limiter.
#[test]
fn what_they_print_can_be_read() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(1))
        .clock(ManualClock::new())
        .build();
    let permit = limiter.try_acquire().unwrap();
    assert_eq!(format!("{permit:?}"), "LimiterPermit { .. }");
    assert_eq!(
        format!("{:?}", limiter.try_acquire().unwrap_err()),
        "Refused { limit: Rate, retry_after: Some(60s), is_permanent: false }"
    );
    let printed = format!("{limiter:?}");
    assert!(printed.starts_with("Limiter { rates: "), "{printed}");
    assert!(printed.len() < 200, "{printed}");
    let named = format!("{:?}", Limiter::builder().name("gpt").build());
    assert!(named.starts_with("Limiter { name: \"gpt\", rates: "), "{named}");
}

#[test]
fn clones_of_a_builder_build_limiters_of_their_own() {
    let builder = Limiter::builder().max_concurrent(1);
    let [one, other] = [builder.clone().build(), builder.build()];
    let held = one.try_acquire().unwrap();
    assert!(other.try_acquire().is_ok());
    drop(held);
}

// ---- a clock that jumps ----------------------------------------------------------------------------

/// A limiter that was used under paused time first, and then really: "retry in 5999.99 s".
/// Broken by: `notice_jump` left out.
#[test]
fn a_clock_that_jumped_back_kept_callers_out_for_as_long() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(2))
        .clock(clock.clone())
        .build();
    clock.advance(100 * MINUTE);
    assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_ok());
    clock.set(Timestamp::from_epoch(MINUTE));
    let refused = limiter.try_acquire().unwrap_err();
    assert_eq!((refused.limit(), refused.retry_after()), (Limit::Rate, Some(MINUTE)));
    assert_eq!(limiter.remaining(), 0);
    clock.advance(MINUTE.saturating_sub(Duration::from_nanos(1)));
    assert!(limiter.try_acquire().is_err());
    clock.advance(Duration::from_nanos(1));
    assert_eq!(limiter.remaining(), 2);
    assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_ok());
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(MINUTE));
}

/// The first in line sleeps until a time that the clock had nearly reached before it jumped. The others get
/// the time of their turn.
/// Broken by: `notice_jump` waking no call; `estimate` not noticing the jump.
#[test]
fn a_line_stood_still_when_the_clock_jumped_back() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::per_minute(1), clock.clone());
    clock.advance(100 * MINUTE);
    window.try_acquire().unwrap();
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut first = pin!(window.acquire());
    assert!(poll_with(first.as_mut(), &waker).is_pending());
    clock.set(Timestamp::ZERO);
    let before = wakes.count();
    let told = window.try_acquire().unwrap_err().retry_after();
    assert_eq!(told, Some(2 * MINUTE), "behind the first in line");
    assert!(wakes.count() > before, "the first in line has not heard of it");
    assert!(poll_with(first.as_mut(), &waker).is_pending());
    clock.advance(MINUTE);
    assert_eq!(poll_with(first.as_mut(), &waker), Poll::Ready(Ok(())));
}

/// The limiter waits after small steps back, such as from clocks that differ between processors. If its time
/// continued after each of them, it would run too fast.
/// Broken by: `JUMP` of nothing.
#[test]
fn a_clock_that_trembles_does_not_run_ahead() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::per_minute(1), clock.clone());
    let (here, there) =
        (Timestamp::from_epoch(MINUTE), Timestamp::from_epoch(MINUTE + HOUR / 3601));
    for _ in 0..1000 {
        clock.set(there);
        let _ = window.try_acquire();
        clock.set(here);
        assert!(window.try_acquire().is_err());
    }
    clock.set(Timestamp::from_epoch(2 * MINUTE));
    assert!(window.try_acquire().is_err(), "admitted too early");
}

/// After one stamp far ahead, all later ones were stamped the same.
/// Broken by: `reset` that does not look at what has been stamped; one that wakes no call.
#[test]
fn one_reading_far_ahead_shut_a_window_for_good() {
    let clock = ManualClock::new();
    let builder = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(1))
        .rate(Rate::per_hour(3))
        .max_concurrent(9);
    let limiter = builder.clock(clock.clone()).build();
    clock.advance(1000 * HOUR);
    drop(limiter.try_acquire().unwrap());
    clock.set(Timestamp::from_epoch(HOUR));
    let wakes = Wakes::new();
    let mut first = pin!(limiter.acquire());
    assert!(poll_with(first.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    limiter.reset();
    assert_eq!((limiter.remaining(), wakes.count() > 0), (1, true));
    assert!(limiter.try_acquire().is_err(), "it has overtaken the line");
    let Poll::Ready(Ok(permit)) = poll_once(first.as_mut()) else { panic!("it still waits") };
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(MINUTE));
    drop(permit);
    limiter.reset();
    limiter.reset();
    assert!(limiter.try_acquire().is_ok());
    // As the clock goes on.
    clock.advance(MINUTE);
    assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_err());
    // Before any call has noticed it.
    clock.set(Timestamp::from_epoch(2000 * HOUR));
    assert!(limiter.try_acquire().is_ok());
    clock.set(Timestamp::from_epoch(HOUR));
    limiter.reset();
    assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_err());
}

/// A reset moved the window's own time on. Three of them reached its end, and a longer window counted
/// forgotten stamps again.
/// Broken by: `reset` by time instead of an empty log.
#[test]
fn a_reset_used_up_time_and_forgot_for_one_window_only() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::new(1, Duration::MAX), clock.clone());
    for _ in 0..50 {
        assert!(window.try_acquire().is_ok() && window.try_acquire().is_err());
        window.reset();
    }
    window.set_rate(Rate::per_minute(1));
    assert!(window.try_acquire().is_ok());
    window.reset();
    window.set_rate(Rate::per_hour(1));
    assert!(window.try_acquire().is_ok() && window.try_acquire().is_err());
    // A reading of the end of time has no lasting effect.
    clock.set(Timestamp::MAX);
    window.reset();
    let _ = (window.try_acquire(), window.try_acquire());
    clock.set(Timestamp::ZERO);
    assert!(window.try_acquire().is_err());
    window.reset();
    assert!(window.try_acquire().is_ok() && window.try_acquire().is_err());
}

/// Windows of each shape: several rings, shared cells, several limits.
/// Broken by: `reset` of the first ring alone; a second limit that is not copied.
#[test]
fn a_reset_keeps_the_limits_and_forgets_the_rest() {
    let clock = ManualClock::new();
    let burst = |window: &SlidingWindow| {
        let admitted = (0..3000).filter(|_| window.try_acquire().is_ok()).count();
        (admitted, window.rates().collect::<Vec<_>>())
    };
    for (limit, second) in [(1, None), (1000, None), (1 << 21, None), (500, Some(70))] {
        let mut builder =
            SlidingWindow::builder().rate(Rate::per_minute(limit)).clock(clock.clone());
        if let Some(second) = second {
            builder = builder.rate(Rate::per_hour(second));
        }
        let window = builder.build();
        let before = burst(&window);
        assert_eq!(before.0, 3000.min(second.unwrap_or(limit) as usize));
        window.reset();
        assert_eq!(burst(&window), before);
        window.set_rate(Rate::per_minute(limit + 1));
        window.reset();
        assert_eq!(burst(&window).0, 3000.min(second.unwrap_or(limit + 1) as usize));
    }
}

/// Broken by: `remaining` that does not look.
#[test]
fn whoever_asks_only_what_remains_waited_for_a_clock_that_had_jumped_back() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::per_minute(2), clock.clone());
    clock.advance(2 * HOUR);
    assert!(window.try_acquire().is_ok() && window.try_acquire().is_ok());
    clock.set(Timestamp::ZERO);
    assert_eq!(window.remaining(), 0);
    clock.advance(MINUTE);
    assert_eq!(window.remaining(), 2);
}
