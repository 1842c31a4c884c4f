//! Wakers that count, and tasks that the target polls itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that counts its wakes, and may call a function at the first.
#[derive(Default)]
pub(crate) struct Wakes {
    count: AtomicUsize,
    calls: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Wakes {
    pub(crate) fn calling(calls: impl Fn() + Send + Sync + 'static) -> Self {
        Self { count: AtomicUsize::new(0), calls: Some(Box::new(calls)) }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        if let (0, Some(calls)) = (before, &self.calls) {
            calls();
        }
    }
}

/// A future, the waker it is polled with, and how many wakes it has answered.
pub(crate) struct Task<F: ?Sized> {
    wakes: Arc<Wakes>,
    /// Wakes before the last poll.
    seen: usize,
    was_polled: bool,
    is_out_of_order: bool,
    future: Pin<Box<F>>,
}

impl<F: Future + ?Sized> Task<F> {
    pub(crate) fn new(future: Pin<Box<F>>) -> Self {
        Self { wakes: Arc::default(), seen: 0, was_polled: false, is_out_of_order: false, future }
    }

    pub(crate) fn future(&self) -> &F {
        &self.future
    }

    /// True if it was woken since its last poll.
    pub(crate) fn is_woken(&self) -> bool {
        self.wakes.count.load(Ordering::Relaxed) > self.seen
    }

    /// How often its waker was woken.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.count.load(Ordering::Relaxed)
    }

    /// It was polled again while one ahead of it was woken, or was such a one: it may stand in another place from then on.
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.is_out_of_order
    }

    pub(crate) fn poll(&mut self) -> Poll<F::Output> {
        self.was_polled = true;
        self.seen = self.wakes.count.load(Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&self.wakes));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }

    /// Polls with a new waker, as a runtime does after it moved the task.
    pub(crate) fn poll_with(&mut self, wakes: Wakes) -> Poll<F::Output> {
        self.wakes = Arc::new(wakes);
        self.poll()
    }
}

/// Polls one in line, with a new waker if it has `moved`. Also returns whether it may pass those ahead: if they are woken and it is
/// polled before them, or if that was so at an earlier poll.
pub(crate) fn poll_in_line<T, F: Future>(
    line: &mut [T],
    task: impl Fn(&mut T) -> &mut Task<F>,
    which: usize,
    moved: bool,
) -> (Poll<F::Output>, bool) {
    let is_new = !task(&mut line[which]).was_polled;
    let mut passes = false;
    for ahead in line[..which].iter_mut().map(&task) {
        let is_passed = ahead.is_woken();
        passes |= is_passed;
        // A new one has no turn that another should have answered first.
        ahead.is_out_of_order |= is_passed && !is_new;
    }
    let task = task(&mut line[which]);
    task.is_out_of_order |= passes && !is_new;
    let may_pass = passes || task.is_out_of_order;
    (if moved { task.poll_with(Wakes::default()) } else { task.poll() }, may_pass)
}
