//! Both limits and the line under loom. The parts have models of their own; these are about what is
//! between them: a turn, a slot or a wake that nobody passes on would end in a deadlock here.

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

/// One call in a window, which has gone, and one at a time.
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

/// Caught: `try_admit` keeps the slot it has taken when it is refused (and `Admission::advance` another).
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

/// Caught: `Admission::advance` keeps its turn when it is dropped (the turn forgotten).
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

/// Caught: `ManualClock::set` wakes before it moves the time.
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

/// Time comes to the turn in two steps, the first of which wakes the call too early.
/// Caught: `Sleeper::wake` that lets nobody join again.
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

/// Caught: `try_admit_with_slot` keeps going when its stamp is refused.
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

/// Where both are ready at once nobody is left behind.
/// Caught: `wait_for_rate` sleeps without an ear for the close.
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

/// What is polled by hand comes through, too.
#[test]
fn model_a_queued_call_against_the_end_of_one() {
    model(2, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let mut call = queued(&limiter);
        let other = thread::spawn(move || drop(running));
        // Polled while the slot is on its way.
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

/// One call in a window, and then the clock shows nought again.
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

/// Both notice, and time goes on once: a window later one goes, and not before.
/// Caught: a jump that is not noticed.
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

/// Whatever comes first, the limiter is as new.
/// Caught: a reading that is kept though a reset has come.
#[test]
fn model_a_jump_is_noticed_during_a_reset() {
    model(2, || {
        let (limiter, _clock) = jumped_back();
        let there = limiter.clone();
        let other = thread::spawn(move || there.try_acquire().is_ok());
        limiter.reset();
        let ours = limiter.try_acquire().is_ok();
        assert!(other.join().unwrap() != ours, "one goes, and no more");
        // A reset moves time on by a nanosecond.
        let wait = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert!(wait == WINDOW || wait == WINDOW - Duration::from_nanos(1), "{wait:?}");
    });
}
