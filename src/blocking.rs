//! Threads that wait: they stand in the same line as tasks, and sleep outside the lock-free parts.

use crate::sync::atomic::{AtomicU32, Ordering};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

/// Wakes a thread.
struct Unpark {
    thread: Thread,
    /// 1 once it has been woken. Not the thread's own token alone: what a future calls in its poll may
    /// park, too, and take that.
    woken: AtomicU32,
}

impl Unpark {
    /// Sleeps until it has been woken since the last time.
    fn park(&self) {
        // ORDERING: Acquire pairs with the Release in `wake_by_ref`: what led to the wake is seen.
        while self.woken.swap(0, Ordering::Acquire) == 0 {
            thread::park();
        }
    }
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // ORDERING: Release pairs with the Acquire in `park`.
        self.woken.store(1, Ordering::Release);
        self.thread.unpark();
    }
}

/// The output of a future, for a thread that has nothing else to do.
///
/// # Panics
///
/// Inside an asynchronous task of tokio's: it would keep its worker, and perhaps whom it waits for.
/// (On a thread of `spawn_blocking` it may wait.)
#[track_caller]
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        assert_may_block();
        // Its timers need the runtime.
        return runtime.block_on(future);
    }
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark { thread: thread::current(), woken: AtomicU32::new(0) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        unpark.park();
    }
}

/// Tokio knows whether this thread may block, and says so in its own words.
#[cfg(feature = "tokio")]
#[track_caller]
fn assert_may_block() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let _ = sender.send(());
    let _ = receiver.blocking_recv();
}
