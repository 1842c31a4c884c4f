//! One thread stops for ever, at any of its steps; the others' work still completes.
//!
//! Each scene is played once for every atomic step of one operation: a thread stops just before
//! that step, and meanwhile the others do theirs to the end, and are served in full. Then it goes
//! on, and nothing must have been lost or made. At most what it held itself is missing meanwhile.
//!
//! What this cannot see: two threads that stop, and orderings weaker than the machine's. loom sees
//! those.

use crate::sync::freeze::{frozen_at, step};
use crate::time::{Clock, ManualClock};
use crate::{AcquireOwned, Limiter, OwnedSemaphorePermit, Semaphore, SlidingWindow};
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::Wake;
use std::thread;

const SECOND: Duration = Duration::from_secs(1);
/// So long must nothing take; reached only where somebody waits for the stopped thread.
const PATIENCE: Duration = Duration::from_secs(60);

// ---- the harness -----------------------------------------------------------------------------

struct Scene {
    /// Stops at some step.
    stops: Box<dyn FnOnce() + Send>,
    /// Completes meanwhile.
    others: Box<dyn FnOnce() + Send>,
    /// Holds when all is over.
    after: Box<dyn FnOnce()>,
}

fn scene(
    stops: impl FnOnce() + Send + 'static,
    others: impl FnOnce() + Send + 'static,
    after: impl FnOnce() + 'static,
) -> Scene {
    Scene { stops: Box::new(stops), others: Box::new(others), after: Box::new(after) }
}

/// Plays the scene for every step at which the operation can stop.
fn at_every_step(name: &str, scene: impl Fn() -> Scene) {
    for k in 0.. {
        let Scene { stops, others, after } = scene();
        let frozen = frozen_at(k, stops);
        let stopped = frozen.is_stopped();
        complete(others, name, k);
        frozen.thaw();
        after();
        if !stopped {
            println!("{name}: {k} points");
            return;
        }
    }
}

fn complete(others: Box<dyn FnOnce() + Send>, name: &str, k: u64) {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        others();
        let _ = done.send(());
    });
    assert!(
        is_done.recv_timeout(PATIENCE).is_ok() || thread.is_finished(),
        "{name}: the others wait for a thread that stopped at step {k}"
    );
    assert!(thread.join().is_ok(), "{name}: the others were not served, stopped at step {k}");
}

// ---- waiters ---------------------------------------------------------------------------------

#[derive(Default)]
struct Count(std::sync::atomic::AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// A step by itself: a thread may stop when it has decided to wake and has not.
    fn wake_by_ref(self: &Arc<Self>) {
        step();
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

/// A future that waits, with a waker that counts.
struct Waiter<F> {
    future: Pin<Box<F>>,
    wakes: Arc<Count>,
}

impl<F: Future> Waiter<F> {
    fn new(future: F) -> Self {
        let mut waiter = Self { future: Box::pin(future), wakes: Arc::default() };
        assert!(waiter.poll().is_pending());
        waiter
    }

    fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Its turn has come, and it has been told.
    #[track_caller]
    fn ready(mut self) -> F::Output {
        assert!(self.wakes.0.load(std::sync::atomic::Ordering::SeqCst) > 0, "not woken");
        let Poll::Ready(output) = self.poll() else { panic!("not served") };
        output
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

type Waiting = Waiter<AcquireOwned>;

fn waiting(semaphore: &Arc<Semaphore>, permits: u32) -> Waiting {
    Waiter::new(Arc::clone(semaphore).acquire_many_owned(permits))
}

#[track_caller]
fn served(waiters: impl IntoIterator<Item = Waiting>) -> Vec<OwnedSemaphorePermit> {
    waiters.into_iter().map(|waiter| waiter.ready().unwrap()).collect()
}

/// A scene on one semaphore that has all its `permits` back in the end.
fn on_semaphore(
    semaphore: &Arc<Semaphore>,
    permits: usize,
    stops: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
    others: impl FnOnce(&Arc<Semaphore>) + Send + 'static,
) -> Scene {
    let [first, second, third] = [(); 3].map(|()| Arc::clone(semaphore));
    scene(
        move || stops(&first),
        move || others(&second),
        move || {
            assert_eq!(third.available_permits(), permits, "permits lost or made");
            if !third.is_closed() {
                drop(third.try_acquire_many(u32::try_from(permits).unwrap()).unwrap());
            }
        },
    )
}

fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits))
}

// ---- the semaphore ---------------------------------------------------------------------------

#[test]
fn freeze_try_acquire_and_release() {
    at_every_step("semaphore: try_acquire, release", || {
        let s = semaphore(2);
        let others = |s: &Arc<Semaphore>| drop(s.try_acquire().unwrap());
        on_semaphore(&s, 2, |s| drop(s.try_acquire()), others)
    });
}

#[test]
fn freeze_release_while_a_waiter_comes() {
    at_every_step("semaphore: release, with a newcomer", || {
        let s = semaphore(0);
        let others = |s: &Arc<Semaphore>| {
            let mut newcomer =
                Waiter { future: Box::pin(Arc::clone(s).acquire_owned()), wakes: Arc::default() };
            if newcomer.poll().is_pending() {
                s.add_permits(1);
                served([newcomer]);
            } else {
                s.add_permits(1);
            }
        };
        on_semaphore(&s, 2, |s| s.add_permits(1), others)
    });
}

/// The first waiter of a semaphore brings its store along.
#[test]
fn freeze_the_first_waiter() {
    at_every_step("semaphore: first wait, cancel", || {
        let s = semaphore(0);
        let others = |s: &Arc<Semaphore>| {
            let line = [waiting(s, 1), waiting(s, 1)];
            s.add_permits(3);
            served(line);
        };
        on_semaphore(&s, 3, |s| drop(poll_once(s.acquire())), others)
    });
}

#[test]
fn freeze_a_waiter_that_joins_the_line() {
    at_every_step("semaphore: join, cancel", || {
        let s = semaphore(0);
        let head = waiting(&s, 1);
        let others = move |s: &Arc<Semaphore>| {
            let behind = waiting(s, 1);
            s.add_permits(3);
            served([head, behind]);
        };
        on_semaphore(&s, 3, |s| drop(poll_once(s.acquire())), others)
    });
}

#[test]
fn freeze_a_release_to_waiters() {
    at_every_step("semaphore: release to two waiters", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            served(line);
        };
        on_semaphore(&s, 4, |s| s.add_permits(2), others)
    });
}

/// Gives permits to a semaphore when it is called.
struct Gives(Arc<Semaphore>, usize);

impl Wake for Gives {
    fn wake(self: Arc<Self>) {
        self.0.add_permits(self.1);
    }
}

/// Whoever finishes the stopped release is inside a wake of another semaphore.
#[test]
fn freeze_a_release_met_from_inside_a_wake() {
    at_every_step("semaphore: release, met from inside a wake", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            let other = semaphore(0);
            let mut asked = pin!(other.acquire());
            let gives = Waker::from(Arc::new(Gives(Arc::clone(s), 2)));
            assert!(asked.as_mut().poll(&mut Context::from_waker(&gives)).is_pending());
            other.add_permits(1);
            served(line);
        };
        on_semaphore(&s, 4, |s| s.add_permits(2), others)
    });
}

/// Panics when it is called.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the waker panics");
    }
}

/// The newcomer finishes the stopped release, and gets the panic of the other one's waker. It leaves
/// nothing behind.
#[test]
fn freeze_a_release_whose_waker_panics() {
    at_every_step("semaphore: release to a waker that panics", || {
        let s = semaphore(0);
        let mut front = Box::pin(Arc::clone(&s).acquire_owned());
        let panics = Waker::from(Arc::new(Panics));
        assert!(front.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
        let others = move |s: &Arc<Semaphore>| {
            let wakes = Arc::new(Count::default());
            let newcomer = Waiter { future: Box::pin(Arc::clone(s).acquire_owned()), wakes };
            let wakes = Arc::clone(&newcomer.wakes);
            let polled = catch_unwind(AssertUnwindSafe(move || {
                let mut newcomer = newcomer;
                drop(newcomer.poll());
            }));
            drop(polled);
            assert_eq!(Arc::strong_count(&wakes), 1, "its waker is still kept");
            drop(front);
        };
        let stops = |s: &Arc<Semaphore>| {
            let _ = catch_unwind(AssertUnwindSafe(|| s.add_permits(1)));
        };
        on_semaphore(&s, 1, stops, others)
    });
}

#[test]
fn freeze_a_release_in_part() {
    at_every_step("semaphore: release to a big head", || {
        let s = semaphore(0);
        let line = [waiting(&s, 3), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(4);
            served(line);
        };
        on_semaphore(&s, 6, |s| s.add_permits(2), others)
    });
}

#[test]
fn freeze_the_drop_of_a_big_head() {
    at_every_step("semaphore: cancel a part-paid head", || {
        let s = semaphore(1);
        let (head, behind) = (waiting(&s, 3), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served([behind]);
        };
        on_semaphore(&s, 4, move |_| drop(head), others)
    });
}

#[test]
fn freeze_a_drop_in_the_middle() {
    at_every_step("semaphore: cancel in the middle", || {
        let s = semaphore(0);
        let (first, middle, last) = (waiting(&s, 1), waiting(&s, 1), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served([first, last]);
        };
        on_semaphore(&s, 3, move |_| drop(middle), others)
    });
}

/// The first in line has been granted; somebody stands behind it.
fn with_a_granted_waiter(name: &str, stops: fn(Waiting)) {
    at_every_step(name, || {
        let s = semaphore(0);
        let (granted, behind) = (waiting(&s, 1), waiting(&s, 1));
        s.add_permits(1);
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(1);
            served([behind]);
        };
        on_semaphore(&s, 2, move |_| stops(granted), others)
    });
}

#[test]
fn freeze_a_drop_after_the_grant() {
    with_a_granted_waiter("semaphore: drop of a granted waiter", drop);
}

#[test]
fn freeze_a_waiter_that_takes_its_grant() {
    with_a_granted_waiter("semaphore: poll of a granted waiter, release", |granted| {
        drop(served([granted]));
    });
}

#[test]
fn freeze_a_change_of_waker() {
    at_every_step("semaphore: poll with another waker, cancel", || {
        let s = semaphore(0);
        let (mut head, behind) = (waiting(&s, 1), waiting(&s, 1));
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            served([behind]);
        };
        on_semaphore(&s, 2, move |_| drop(poll_once(head.future.as_mut())), others)
    });
}

#[test]
fn freeze_close() {
    at_every_step("semaphore: close", || {
        let s = semaphore(1);
        let line = [waiting(&s, 2), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.close();
            assert!(s.try_acquire().is_err());
            assert!(matches!(poll_once(s.acquire()), Poll::Ready(Err(_))));
            line.into_iter().for_each(|waiter| assert!(waiter.ready().is_err()));
        };
        on_semaphore(&s, 1, |s| s.close(), others)
    });
}

/// Whoever meets the half-done close finishes it: here a release.
#[test]
fn freeze_close_against_release() {
    at_every_step("semaphore: close, met by a release", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(2);
            for waiter in line {
                drop(waiter.ready());
            }
        };
        on_semaphore(&s, 2, |s| s.close(), others)
    });
}

#[test]
fn freeze_a_sweep() {
    at_every_step("semaphore: cancel storm and sweep", || {
        const FICKLE: usize = 34;
        let s = semaphore(0);
        let first = waiting(&s, 1);
        let fickle: Vec<_> = (0..FICKLE).map(|_| waiting(&s, 1)).collect();
        let last = waiting(&s, 1);
        let others = move |s: &Arc<Semaphore>| {
            let newcomer = waiting(s, 1);
            s.add_permits(FICKLE + 3);
            served([first, last, newcomer]);
        };
        on_semaphore(&s, FICKLE + 3, move |_| drop(fickle), others)
    });
}

#[test]
fn freeze_forget() {
    at_every_step("semaphore: forget_permits", || {
        let s = semaphore(3);
        let others = |s: &Arc<Semaphore>| drop(s.try_acquire_many(2).unwrap());
        on_semaphore(&s, 2, |s| assert_eq!(s.forget_permits(1), 1), others)
    });
}

#[test]
fn freeze_reduce() {
    at_every_step("semaphore: reduce_permits below what is in use", || {
        let s = semaphore(1);
        let others = |s: &Arc<Semaphore>| {
            let waiter = waiting(s, 2);
            s.add_permits(3);
            drop(served([waiter]));
        };
        on_semaphore(&s, 2, |s| assert!(s.reduce_permits(2) <= 2), others)
    });
}

/// Whoever stops has taken too little away, never too much: what is given back twice over is there.
#[test]
fn freeze_reduce_between_releases() {
    at_every_step("semaphore: a second reduce_permits, and a release", || {
        let s = semaphore(0);
        s.reduce_permits(1);
        s.add_permits(1);
        let others = |s: &Arc<Semaphore>| {
            s.add_permits(3);
            drop(s.try_acquire().unwrap());
        };
        let stops = |s: &Arc<Semaphore>| {
            s.add_permits(1);
            s.reduce_permits(2);
        };
        on_semaphore(&s, 2, stops, others)
    });
}

#[test]
fn freeze_those_who_count_the_line() {
    at_every_step("semaphore: waiters, position", || {
        let s = semaphore(0);
        let line = [waiting(&s, 1), waiting(&s, 1)];
        let own = Waiter::new(Arc::clone(&s).acquire_owned());
        let others = move |s: &Arc<Semaphore>| {
            s.add_permits(3);
            served(line);
        };
        let stops = move |s: &Arc<Semaphore>| {
            assert!(s.waiters() <= 3);
            assert!(own.future.position().is_none_or(|ahead| ahead <= 2));
        };
        on_semaphore(&s, 3, stops, others)
    });
}

#[test]
fn freeze_one_who_waits_for_the_close() {
    at_every_step("semaphore: wait for the close", || {
        let s = semaphore(1);
        let others = |s: &Arc<Semaphore>| {
            drop(s.try_acquire().unwrap());
            let watcher = Arc::clone(s);
            let watcher = Waiter::new(async move { watcher.closed().await });
            s.close();
            watcher.ready();
        };
        on_semaphore(
            &s,
            1,
            |s| assert!(poll_once(s.closed()).is_pending() || s.is_closed()),
            others,
        )
    });
}

// ---- the window ------------------------------------------------------------------------------

const LIMIT: u32 = 3;

/// How many are admitted now.
fn burst(window: &SlidingWindow) -> u32 {
    let mut admitted = 0;
    while window.try_acquire().is_ok() {
        admitted += 1;
    }
    admitted
}

fn window() -> (Arc<SlidingWindow>, ManualClock) {
    let clock = ManualClock::new();
    (Arc::new(SlidingWindow::with_clock(LIMIT, SECOND, clock.clone())), clock)
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
                // All but what the stopped thread may have claimed.
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

/// More than one ring, where more than one thread can run.
#[test]
fn freeze_a_claim_in_one_of_several_rings() {
    at_every_step("window: try_acquire in one of several rings", || {
        const MANY: u32 = 128;
        let clock = ManualClock::new();
        let window = Arc::new(SlidingWindow::with_clock(MANY, SECOND, clock.clone()));
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
        let window = SlidingWindow::with_clock(LIMIT, SECOND, clock.clone()).and(2, SECOND / 10);
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

/// A change of the limit that stops half-way is finished by whoever meets it, or has not begun.
fn with_a_change(name: &str, limit: u32, other_limit: u32) {
    at_every_step(name, || {
        let (window, clock) = window();
        window.try_acquire().unwrap();
        let [first, second, third] = [(); 3].map(|()| Arc::clone(&window));
        let later = clock.clone();
        scene(
            move || first.set_rate(limit, SECOND),
            move || {
                let admitted = 1 + burst(&second);
                assert!((1..=limit.max(LIMIT)).contains(&admitted));
                second.set_rate(other_limit, SECOND);
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

/// A place in the middle of the line is given up; those before and behind are served.
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
                // A newcomer is answered, whatever the answer.
                let _ = second.try_acquire();
            },
            move || assert!(third.remaining() >= LIMIT - 3),
        )
    });
}

// ---- the limiter -----------------------------------------------------------------------------

fn limiter(limit: u32, slots: usize) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let builder = Limiter::builder().rate(limit, SECOND).max_concurrent(slots);
    (builder.clock(clock.clone()).build(), clock)
}

#[test]
fn freeze_an_admission_and_its_end() {
    at_every_step("limiter: acquire, release", || {
        let (limiter, clock) = limiter(5, 2);
        let [first, second, third] = [(); 3].map(|()| limiter.clone());
        scene(
            move || drop(first.try_acquire()),
            move || {
                for _ in 0..4 {
                    drop(second.try_acquire().unwrap());
                }
                clock.advance(SECOND);
                for _ in 0..4 {
                    drop(second.try_acquire().unwrap());
                }
            },
            move || {
                assert_eq!(third.available_permits(), 2);
                assert!(third.remaining() <= 1);
            },
        )
    });
}

#[test]
fn freeze_an_end_that_others_wait_for() {
    at_every_step("limiter: release to a waiting call", || {
        let (limiter, _) = limiter(9, 2);
        let ends = [limiter.try_acquire_owned().unwrap(), limiter.try_acquire_owned().unwrap()];
        let [first, second] = ends;
        let waiting = limiter.clone();
        let waiting = Waiter::new(async move { waiting.acquire_owned().await });
        scene(
            move || drop(first),
            move || {
                drop(second);
                drop(waiting.ready().unwrap());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiting()), (2, 0)),
        )
    });
}

#[test]
fn freeze_a_call_that_gives_up_in_line() {
    at_every_step("limiter: acquire behind others, cancel", || {
        let (limiter, clock) = limiter(1, 2);
        drop(limiter.try_acquire().unwrap());
        let own = |limiter: &Limiter| {
            let limiter = limiter.clone();
            async move { limiter.acquire_owned().await }
        };
        let (head, stops) = (Waiter::new(own(&limiter)), own(&limiter));
        let second = limiter.clone();
        scene(
            move || drop(poll_once(stops)),
            move || {
                clock.advance(SECOND);
                drop(head.ready().unwrap());
                assert!(second.try_acquire().is_err());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiting()), (2, 0)),
        )
    });
}

/// The first in line hears of a change by somebody else although the first changer has stopped.
#[test]
fn freeze_a_change_that_the_first_in_line_waits_for() {
    at_every_step("limiter: set_rate, with a call in line", || {
        let (limiter, _) = limiter(1, 2);
        drop(limiter.try_acquire().unwrap());
        let waiting = limiter.clone();
        let waiting = Waiter::new(async move { waiting.acquire_owned().await });
        let (first, second) = (limiter.clone(), limiter.clone());
        scene(
            move || first.set_rate(2, SECOND).unwrap(),
            move || {
                second.set_rate(3, SECOND).unwrap();
                drop(waiting.ready().unwrap());
            },
            move || assert_eq!((limiter.available_permits(), limiter.waiting()), (2, 0)),
        )
    });
}

/// The stopped thread takes its time from a clock that others move.
#[test]
fn freeze_a_change_of_time() {
    at_every_step("manual clock: advance", || {
        let (clock, sleeper) = (ManualClock::new(), ManualClock::clone);
        let sleeps = Waiter::new(clock.sleep_until(clock.now().saturating_add(SECOND)));
        let (first, second) = (sleeper(&clock), sleeper(&clock));
        scene(
            move || first.advance(SECOND / 2),
            move || {
                let late = Waiter::new(second.sleep_until(second.now().saturating_add(SECOND)));
                second.advance(SECOND);
                late.ready();
            },
            move || sleeps.ready(),
        )
    });
}
