//! What windows once did wrong.

use core::time::Duration;
use ringgate::SlidingWindow;
use ringgate::time::ManualClock;

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
