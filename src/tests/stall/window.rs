//! The window with one stalled thread.

use super::harness::{SECOND, Waiter, at_every_step, every_pair, poll_once, scene};
use crate::raw::window::Layout;
use crate::raw::window::Log;
use crate::tests::pairs::window::{OPERATIONS, STARTS};
use crate::time::{Clock, ManualClock, Sleep, Timestamp};
use crate::{Rate, SlidingWindow};
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;

#[test]
fn freeze_every_operation_against_every_other() {
    every_pair("window", STARTS, OPERATIONS);
}

const LIMIT: u32 = 3;

/// How many calls are admitted now.
fn burst(window: &SlidingWindow) -> u32 {
    let mut admitted = 0;
    while window.try_acquire().is_ok() {
        admitted += 1;
    }
    admitted
}

fn window() -> (Arc<SlidingWindow>, ManualClock) {
    let clock = ManualClock::new();
    (Arc::new(SlidingWindow::with_clock(Rate::per_second(LIMIT), clock.clone())), clock)
}

#[test]
fn freeze_a_claim() {
    at_every_step("window: try_acquire", || {
        let (window, clock) = window();
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        let later = clock.clone();
        scene(
            move || {
                let _ = first.try_acquire();
            },
            move || {
                // All, except what the stalled thread may have claimed.
                assert!([LIMIT - 1, LIMIT].contains(&burst(&second)));
                clock.advance(SECOND);
                assert_eq!(burst(&second), LIMIT);
                assert_eq!(second.remaining(), 0);
            },
            move || {
                assert_eq!(burst(&third), 0);
                later.advance(SECOND);
                assert_eq!(burst(&third), LIMIT);
            },
        )
    });
}

#[test]
fn freeze_the_onlookers_of_a_window() {
    at_every_step("window: remaining, refusal", || {
        let (window, clock) = window();
        assert_eq!(burst(&window), LIMIT);
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || {
                let _ = first.remaining();
                let _ = first.try_acquire();
            },
            move || {
                clock.advance(SECOND);
                assert!(burst(&second) >= LIMIT - 1);
            },
            move || assert_eq!(burst(&third), 0),
        )
    });
}

/// Several rings, if several threads can run.
#[test]
fn freeze_a_claim_in_one_of_several_rings() {
    at_every_step("window: try_acquire in one of several rings", || {
        const MANY: u32 = 128;
        let clock = ManualClock::new();
        let window = Arc::new(SlidingWindow::with_clock(Rate::per_second(MANY), clock.clone()));
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || {
                let _ = (first.try_acquire(), first.remaining());
            },
            move || {
                assert!([MANY - 1, MANY].contains(&burst(&second)));
                clock.advance(SECOND);
                assert_eq!(burst(&second), MANY);
            },
            move || assert!(third.remaining() == 0 && burst(&third) == 0),
        )
    });
}

#[test]
fn freeze_a_claim_under_two_rules() {
    at_every_step("window: try_acquire under two rules", || {
        let clock = ManualClock::new();
        let builder = SlidingWindow::builder().rate(Rate::per_second(LIMIT)).clock(clock.clone());
        let window = builder.rate(Rate::new(2, SECOND / 10)).build();
        let [first, second] = [(); 2].map({
            let window = Arc::new(window);
            move |()| Arc::clone(&window)
        });
        let third = Arc::clone(&second);
        scene(
            move || {
                let _ = first.try_acquire();
            },
            move || {
                assert!([1, 2].contains(&burst(&second)));
                clock.advance(SECOND);
                assert_eq!(burst(&second), 2);
            },
            move || assert_eq!(burst(&third), 0),
        )
    });
}

/// A change of the limit that stalls has not begun, or the next thread that finds it finishes it.
fn with_a_change(name: &str, limit: u32, other_limit: u32) {
    at_every_step(name, || {
        let (window, clock) = window();
        window.try_acquire().unwrap();
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        let later = clock.clone();
        scene(
            move || first.set_rate(Rate::per_second(limit)),
            move || {
                let admitted = 1 + burst(&second);
                assert!((1..=limit.max(LIMIT)).contains(&admitted));
                second.set_rate(Rate::per_second(other_limit));
                assert_eq!(second.limit(), other_limit);
                clock.advance(SECOND);
                assert_eq!(burst(&second), other_limit);
            },
            move || {
                assert!([limit, other_limit].contains(&third.limit()));
                later.advance(SECOND);
                assert_eq!(burst(&third), third.limit());
            },
        )
    });
}

#[test]
fn freeze_a_change_to_a_lower_limit() {
    with_a_change("window: set_rate to less", 1, 2);
}

#[test]
fn freeze_a_change_that_makes_the_log_grow() {
    with_a_change("window: set_rate to more", 5, 9);
}

#[test]
fn freeze_a_change_met_by_a_smaller_one() {
    with_a_change("window: set_rate to more, then to less", 5, 2);
}

/// Several rings, if several threads can run. The next thread that finds a begun change finishes all of it.
#[test]
fn freeze_a_change_of_several_rings() {
    const MANY: u32 = 128;
    const USED: u32 = 50;
    for (limit, other_limit) in [(60, 100), (100, 55), (60, 200), (200, 60)] {
        at_every_step("window: set_rate of several rings", || {
            let clock = ManualClock::new();
            let window = Arc::new(SlidingWindow::with_clock(Rate::per_second(MANY), clock.clone()));
            (0..USED).for_each(|_| window.try_acquire().unwrap());
            let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
            scene(
                move || first.set_rate(Rate::per_second(limit)),
                move || {
                    let room = second.remaining();
                    assert!([MANY - USED, limit - USED].contains(&room));
                    second.set_rate(Rate::per_second(other_limit));
                    assert_eq!(second.remaining(), other_limit - USED);
                    assert_eq!(burst(&second), other_limit - USED);
                    clock.advance(SECOND);
                    assert_eq!(burst(&second), other_limit);
                },
                move || {
                    let used = other_limit;
                    assert!([limit, other_limit].contains(&third.limit()));
                    assert_eq!(burst(&third), third.limit().saturating_sub(used));
                },
            )
        });
    }
}

/// A claim in one of several rings stalls. Meanwhile another thread lowers the limit.
#[test]
fn freeze_a_claim_that_a_change_of_several_rings_overtakes() {
    const MANY: u32 = 128;
    at_every_step("window: try_acquire overtaken by set_rate of several rings", || {
        let clock = ManualClock::new();
        let window = Arc::new(SlidingWindow::with_clock(Rate::per_second(MANY), clock.clone()));
        (0..63).for_each(|_| window.try_acquire().unwrap());
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || {
                let _ = first.try_acquire();
            },
            move || {
                second.set_rate(Rate::per_second(64));
                assert!(burst(&second) <= 1);
                assert_eq!(second.remaining(), 0);
            },
            move || assert_eq!((burst(&third), third.remaining()), (0, 0)),
        )
    });
}

/// A waiter leaves the middle of the line. Those before and behind it are served.
#[test]
fn freeze_one_who_leaves_the_line_of_a_window() {
    at_every_step("window: acquire behind others, cancel", || {
        let (window, clock) = window();
        assert_eq!(burst(&window), LIMIT);
        let own = |window: &Arc<SlidingWindow>| {
            let window = Arc::clone(window);
            async move { window.acquire().await }
        };
        let head = Waiter::new(own(&window));
        let stops = own(&window);
        let (second, third) = (Arc::clone(&window), Arc::clone(&window));
        scene(
            move || {
                let _ = poll_once(stops);
            },
            move || {
                clock.advance(SECOND);
                assert!(head.ready().is_ok());
                // A newcomer gets an answer. Which one does not matter.
                let _ = second.try_acquire();
            },
            move || assert!(third.remaining() >= LIMIT - 3),
        )
    });
}

/// The thread that notices the jump stalls. The others wait for one window, and no longer.
#[test]
fn freeze_a_clock_that_has_jumped_back() {
    at_every_step("window: a clock that has jumped back", || {
        let (window, clock) = window();
        clock.advance(10 * SECOND);
        assert_eq!(burst(&window), LIMIT);
        clock.set(Timestamp::ZERO);
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || {
                let _ = (first.try_acquire(), first.remaining());
            },
            move || {
                let refused = second.try_acquire().unwrap_err();
                assert_eq!(refused.retry_after(), Some(SECOND));
                clock.advance(SECOND);
                assert_eq!(burst(&second), LIMIT);
            },
            move || assert_eq!((third.remaining(), burst(&third)), (0, 0)),
        )
    });
}

/// A clock whose timer never fires. Only others wake a sleeper.
#[derive(Debug)]
struct Timerless(ManualClock);

impl Clock for Timerless {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep_until(&self, _: Timestamp) -> Sleep {
        Sleep::new(core::future::pending())
    }
}

/// The head of the line sleeps until a time that the clock will not show for long. The thread that notices the
/// jump stalls; another one wakes the head.
#[test]
fn freeze_a_jump_that_the_head_of_the_line_has_to_hear_of() {
    at_every_step("window: a jump while a call is in line", || {
        let clock = ManualClock::new();
        clock.advance(10 * SECOND);
        let window = SlidingWindow::with_clock(Rate::new(LIMIT, SECOND), Timerless(clock.clone()));
        let window = Arc::new(window);
        assert_eq!(burst(&window), LIMIT);
        let mut head = Waiter::new(Arc::clone(&window).acquire_owned());
        clock.set(Timestamp::ZERO);
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || {
                let _ = first.try_acquire();
            },
            move || {
                let refused = second.try_acquire().unwrap_err();
                assert_eq!(refused.retry_after(), Some(SECOND));
                assert!(head.is_woken());
                assert!(head.poll().is_pending());
                clock.advance(SECOND);
                assert!(matches!(head.poll(), Poll::Ready(Ok(()))));
            },
            move || assert!([LIMIT - 1, LIMIT - 2].contains(&third.remaining())),
        )
    });
}

/// A reset that stalls has either been made, or is never made. Other threads continue.
#[test]
fn freeze_a_reset() {
    at_every_step("window: reset", || {
        let (window, clock) = window();
        assert_eq!(burst(&window), LIMIT);
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        scene(
            move || first.reset(),
            move || {
                assert!([0, LIMIT].contains(&burst(&second)));
                second.reset();
                assert_eq!(burst(&second), LIMIT);
                clock.advance(SECOND);
                assert_eq!(burst(&second), LIMIT);
            },
            move || assert!([0, LIMIT].contains(&burst(&third))),
        )
    });
}

// ---- cells that are too coarse ---------------------------------------------------------------------

/// Two admissions a cell, made for sixteen and lowered to three. The next claim makes finer cells due.
fn coarse() -> Arc<Log> {
    let layout = Layout { capacity: 16, ..Layout::of(1, 8, 1) };
    let log = Log::with_layout(&[(16, TEN)], Duration::ZERO, layout);
    log.set(0, 3, TEN).unwrap();
    assert!(log.try_acquire(6).is_ok());
    Arc::new(log)
}

const TEN: Duration = Duration::from_nanos(10);

fn burst_at(log: &Log, now: u64) -> usize {
    (0..50).filter(|_| log.try_acquire(now).is_ok()).count()
}

#[test]
fn freeze_a_claim_that_leaves_coarse_cells() {
    at_every_step("log: coarse cells are left", || {
        let log = coarse();
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&log));
        scene(
            move || {
                let _ = first.try_acquire(6);
            },
            move || {
                assert!([1, 2].contains(&burst_at(&second, 6)));
                assert_eq!(second.per_cell(), 1);
                assert_eq!((burst_at(&second, 15), burst_at(&second, 40)), (0, 3));
            },
            move || assert_eq!((burst_at(&third, 49), burst_at(&third, 50)), (0, 3)),
        )
    });
}

/// Since the first shared cells, readers are counted and replaced shards are freed.
#[test]
fn freeze_a_change_of_what_is_freed_while_others_look() {
    at_every_step("log: a change of counted shards", || {
        let log = coarse();
        let _ = log.peek(|| 6, &|| 6);
        assert_eq!(log.per_cell(), 1);
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&log));
        scene(
            move || {
                first.set(0, 5, TEN).unwrap();
                let _ = first.try_acquire(6);
            },
            move || {
                for limit in [20, 4, 300, 2, 8] {
                    second.set(0, limit, TEN).unwrap();
                    let _ = burst_at(&second, 6);
                }
                assert_eq!((second.rule(0).unwrap().0, burst_at(&second, 900)), (8, 8));
            },
            // The last change may be the first thread's.
            move || assert!([5, 8].contains(&burst_at(&third, 1800))),
        )
    });
}
