//! Plays scenes in which a thread stops, once for every step at which it can stop.

use crate::sync::freeze::{frozen_at, step};
use crate::tests::pairs::{Operation, Start};
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::task::Wake;
use std::thread;

pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Longer than any operation takes. A scene reaches it only if a thread waits for the stopped one.
const PATIENCE: Duration = Duration::from_secs(60);

// ---- every two operations ------------------------------------------------------------------------

/// From every start, every operation stops at each of its steps. Another thread completes every operation
/// meanwhile, and every other caller is served.
pub(super) fn every_pair<S: Start>(
    part: &str,
    starts: &[(&str, fn() -> S)],
    operations: &[(&str, Operation<S>)],
) {
    let mut tally = Tally { operations: operations.len(), ..Tally::default() };
    for (stops, one) in operations {
        for (meanwhile, other) in operations {
            tally.pairs += 1;
            for (from, start) in starts {
                let name = format!("{part}: {stops} stops during {meanwhile}, from {from}");
                tally.points += pair_at_every_step(&name, *start, *one, *other);
            }
        }
    }
    tally
        .report(&format!("{part}: every operation during every one, from {} starts", starts.len()));
}

/// Returns the number of steps at which the first one stopped.
fn pair_at_every_step<S: Start>(
    name: &str,
    start: fn() -> S,
    one: Operation<S>,
    other: Operation<S>,
) -> u64 {
    for k in 0.. {
        let mut start = start();
        let (stops, done) = (one(&mut start), other(&mut start));
        start.begin();
        let frozen = frozen_at(k, stops.work);
        let stopped = frozen.is_stopped();
        let (start, left) = complete(name, k, move || {
            let mut left = (done.work)();
            if stopped {
                start.serve_the_others(&mut left, stops.holds_the_sleepers);
            }
            (start, left)
        });
        let settled = catch_unwind(AssertUnwindSafe(|| start.settle([frozen.thaw(), left])));
        assert!(settled.is_ok(), "{name}: stopped at step {k}");
        if !stopped {
            return k;
        }
    }
    0
}

// ---- scenes --------------------------------------------------------------------------------------

pub(super) struct Scene {
    /// Stops at some step.
    pub(super) stops: Box<dyn FnOnce() + Send>,
    /// Completes meanwhile.
    pub(super) others: Box<dyn FnOnce() + Send>,
    /// Holds at the end.
    pub(super) after: Box<dyn FnOnce()>,
}

pub(super) fn scene(
    stops: impl FnOnce() + Send + 'static,
    others: impl FnOnce() + Send + 'static,
    after: impl FnOnce() + 'static,
) -> Scene {
    Scene { stops: Box::new(stops), others: Box::new(others), after: Box::new(after) }
}

/// Plays the scene for every step at which the operation can stop.
pub(super) fn at_every_step(name: &str, scene: impl Fn() -> Scene) {
    for k in 0.. {
        let Scene { stops, others, after } = scene();
        let frozen = frozen_at(k, stops);
        let stopped = frozen.is_stopped();
        complete(name, k, others);
        frozen.thaw();
        after();
        if !stopped {
            return Tally { scenes: 1, points: k, ..Tally::default() }.report(name);
        }
    }
}

/// Runs the others' work on a thread of its own. It must end.
fn complete<T: Send + 'static>(
    name: &str,
    k: u64,
    others: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, is_done) = channel();
    let thread = thread::spawn(move || {
        let result = others();
        let _ = done.send(());
        result
    });
    assert!(
        is_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout),
        "{name}: the others wait for a thread that stopped at step {k}"
    );
    let Ok(result) = thread.join() else {
        panic!("{name}: the others were not served while a thread stopped at step {k}")
    };
    result
}

// ---- counting ------------------------------------------------------------------------------------

#[derive(Default)]
struct Tally {
    operations: usize,
    pairs: usize,
    scenes: usize,
    /// Steps at which a thread was stopped.
    points: u64,
}

impl Tally {
    /// Prints this and the sum of all reports so far. So the last line has the total.
    fn report(self, name: &str) {
        static OPERATIONS: AtomicUsize = AtomicUsize::new(0);
        static PAIRS: AtomicUsize = AtomicUsize::new(0);
        static SCENES: AtomicUsize = AtomicUsize::new(0);
        static POINTS: AtomicU64 = AtomicU64::new(0);
        // One report at a time, so that sums are printed in order.
        let mut out = std::io::stdout().lock();
        let operations = OPERATIONS.fetch_add(self.operations, SeqCst) + self.operations;
        let pairs = PAIRS.fetch_add(self.pairs, SeqCst) + self.pairs;
        let scenes = SCENES.fetch_add(self.scenes, SeqCst) + self.scenes;
        let points = POINTS.fetch_add(self.points, SeqCst) + self.points;
        let _ = writeln!(
            out,
            "{name}: {} points (so far {operations} operations, {pairs} pairs, {scenes} scenes, \
             {points} points)",
            self.points,
        );
    }
}

// ---- waiters -------------------------------------------------------------------------------------

#[derive(Default)]
pub(super) struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// A step of its own: a thread may stop between the decision to wake and the wake.
    fn wake_by_ref(self: &Arc<Self>) {
        step();
        self.0.fetch_add(1, SeqCst);
    }
}

/// A waiting future, with a waker that counts.
pub(super) struct Waiter<F> {
    pub(super) future: Pin<Box<F>>,
    pub(super) wakes: Arc<Count>,
}

impl<F: Future> Waiter<F> {
    pub(super) fn new(future: F) -> Self {
        let mut waiter = Self { future: Box::pin(future), wakes: Arc::default() };
        assert!(waiter.poll().is_pending());
        waiter
    }

    pub(super) fn poll(&mut self) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    pub(super) fn is_woken(&self) -> bool {
        self.wakes.0.load(SeqCst) > 0
    }

    /// Asserts that it was woken, and returns its output.
    #[track_caller]
    pub(super) fn ready(mut self) -> F::Output {
        assert!(self.wakes.0.load(SeqCst) > 0, "not woken");
        let Poll::Ready(output) = self.poll() else { panic!("not served") };
        output
    }
}

pub(super) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
