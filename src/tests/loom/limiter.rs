//! Both limits and the queue under loom. The parts have models of their own. These scenes test how the
//! parts work together: a turn, a slot or a wake that no thread passes on ends in a deadlock here.

use crate::sync::{model, thread};
use crate::time::{ManualClock, Timestamp};
use crate::{Limiter, OwnedLimiterPermit, Rate};
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use loom::future::block_on;

const WINDOW: Duration = Duration::from_nanos(10);

fn one_at_a_time() -> Limiter {
    Limiter::builder().max_concurrent(1).clock(ManualClock::new()).build()
}

/// One call in a window, which is used, and one at a time.
fn used_up() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder =
        Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, WINDOW)).max_concurrent(1);
    let limiter = builder.clock(clock.clone()).build();
    call(&limiter);
    (limiter, clock)
}

fn call(limiter: &Limiter) {
    drop(block_on(limiter.acquire()).unwrap());
}

fn call_elsewhere(limiter: &Limiter) -> thread::JoinHandle<()> {
    let limiter = limiter.clone();
    thread::spawn(move || call(&limiter))
}

/// A call that has been polled once, and waits.
fn queued(limiter: &Limiter) -> Pin<Box<dyn Future<Output = OwnedLimiterPermit>>> {
    let limiter = limiter.clone();
    let mut call = Box::pin(async move { limiter.acquire_owned().await.unwrap() });
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    call
}

fn assert_idle(limiter: &Limiter) {
    assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
    drop(limiter.try_acquire().unwrap());
}

/// Caught: `release` adds no permit.
#[test]
fn model_two_calls_for_one_slot() {
    model(2, || {
        let limiter = one_at_a_time();
        let other = call_elsewhere(&limiter);
        call(&limiter);
        other.join().unwrap();
        assert_idle(&limiter);
    });
}

/// Caught: `try_admit_with_slot` keeps its slot when the rate refuses (and `Queued::stamp` does).
#[test]
fn model_a_waiting_call_against_the_end_of_one() {
    model(2, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let other = call_elsewhere(&limiter);
        drop(running);
        other.join().unwrap();
        assert_idle(&limiter);
    });
}

/// Caught: `Queued` forgets the turn when it is dropped.
#[test]
fn model_the_first_in_line_gives_up_against_the_second() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let first = queued(&limiter);
        let second = call_elsewhere(&limiter);
        drop(first);
        drop(running);
        second.join().unwrap();
        assert_idle(&limiter);
    });
}

/// Caught: `ManualClock::set` wakes before it moves the time; `Queued::sleep` sets no alarm if the time has
/// come since the call tried.
#[test]
fn model_a_call_waits_for_its_rate_while_time_moves() {
    model(2, || {
        let (limiter, clock) = used_up();
        let other = call_elsewhere(&limiter);
        clock.advance(WINDOW);
        other.join().unwrap();
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
        assert!(matches!(limiter.try_acquire(), Err(refused) if !refused.is_permanent()));
    });
}

/// Time moves to the turn in two steps. The first one wakes the call too early. Caught: `Sleeper::wake`
/// lets no sleeper join again.
#[test]
fn model_a_call_waits_for_its_rate_while_time_moves_twice() {
    model(2, || {
        let (limiter, clock) = used_up();
        let other = call_elsewhere(&limiter);
        clock.advance(WINDOW / 2);
        clock.advance(WINDOW / 2);
        other.join().unwrap();
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
    });
}

/// Caught: `try_admit_with_slot` continues when its stamp is refused.
#[test]
fn model_two_tries_for_one_admission() {
    model(2, || {
        let clock = ManualClock::new();
        let builder =
            Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, WINDOW)).max_concurrent(2);
        let limiter = builder.clock(clock).build();
        let there = limiter.clone();
        let other = thread::spawn(move || there.try_acquire().is_ok());
        let ours = limiter.try_acquire().is_ok();
        assert!(ours != other.join().unwrap());
        assert_eq!(limiter.available_permits(), 2);
    });
}

/// The slots close while a call waits for its rate: the call is refused. Caught: `wait_for_rate` does not
/// watch for the close.
#[test]
fn model_a_call_waits_for_its_rate_while_its_slots_are_closed() {
    model(2, || {
        let slots = std::sync::Arc::new(crate::Semaphore::new(1));
        let builder = Limiter::builder()
            .margin(Duration::ZERO)
            .rate(Rate::new(1, WINDOW))
            .semaphore(slots.clone());
        let limiter = builder.clock(ManualClock::new()).build();
        call(&limiter);
        let there = limiter.clone();
        let other = thread::spawn(move || block_on(there.acquire()).map(drop).is_err());
        slots.close();
        assert!(other.join().unwrap());
        assert_eq!(limiter.waiters(), 0);
    });
}

/// A call that is polled by hand is admitted, too.
#[test]
fn model_a_queued_call_against_the_end_of_one() {
    model(2, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let mut call = queued(&limiter);
        let other = thread::spawn(move || drop(running));
        // Polled while a releaser hands the slot over.
        let early = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        other.join().unwrap();
        if let Poll::Pending = early {
            let late = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(late.is_ready());
        }
        drop((early, call));
        assert_idle(&limiter);
    });
}

// ---- a clock that jumps ----------------------------------------------------------------------------

/// One call in a window, and then the clock steps back to zero.
fn jumped_back() -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(1, WINDOW))
        .clock(clock.clone())
        .build();
    clock.advance(Duration::from_secs(3));
    drop(limiter.try_acquire().unwrap());
    clock.set(Timestamp::ZERO);
    (limiter, clock)
}

/// Both threads notice the jump, and time restarts once: the next call is admitted one window later, and
/// not before. Caught: a jump that is not noticed.
#[test]
fn model_a_jump_is_noticed_by_two() {
    model(1, || {
        let (limiter, clock) = jumped_back();
        let there = limiter.clone();
        let other = thread::spawn(move || there.try_acquire().unwrap_err().retry_after());
        let ours = limiter.try_acquire().unwrap_err().retry_after();
        assert_eq!((ours, other.join().unwrap()), (Some(WINDOW), Some(WINDOW)));
        clock.advance(WINDOW - Duration::from_nanos(1));
        assert!(limiter.try_acquire().is_err());
        clock.advance(Duration::from_nanos(1));
        assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_err());
    });
}

/// In either order the limiter is as new. Caught: a reading that is used although a reset came after it.
#[test]
fn model_a_jump_is_noticed_during_a_reset() {
    model(2, || {
        let (limiter, _clock) = jumped_back();
        let there = limiter.clone();
        let other = thread::spawn(move || there.try_acquire().is_ok());
        limiter.reset();
        let ours = limiter.try_acquire().is_ok();
        assert!(other.join().unwrap() != ours, "not exactly one call is admitted");
        // A reset moves the time forward by a nanosecond.
        let wait = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert!(wait == WINDOW || wait == WINDOW - Duration::from_nanos(1), "{wait:?}");
    });
}
