//! Former faults of waiting calls. Each test is named after one.

use crate::common::{at_once, poll_once};
use crate::line::queued;
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Limit, Limiter, LimiterAcquire, Rate, Semaphore, SlidingWindow, WindowAcquire};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

const fn ns(nanos: u64) -> Duration {
    Duration::from_nanos(nanos)
}

fn at(nanos: u64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// One call per 10 ns; the first was already admitted.
fn used_up(clock: impl Clock) -> Limiter {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(1, ns(10)))
        .max_concurrent(1)
        .clock(clock)
        .build();
    drop(limiter.try_acquire().unwrap());
    limiter
}

// ---- panics --------------------------------------------------------------------------------------

/// A sleep that panics as it is dropped.
struct Brittle;

impl Future for Brittle {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Brittle {
    fn drop(&mut self) {
        assert!(thread::panicking(), "the sleep panics as it is dropped");
    }
}

#[derive(Debug, Clone, Default)]
struct WithBrittleSleeps(ManualClock);

impl Clock for WithBrittleSleeps {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(Brittle)
    }
}

/// Its alarm is dropped when a call is admitted.
/// Broken by: `Queued::stamp` keeping the slot before it leaves the line.
#[test]
fn a_sleep_that_panics_as_it_is_dropped_cost_a_slot() {
    let clock = WithBrittleSleeps::default();
    let limiter = used_up(clock.clone());
    for timeout in [None, Some(ns(100))] {
        let mut call = Box::pin(match timeout {
            None => limiter.acquire(),
            Some(timeout) => limiter.acquire_timeout(timeout),
        });
        assert!(poll_once(call.as_mut()).is_pending());
        clock.0.advance(ns(10));
        assert!(catch_unwind(AssertUnwindSafe(|| poll_once(call.as_mut()).is_ready())).is_err());
        let _ = catch_unwind(AssertUnwindSafe(|| drop(call)));
        assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
        clock.0.advance(ns(10));
        drop(limiter.try_acquire().expect("a call keeps the turn"));
    }
}

// ---- clocks --------------------------------------------------------------------------------------

/// Shows 100, then repeats these times in turn. Its sleeps end at once.
#[derive(Debug, Clone)]
struct Wavering(&'static [u64], Arc<AtomicUsize>);

impl Clock for Wavering {
    fn now(&self) -> Timestamp {
        match self.1.fetch_add(1, Ordering::SeqCst).checked_sub(1) {
            None => at(100),
            Some(n) => {
                assert!(n < 1000, "it keeps the thread");
                at(self.0[n % self.0.len()])
            }
        }
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::ready(()))
    }
}

/// Broken by: `yield_now` looking again within the same poll, in either place.
#[test]
fn a_clock_that_shows_now_this_and_now_that_kept_the_thread() {
    for readings in
        [&[105, 110][..], &[110, 105], &[105, 110, 105], &[105, 105, 110], &[105, 110, 110]]
    {
        for skip in 0..3 {
            let clock = Wavering(readings, Arc::default());
            let limiter = used_up(clock.clone());
            (0..skip).for_each(|_| assert!(clock.now() > at(100)));
            let mut call = pin!(limiter.acquire());
            // It may be admitted, but each poll returns.
            let _ = (0..5).any(|_| poll_once(call.as_mut()).is_ready());
        }
    }
}

/// Time goes on with each reading, from the given one on.
#[derive(Debug, Clone, Default)]
struct Running(Arc<AtomicUsize>);

impl Clock for Running {
    fn now(&self) -> Timestamp {
        let readings = self.0.load(Ordering::SeqCst);
        if readings > 0 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        at((readings as u64).saturating_sub(2))
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

/// The rate opens between the look at it and the look at the alarm, in one poll.
/// Broken by: `Queued::poll` leaving the line without a last `advance`.
#[test]
fn a_turn_that_came_with_the_alarm_was_given_to_the_one_behind() {
    for start in 1..=13 {
        let clock = Running::default();
        let limiter = used_up(clock.clone());
        let mut call = pin!(limiter.acquire_timeout(ns(10)));
        assert!(poll_once(call.as_mut()).is_pending());
        let mut behind = pin!(limiter.acquire());
        assert!(poll_once(behind.as_mut()).is_pending());
        clock.0.store(start, Ordering::SeqCst);
        match poll_once(call.as_mut()) {
            Poll::Ready(decided) => drop(decided.expect("its turn had come")),
            Poll::Pending => assert!(poll_once(behind.as_mut()).is_pending()),
        }
    }
}

// ---- calls that block others ----------------------------------------------------------------------

/// Broken by: `permanent_refusal` checking only whether the semaphore is closed.
#[test]
fn a_semaphore_that_never_has_a_permit_was_not_refused_for_good() {
    let none = Arc::new(Semaphore::with_max_permits(0));
    let limiter = Limiter::builder().semaphore(none).build();
    let refused = [
        limiter.try_acquire().map(drop).unwrap_err(),
        at_once(limiter.acquire()).map(drop).unwrap_err(),
        at_once(limiter.acquire_timeout(ns(5))).map(drop).unwrap_err(),
    ];
    for refused in refused {
        assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Concurrency, true));
    }
}

/// Broken by: `Queued::go` refusing nobody for good; `check_satisfiable` accepting every call.
#[test]
fn a_rate_of_zero_did_not_reach_a_call_that_waited_for_its_slot() {
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(5, ns(10)))
        .max_concurrent(1)
        .build();
    let held = limiter.try_acquire().unwrap();
    let mut head = pin!(limiter.acquire());
    let mut behind = pin!(limiter.acquire());
    assert!(poll_once(head.as_mut()).is_pending());
    assert!(poll_once(behind.as_mut()).is_pending());
    limiter.set_rate(Rate::new(0, ns(10))).unwrap();
    assert!(at_once(limiter.acquire()).unwrap_err().is_permanent());
    for call in [head.as_mut(), behind.as_mut()] {
        let Poll::Ready(Err(refused)) = poll_once(call) else { panic!("it still waits") };
        assert_eq!((refused.limit(), refused.is_permanent()), (Limit::Rate, true));
    }
    drop(held);
    assert_eq!((limiter.available_permits(), limiter.waiters()), (1, 0));
}

/// A change that leaves room does not disturb a call that waits for a slot.
/// Broken by: going back to the rate at every change (it loses its place in the queue for slots).
#[test]
fn a_change_of_the_rate_cost_a_call_its_place_for_a_slot() {
    let slots = Arc::new(Semaphore::new(1));
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::new(5, ns(10)))
        .semaphore(Arc::clone(&slots))
        .build();
    let held = slots.try_acquire().unwrap();
    let mut call = pin!(limiter.acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    let mut later = pin!(slots.acquire());
    assert!(poll_once(later.as_mut()).is_pending());
    limiter.set_rate(Rate::new(6, ns(10))).unwrap();
    assert!(poll_once(call.as_mut()).is_pending());
    drop(held);
    assert!(poll_once(later.as_mut()).is_pending());
    assert!(poll_once(call.as_mut()).is_ready());
}

/// Time ends before a second call could be admitted, if the first one stays in line.
/// Broken by: `estimate` refusing the calls behind permanently.
#[test]
fn who_stood_behind_others_was_refused_for_good_where_time_ends_for_those() {
    let window = SlidingWindow::with_clock(Rate::new(1, Duration::MAX), ManualClock::new());
    assert!(window.try_acquire().is_ok());
    let mut line: Vec<_> = (0..5).map(|_| Box::pin(window.acquire())).collect();
    assert!(line.iter_mut().all(|call| poll_once(call.as_mut()).is_pending()));
    assert!(!window.try_acquire().unwrap_err().is_permanent());
    assert!(!at_once(window.acquire_timeout(ns(5))).unwrap_err().is_permanent());
    window.set_rate(Rate::new(5, Duration::MAX));
    assert_eq!(line.iter_mut().filter_map(|call| ready(call.as_mut())).count(), 4);
}

fn ready<F: Future>(call: Pin<&mut F>) -> Option<F::Output> {
    match poll_once(call) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A newcomer at a closed gate found no one in line, and room.
/// Broken by: `passes_the_line` that ignores a close.
#[test]
fn a_call_that_came_after_the_close_was_admitted() {
    let clock = ManualClock::new();
    let unlimited = Limiter::builder().clock(clock.clone()).build();
    let limiter = used_up(clock.clone());
    clock.advance(ns(10));
    for limiter in [unlimited, limiter] {
        limiter.close();
        assert!(limiter.try_acquire().unwrap_err().is_permanent());
        assert!(at_once(limiter.acquire()).map(drop).unwrap_err().is_permanent());
        assert!(at_once(limiter.acquire_timeout(ns(5))).map(drop).unwrap_err().is_permanent());
    }
}

// ---- the order of calls, and silent ones ----------------------------------------------------------

/// The turn passed to the next in the lane, although an older call waited in front.
/// Broken by: `Place` without its `drop`.
#[test]
fn the_turn_of_a_call_that_left_passed_to_one_that_was_younger_than_others() {
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(5, ns(10)));
    let limiter = builder.max_concurrent(1).clock(ManualClock::new()).build();
    let held = limiter.try_acquire().unwrap();
    let [mut first, second, mut third] = [0; 3].map(|_| queued(&limiter));
    // Each change gives one turn; there is no slot.
    limiter.set_rate(Rate::new(6, ns(10))).unwrap();
    limiter.set_rate(Rate::new(7, ns(10))).unwrap();
    assert!(poll_once(first.as_mut()).is_pending());
    drop(second);
    drop(held);
    assert!(poll_once(third.as_mut()).is_pending());
    assert!(poll_once(first.as_mut()).is_ready());
}

/// The room of one that stood for a shared permit was kept for it without end.
/// Broken by: a first call that does not look past silent ones, or moves its alarm on at each poll.
#[test]
fn a_silent_call_that_had_a_shared_permit_held_up_the_first_in_line() {
    let slots = Arc::new(Semaphore::new(0));
    let clock = ManualClock::new();
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, ns(10)));
    let limiter = builder.semaphore(Arc::clone(&slots)).clock(clock.clone()).build();
    let _silent = queued(&limiter);
    let mut line = [queued(&limiter), queued(&limiter)];
    slots.add_permits(3);
    let mut admitted = Vec::new();
    for _ in 0..20 {
        clock.advance(Duration::from_millis(125));
        admitted.extend(line.iter_mut().filter_map(|call| ready(call.as_mut())));
    }
    assert_eq!(admitted.len(), 2);
}

/// The limiter's own slots that such calls hold were counted as taken, and as kept for them.
/// Broken by: `room` without the calls that stand.
#[test]
fn some_slots_were_not_used_while_calls_waited_for_shared_permits() {
    let slots = Arc::new(Semaphore::new(0));
    let limiter = Limiter::builder().max_concurrent(4).semaphore(Arc::clone(&slots)).build();
    let _line = [0; 6].map(|_| queued(&limiter));
    assert_eq!(slots.waiters(), 4);
}

/// After its turn had expired the line looked empty, and stayed so when the call went to stand for a permit.
/// Broken by: `Stand::new` without `form_line`.
#[test]
fn a_newcomer_took_the_room_of_a_call_that_stood_for_a_shared_permit() {
    let slots = Arc::new(Semaphore::new(0));
    let clock = ManualClock::new();
    let builder = Limiter::builder().margin(Duration::ZERO).rate(Rate::new(1, ns(10)));
    let limiter = builder.semaphore(Arc::clone(&slots)).clock(clock.clone()).build();
    let first = queued(&limiter);
    let mut slow = queued(&limiter);
    drop(first);
    clock.advance(Duration::from_secs(1));
    assert!(limiter.try_acquire().is_err());
    assert!(poll_once(slow.as_mut()).is_pending());
    slots.add_permits(2);
    assert!(limiter.try_acquire().is_err());
    assert!(poll_once(slow.as_mut()).is_ready());
}

// ---- types ---------------------------------------------------------------------------------------

fn is_shared<T: Send + Sync>(_: &T) {}
fn is_static<T: Send + 'static>(_: &T) {}

/// Broken by: a user's `Sleep` that is only `Send` in the future; `acquire_owned` borrowing.
#[test]
fn futures_could_not_be_shared_nor_spawned() {
    let limiter = Limiter::new(Rate::new(1, ns(1)), 1);
    let window = SlidingWindow::new(Rate::new(1, ns(1)));
    let (of_limiter, of_window): (LimiterAcquire<'_>, WindowAcquire<'_>) =
        (limiter.acquire(), window.acquire());
    is_shared(&of_limiter);
    is_shared(&of_window);
    is_static(&limiter.acquire_owned());
    is_static(&limiter.acquire_timeout_owned(ns(1)));
}

// ---- a clock that jumps back ---------------------------------------------------------------------

/// Broken by: `SleepUntil::is_over` that leaves the deadline where it was.
#[test]
fn a_timeout_lasted_longer_by_as_much_as_the_clock_jumped_back() {
    let clock = ManualClock::new();
    clock.set(at(100_000_000_000));
    let limiter = Limiter::builder().max_concurrent(1).clock(clock.clone()).build();
    let permit = limiter.try_acquire().unwrap();
    let mut call = pin!(limiter.acquire_timeout(Duration::from_secs(5)));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.set(at(102_000_000_000));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.set(Timestamp::ZERO);
    assert!(poll_once(call.as_mut()).is_pending());
    clock.set(at(2_999_999_999));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.set(at(3_000_000_000));
    let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("it waits on") };
    assert_eq!(refused.limit(), Limit::Concurrency);
    drop(permit);
}

/// A clock that jumps back to zero after some readings. Its timers never fire.
#[derive(Debug, Clone, Default)]
struct JumpsBetween {
    now: Arc<AtomicU64>,
    readings: Arc<AtomicU64>,
    /// What the clock showed at the last sleep, and until when that was to last.
    sleep: Arc<[AtomicU64; 2]>,
}

const SECOND: u64 = 1_000_000_000;

impl JumpsBetween {
    fn at(now: u64) -> Self {
        let clock = Self::default();
        clock.now.store(now, Ordering::SeqCst);
        clock
    }

    fn last_sleep(&self) -> [Timestamp; 2] {
        [0, 1].map(|which: usize| at(self.sleep[which].load(Ordering::SeqCst)))
    }

    /// The reading after this many more is zero.
    fn jump_after(&self, readings: u64) {
        self.readings.store(readings, Ordering::SeqCst);
    }
}

impl Clock for JumpsBetween {
    fn now(&self) -> Timestamp {
        let now = self.now.load(Ordering::SeqCst);
        let left = self.readings.load(Ordering::SeqCst);
        self.readings.store(left.saturating_sub(1), Ordering::SeqCst);
        if left == 1 {
            self.now.store(0, Ordering::SeqCst);
        }
        at(now)
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.sleep[0].store(self.now.load(Ordering::SeqCst), Ordering::SeqCst);
        self.sleep[1].store(deadline.as_nanos(), Ordering::SeqCst);
        Sleep::new(std::future::pending())
    }
}

/// Broken by: `sleep_until` that knows no earlier reading.
#[test]
fn a_timeout_was_longer_if_the_clock_jumped_back_before_its_first_poll() {
    let clock = JumpsBetween::at(1000 * SECOND);
    let limiter = Limiter::builder().max_concurrent(1).clock(clock.clone()).build();
    let _permit = limiter.try_acquire().unwrap();
    let mut call = pin!(limiter.acquire_timeout(Duration::from_secs(5)));
    clock.jump_after(1);
    assert!(poll_once(call.as_mut()).is_pending());
    clock.now.store(6 * SECOND, Ordering::SeqCst);
    assert!(poll_once(call.as_mut()).is_ready());
}

/// Broken by: `arm` that does not read the clock again; `sleep_until` that knows no earlier reading.
#[test]
fn the_head_slept_until_a_time_from_before_a_jump() {
    for readings in 1..8 {
        let clock = JumpsBetween::at(1000 * SECOND);
        let builder = Limiter::builder().rate(Rate::per_minute(1)).margin(Duration::ZERO);
        let limiter = builder.clock(clock.clone()).build();
        drop(limiter.try_acquire().unwrap());
        let mut call = pin!(limiter.acquire());
        clock.jump_after(readings);
        assert!(poll_once(call.as_mut()).is_pending());
        let [shown, until] = clock.last_sleep();
        let longest = Duration::from_secs(61);
        assert!(until.saturating_duration_since(shown) <= longest, "{readings}: {until:?}");
    }
}

/// Broken by: `is_over` that moves the deadline and keeps the timer.
#[test]
fn a_timeout_that_moved_back_kept_its_timer() {
    let clock = JumpsBetween::at(100 * SECOND);
    let limiter = Limiter::builder().max_concurrent(1).clock(clock.clone()).build();
    let _permit = limiter.try_acquire().unwrap();
    let mut call = pin!(limiter.acquire_timeout(Duration::from_secs(5)));
    assert!(poll_once(call.as_mut()).is_pending());
    clock.now.store(0, Ordering::SeqCst);
    assert!(poll_once(call.as_mut()).is_pending());
    assert_eq!(clock.last_sleep()[1], at(5 * SECOND));
}

/// A clock that falls by two seconds at each reading.
#[derive(Debug, Clone)]
struct Falls(Arc<AtomicU64>);

impl Clock for Falls {
    fn now(&self) -> Timestamp {
        at(self.0.fetch_sub(2 * SECOND, Ordering::SeqCst))
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

/// Each look at the rate noticed a jump, which made the head look again.
/// Broken by: `Queued::advance` trying as often as there are turns.
#[test]
fn a_falling_clock_kept_the_thread() {
    let start = 1 << 60;
    let clock = Falls(Arc::new(AtomicU64::new(start)));
    let limiter = Limiter::builder().rate(Rate::per_minute(1)).clock(clock.clone()).build();
    drop(limiter.try_acquire().unwrap());
    let mut call = pin!(limiter.acquire());
    assert!(poll_once(call.as_mut()).is_pending());
    let readings = (start - clock.0.load(Ordering::SeqCst)) / (2 * SECOND);
    assert!(readings < 100, "{readings} readings in one poll");
}

/// The waker of a call with a turn panics as it is cloned, and the call is dropped. Broken by: a turn that is answered by
/// nobody then.
#[test]
fn a_waker_that_panicked_as_it_was_cloned_cost_the_next_its_turn() {
    use std::sync::atomic::AtomicBool;
    use std::task::{RawWaker, RawWakerVTable, Waker};
    static PANICS: AtomicBool = AtomicBool::new(false);
    static TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            assert!(!PANICS.load(Ordering::SeqCst), "the clone panics");
            RawWaker::new(data, &TABLE)
        },
        |_| {},
        |_| {},
        |_| {},
    );
    // SAFETY: no function of the table uses the data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
    let clock = ManualClock::new();
    let limiter = used_up(clock.clone());
    let mut first = Box::pin(limiter.acquire());
    assert!(first.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut second = Box::pin(limiter.acquire());
    assert!(poll_once(second.as_mut()).is_pending());
    // A turn without room.
    limiter.set_rate(Rate::new(1, ns(10))).unwrap();
    PANICS.store(true, Ordering::SeqCst);
    let polled =
        AssertUnwindSafe(|| first.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    assert!(catch_unwind(polled).is_err());
    drop(first);
    clock.advance(ns(10));
    assert!(poll_once(second.as_mut()).is_ready());
}
