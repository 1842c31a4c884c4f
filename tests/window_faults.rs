//! Former faults of windows.
#![expect(clippy::disallowed_types, reason = "one test at a time, as memory is counted")]

use core::time::Duration;
use ringgate::time::ManualClock;
use ringgate::{Rate, SlidingWindow};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// Counts what all threads together have allocated, now and at most.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
        MOST.fetch_max(live, Ordering::SeqCst);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::SeqCst);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE: Duration = Duration::from_secs(60);

fn window(limit: u32) -> (SlidingWindow, ManualClock) {
    let clock = ManualClock::new();
    (SlidingWindow::with_clock(Rate::per_minute(limit), clock.clone()), clock)
}

/// Runs one test at a time, because memory is counted for all of them.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of calls admitted now.
fn burst(window: &SlidingWindow, most: u32) -> u32 {
    (0..most).map(|_| u32::from(window.try_acquire().is_ok())).sum()
}

/// Rings that held more than their new share hid that the others held less.
/// Broken by: even shares at a change.
#[test]
fn a_lowered_limit_let_the_other_rings_go_on() {
    let _alone = alone();
    for (limit, used, lower) in [(600, 300, 60), (128, 64, 64), (4096, 1000, 1000)] {
        let (window, clock) = window(limit);
        assert_eq!(burst(&window, used), used);
        clock.advance(MINUTE / 2);
        window.set_rate(Rate::per_minute(lower));
        assert_eq!(window.remaining(), 0);
        assert_eq!(burst(&window, 100), 0);
        clock.advance(MINUTE / 2);
        assert_eq!(window.remaining(), lower);
        assert_eq!(burst(&window, limit), lower);
    }
}

/// One ring had used its whole new share, the other had room that was not given.
/// Broken by: even shares at a change.
#[test]
fn a_lowered_limit_gives_all_the_room_there_is() {
    let _alone = alone();
    let (window, clock) = window(600);
    assert_eq!(burst(&window, 200), 200);
    for lower in [300, 250, 201, 400] {
        window.set_rate(Rate::per_minute(lower));
        assert_eq!(window.remaining(), lower - 200);
    }
    assert_eq!(burst(&window, 600), 200);
    clock.advance(MINUTE);
    assert_eq!(burst(&window, 600), 400);
}

/// Every thread that met a closed ring collected and sorted all stamps.
/// Broken by: stamps collected by each thread that copies them.
#[test]
fn a_log_that_grows_took_a_copy_for_each_thread_that_met_it() {
    const LIMIT: u32 = 500_000;
    let _alone = alone();
    let (window, _clock) = window(LIMIT);
    assert_eq!(burst(&window, LIMIT), LIMIT);
    let is_over = AtomicBool::new(false);
    let (kept, most) = thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let _ = window.try_acquire();
                }
            });
        }
        let before = LIVE.load(Ordering::SeqCst);
        MOST.store(before, Ordering::SeqCst);
        window.set_rate(Rate::per_minute(2 * LIMIT));
        let most = MOST.load(Ordering::SeqCst) - before;
        is_over.store(true, Ordering::SeqCst);
        (LIVE.load(Ordering::SeqCst) - before, most)
    });
    assert!(most < 2 * kept, "{most} bytes at a time to keep {kept}");
    assert_eq!(window.limit(), 2 * LIMIT);
}

/// Cells were shared by as many admissions as the largest limit so far required.
/// Broken by: no finer cells; a cell counted whole on the way into them.
#[test]
fn a_window_made_for_billions_refused_half_at_a_small_limit() {
    let _alone = alone();
    for (large, small) in
        [(u32::MAX - 1, 600), (10_000_000, 3), (10_000_000, 600), (1 << 22, 60_000)]
    {
        let (window, clock) = window(large);
        window.set_rate(Rate::per_minute(small));
        let admitted = |minutes: u32| {
            let mut admitted = 0;
            for _ in 0..minutes * small {
                clock.advance(MINUTE / small);
                admitted += u32::from(window.try_acquire().is_ok());
            }
            admitted
        };
        // A minute in nanoseconds may not divide evenly.
        let least = |minutes: u32| minutes * small - small / 600 - 1;
        assert!(admitted(5) >= least(5), "{small} a minute, once {large}");
        assert_eq!(window.granularity(), 1);
        // The same again, from a full window on.
        window.set_rate(Rate::per_minute(large));
        assert!(window.granularity() > 1);
        assert_eq!(burst(&window, 100_000), 100_000);
        window.set_rate(Rate::per_minute(small));
        assert_eq!(burst(&window, small), 0);
        clock.advance(MINUTE);
        assert!(admitted(5) >= least(5), "{small} a minute, {large} the minute before");
        assert_eq!(window.granularity(), 1);
    }
}

/// Broken by: logs that were left are never freed; the one in place is not.
#[test]
fn limits_that_go_up_and_down_for_ever_take_no_more_memory() {
    let _alone = alone();
    let (window, clock) = window(600);
    // What runs the tests allocates a little, too. The smallest log is several times that.
    let beside = 1024;
    let mut kept = 0;
    for round in 0..40 {
        window.set_rate(Rate::per_minute(3_000_000));
        assert_eq!(burst(&window, 1000), 1000);
        clock.advance(MINUTE);
        window.set_rate(Rate::per_minute(600));
        assert_eq!(burst(&window, 1000), 600);
        assert_eq!(window.granularity(), 1);
        let live = LIVE.load(Ordering::SeqCst);
        if round == 1 {
            kept = live;
        }
        assert!(round < 2 || live <= kept + beside, "{live} bytes in round {round}, {kept} before");
    }
    drop(window);
    let live = LIVE.load(Ordering::SeqCst);
    assert!(live < kept, "{live} bytes after all is gone");
}
