//! Blocking waits. Threads queue in the same line as tasks, and park outside the lock-free parts.

use crate::sync::atomic::{AtomicU32, Ordering};
use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

/// A waker that unparks a thread.
struct Unpark {
    thread: Thread,
    /// 1 after a wake. The thread's own park token is not enough: code that a future calls in its poll may park
    /// and consume it.
    woken: AtomicU32,
}

impl Unpark {
    /// Parks until the next wake.
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

/// Blocks the thread until the future completes.
///
/// # Panics
///
/// Inside an asynchronous task of tokio: it would block the worker. (A thread of `spawn_blocking` may block.)
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

/// Panics with tokio's own message if tokio forbids this thread to block.
#[cfg(feature = "tokio")]
#[track_caller]
fn assert_may_block() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let _ = sender.send(());
    let _ = receiver.blocking_recv();
}
