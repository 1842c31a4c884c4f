//! A clock that a test moves.
//!
//! The sleepers form a stack (Treiber 1986). A change of time takes the whole stack, so there is no ABA: no
//! entry is popped singly. It wakes each sleeper, which checks for itself whether its time has come.
//!
//! **The race that matters.** "New time, then take the stack" against "join the stack, then read the
//! time": both exchange the same word, so one comes first. If it is the joiner, it is taken and
//! woken; if not, its exchange acquires the new time.

use super::clock::{Clock, Timestamp};
use super::sleep::Sleep;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::sync::leak::Tracked;
use atomic_waker::AtomicWaker;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A clock that stands still until it is told to move, for tests.
///
/// Clones are the same clock. It starts at zero, may be set back, and wakes its sleepers when their
/// time has come.
///
/// ```
/// use ringgate::{Rate, SlidingWindow, time::ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let window = SlidingWindow::with_clock(Rate::per_minute(1), clock.clone());
/// assert!(window.try_acquire().is_ok());
///
/// let refused = window.try_acquire().unwrap_err();
/// assert_eq!(refused.retry_after(), Some(Duration::from_secs(60)));
///
/// clock.advance(Duration::from_secs(60));
/// assert!(window.try_acquire().is_ok());
/// ```
#[derive(Clone, Default)]
pub struct ManualClock(Arc<Shared>);

#[derive(Default)]
struct Shared {
    now: AtomicU64,
    sleepers: Stack,
}

impl ManualClock {
    /// A clock that shows zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves time on, at most to [`Timestamp::MAX`].
    pub fn advance(&self, by: Duration) {
        let mut now = self.now();
        // ORDERING: Relaxed, as `set`.
        while let Err(found) = self.0.now.compare_exchange(
            now.as_nanos(),
            now.saturating_add(by).as_nanos(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            now = Timestamp::from_nanos(found);
        }
        self.0.sleepers.wake_all();
    }

    /// Sets the time, forwards or back.
    pub fn set(&self, now: Timestamp) {
        // ORDERING: Relaxed: `wake_all` publishes it to those who sleep; others only compare it.
        self.0.now.store(now.as_nanos(), Ordering::Relaxed);
        self.0.sleepers.wake_all();
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        // ORDERING: Relaxed: see `set`.
        Timestamp::from_nanos(self.0.now.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        Sleep::new(ManualSleep { clock: self.clone(), deadline, sleeper: Arc::default() })
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

struct ManualSleep {
    clock: ManualClock,
    deadline: Timestamp,
    sleeper: Arc<Sleeper>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.sleeper.waker.register(cx.waker());
        self.clock.0.sleepers.join(&self.sleeper);
        if self.clock.now() >= self.deadline { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        // Its entry stays until time moves; the task need not.
        drop(self.sleeper.waker.take());
    }
}

#[derive(Default)]
struct Sleeper {
    waker: AtomicWaker,
    /// 1 while on the stack: once is enough.
    joined: AtomicU32,
}

impl Sleeper {
    fn wake(&self) {
        // ORDERING: Acquire pairs with the Release in `join`: the waker registered before that is the
        // one to wake. The wake itself tells the woken one that it can join again. An exchange, not
        // a store: loom does not know that a store beside two exchanges of one thread comes after
        // both or before both.
        self.joined.swap(0, Ordering::Acquire);
        self.waker.wake();
    }
}

#[derive(Default)]
struct Stack {
    top: AtomicPtr<Entry>,
}

struct Entry {
    sleeper: Arc<Sleeper>,
    below: *mut Entry,
    made: Tracked,
}

impl Stack {
    fn join(&self, sleeper: &Arc<Sleeper>) {
        // ORDERING: Release publishes the waker just registered: if 1 is found, `wake_all` has yet to
        // clear it, and wakes that one.
        if sleeper.joined.swap(1, Ordering::Release) == 1 {
            return;
        }
        // ORDERING: Relaxed: a guess; the exchange decides.
        let mut below = self.top.load(Ordering::Relaxed);
        let entry = Entry { sleeper: Arc::clone(sleeper), below, made: Tracked::new() };
        let entry = Box::into_raw(Box::new(entry));
        loop {
            // ORDERING: Release publishes the entry, and lets those below be seen through it; Acquire
            // pairs with the Release of a `wake_all` that has just missed it: the new time.
            match self.top.compare_exchange(below, entry, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => below = found,
            }
            // SAFETY: not published yet: ours.
            unsafe { (*entry).below = below };
        }
    }

    fn wake_all(&self) {
        // ORDERING: Acquire pairs with the Release of those who joined: their entries. Release
        // publishes the new time to those who come too late.
        let top = self.top.swap(ptr::null_mut(), Ordering::AcqRel);
        (Taken { top }).for_each(|sleeper| sleeper.wake());
    }
}

/// A stack taken whole. Dropped early (a waker panicked), it wakes the rest.
struct Taken {
    top: *mut Entry,
}

impl Iterator for Taken {
    type Item = Arc<Sleeper>;

    fn next(&mut self) -> Option<Arc<Sleeper>> {
        if self.top.is_null() {
            return None;
        }
        // SAFETY: it came from `Box::into_raw` in `join`, and the swap gave us the whole stack from
        // here down.
        let entry = unsafe { Box::from_raw(self.top) };
        entry.made.check();
        self.top = entry.below;
        Some(entry.sleeper)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for sleeper in self {
            // One panic is on its way already; a second one would end the process.
            let _ = catch_unwind(AssertUnwindSafe(|| sleeper.wake()));
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.wake_all();
    }
}

// SAFETY: `below` is written before the entry is published and read by the thread that took the stack;
// the rest of an entry is Send + Sync.
unsafe impl Send for Stack {}
// SAFETY: as above.
unsafe impl Sync for Stack {}
