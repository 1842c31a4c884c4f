//! Absurd limits, windows and clocks: every operation returns, without a panic, with the documented
//! answer.

use crate::common::{Wakes, at_once, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{
    Limit, Limiter, LimiterBuilder, LimiterPermit, Rate, RateLimitPolicy, Refused, Semaphore,
    SlidingWindow, TryAcquireError,
};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

const LIMITS: [u32; 4] = [0, 1, 2, u32::MAX];
const WINDOWS: [Duration; 4] =
    [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX];
const CONCURRENCY: [usize; 3] = [0, 1, usize::MAX];
/// Where windows saturate.
const LONGEST: Duration = Duration::from_nanos(1 << 61);

/// A clock that panics after many readings, so that an endless loop fails.
#[derive(Debug, Clone, Default)]
struct Impatient {
    clock: ManualClock,
    readings: Arc<AtomicUsize>,
}

impl Impatient {
    fn set(&self, now: Timestamp) {
        self.readings.store(0, Ordering::SeqCst);
        self.clock.set(now);
    }
}

impl Clock for Impatient {
    fn now(&self) -> Timestamp {
        let readings = self.readings.fetch_add(1, Ordering::SeqCst);
        assert!(readings < 10_000, "reads the clock endlessly");
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.clock.sleep_until(deadline)
    }
}

/// A clock that is this far behind has jumped back.
const JUMP: Duration = Duration::from_secs(1);

/// What the clock shows for the first call and for the second.
const CLOCKS: [[Timestamp; 2]; 5] = [
    [Timestamp::ZERO, Timestamp::ZERO],
    [seconds(5), seconds(5)],
    [seconds(5), seconds(1)],
    [Timestamp::MAX, Timestamp::MAX],
    [Timestamp::MAX, Timestamp::ZERO],
];

const fn seconds(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

#[derive(Debug, Clone, Copy)]
struct Row {
    limit: u32,
    window: Duration,
    max_concurrent: usize,
    clock: [Timestamp; 2],
}

fn rows() -> impl Iterator<Item = Row> {
    let with = |limit, window, max_concurrent| {
        CLOCKS.into_iter().map(move |clock| Row { limit, window, max_concurrent, clock })
    };
    LIMITS.into_iter().flat_map(move |limit| {
        WINDOWS.into_iter().flat_map(move |window| {
            CONCURRENCY.into_iter().flat_map(move |concurrent| with(limit, window, concurrent))
        })
    })
}

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Admitted,
    Never(Limit),
    /// Refused by the rate, with this wait.
    Wait(Duration),
    /// Refused by the rate at the end of the clock. Any wait except zero is right.
    EndOfTime,
    /// Refused until a call in flight ends.
    NoSlot,
}

impl Row {
    fn build(&self, clock: &Impatient) -> Limiter {
        let builder =
            Limiter::builder().margin(Duration::ZERO).rate(Rate::new(self.limit, self.window));
        builder.max_concurrent(self.max_concurrent).clock(clock.clone()).build()
    }

    /// The answer to the first call, or to any if a limit is zero.
    fn first(&self) -> Answer {
        match (self.limit, self.max_concurrent) {
            (0, _) => Answer::Never(Limit::Rate),
            (_, 0) => Answer::Never(Limit::Concurrency),
            _ => Answer::Admitted,
        }
    }

    /// The answer to the second call, while the first is in flight.
    fn second(&self) -> Answer {
        let [first, second] = self.clock;
        if self.first() != Answer::Admitted {
            self.first()
        } else if self.limit == 1 && !self.window.is_zero() {
            if first == Timestamp::MAX {
                return Answer::EndOfTime;
            }
            // Once the clock has jumped back, the wait is a window.
            let second =
                if first.saturating_duration_since(second) > JUMP { first } else { second };
            let free_at = first.saturating_add(self.window.min(LONGEST));
            Answer::Wait(free_at.saturating_duration_since(second))
        } else if self.max_concurrent == 1 {
            Answer::NoSlot
        } else {
            Answer::Admitted
        }
    }
}

#[track_caller]
fn assert_answer<T>(got: &Result<T, Refused>, expected: Answer, row: &Row) {
    let refused = match (got, expected) {
        (Ok(_), Answer::Admitted) => return,
        (Err(refused), _) => refused,
        (Ok(_), _) => panic!("admitted, not {expected:?}: {row:?}"),
    };
    let right = match expected {
        Answer::Admitted => false,
        Answer::Never(limit) => refused.is_permanent() && refused.limit() == limit,
        Answer::Wait(wait) => refused.retry_after() == Some(wait) && refused.limit() == Limit::Rate,
        Answer::EndOfTime => {
            refused.retry_after() != Some(Duration::ZERO) && refused.limit() == Limit::Rate
        }
        Answer::NoSlot => {
            !refused.is_permanent()
                && refused.retry_after().is_none()
                && refused.limit() == Limit::Concurrency
        }
    };
    assert!(right, "{refused:?}, not {expected:?}: {row:?}");
}

/// A wait must be admitted, refused permanently, or pending, as expected.
#[track_caller]
fn assert_waits(got: &Poll<Result<LimiterPermit<'_>, Refused>>, expected: Answer, row: &Row) {
    match (got, expected) {
        (Poll::Ready(got), Answer::Admitted | Answer::Never(_)) => {
            assert_answer(got, expected, row);
        }
        // At the end of time, pending and permanently refused are both right.
        (Poll::Pending, Answer::Wait(_) | Answer::NoSlot | Answer::EndOfTime)
        | (Poll::Ready(Err(_)), Answer::EndOfTime) => {}
        _ => panic!("{got:?}, not {expected:?}: {row:?}"),
    }
}

/// Calls a limiter once, and passes it to `second` while that call is in flight.
fn with_one_in_flight(row: &Row, second: impl FnOnce(&Limiter, &Impatient)) {
    let clock = Impatient::default();
    clock.set(row.clock[0]);
    let limiter = row.build(&clock);
    let first = limiter.try_acquire();
    assert_answer(&first, row.first(), row);
    clock.set(row.clock[1]);
    second(&limiter, &clock);
}

// ---- the table -----------------------------------------------------------------------------------

/// Broken by: `Margin::add_to` not handling zero; `free_at` without saturation.
#[test]
fn try_acquire_answers_as_documented() {
    for row in rows() {
        with_one_in_flight(&row, |limiter, _| {
            assert_answer(&limiter.try_acquire(), row.second(), &row);
        });
    }
}

/// Broken by: `Queued::advance` looping if the reported time has come and the rate still refuses.
#[test]
fn acquire_admits_refuses_for_good_or_waits_without_spinning() {
    for row in rows() {
        with_one_in_flight(&row, |limiter, _| {
            let mut call = pin!(limiter.acquire());
            assert_waits(&poll_once(call.as_mut()), row.second(), &row);
        });
    }
}

/// Broken by: `Admission::start` adding without saturation.
#[test]
fn acquire_timeout_any_time_admits_refuses_for_good_or_waits_without_spinning() {
    for row in rows() {
        with_one_in_flight(&row, |limiter, clock| {
            let call = pin!(limiter.acquire_timeout(Duration::MAX));
            let got = poll_once(call);
            if clock.clock.now() < Timestamp::MAX {
                assert_waits(&got, row.second(), &row);
            } else {
                // At the end of time every timeout has ended.
                assert!(got.is_ready(), "waits for more than there is: {row:?}");
            }
        });
    }
}

/// Broken by: `Admission::start` not reading the clock before the call joins the line.
#[test]
fn acquire_timeout_no_time_always_answers_at_once() {
    for row in rows() {
        with_one_in_flight(&row, |limiter, _| {
            let got = at_once(limiter.acquire_timeout(Duration::ZERO));
            assert_answer(&got, row.second(), &row);
            assert_eq!(limiter.waiters(), 0);
        });
    }
}

/// Broken by: `Concurrency::Zero` counting as open.
#[test]
fn what_is_free_is_told_for_any_limiter() {
    for row in rows() {
        with_one_in_flight(&row, |limiter, _| {
            let in_flight = usize::from(row.first() == Answer::Admitted);
            let free = match row.max_concurrent {
                1 => 1 - in_flight,
                n => n,
            };
            assert_eq!(limiter.available_permits(), free, "{row:?}");
            assert!(limiter.remaining() <= if row.window.is_zero() { u32::MAX } else { row.limit });
            assert!(!format!("{limiter:?}").is_empty());
        });
    }
}

/// Broken by: `Margin::add_to` adding without saturation.
#[test]
fn a_sliding_window_of_any_shape_answers_as_documented() {
    for row in rows().filter(|row| row.max_concurrent == usize::MAX) {
        for margin in [Duration::ZERO, Duration::MAX] {
            let clock = Impatient::default();
            clock.set(row.clock[0]);
            let builder = SlidingWindow::builder().rate(Rate::new(row.limit, row.window));
            let window = builder.clock(clock.clone()).margin(margin).build();
            let with_margin = if row.window.is_zero() { margin.min(row.window) } else { margin };
            let row = Row { window: row.window.saturating_add(with_margin), ..row };
            assert_answer(&window.try_acquire(), row.first(), &row);
            clock.set(row.clock[1]);
            assert_answer(&window.try_acquire(), row.second(), &row);
            // The third call is for windows that have refused the second.
            let third = poll_once(pin!(window.acquire()));
            assert!(third.is_pending() || !matches!(row.second(), Answer::Wait(_)), "{row:?}");
            assert!(window.remaining() <= row.limit || row.window.is_zero(), "{row:?}");
        }
    }
}

/// Broken by: no `min(LATEST)` in `to_epoch`.
#[test]
fn a_time_named_by_the_caller_may_be_any() {
    let times = [0, 1, 1 << 61, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX];
    for limit in [1, 2, (1 << 20) + 1] {
        for length in WINDOWS {
            for first in times {
                let window = SlidingWindow::new(Rate::new(limit, length));
                assert!(window.try_acquire_at(Timestamp::from_nanos(first)).is_ok());
                for second in times {
                    let _ = window.try_acquire_at(Timestamp::from_nanos(second));
                }
            }
        }
    }
}

/// A clock can reach its end while a call waits. Broken by: `Queued::advance` looping if the reported time
/// has come and the rate still refuses.
#[test]
fn a_call_that_waits_does_not_spin_when_time_ends() {
    for window in [Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX] {
        let clock = Impatient::default();
        clock.set(Timestamp::from_nanos(u64::MAX - 1));
        let window = SlidingWindow::with_clock(Rate::new(1, window), clock.clone());
        assert!(window.try_acquire().is_ok());
        let mut call = pin!(window.acquire());
        let _ = poll_once(call.as_mut());
        clock.set(Timestamp::MAX);
        let mut other = pin!(window.acquire());
        let _ = poll_once(other.as_mut());
    }
}

/// One call at 100 s, and the next by a clock that shows these seconds.
fn waits_by_a_clock_set_back(shown: &[u64], free_at: u64) {
    let clock = Impatient::default();
    clock.set(seconds(100));
    let window = SlidingWindow::with_clock(Rate::new(1, Duration::from_secs(10)), clock.clone());
    assert!(window.try_acquire().is_ok());
    clock.set(seconds(shown[0]));
    let mut call = pin!(window.acquire());
    for &now in shown {
        clock.set(seconds(now));
        assert!(poll_once(call.as_mut()).is_pending(), "admitted at {now} s");
    }
    clock.set(seconds(free_at));
    assert!(poll_once(call).is_ready());
}

/// Broken by: `stamp` not clamped, so that a clock that was set back frees cells early.
#[test]
fn a_clock_set_back_a_little_makes_calls_wait_until_it_has_caught_up() {
    waits_by_a_clock_set_back(&[99, 99, 105, 99, 104, 109], 110);
}

/// Broken by: a jump after which time does not continue from the newest stamp.
#[test]
fn a_clock_set_back_far_makes_calls_wait_for_a_window() {
    waits_by_a_clock_set_back(&[0, 0, 5, 9], 10);
}

/// Broken by: `link_successor` starting a limit of zero as one.
#[test]
fn a_reset_of_any_shape_leaves_it_as_new() {
    for limit in LIMITS {
        for length in WINDOWS {
            let window = SlidingWindow::with_clock(Rate::new(limit, length), ManualClock::new());
            let burst =
                || [(); 3].map(|()| window.try_acquire().map_err(|refused| refused.limit()));
            let before = (window.rates().next(), burst());
            // Dropped in line: it leaves nothing behind.
            let _ = poll_once(pin!(window.acquire()));
            window.reset();
            assert_eq!((window.rates().next(), burst()), before, "{limit} in {length:?}");
            assert_eq!(window.waiters(), 0);
        }
    }
}

// ---- the semaphore -------------------------------------------------------------------------------

/// Broken by: `saturate` not saturating.
#[test]
fn a_semaphore_saturates_and_never_panics() {
    for permits in [0, 1, Semaphore::MAX_PERMITS, Semaphore::MAX_PERMITS + 1, usize::MAX] {
        let semaphore = Semaphore::new(permits);
        let there = permits.min(Semaphore::MAX_PERMITS);
        assert_eq!(semaphore.available_permits(), there);
        semaphore.add_permits(0);
        assert_eq!(semaphore.available_permits(), there);
        semaphore.add_permits(usize::MAX);
        assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
        assert_eq!(semaphore.forget_permits(0), 0);
        assert_eq!(semaphore.forget_permits(usize::MAX), Semaphore::MAX_PERMITS);
        assert_eq!(semaphore.forget_permits(usize::MAX), 0);
        assert_eq!(semaphore.available_permits(), 0);
    }
}

/// Broken by: `u64` for `u32` missing in the arithmetic of `try_acquire`. (On 32 bits there are never as many.)
#[cfg(target_pointer_width = "64")]
#[test]
fn a_semaphore_is_asked_for_all_or_nothing() {
    let empty = Semaphore::new(0);
    assert_eq!(empty.try_acquire_many(u32::MAX).unwrap_err(), TryAcquireError::NoPermits);
    assert!(empty.try_acquire_many(0).is_ok());
    assert!(at_once(empty.acquire_many(0)).is_ok());
    let mut all = empty.acquire_many(u32::MAX);
    assert!(poll_once(Pin::new(&mut all)).is_pending());
    empty.add_permits(u32::MAX as usize - 1);
    assert!(poll_once(Pin::new(&mut all)).is_pending());
    empty.add_permits(2);
    let Poll::Ready(Ok(held)) = poll_once(Pin::new(&mut all)) else { panic!("not granted") };
    assert_eq!((held.num_permits(), empty.available_permits()), (u32::MAX as usize, 1));
    drop(held);
    assert_eq!(empty.available_permits(), u32::MAX as usize + 1);
}

/// Broken by: `add_permits` opening a closed semaphore.
#[test]
fn a_closed_semaphore_answers_everything() {
    let semaphore = Semaphore::new(1);
    let woken = Wakes::new();
    // The most that a request can ask for, and that there can be.
    let big = u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX);
    let mut waiting = semaphore.acquire_many(big);
    let waker = Waker::from(Arc::clone(&woken));
    assert!(poll_with(Pin::new(&mut waiting), &waker).is_pending());
    semaphore.close();
    semaphore.close();
    assert!(woken.count() > 0);
    assert!(matches!(poll_once(Pin::new(&mut waiting)), Poll::Ready(Err(_))));
    for asked in [0, 1, u32::MAX] {
        assert_eq!(semaphore.try_acquire_many(asked).unwrap_err(), TryAcquireError::Closed);
        assert!(at_once(semaphore.acquire_many(asked)).is_err());
    }
    semaphore.add_permits(usize::MAX);
    assert_eq!(semaphore.available_permits(), Semaphore::MAX_PERMITS);
    assert!(semaphore.is_closed());
}

// ---- policies ------------------------------------------------------------------------------------

fn limiter(policy: &RateLimitPolicy) -> Limiter {
    LimiterBuilder::from(policy).clock(Impatient::default()).build()
}

fn with_rpm(mut policy: RateLimitPolicy, rpm: u32) -> RateLimitPolicy {
    policy.rpm = rpm;
    policy
}

/// Broken by: `per_second` multiplying without saturation; `unlimited` counting as a limit.
#[test]
fn every_policy_makes_a_limiter_that_answers() {
    let policies = [0, 1, 5, 6, 71_582_789, u32::MAX]
        .into_iter()
        .flat_map(|n| [RateLimitPolicy::rpm(n), RateLimitPolicy::per_second(n)])
        .chain([RateLimitPolicy::unlimited()]);
    for policy in policies {
        for margin in [Duration::ZERO, Duration::MAX] {
            let policy = policy.clone().with_margin(margin);
            let admits = policy.rpm > 0 && policy.max_concurrent > 0;
            assert_eq!(limiter(&policy).try_acquire().is_ok(), admits, "{policy:?}");
            let none = policy.with_max_concurrent(0);
            assert!(limiter(&none).try_acquire().unwrap_err().is_permanent());
        }
    }
}

/// Broken by: `max(1)` missing in `RateLimitPolicy::rpm`.
#[test]
fn a_low_rate_still_allows_one_call_in_flight() {
    for rpm in 1..=6 {
        assert_eq!(RateLimitPolicy::rpm(rpm).max_concurrent, 1);
    }
    assert_eq!(RateLimitPolicy::rpm(60).max_concurrent, 10);
}

/// Broken by: `rate` reading `per_second` before `rpm`.
#[test]
fn writing_to_a_policys_fields_counts() {
    let never = with_rpm(RateLimitPolicy::per_second(5), 0);
    assert_eq!(limiter(&never).remaining(), 0);
    let per_minute = with_rpm(RateLimitPolicy::per_second(5), 7);
    assert_eq!(limiter(&per_minute).remaining(), 7);
    let open = with_rpm(RateLimitPolicy::rpm(5), u32::MAX);
    assert_eq!(limiter(&open).remaining(), u32::MAX);
    let shut = with_rpm(RateLimitPolicy::unlimited(), 0);
    assert!(limiter(&shut).try_acquire().unwrap_err().is_permanent());
}

// ---- time itself ---------------------------------------------------------------------------------

/// Broken by: `+` for `saturating_add`.
#[test]
fn time_saturates() {
    let clock = ManualClock::new();
    clock.advance(Duration::MAX);
    clock.advance(Duration::MAX);
    assert_eq!(clock.now(), Timestamp::MAX);
    assert_eq!(Timestamp::MAX.saturating_add(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::from_epoch(Duration::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::ZERO.saturating_duration_since(Timestamp::MAX), Duration::ZERO);
    assert!(poll_once(pin!(clock.sleep_until(Timestamp::MAX))).is_ready());
}
