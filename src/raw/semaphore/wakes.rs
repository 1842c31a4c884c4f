//! Calling the user's wakers without letting them break anything.
//!
//! A waker may call back into the semaphore. A thread that is inside a wake of a line therefore
//! keeps a note of it, and an operation from inside does two things otherwise:
//! * it does not wake the same waiter once more, or the two would call one another for ever;
//! * what it has for those who still wait it leaves to the operation outside, which goes on with it
//!   after the wake. So a chain of wakers that each release takes one stack frame, not one a waiter.

use super::node::Ref;
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

/// A wake this thread is inside.
struct Waking {
    /// The line's address: it cannot move or end, as the operation outside borrows it.
    line: usize,
    place: Ref,
    /// Permits left by operations from inside; `None` if there was none.
    left: Cell<Option<u64>>,
    outer: *const Waking,
}

impl Waking {
    /// The innermost wake on this thread for which `wanted` holds.
    fn find<R>(wanted: impl Fn(&Self) -> Option<R>) -> Option<R> {
        let mut at = INNERMOST.with(Cell::get);
        while !at.is_null() {
            // SAFETY: it is on this thread's stack, in a call of `Wakes::inside` that has not
            // returned: `Noted` takes it off `INNERMOST` first.
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
pub(super) fn is_waking(line: usize, place: Ref) -> bool {
    Waking::find(|waking| (waking.line == line && waking.place == place).then_some(())).is_some()
}

/// Leaves `permits` to the operation on this line that this thread is inside of, if there is one.
pub(super) fn leave_to_outer(line: usize, permits: u64) -> bool {
    let leave = |waking: &Waking| {
        let before = (waking.line == line).then(|| waking.left.get().unwrap_or(0))?;
        waking.left.set(Some(before.saturating_add(permits)));
        Some(())
    };
    Waking::find(leave).is_some()
}

/// Takes the note of a wake back, whatever happens.
struct Noted {
    outer: *const Waking,
}

impl Drop for Noted {
    fn drop(&mut self) {
        INNERMOST.with(|innermost| innermost.set(self.outer));
    }
}

/// Runs wakers, keeps the first panic for the end of the operation, when nothing is open.
#[derive(Default)]
pub(super) struct Wakes {
    panic: Option<Box<dyn Any + Send>>,
}

impl Wakes {
    /// Does what calls the waker of the waiter at `place`; returns what operations from inside left,
    /// if there were any.
    pub(super) fn inside(
        &mut self,
        line: usize,
        place: Ref,
        calls: impl FnOnce(&mut Self),
    ) -> Option<u64> {
        let outer = INNERMOST.with(Cell::get);
        let waking = Waking { line, place, left: Cell::new(None), outer };
        INNERMOST.with(|innermost| innermost.set(&raw const waking));
        let noted = Noted { outer };
        calls(self);
        drop(noted);
        waking.left.get()
    }

    pub(super) fn wake(&mut self, waker: Option<&Waker>) {
        if let Some(waker) = waker {
            self.run(|| waker.wake_by_ref());
        }
    }

    /// Drops a waker, which is the user's code too.
    pub(super) fn drop(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.run(|| drop(waker));
        }
    }

    /// Whether [`finish`](Self::finish) will.
    pub(super) fn will_panic(&self) -> bool {
        self.panic.is_some() && !std::thread::panicking()
    }

    fn run(&mut self, user_code: impl FnOnce()) {
        // Unwind safe: the semaphore is consistent around every call, and the closures own or
        // borrow nothing but the waker.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(user_code)) {
            match self.panic {
                None => self.panic = Some(panic),
                // Leaked: to drop it would run the user's code once more, which may panic, too.
                Some(_) => forget(panic),
            }
        }
    }

    /// Passes the first panic on, unless this thread is unwinding already.
    pub(super) fn finish(self) {
        match self.panic {
            Some(panic) if std::thread::panicking() => forget(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}
