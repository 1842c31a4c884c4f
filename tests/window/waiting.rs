//! Waiting for a window: place and turn, timers, bursts; several limits at once; limits
//! that change while calls wait.

use crate::common::{Wakes, at_once, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{
    Limit, Limiter, NoSuchRateError, Rate, SlidingWindow, SlidingWindowBuilder, WindowAcquire,
};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A manual clock that counts its readings and the timers asked of it.
#[derive(Debug, Clone, Default)]
struct Counted {
    clock: ManualClock,
    readings: Arc<AtomicUsize>,
    timers: Arc<AtomicUsize>,
}

impl Counted {
    fn timers(&self) -> usize {
        self.timers.load(Ordering::SeqCst)
    }
}

impl Clock for Counted {
    fn now(&self) -> Timestamp {
        self.readings.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.timers.fetch_add(1, Ordering::SeqCst);
        self.clock.sleep_until(deadline)
    }
}

struct Scene {
    clock: Counted,
    window: SlidingWindow,
}

type Call<'a> = Pin<Box<WindowAcquire<'a>>>;

impl Scene {
    fn new(limit: u32, window: Duration) -> Self {
        let clock = Counted::default();
        Self { window: SlidingWindow::with_clock(Rate::new(limit, window), clock.clone()), clock }
    }

    fn set(&self, now: Duration) {
        self.clock.clock.set(Timestamp::from_epoch(now));
    }

    fn fill(&self) {
        while self.window.try_acquire().is_ok() {}
    }

    /// Calls that have been polled once, and wait.
    #[track_caller]
    fn queue(&self, calls: usize) -> Vec<Call<'_>> {
        let mut queued: Vec<_> = (0..calls).map(|_| Box::pin(self.window.acquire())).collect();
        for call in &mut queued {
            assert!(poll_once(call.as_mut()).is_pending());
        }
        queued
    }
}

/// The number of calls that were admitted, from the front on.
fn through(calls: &mut [Call<'_>]) -> usize {
    let mut count = 0;
    while let Some(call) = calls.get_mut(count)
        && let Poll::Ready(admitted) = poll_once(call.as_mut())
    {
        admitted.unwrap();
        count += 1;
    }
    assert!(calls[count..].iter_mut().all(|call| poll_once(call.as_mut()).is_pending()));
    count
}

fn places(calls: &[Call<'_>]) -> Vec<Option<usize>> {
    calls.iter().map(|call| call.position()).collect()
}

fn waits(calls: &[Call<'_>]) -> Vec<Option<Duration>> {
    calls.iter().map(|call| call.estimated_wait()).collect()
}

// ---- place and turn ------------------------------------------------------------------------------

/// Broken by: `position` not counting the head; `estimated_wait` returning the head's turn.
#[test]
fn each_one_in_line_is_told_its_place_and_its_turn() {
    let scene = Scene::new(2, s(10));
    scene.window.try_acquire().unwrap();
    scene.set(s(3));
    scene.window.try_acquire().unwrap();
    let mut calls = scene.queue(5);
    assert_eq!(places(&calls), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(waits(&calls), [7, 10, 17, 20, 27].map(|wait| Some(s(wait))));
    drop(calls.remove(1));
    assert_eq!(places(&calls), [Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(waits(&calls), [7, 10, 17, 20].map(|wait| Some(s(wait))));
    scene.set(s(10));
    assert_eq!(through(&mut calls), 1);
    assert_eq!(places(&calls), [None, Some(0), Some(1), Some(2)]);
    assert_eq!(waits(&calls), [None, Some(s(3)), Some(s(10)), Some(s(13))]);
}

/// Broken by: a turn computed from one ring alone.
#[test]
fn a_turn_is_told_rightly_where_the_log_is_split() {
    let scene = Scene::new(128, s(10));
    for n in 0..128 {
        scene.set(Duration::from_millis(10 * n));
        scene.window.try_acquire().unwrap();
    }
    let mut calls = scene.queue(200);
    let turn = |n: u64| Duration::from_millis(10 * (n % 128)) + s(10 * (1 + n / 128));
    let now = Duration::from_millis(1270);
    let expected: Vec<_> = (0..200).map(|n| Some(turn(n).saturating_sub(now))).collect();
    assert_eq!(waits(&calls), expected);
    for n in 0..200 {
        scene.set(turn(n).saturating_sub(Duration::from_nanos(1)));
        assert_eq!(through(&mut calls), 0);
        scene.set(turn(n));
        assert_eq!(through(&mut calls), 1);
        drop(calls.remove(0));
    }
}

#[test]
fn a_future_that_was_not_polled_or_is_done_has_no_place() {
    let scene = Scene::new(1, s(10));
    let mut call = Box::pin(scene.window.acquire());
    assert_eq!((call.position(), call.estimated_wait()), (None, None));
    assert!(poll_once(call.as_mut()).is_ready());
    assert_eq!((call.position(), call.estimated_wait()), (None, None));
    assert!(poll_once(call.as_mut()).is_pending(), "it stays pending");
}

/// Broken by: `Admission::join` queueing the call whatever its turn.
#[test]
fn a_window_refuses_at_once_what_cannot_come_in_time() {
    let scene = Scene::new(1, s(10));
    scene.fill();
    let _ahead = scene.queue(1);
    let late = at_once(scene.window.acquire_timeout(s(19))).unwrap_err();
    assert_eq!((late.limit(), late.retry_after()), (Limit::Rate, Some(s(20))));
    assert!(poll_once(Box::pin(scene.window.acquire_timeout(s(20))).as_mut()).is_pending());
    assert_eq!(scene.window.waiters(), 1);
}

// ---- timers --------------------------------------------------------------------------------------

/// Broken by: a new timer at each poll.
#[test]
fn each_in_line_has_one_timer() {
    let scene = Scene::new(3, s(10));
    scene.fill();
    let mut calls = scene.queue(20);
    assert_eq!(through(&mut calls), 0);
    assert_eq!(through(&mut calls), 0);
    assert_eq!(scene.clock.timers(), 20);
}

/// Broken by: the next in line sleeping before it looks.
#[test]
fn a_burst_of_freed_cells_is_handed_out_without_further_timers() {
    let scene = Scene::new(50, s(10));
    scene.fill();
    let mut calls = scene.queue(60);
    scene.set(s(10));
    assert_eq!(through(&mut calls), 50);
    // One for each call, and a new one for the call that is first after the burst.
    assert_eq!(scene.clock.timers(), 61);
}

/// Each call is woken when the one before it leaves the line. Broken by: a turn that is given up without a wake.
#[test]
fn in_a_burst_each_wakes_the_next() {
    let scene = Scene::new(3, s(10));
    scene.fill();
    let wakes: Vec<_> = (0..3).map(|_| Wakes::new()).collect();
    let mut calls: Vec<_> = (0..3).map(|_| Box::pin(scene.window.acquire())).collect();
    for (call, wakes) in calls.iter_mut().zip(&wakes) {
        assert!(poll_with(call.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
    }
    scene.set(s(10));
    for (call, wakes) in calls.iter_mut().zip(&wakes) {
        assert!(wakes.count() > 0, "not woken");
        assert!(poll_once(call.as_mut()).is_ready());
    }
}

// ---- several limits ------------------------------------------------------------------------------

/// Broken by: `Ring::check` asking only the first rule.
#[test]
fn several_limits_hold_together_or_nothing_is_counted() {
    let clock = ManualClock::new();
    let limiter = Limiter::builder()
        .margin(Duration::ZERO)
        .rate(Rate::per_minute(4))
        .rate(Rate::per_second(2))
        .clock(clock.clone())
        .build();
    let admit = || (0..9).filter(|_| limiter.try_acquire().is_ok()).count();
    assert_eq!((limiter.remaining(), admit()), (2, 2));
    // Only the second refuses: the first has counted nothing.
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(s(1)));
    clock.advance(s(1));
    assert_eq!((limiter.remaining(), admit()), (2, 2));
    // Both refuse: the answer is the later time.
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(s(59)));
    clock.advance(s(59));
    assert_eq!((limiter.remaining(), admit()), (2, 2));
}

/// Exact for the next call; for those behind it the earliest time possible. Broken by: only the first rule; a later rule's
/// answer in place of the latest.
#[test]
fn a_turn_is_told_rightly_under_several_limits() {
    let clock = ManualClock::new();
    let builder = SlidingWindow::builder().rate(Rate::per_minute(5)).rate(Rate::per_second(2));
    let window = builder.rate(Rate::new(3, s(10))).clock(clock.clone()).build();
    let scene = Scene { clock: Counted { clock, ..Counted::default() }, window };
    scene.fill();
    let mut calls = scene.queue(30);
    let told: Vec<_> = waits(&calls).into_iter().map(Option::unwrap).collect();
    assert!(told[0] > Duration::ZERO && told.is_sorted());
    assert!(told[29] > s(60 * 29 / 5), "five go in a minute");
    let mut now = Duration::ZERO;
    for (n, turn) in told.into_iter().enumerate() {
        let next = now + waits(&calls)[0].unwrap();
        assert!(turn <= next, "{n} was told a later time");
        scene.set(next.saturating_sub(Duration::from_nanos(1)));
        assert_eq!(through(&mut calls), 0, "{n} came before its time");
        scene.set(next);
        assert!(through(&mut calls[..1]) == 1, "{n} did not come");
        drop(calls.remove(0));
        now = next;
    }
}

/// Broken by: a margin only for the rates that come after it.
#[test]
fn a_margin_lengthens_each_of_several_limits() {
    let second = Duration::from_secs(1);
    let margin = second / 4;
    let rates = [Rate::new(3, s(10)), Rate::per_second(1)];
    let made = || SlidingWindow::builder().rate(rates[0]).clock(ManualClock::new());
    let early = made().margin(margin).rate(rates[1]);
    let late = made().rate(rates[1]).margin(margin);
    for window in [early, late].map(SlidingWindowBuilder::build) {
        assert_eq!(window.rates().collect::<Vec<_>>(), rates);
        window.try_acquire().unwrap();
        let refused = window.try_acquire().unwrap_err();
        assert_eq!(refused.retry_after(), Some(second + margin));
    }
}

// ---- limits that change --------------------------------------------------------------------------

/// Broken by: `set_rate` waking no call.
#[test]
fn a_higher_limit_lets_those_in_line_through() {
    let scene = Scene::new(1, s(10));
    scene.fill();
    let wakes = Wakes::new();
    let mut first = Box::pin(scene.window.acquire());
    assert!(poll_with(first.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    let mut behind = scene.queue(3);
    scene.window.set_rate(Rate::new(3, s(10)));
    assert_eq!(wakes.count(), 1);
    assert!(poll_once(first.as_mut()).is_ready());
    assert_eq!(through(&mut behind), 1);
    assert_eq!(waits(&behind), [None, Some(s(10)), Some(s(10))]);
}

/// Broken by: a turn for each change that is kept for who comes.
#[test]
fn changes_that_nobody_waited_for_do_not_occupy_who_comes_then() {
    let scene = Scene::new(1, s(10));
    scene.fill();
    for window in 1..=1000 {
        scene.window.set_rate(Rate::new(1, s(window)));
    }
    let before = scene.clock.readings.load(Ordering::SeqCst);
    let _call = scene.queue(1);
    assert!(scene.clock.readings.load(Ordering::SeqCst) < before + 10);
}

/// Broken by: the head sleeping on by the old window.
#[test]
fn a_shorter_window_lets_the_first_in_line_through_earlier() {
    let scene = Scene::new(1, s(60));
    scene.fill();
    let mut calls = scene.queue(2);
    scene.window.set_rate(Rate::new(1, s(5)));
    assert_eq!(waits(&calls), [Some(s(5)), Some(s(10))]);
    scene.set(s(5));
    assert_eq!(through(&mut calls), 1);
    assert_eq!(scene.window.window(), s(5));
}

/// Broken by: the head woken by its old timer and admitted without another look.
#[test]
fn a_lower_limit_and_a_longer_window_hold_those_in_line_back() {
    let scene = Scene::new(2, s(10));
    scene.fill();
    let mut calls = scene.queue(2);
    scene.window.set_rate(Rate::new(1, s(30)));
    scene.set(s(29));
    assert_eq!(through(&mut calls), 0);
    scene.set(s(30));
    assert_eq!(through(&mut calls), 1);
    assert_eq!(waits(&calls), [None, Some(s(30))]);
}

/// Broken by: the head waiting for a rate that never comes.
#[test]
fn a_limit_of_zero_refuses_those_in_line_and_a_later_one_admits_again() {
    let scene = Scene::new(1, s(10));
    scene.fill();
    let mut calls = scene.queue(2);
    scene.window.set_rate(Rate::new(0, s(10)));
    for call in &mut calls {
        let Poll::Ready(Err(refused)) = poll_once(call.as_mut()) else { panic!("not refused") };
        assert!(refused.is_permanent());
    }
    scene.window.set_rate(Rate::new(2, s(10)));
    assert!(scene.window.try_acquire().is_ok());
    assert!(scene.window.try_acquire().is_err(), "the one from before counts");
}

/// Broken by: earlier admissions left behind as the log grows.
#[test]
fn a_limit_far_beyond_the_first_counts_what_was_admitted_before() {
    let scene = Scene::new(10, s(10));
    scene.fill();
    scene.window.set_rate(Rate::new(1000, s(10)));
    assert_eq!(scene.window.remaining(), 990);
    scene.fill();
    scene.window.set_rate(Rate::new(100_000, s(10)));
    assert_eq!(scene.window.remaining(), 99_000);
    scene.window.set_rate(Rate::new(20, s(10)));
    assert_eq!(scene.window.remaining(), 0);
    assert_eq!(scene.window.try_acquire().unwrap_err().retry_after(), Some(s(10)));
}

/// Broken by: `Ring::check` claiming a cell if no rule limits.
#[test]
fn a_limit_can_be_lifted_and_set_again() {
    let scene = Scene::new(1, s(10));
    scene.fill();
    scene.window.set_rate(Rate::new(1, Duration::ZERO));
    scene.set(s(4));
    assert!((0..100).all(|_| scene.window.try_acquire().is_ok()));
    scene.window.set_rate(Rate::new(1, s(10)));
    assert_eq!(scene.window.try_acquire().unwrap_err().retry_after(), Some(s(6)));
}

/// Broken by: `Log::set` not checking the index.
#[test]
fn a_rate_that_is_not_there_cannot_be_changed() {
    let builder = SlidingWindow::builder().rate(Rate::new(1, s(10)));
    let window = builder.rate(Rate::per_minute(5)).build();
    assert_eq!(window.set_rate_at(1, Rate::per_minute(6)), Ok(()));
    assert_eq!(window.set_rate_at(2, Rate::per_minute(6)), Err(NoSuchRateError));
    assert_eq!(window.rates().collect::<Vec<_>>(), [Rate::new(1, s(10)), Rate::per_minute(6)]);
    let unlimited = Limiter::builder().build();
    assert_eq!(unlimited.set_rate(Rate::per_second(1)), Err(NoSuchRateError));
    assert_eq!(unlimited.remaining(), u32::MAX);
}

/// Broken by: a window rounded down; a limit above 2^20 with several, not lowered.
#[test]
fn extreme_rates_saturate_on_the_safe_side_when_made_and_when_changed() {
    let extremes = [
        (0, Duration::ZERO),
        (0, Duration::MAX),
        (1, Duration::from_nanos(1)),
        (1, Duration::MAX),
        (u32::MAX, Duration::from_nanos(1)),
        (u32::MAX, Duration::MAX),
    ];
    for (limit, length) in extremes {
        let made = SlidingWindow::with_clock(Rate::new(limit, length), ManualClock::new());
        let changed = SlidingWindow::with_clock(Rate::per_second(1), ManualClock::new());
        changed.set_rate(Rate::new(limit, length));
        for window in [&made, &changed] {
            assert_eq!(window.limit(), limit);
            assert!(window.window() >= length.min(Duration::from_nanos(1 << 61)));
            assert_eq!(window.try_acquire().is_ok(), limit > 0);
        }
        let builder = SlidingWindow::builder().rate(Rate::new(limit, length));
        let several = builder.rate(Rate::per_minute(u32::MAX)).build();
        assert_eq!(several.rates().last(), Some(Rate::per_minute(1 << 20)));
        assert_eq!(several.try_acquire().is_ok(), limit > 0);
    }
}
