//! Futures that are polled when they were woken, one at a time, in an order that a seed decides.

use crate::random::Random;
use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

thread_local! {
    static IS_POLLING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a task is polled on this thread.
pub(crate) fn is_polling() -> bool {
    IS_POLLING.get()
}

struct Task {
    flag: Arc<Flag>,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// The tasks of one process.
#[derive(Default)]
pub(crate) struct Tasks(Vec<Task>);

impl Tasks {
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        self.0.push(Task { flag, future: Box::pin(future) });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Polls one that was woken. False if there is none.
    pub(crate) fn poll_one(&mut self, random: &mut Random) -> bool {
        let woken =
            self.0.iter().enumerate().filter(|(_, task)| task.flag.0.load(Ordering::SeqCst));
        let woken: Vec<usize> = woken.map(|(index, _)| index).collect();
        let Some(last) = woken.len().checked_sub(1) else { return false };
        let index = woken[usize::try_from(random.up_to(last as u64)).unwrap()];
        let task = &mut self.0[index];
        task.flag.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&task.flag));
        IS_POLLING.set(true);
        let polled = task.future.as_mut().poll(&mut Context::from_waker(&waker));
        IS_POLLING.set(false);
        if polled.is_ready() {
            drop(self.0.swap_remove(index));
        }
        true
    }
}
