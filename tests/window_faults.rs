//! What windows once did wrong.

use core::time::Duration;
use ringgate::SlidingWindow;
use ringgate::time::ManualClock;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    (SlidingWindow::with_clock(limit, MINUTE, clock.clone()), clock)
}

/// How many are admitted now.
fn burst(window: &SlidingWindow, most: u32) -> u32 {
    (0..most).map(|_| u32::from(window.try_acquire().is_ok())).sum()
}

/// Rings that held more than their new share hid that the others held less.
/// Broken by: even shares at a change.
#[test]
fn a_lowered_limit_let_the_other_rings_go_on() {
    for (limit, used, lower) in [(600, 300, 60), (128, 64, 64), (4096, 1000, 1000)] {
        let (window, clock) = window(limit);
        assert_eq!(burst(&window, used), used);
        clock.advance(MINUTE / 2);
        window.set_rate(lower, MINUTE);
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
    let (window, clock) = window(600);
    assert_eq!(burst(&window, 200), 200);
    for lower in [300, 250, 201, 400] {
        window.set_rate(lower, MINUTE);
        assert_eq!(window.remaining(), lower - 200);
    }
    assert_eq!(burst(&window, 600), 200);
    clock.advance(MINUTE);
    assert_eq!(burst(&window, 600), 400);
}

/// Every thread that met a closed ring collected and sorted all stamps. The other tests of this file
/// allocate little.
/// Broken by: stamps collected by whoever copies them.
#[test]
fn a_log_that_grows_took_a_copy_for_each_thread_that_met_it() {
    const LIMIT: u32 = 500_000;
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
        window.set_rate(2 * LIMIT, MINUTE);
        let most = MOST.load(Ordering::SeqCst) - before;
        is_over.store(true, Ordering::SeqCst);
        (LIVE.load(Ordering::SeqCst) - before, most)
    });
    assert!(most < 2 * kept, "{most} bytes at a time to keep {kept}");
    assert_eq!(window.limit(), 2 * LIMIT);
}
