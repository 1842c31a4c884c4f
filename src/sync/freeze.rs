//! Primitives that can stop a thread for ever before its k-th step.
//!
//! A test runs an operation on a thread of its own under [`frozen_at`], which stops it before its
//! k-th atomic step. The test then sees to it that everybody else's work still completes, and
//! thaws the thread, to check that nothing is lost or made once it goes on after all.

use core::sync::atomic as core_atomic;
use core_atomic::Ordering;
use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

struct Plan {
    steps_left: u64,
    stopped: Sender<bool>,
    thaw: Receiver<()>,
}

thread_local! {
    static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
}

/// Comes before every primitive; a test's own code may be a step, too.
pub(crate) fn step() {
    let plan = PLAN.with_borrow_mut(|slot| match slot {
        Some(plan) if plan.steps_left == 0 => slot.take(),
        Some(plan) => {
            plan.steps_left -= 1;
            None
        }
        None => None,
    });
    if let Some(plan) = plan {
        let _ = plan.stopped.send(true);
        // Until the test thaws it (or is gone).
        let _ = plan.thaw.recv();
    }
}

/// How many steps an operation takes on this thread.
pub(crate) fn steps<T>(operation: impl FnOnce() -> T) -> (u64, T) {
    let (stopped, _) = channel();
    let (_, thaw) = channel();
    PLAN.set(Some(Plan { steps_left: u64::MAX, stopped, thaw }));
    let result = operation();
    let left = PLAN.take().map_or(0, |plan| plan.steps_left);
    (u64::MAX - left, result)
}

/// A thread that may stand still.
pub(crate) struct Frozen<T> {
    thread: JoinHandle<T>,
    thaw: Sender<()>,
    stopped: bool,
}

impl<T> Frozen<T> {
    /// Whether it stopped before it was through.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Lets it go on, to its end.
    pub(crate) fn thaw(self) -> T {
        let _ = self.thaw.send(());
        let Ok(result) = self.thread.join() else { panic!("the thawed thread panicked") };
        result
    }
}

/// Runs `operation` on a thread that stops before its `k`-th step (from 0); returns when it has
/// stopped, or has ended because it has fewer steps.
pub(crate) fn frozen_at<T: Send + 'static>(
    k: u64,
    operation: impl FnOnce() -> T + Send + 'static,
) -> Frozen<T> {
    let (stopped, has_stopped) = channel();
    let (thaw, thawed) = channel();
    let thread = std::thread::spawn(move || {
        let ended = stopped.clone();
        PLAN.set(Some(Plan { steps_left: k, stopped, thaw: thawed }));
        let result = operation();
        PLAN.set(None);
        let _ = ended.send(false);
        result
    });
    let stopped = has_stopped.recv().unwrap_or(false);
    Frozen { thread, thaw, stopped }
}

macro_rules! stepping {
    ($name:ident, $value:ty $(, $arithmetic:ident)*) => {
        /// The atomic of the same name, with a step before each operation.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub(crate) struct $name(core_atomic::$name);

        #[allow(dead_code, reason = "not every operation is used on every type")]
        impl $name {
            pub(crate) const fn new(value: $value) -> Self {
                Self(core_atomic::$name::new(value))
            }
            pub(crate) fn load(&self, order: Ordering) -> $value {
                step();
                self.0.load(order)
            }
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                step();
                self.0.store(value, order);
            }
            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                step();
                self.0.swap(value, order)
            }
            pub(crate) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange(from, to, success, failure)
            }
            pub(crate) fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step();
                self.0.compare_exchange_weak(from, to, success, failure)
            }
            $(
                pub(crate) fn $arithmetic(&self, value: $value, order: Ordering) -> $value {
                    step();
                    self.0.$arithmetic(value, order)
                }
            )*
        }
    };
}

stepping!(AtomicU32, u32, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max);
stepping!(AtomicU64, u64, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max, fetch_min);
stepping!(AtomicUsize, usize, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max);

/// The atomic of the same name, with a step before each operation.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicPtr<T>(core_atomic::AtomicPtr<T>);

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Self(core_atomic::AtomicPtr::new(value))
    }
    pub(crate) fn load(&self, order: Ordering) -> *mut T {
        step();
        self.0.load(order)
    }
    pub(crate) fn store(&self, value: *mut T, order: Ordering) {
        step();
        self.0.store(value, order);
    }
    pub(crate) fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        step();
        self.0.swap(value, order)
    }
    pub(crate) fn compare_exchange(
        &self,
        from: *mut T,
        to: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        step();
        self.0.compare_exchange(from, to, success, failure)
    }
}

impl<T> Default for AtomicPtr<T> {
    fn default() -> Self {
        Self::new(core::ptr::null_mut())
    }
}
