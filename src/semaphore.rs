//! A fair, cancel-safe, lock-free asynchronous semaphore.

mod acquire;
mod claim;
mod permit;

pub(crate) use crate::raw::semaphore::Epoch;
pub use acquire::{Acquire, AcquireOwned};
pub(crate) use acquire::{Closed, Waiting};
pub(crate) use claim::Claim;
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

use crate::raw::semaphore::RawSemaphore;
use crate::sync::const_fn;
use std::fmt;

/// A counting semaphore for asynchronous tasks: the API and meaning of `tokio::sync::Semaphore`,
/// without a lock, on any executor.
///
/// [`acquire`](Self::acquire) takes a permit, and waits in line if none is free. Dropping the permit returns
/// it.
///
/// ```
/// use ringgate::Semaphore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ringgate::AcquireError> {
/// let semaphore = Semaphore::new(2);
/// let first = semaphore.acquire().await?;
/// let second = semaphore.acquire().await?;
/// assert_eq!(semaphore.available_permits(), 0);
///
/// drop(first);
/// assert_eq!(semaphore.available_permits(), 1);
/// # drop(second);
/// # Ok(())
/// # }
/// ```
///
/// # Fairness
///
/// First in, first out, also for requests of several permits: small requests behind a large one do not starve
/// it, and a newcomer does not overtake a waiter. A task joins the line at its first poll. A waiting future
/// that is neither polled nor dropped keeps its place, and permits granted to it stay reserved, as in every
/// fair asynchronous semaphore.
///
/// # Cancel safety
///
/// You may drop an acquire future at any point. Its place goes to those behind it. Permits that it had
/// collected, or that were granted and not yet seen, are passed on immediately.
///
/// # Linearizability
///
/// Each of these takes effect at one moment: taking permits, joining the line, being granted, leaving the line,
/// closing. A release, a dropped future and a close serve the waiters one by one, each at its own moment, all
/// before the call returns. So during a release to two waiters, other threads may see the first one served and
/// the second one waiting. (Permits released inside a waker are handed out after the waker returns.)
/// [`reduce_permits`](Self::reduce_permits) takes the free permits at one moment and records the rest at
/// another. A release at the same time as a `reduce_permits` may still make its permits free once more, and either of them
/// may have a free permit in hand for a moment that it puts back: who tries then is refused, and who waits is served.
///
/// With the feature `tokio` the futures take part in tokio's cooperative budget, so a task that never has to
/// wait still lets others run. If the budget is spent, a poll keeps its result for the next poll.
///
/// # Lock freedom
///
/// No operation waits for another thread. A thread stalled in the middle of an operation blocks no other; at
/// most the permits it holds are missing.
///
/// # Wakers
///
/// The call that serves a waiter wakes it once. Another call wakes it a second time only if it finds that call
/// stalled halfway. A waiter's waker is dropped as soon as it has been woken.
///
/// A waker may call this semaphore, and may panic: the panic resumes after all waiters are served. It must
/// return. Permits released inside a waker are handed out after the waker returns, so a waker that
/// blocks until another waiter is served deadlocks.
///
/// # Memory ordering
///
/// Everything a holder does before it returns a permit happens before everything the next holder of that permit
/// does after acquiring it.
///
/// # Cost
///
/// With permits free, acquiring and releasing take one compare-and-swap each and allocate nothing. An idle
/// semaphore is three words. The first wait allocates about 1 KiB. Each waiter takes 64 bytes, which are reused
/// for later waiters and kept until the semaphore is dropped (64 MB after a million waiters at once). They are
/// allocated in chunks of 64: one call allocates at most 4 KiB, and 8 bytes for each existing chunk.
///
/// The cost of a call does not grow with the line, except for the waiters it serves: a release, a close and a
/// lowered maximum take a few steps for each. [`waiters`](Self::waiters) and [`Acquire::position`] walk the line.
/// If neighbours leave the line at the same moment, some may stay until a sweep, which goes in steps of at most
/// 128. A release passes those it meets, a few thousand at most.
///
/// # Source
///
/// The line is Michael and Scott's queue (1996); cancelled nodes leave it as in the lists of Harris (2001) and
/// Michael (2002). Permits and the front of the line share one word.
///
/// # Bounds
///
/// At most [`MAX_PERMITS`](Self::MAX_PERMITS) permits: [`new`](Self::new) and
/// [`add_permits`](Self::add_permits) saturate there. With more than about 2^28 waiters, further ones poll until
/// a place in line is free.
///
/// # Differences from tokio
///
/// | | `tokio::sync::Semaphore` | this one |
/// |---|---|---|
/// | `new`, `add_permits` beyond `MAX_PERMITS` | panic | saturate there |
/// | permits a waiter had collected when the semaphore is closed | return when its future is dropped | return at the close |
/// | a future polled after completion | panics | returns `Pending` |
/// | a request for more than a [bound](Self::with_max_permits) | there is no bound | refused ([`AcquireError::is_unsatisfiable`](crate::AcquireError::is_unsatisfiable)) |
/// | permits released inside a waker | handed out immediately | handed out after the waker returns |
/// | moving a waiting future | impossible: pinned | allowed (`Unpin`) |
/// | beyond tokio's API | – | [`with_max_permits`](Self::with_max_permits), [`reduce_permits`](Self::reduce_permits), [`permits_owed`](Self::permits_owed), [`waiters`](Self::waiters), [`try_acquire_all`](Self::try_acquire_all), [`Acquire::position`] |
pub struct Semaphore {
    raw: RawSemaphore,
}

impl Semaphore {
    /// The most permits a semaphore can hold, as in tokio.
    pub const MAX_PERMITS: usize = usize::MAX >> 3;

    const_fn! {
        /// A semaphore with this many permits, at most [`MAX_PERMITS`](Self::MAX_PERMITS).
        ///
        /// ```
        /// use ringgate::Semaphore;
        ///
        /// static GATE: Semaphore = Semaphore::new(4);
        /// assert_eq!(GATE.available_permits(), 4);
        /// assert_eq!(Semaphore::new(usize::MAX).available_permits(), Semaphore::MAX_PERMITS);
        /// ```
        #[must_use]
        pub const fn new(permits: usize) -> Self {
            Self { raw: RawSemaphore::new(saturate(permits)) }
        }
    }

    /// [`new`](Self::new), by the name tokio has for it in constants.
    #[must_use]
    #[cfg(not(any(ringgate_loom, ringgate_shuttle)))]
    pub const fn const_new(permits: usize) -> Self {
        Self::new(permits)
    }

    const_fn! {
        /// A semaphore that never has more than these permits, at most 2^31 − 1.
        ///
        /// Permits in use count: [`add_permits`](Self::add_permits) adds at most as many as have been
        /// [forgotten](SemaphorePermit::forget). [`reduce_permits`](Self::reduce_permits) lowers the maximum
        /// (while it runs, the permits that it takes may still be seen).
        ///
        /// A request for more fails instead of blocking the line
        /// ([`AcquireError::is_unsatisfiable`](crate::AcquireError::is_unsatisfiable), and
        /// [`TryAcquireError::NoPermits`](crate::TryAcquireError::NoPermits) from the `try_` forms): immediately,
        /// or when it comes to the front if the maximum was lowered while it waited.
        ///
        /// ```
        /// let semaphore = ringgate::Semaphore::with_max_permits(2);
        /// let held = semaphore.try_acquire()?;
        /// semaphore.add_permits(100);
        /// assert_eq!(semaphore.available_permits(), 1);
        /// held.forget();
        /// semaphore.add_permits(100);
        /// assert_eq!(semaphore.available_permits(), 2);
        /// # Ok::<(), ringgate::TryAcquireError>(())
        /// ```
        #[must_use]
        pub const fn with_max_permits(permits: usize) -> Self {
            Self { raw: RawSemaphore::with_max_permits(saturate(permits)) }
        }
    }

    /// How many permits are free now. Zero while a task waits.
    #[must_use]
    #[inline]
    pub fn available_permits(&self) -> usize {
        count(self.raw.available())
    }

    /// Adds permits; waiters are served first. The sum saturates at [`MAX_PERMITS`](Self::MAX_PERMITS), or at
    /// the [maximum](Self::with_max_permits) of this semaphore.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then the permits have been handed out in full.
    #[inline]
    pub fn add_permits(&self, permits: usize) {
        if permits > 0 {
            self.raw.add(saturate(permits));
        }
    }

    /// Records that `permits` held permits will not come back.
    #[inline]
    fn lose(&self, permits: usize) {
        self.raw.lose(saturate(permits));
    }

    /// Returns permits that were taken.
    #[inline]
    pub(crate) fn release(&self, permits: usize) {
        if permits > 0 {
            self.raw.release(saturate(permits));
        }
    }

    /// Permanently removes up to `permits` free permits; returns how many it removed.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(3);
    /// assert_eq!(semaphore.forget_permits(5), 3);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget_permits(&self, permits: usize) -> usize {
        count(self.raw.forget(saturate(permits)))
    }

    /// Permanently removes `permits` permits, including held ones: free permits now, held ones when they are
    /// released, before any waiter is served. Returns how many it removed now.
    ///
    /// After a call that had to wait for held permits, each release takes a few nanoseconds longer.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(3);
    /// let held = semaphore.try_acquire_many(2)?;
    /// assert_eq!(semaphore.reduce_permits(2), 1);
    /// assert_eq!(semaphore.permits_owed(), 1);
    /// drop(held);
    /// assert_eq!((semaphore.available_permits(), semaphore.permits_owed()), (1, 0));
    /// # Ok::<(), ringgate::TryAcquireError>(())
    /// ```
    pub fn reduce_permits(&self, permits: usize) -> usize {
        count(self.raw.reduce(saturate(permits)))
    }

    /// How many permits [`reduce_permits`](Self::reduce_permits) still has to remove as they are released. At
    /// most `i64::MAX`; anything beyond that is dropped.
    #[must_use]
    pub fn permits_owed(&self) -> usize {
        usize::try_from(self.raw.debt()).unwrap_or(usize::MAX)
    }

    /// How many waiters are in line. It walks the line; the count may be stale when you read it.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.raw.waiters()
    }

    /// Closes the semaphore: it hands out no more permits, and all waiters fail.
    ///
    /// Held permits stay valid and can still be released.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let semaphore = ringgate::Semaphore::new(1);
    /// semaphore.close();
    /// assert!(semaphore.acquire().await.is_err());
    /// # }
    /// ```
    pub fn close(&self) {
        self.raw.close();
    }

    /// Whether it can never have a permit: its maximum is zero.
    pub(crate) fn is_permanently_empty(&self) -> bool {
        self.raw.is_permanently_empty()
    }

    /// Whether a task waits, or has just been served.
    pub(crate) fn has_waiters(&self) -> bool {
        self.raw.has_waiters()
    }

    /// Nodes of waiters that have not been freed.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        self.raw.nodes_in_use()
    }

    /// Sets how many leftover cancelled waiters start a step of the sweep.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, leftovers: u64) {
        self.raw.sweep_at(leftovers);
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.raw.is_closed()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// The permits as the user counts them.
fn count(permits: u64) -> usize {
    usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS)
}

/// The permits as the engine counts them, at most [`Semaphore::MAX_PERMITS`].
const fn saturate(permits: usize) -> u64 {
    const { assert!(Semaphore::MAX_PERMITS as u64 <= RawSemaphore::MAX_PERMITS) };
    if permits > Semaphore::MAX_PERMITS { Semaphore::MAX_PERMITS as u64 } else { permits as u64 }
}
