//! Panics of users' wakers.

use core::any::Any;
use core::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of a waker, kept until everything is in order.
#[derive(Default)]
pub(crate) struct Panics(Option<Box<dyn Any + Send>>);

impl Panics {
    /// Of this alone.
    pub(super) fn of(user_code: impl FnOnce()) -> Self {
        let mut panics = Self::default();
        panics.catch(user_code);
        panics
    }

    pub(super) fn has_any(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn catch(&mut self, user_code: impl FnOnce()) {
        // Unwind safe: the semaphores are consistent whenever they run a waker.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(user_code)) {
            match self.0 {
                None => self.0 = Some(panic),
                // Leaked: dropping it would run the user's code.
                Some(_) => forget(panic),
            }
        }
    }

    /// Resumes the first panic, unless this thread is unwinding already.
    pub(crate) fn resume(self) {
        match self.0 {
            Some(panic) if std::thread::panicking() => forget(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}
