//! Calling the user's wakers without letting them break anything.

use core::any::Any;
use core::task::Waker;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs wakers, keeps the first panic for the end of the operation, when nothing is open.
#[derive(Default)]
pub(super) struct Wakes {
    panic: Option<Box<dyn Any + Send>>,
}

impl Wakes {
    pub(super) fn wake(&mut self, waker: Option<&Waker>) {
        self.run(|| {
            if let Some(waker) = waker {
                waker.wake_by_ref();
            }
        });
    }

    /// Drops a waker, which is the user's code too.
    pub(super) fn drop(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.run(|| drop(waker));
        }
    }

    pub(super) fn panicked(&self) -> bool {
        self.panic.is_some()
    }

    fn run(&mut self, user_code: impl FnOnce()) {
        // Unwind safe: the semaphore is consistent around every call, and the closures own or
        // borrow nothing but the waker.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(user_code)) {
            self.panic.get_or_insert(panic);
        }
    }

    /// Passes the first panic on, unless this thread is unwinding already.
    pub(super) fn finish(self) {
        if let Some(panic) = self.panic
            && !std::thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}
