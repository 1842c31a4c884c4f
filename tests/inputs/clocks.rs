//! Clocks and timers that misbehave, and a test's own clock.

use crate::common::{Calls, Wakes, poll_once, poll_with};
use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
use ringgate::{Rate, SlidingWindow};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Broken by: `Taken` without `Drop`: the others stay marked as joined and are never woken again.
#[test]
fn a_panicking_waker_does_not_keep_the_clocks_other_sleepers_asleep() {
    let clock = ManualClock::new();
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut patient = pin!(clock.sleep_until(Timestamp::from_epoch(SECOND)));
    assert!(poll_with(patient.as_mut(), &waker).is_pending());
    let panics = Calls::waker(|| panic!("the waker panics"));
    let mut other = pin!(clock.sleep_until(Timestamp::from_epoch(SECOND)));
    assert!(poll_with(other.as_mut(), &panics).is_pending());

    assert!(catch_unwind(AssertUnwindSafe(|| clock.advance(SECOND / 2))).is_err());
    assert_eq!(wakes.count(), 1);
    assert!(poll_with(patient.as_mut(), &waker).is_pending());
    assert!(poll_once(other).is_pending());
    clock.advance(SECOND / 2);
    assert_eq!(wakes.count(), 2);
    assert!(poll_once(patient).is_ready());
}

/// Broken by: `ManualSleep` without `Drop`.
#[test]
fn a_dropped_sleep_lets_go_of_its_task() {
    let clock = ManualClock::new();
    let wakes = Wakes::new();
    for _ in 0..100 {
        let mut sleep = pin!(clock.sleep_until(Timestamp::from_epoch(SECOND)));
        assert!(poll_with(sleep.as_mut(), &Waker::from(Arc::clone(&wakes))).is_pending());
    }
    assert_eq!(Arc::strong_count(&wakes), 1);
}

/// A timer that is always early.
#[derive(Debug)]
struct Hasty(ManualClock);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::ready(()))
    }
}

/// Broken by: `SleepUntil::poll` without its `wake_by_ref` and `Pending`: the poll never returns.
#[test]
fn a_timer_that_is_always_early_does_not_keep_the_thread() {
    let clock = ManualClock::new();
    let window = SlidingWindow::with_clock(Rate::per_second(1), Hasty(clock.clone()));
    assert!(window.try_acquire().is_ok());
    let wakes = Wakes::new();
    let waker = Waker::from(Arc::clone(&wakes));
    let mut call = pin!(window.acquire());
    assert!(poll_with(call.as_mut(), &waker).is_pending());
    assert!(wakes.count() > 0, "it is not polled again");
    clock.advance(SECOND);
    assert!(matches!(poll_with(call, &waker), Poll::Ready(Ok(()))));
}

/// Returns these readings one after the other, then repeats the last.
#[derive(Debug, Clone)]
struct Scripted {
    readings: &'static [u64],
    read: Arc<AtomicUsize>,
}

impl Clock for Scripted {
    fn now(&self) -> Timestamp {
        let read = self.read.fetch_add(1, Ordering::SeqCst);
        Timestamp::from_nanos(self.readings[read.min(self.readings.len() - 1)])
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(std::future::pending())
    }
}

/// Calls at the first reading, then again. Returns the second answer, in ns, and how often that call read
/// the clock.
fn second_of_one_in_ten_nanoseconds(readings: &'static [u64]) -> (Result<(), u128>, usize) {
    let clock = Scripted { readings, read: Arc::default() };
    let read = Arc::clone(&clock.read);
    let window = SlidingWindow::with_clock(Rate::new(1, Duration::from_nanos(10)), clock);
    window.try_acquire().unwrap();
    let before = read.load(Ordering::SeqCst);
    let answer = window.try_acquire().map_err(|refused| refused.retry_after().unwrap().as_nanos());
    (answer, read.load(Ordering::SeqCst) - before)
}

/// The thread stalls between reading the clock and asking, while others stamp.
/// Broken by: `with_fresh_clock` refusing by the first reading.
#[test]
fn a_stale_reading_is_not_refused_by_a_newer_stamp() {
    assert_eq!(second_of_one_in_ten_nanoseconds(&[100, 90, 90, 110]), (Ok(()), 3));
}

/// Broken by: `with_fresh_clock` without a bound on its readings.
#[test]
fn a_clock_that_stays_behind_is_read_four_times() {
    assert_eq!(second_of_one_in_ten_nanoseconds(&[100, 90]), (Err(20), 4));
}

/// Broken by: `with_fresh_clock` reading again if the newest stamp equals the reading.
#[test]
fn a_clock_that_stands_still_is_read_once() {
    assert_eq!(second_of_one_in_ten_nanoseconds(&[100]), (Err(10), 1));
}

/// Broken by: deriving `Debug` for `Ring`.
#[test]
fn a_large_window_is_shown_in_a_line() {
    let window = SlidingWindow::new(Rate::per_second(100_000));
    assert!(format!("{window:?}").len() < 500);
}

/// Broken by: `ManualSleep::poll` registering its waker only if it is not on the stack.
#[test]
fn a_manual_clock_wakes_whoever_polled_its_sleep_last() {
    let clock = ManualClock::new();
    let wakes = [Wakes::new(), Wakes::new()];
    let mut sleep = pin!(clock.sleep_until(Timestamp::from_epoch(SECOND)));
    for wakes in &wakes {
        assert!(poll_with(sleep.as_mut(), &Waker::from(Arc::clone(wakes))).is_pending());
    }
    clock.advance(SECOND);
    assert_eq!(wakes.map(|wakes| wakes.count()), [0, 1]);
}

// ---- a reading that comes late -------------------------------------------------------------------

thread_local! {
    /// So many readings later this thread stops, before it reads or with what it has read.
    static STOPS: Cell<Option<(u32, Where)>> = const { Cell::new(None) };
}

#[derive(Clone, Copy, PartialEq)]
enum Where {
    Before,
    After,
}

/// A clock at which threads stop, one at each place.
#[derive(Debug, Clone)]
struct Stopping {
    now: ManualClock,
    /// For each place: it has come; it may go on.
    barriers: Arc<[[Barrier; 2]; 2]>,
}

impl Stopping {
    fn stop(&self, place: Where) {
        let Some((readings, wanted)) = STOPS.get().filter(|(_, wanted)| *wanted == place) else {
            return;
        };
        STOPS.set((readings > 1).then(|| (readings - 1, wanted)));
        if readings == 1 {
            for barrier in &self.barriers[place as usize] {
                barrier.wait();
            }
        }
    }

    fn wait_for(&self, place: Where) {
        self.barriers[place as usize][0].wait();
    }

    fn let_go(&self, place: Where) {
        self.barriers[place as usize][1].wait();
    }
}

impl Clock for Stopping {
    fn now(&self) -> Timestamp {
        self.stop(Where::Before);
        let now = self.now.now();
        self.stop(Where::After);
        now
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        self.now.sleep_until(deadline)
    }
}

/// A thread that asks what remains reads the clock and stalls. Another notices that the clock has jumped, and stalls
/// before it reads the clock for the new log. Then the first one's reading decided how far the log's time is ahead.
/// Broken by: `remaining` that is given a reading.
#[test]
fn an_old_reading_decided_where_time_continued_after_a_jump() {
    let seconds = |seconds: u64| Timestamp::from_nanos(seconds * 1_000_000_000);
    let pair = || [Barrier::new(2), Barrier::new(2)];
    let clock = Stopping { now: ManualClock::new(), barriers: Arc::new([pair(), pair()]) };
    clock.now.set(seconds(1000));
    let window = SlidingWindow::with_clock(Rate::per_minute(2), clock.clone());
    window.try_acquire().unwrap();
    clock.now.set(seconds(5));
    thread::scope(|scope| {
        let asks = scope.spawn(|| {
            STOPS.set(Some((1, Where::After)));
            window.remaining()
        });
        clock.wait_for(Where::After);
        clock.now.set(seconds(50));
        window.try_acquire().unwrap();
        let notices = scope.spawn(|| {
            STOPS.set(Some((3, Where::Before)));
            window.try_acquire().is_ok()
        });
        clock.wait_for(Where::Before);
        clock.let_go(Where::After);
        asks.join().unwrap();
        clock.now.set(seconds(66));
        assert!(window.try_acquire().is_err(), "a third one in sixteen seconds");
        clock.let_go(Where::Before);
        assert!(!notices.join().unwrap());
    });
}
