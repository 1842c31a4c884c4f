//! Both limits and the queue under loom. The parts have models of their own. These scenes test how the
//! parts work together: a turn, a slot or a wake that no thread passes on ends in a deadlock here.

use crate::sync::{model, thread};
use crate::tests::pairs::{Waiter, go_on};
use crate::time::{ManualClock, Timestamp};
use crate::{Limiter, LimiterAcquireOwned, LimiterBuilder, OwnedLimiterPermit, Rate};
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

/// A call that is sent again: it takes its place, gives back its permit, and waits.
fn sent_again(limiter: &Limiter, permit: OwnedLimiterPermit) {
    let mut place = limiter.call().again().acquire_owned();
    place.join(&mut Context::from_waker(Waker::noop()));
    permit.cancel();
    drop(block_on(place).unwrap());
}

/// Caught: `Line::give` leaves out the lane of calls that are sent again.
#[test]
fn model_a_call_that_is_sent_again_against_one_in_line() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let waiting = queued(&limiter);
        let again = {
            let limiter = limiter.clone();
            thread::spawn(move || sent_again(&limiter, running))
        };
        drop(block_on(waiting));
        again.join().unwrap();
        assert_idle(&limiter);
    });
}

/// Caught: `Line::is_first` is false for calls that are sent again.
#[test]
fn model_a_call_that_is_sent_again_while_time_moves() {
    model(1, || {
        let clock = ManualClock::new();
        let builder = Limiter::builder().margin(Duration::ZERO).max_concurrent(1);
        let limiter = builder.clock(clock.clone()).build();
        let running = limiter.try_acquire_owned().unwrap();
        limiter.pause(WINDOW);
        let again = {
            let limiter = limiter.clone();
            thread::spawn(move || sent_again(&limiter, running))
        };
        clock.advance(WINDOW);
        again.join().unwrap();
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

/// The slots close while a call waits for its rate: the call is refused. Caught: a place in front does not
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
/// Caught: `hand_out` keeps the turns that nobody took.
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

// ---- many turns ------------------------------------------------------------------------------------

type Call = Waiter<LimiterAcquireOwned>;

/// A call in line, with a task that polls it when it is woken.
fn in_line(limiter: &Limiter) -> Call {
    let call = Waiter::new(0, limiter.acquire_owned());
    assert!(!call.is_over());
    call
}

fn went(call: &Call) -> bool {
    matches!(call.output, Some(Ok(_)))
}

/// The first call is given what it waits for while the second one joins, and nobody ever polls it. The second one goes within
/// the grace.
fn assert_a_silent_call_is_passed(builder: LimiterBuilder, grace: Duration) {
    let clock = ManualClock::new();
    let limiter = builder.grace(grace).clock(clock.clone()).build();
    let running = limiter.try_acquire_owned().unwrap();
    let silent = queued(&limiter);
    let other = thread::spawn(move || drop(running));
    let mut second = Waiter::new(0, limiter.acquire_owned());
    other.join().unwrap();
    for _ in 0..8 {
        clock.advance(grace / 8);
        go_on([&mut second].into_iter());
    }
    assert!(went(&second), "it waits for a silent call");
    drop((second, silent));
    assert_idle(&limiter);
}

/// It has a turn, or gets one.
#[test]
fn model_a_silent_call_is_passed_within_the_grace() {
    model(2, || {
        let builder = Limiter::builder().max_concurrent(1);
        assert_a_silent_call_is_passed(builder, Duration::from_millis(1));
    });
}

/// It stands for the shared permit and is granted it.
/// Caught: `offer` that takes nothing back, `take_grant` without the claim.
#[test]
fn model_a_silent_call_is_passed_in_the_line_of_a_shared_semaphore() {
    model(1, || {
        let slots = std::sync::Arc::new(crate::Semaphore::new(1));
        let builder = Limiter::builder().semaphore(slots.clone());
        // Shorter ones do not hold for shared semaphores.
        assert_a_silent_call_is_passed(builder, Duration::from_millis(100));
        assert!(!slots.has_unclaimed());
    });
}

/// Two slots become free for two calls: both go, and no time passes.
/// Caught: no `form_line`.
#[test]
fn model_two_ends_for_two_calls_in_line() {
    model(2, || {
        let limiter = Limiter::builder().max_concurrent(2).clock(ManualClock::new()).build();
        let [one, two] = [(); 2].map(|()| limiter.try_acquire_owned().unwrap());
        let mut calls = [in_line(&limiter), in_line(&limiter)];
        let other = thread::spawn(move || drop(one));
        drop(two);
        other.join().unwrap();
        go_on(calls.iter_mut());
        assert!(calls.iter().all(went), "a call waits though a slot is free");
        drop(calls);
        assert_eq!((limiter.available_permits(), limiter.waiters()), (2, 0));
    });
}

/// The first in line leaves, perhaps with a turn, while a slot becomes free: the second one goes, and no time
/// passes.
/// Caught: no `form_line`; `Leaving` looks for nobody.
#[test]
fn model_the_first_in_line_gives_up_while_a_slot_becomes_free() {
    model(2, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let first = queued(&limiter);
        let mut second = [in_line(&limiter)];
        let other = thread::spawn(move || drop(running));
        drop(first);
        other.join().unwrap();
        go_on(second.iter_mut());
        assert!(went(&second[0]), "it waits though a slot is free");
        drop(second);
        assert_idle(&limiter);
    });
}

/// The last in line goes and ends while another call comes: that one passes straight through or joins, and
/// goes.
/// Caught: `form_line` left out or Relaxed; no second `is_waiting` after `end_line`.
#[test]
fn model_a_call_comes_while_the_last_in_line_goes() {
    model(1, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let last = queued(&limiter);
        drop(running);
        let other = call_elsewhere(&limiter);
        drop(block_on(last));
        other.join().unwrap();
        assert_idle(&limiter);
    });
}

/// The last in line leaves and a slot becomes free, while another call joins.
/// Caught: as above.
#[test]
fn model_a_call_joins_while_the_last_in_line_gives_up() {
    model(2, || {
        let limiter = one_at_a_time();
        let running = limiter.try_acquire_owned().unwrap();
        let last = queued(&limiter);
        let other = thread::spawn(move || {
            drop(last);
            drop(running);
        });
        let mut joins = [Waiter::new(0, limiter.acquire_owned())];
        other.join().unwrap();
        go_on(joins.iter_mut());
        assert!(went(&joins[0]), "it waits though a slot is free");
        drop(joins);
        assert_idle(&limiter);
    });
}

fn used_up_rate() -> Limiter {
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, WINDOW));
    let limiter = builder.clock(ManualClock::new()).build();
    drop(limiter.try_acquire().unwrap());
    limiter
}

/// A call joins the line while the log is reset: it finds the room, or is woken. Caught: `Gate::change` with a
/// load.
#[test]
fn model_a_call_joins_while_the_log_is_reset() {
    model(2, || {
        let limiter = used_up_rate();
        let there = limiter.clone();
        let other = thread::spawn(move || there.reset());
        let mut joins = [Waiter::new(0, limiter.acquire_owned())];
        other.join().unwrap();
        go_on(joins.iter_mut());
        assert!(went(&joins[0]), "it waits though there is room");
    });
}

/// A call joins the line while the rate is raised: it finds the room, or is woken. Caught: as above.
#[test]
fn model_a_call_joins_while_the_rate_is_raised() {
    model(2, || {
        let limiter = used_up_rate();
        let there = limiter.clone();
        let other = thread::spawn(move || there.set_rate(Rate::new(2, WINDOW)).unwrap());
        let mut joins = [Waiter::new(0, limiter.acquire_owned())];
        other.join().unwrap();
        go_on(joins.iter_mut());
        assert!(went(&joins[0]), "it waits though there is room");
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
