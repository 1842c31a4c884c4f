//! Threads that wait: they stand in the same line as tasks, and sleep outside the lock-free parts.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::task::Wake;
use std::thread::{self, Thread};

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
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
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        // It may return early: then the future says that it is not ready yet.
        thread::park();
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
