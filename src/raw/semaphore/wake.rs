//! Runs the user's wakers so that they cannot break an invariant.
//!
//! A waker may call back into the semaphore. A thread that runs a waker therefore keeps a note of it, and
//! an operation from inside behaves differently in two ways:
//! * It does not wake the same waiter again: the two would call each other without end.
//! * It defers its permits for waiters to the operation outside, which continues with them after the
//!   waker returns. So a chain of wakers that each release takes one stack frame, not one for each
//!   waiter.

use super::node::NodeRef;
use crate::sync::per_thread;
use core::any::Any;
use core::cell::Cell;
use core::mem::forget;
use core::ptr;
use core::task::Waker;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

per_thread! {
    static INNERMOST: Cell<*const Waking> = Cell::new(ptr::null());
}

/// A wake that this thread is inside.
struct Waking {
    /// The semaphore's address. The operation outside borrows it, so it cannot move or end.
    semaphore: usize,
    node: NodeRef,
    /// Permits deferred by operations from inside; `None` if there was no such operation.
    deferred: Cell<Option<u64>>,
    outer: *const Waking,
}

impl Waking {
    /// The innermost wake on this thread for which `wanted` holds.
    fn find<R>(wanted: impl Fn(&Self) -> Option<R>) -> Option<R> {
        let mut at = INNERMOST.with(Cell::get);
        while !at.is_null() {
            // SAFETY: it is on this thread's stack, in a call of `WakeRunner::inside` that has not
            // returned: `RestoreOuter` takes it off `INNERMOST` first.
            let waking = unsafe { &*at };
            if let Some(found) = wanted(waking) {
                return Some(found);
            }
            at = waking.outer;
        }
        None
    }
}

/// Whether this thread is waking this waiter right now.
pub(super) fn is_waking(semaphore: usize, node: NodeRef) -> bool {
    let is_it = |waking: &Waking| waking.semaphore == semaphore && waking.node == node;
    Waking::find(|waking| is_it(waking).then_some(())).is_some()
}

/// Defers `permits` to the operation on this semaphore that this thread is inside of, if there is one.
pub(super) fn defer_to_outer(semaphore: usize, permits: u64) -> bool {
    let defer = |waking: &Waking| {
        let before = (waking.semaphore == semaphore).then(|| waking.deferred.get().unwrap_or(0))?;
        waking.deferred.set(Some(before.saturating_add(permits)));
        Some(())
    };
    Waking::find(defer).is_some()
}

/// Removes the note of a wake, also when its waker panics.
struct RestoreOuter {
    outer: *const Waking,
}

impl Drop for RestoreOuter {
    fn drop(&mut self) {
        INNERMOST.with(|innermost| innermost.set(self.outer));
    }
}

/// Runs wakers, and keeps the first panic for the end of the operation, when all invariants hold.
#[derive(Default)]
pub(super) struct WakeRunner {
    panic: Option<Box<dyn Any + Send>>,
}

impl WakeRunner {
    /// Runs `calls`, which calls the waker of the waiter at `node`. Returns the permits that operations
    /// from inside deferred; `None` if there was no such operation.
    pub(super) fn inside(
        &mut self,
        semaphore: usize,
        node: NodeRef,
        calls: impl FnOnce(&mut Self),
    ) -> Option<u64> {
        let outer = INNERMOST.with(Cell::get);
        let waking = Waking { semaphore, node, deferred: Cell::new(None), outer };
        INNERMOST.with(|innermost| innermost.set(&raw const waking));
        let restore = RestoreOuter { outer };
        calls(self);
        drop(restore);
        waking.deferred.get()
    }

    pub(super) fn wake(&mut self, waker: Option<&Waker>) {
        if let Some(waker) = waker {
            self.run(|| waker.wake_by_ref());
        }
    }

    /// Drops a waker, which runs the user's code too.
    pub(super) fn drop(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.run(|| drop(waker));
        }
    }

    /// Whether [`finish`](Self::finish) will panic.
    pub(super) fn will_panic(&self) -> bool {
        self.panic.is_some() && !std::thread::panicking()
    }

    fn run(&mut self, user_code: impl FnOnce()) {
        // Unwind safe: the semaphore is consistent around every call, and the closures own or
        // borrow only the waker.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(user_code)) {
            match self.panic {
                None => self.panic = Some(panic),
                // Leaked: dropping it would run the user's code once more, which may panic too.
                Some(_) => forget(panic),
            }
        }
    }

    /// Resumes the first panic, unless this thread is already unwinding.
    pub(super) fn finish(self) {
        match self.panic {
            Some(panic) if std::thread::panicking() => forget(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}
