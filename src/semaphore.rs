//! A fair, cancel-safe, lock-free asynchronous semaphore.

mod acquire;
mod permit;

pub use acquire::{Acquire, AcquireOwned};
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

use crate::blocking::block_on;
use crate::error::{AcquireError, TryAcquireError};
use crate::raw::semaphore::line::{Line, Refusal};
use crate::sync::const_fn;
use acquire::Acquiring;
pub(crate) use acquire::{Closed, Waiting};
use std::fmt;
use std::sync::Arc;

/// A counting semaphore for asynchronous tasks: the API and meaning of `tokio::sync::Semaphore`,
/// without a lock, on any executor.
///
/// [`acquire`](Self::acquire) takes a permit, and waits in line if none is free. Dropping the permit gives it
/// back.
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
/// fair asynchronous lock.
///
/// # Cancel safety
///
/// You may drop an acquire future at any point. Its place goes to those behind it. Permits that it had
/// collected, or that were granted and not yet seen, are passed on immediately.
///
/// # Linearizability
///
/// Each of these takes effect at one moment: taking permits, joining the line, being granted, leaving the line,
/// closing. A release, a dropped future and a close serve one front waiter after another, each at a moment of
/// its own, all before the call returns. So during a release to two waiters others may see the first one served
/// and the second not yet. (What is released inside a waker is handed out after the waker returns.)
/// [`reduce_permits`](Self::reduce_permits) takes the free permits at one moment and records the rest at
/// another.
///
/// With the feature `tokio` the futures take part in tokio's cooperative budget, so a task that never has to
/// wait still lets others run. What a poll decides after the budget is spent is returned by the next poll.
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
/// return. What a call inside a waker releases is handed out when the waker has returned, so a waker that
/// blocks until another waiter is served deadlocks.
///
/// # Memory ordering
///
/// What a holder did before it gave a permit back happens before what the next holder of that permit does after
/// it acquires it.
///
/// # Cost
///
/// With permits free, acquiring and releasing take one compare-and-swap each and allocate nothing. An idle
/// semaphore is three words. The first wait allocates about 1 KiB. Each waiter takes 64 bytes, which are reused
/// for later waiters and kept until the semaphore is dropped (64 MB after a million waiters at once). They come
/// in chunks of 64: no call allocates more than 4 KiB, and 8 bytes for each chunk there is.
///
/// The work of a call does not grow with the line, except for the waiters it serves: a release, a close and a
/// lowered maximum take some steps for each. [`waiters`](Self::waiters) and [`Acquire::position`] walk the line.
/// If neighbours leave the line at the same moment, some may stay until a sweep, in steps of at most 128; a
/// release passes those it meets, a few thousand at the most.
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
/// | what a waiter had collected when the semaphore is closed | comes back when its future goes | comes back at the close |
/// | a future polled after it has completed | panics | stays pending |
/// | a request for more than a [bound](Self::with_max_permits) | there is no bound | refused ([`AcquireError::is_unsatisfiable`](crate::AcquireError::is_unsatisfiable)) |
/// | what is released inside a waker | is handed out at once | is handed out when the waker has returned |
/// | a future that waits, moved to another address | impossible: pinned | allowed (`Unpin`) |
/// | beyond tokio's API | – | [`with_max_permits`](Self::with_max_permits), [`reduce_permits`](Self::reduce_permits), [`permits_owed`](Self::permits_owed), [`waiters`](Self::waiters), [`try_acquire_all`](Self::try_acquire_all), [`Acquire::position`] |
pub struct Semaphore {
    line: Line,
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
            Self { line: Line::new(saturate(permits)) }
        }
    }

    /// [`new`](Self::new), by the name tokio has for it in constants.
    #[must_use]
    #[cfg(not(any(ringgate_loom, ringgate_shuttle)))]
    pub const fn const_new(permits: usize) -> Self {
        Self::new(permits)
    }

    const_fn! {
        /// A semaphore that never has more than these permits, at most 2^32 − 2.
        ///
        /// Permits in use count: [`add_permits`](Self::add_permits) adds at most as many as have been
        /// [forgotten](SemaphorePermit::forget). [`reduce_permits`](Self::reduce_permits) lowers the maximum
        /// (while it runs, the permits that it takes may still be seen).
        ///
        /// A request for more fails instead of blocking the line
        /// ([`AcquireError::is_unsatisfiable`](crate::AcquireError::is_unsatisfiable), and
        /// [`TryAcquireError::NoPermits`] from the `try_` forms): immediately, or when it comes to the front
        /// if the maximum was lowered while it waited.
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
            Self { line: Line::with_max_permits(saturate(permits)) }
        }
    }

    /// How many permits are free now. Zero while a task waits.
    #[must_use]
    #[inline]
    pub fn available_permits(&self) -> usize {
        count(self.line.available())
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
            self.line.add(saturate(permits));
        }
    }

    /// So many permits in use will not come back.
    #[inline]
    fn lose(&self, permits: usize) {
        self.line.lose(saturate(permits));
    }

    /// Gives back permits that were taken.
    #[inline]
    pub(crate) fn release(&self, permits: usize) {
        if permits > 0 {
            self.line.release(saturate(permits));
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
        count(self.line.forget(saturate(permits)))
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
        count(self.line.reduce(saturate(permits)))
    }

    /// How many permits [`reduce_permits`](Self::reduce_permits) still has to remove as they are released. At
    /// most `i64::MAX`; anything beyond that is dropped.
    #[must_use]
    pub fn permits_owed(&self) -> usize {
        usize::try_from(self.line.debt()).unwrap_or(usize::MAX)
    }

    /// How many waiters are in line. It walks the line; the count may be stale when you read it.
    #[must_use]
    pub fn waiters(&self) -> usize {
        self.line.waiters()
    }

    /// Takes one permit, waiting in line for it.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) once the semaphore is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line and loses no permit.
    #[inline]
    pub fn acquire(&self) -> Acquire<'_> {
        self.acquire_many(1)
    }

    /// Takes `permits` permits together, waiting in line for them. A request for zero succeeds immediately.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) if the semaphore is closed, or immediately if it can never have
    /// that many permits.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Permits that the request had collected go to those behind it.
    #[inline]
    pub fn acquire_many(&self, permits: u32) -> Acquire<'_> {
        Acquire(Acquiring::new(self, permits))
    }

    /// [`acquire`](Self::acquire) for a thread: it waits in the same line as tasks do.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// Inside an asynchronous task of tokio (with the feature `tokio`), because it would block the worker. Use
    /// `spawn_blocking`.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(1);
    /// std::thread::scope(|scope| {
    ///     for _ in 0..2 {
    ///         scope.spawn(|| drop(semaphore.blocking_acquire()));
    ///     }
    /// });
    /// assert_eq!(semaphore.available_permits(), 1);
    /// ```
    #[track_caller]
    pub fn blocking_acquire(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        block_on(self.acquire())
    }

    /// [`acquire_many`](Self::acquire_many) for a thread.
    ///
    /// # Errors
    ///
    /// As [`acquire_many`](Self::acquire_many).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, AcquireError> {
        block_on(self.acquire_many(permits))
    }

    /// [`acquire_owned`](Self::acquire_owned) for a thread.
    ///
    /// # Errors
    ///
    /// As [`acquire_owned`](Self::acquire_owned).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, AcquireError> {
        block_on(self.acquire_owned())
    }

    /// [`acquire_many_owned`](Self::acquire_many_owned) for a thread.
    ///
    /// # Errors
    ///
    /// As [`acquire_many_owned`](Self::acquire_many_owned).
    ///
    /// # Panics
    ///
    /// As [`blocking_acquire`](Self::blocking_acquire).
    #[track_caller]
    pub fn blocking_acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        block_on(self.acquire_many_owned(permits))
    }

    /// Takes one permit if one is free and no task waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` permits together if they are free and no task waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.line.try_take(permits)?;
        Ok(SemaphorePermit::new(self, permits as usize))
    }

    /// Takes all free permits; fails if there is none.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(3);
    /// let all = semaphore.try_acquire_all()?;
    /// assert_eq!((all.num_permits(), semaphore.available_permits()), (3, 0));
    /// # Ok::<(), ringgate::TryAcquireError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    pub fn try_acquire_all(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        let permits = self.line.try_take_all()?;
        Ok(SemaphorePermit::new(self, count(permits)))
    }

    /// [`try_acquire_all`](Self::try_acquire_all) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    pub fn try_acquire_all_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        let permits = self.line.try_take_all()?;
        Ok(OwnedSemaphorePermit::new(self, count(permits)))
    }

    /// [`acquire`](Self::acquire) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) once the semaphore is closed.
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned(1)
    }

    /// [`acquire_many`](Self::acquire_many) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) once the semaphore is closed.
    #[inline]
    pub fn acquire_many_owned(self: Arc<Self>, permits: u32) -> AcquireOwned {
        AcquireOwned(Acquiring::new(self, permits))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_owned(self: Arc<Self>) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.try_acquire_many_owned(1)
    }

    /// [`try_acquire_many`](Self::try_acquire_many) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_many_owned(
        self: Arc<Self>,
        permits: u32,
    ) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.line.try_take(permits)?;
        Ok(OwnedSemaphorePermit::new(self, permits as usize))
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
        self.line.close();
    }

    /// Whether it can never have a permit: its maximum is zero.
    pub(crate) fn is_permanently_empty(&self) -> bool {
        self.line.is_empty_for_good()
    }

    /// Whether a permit is free, nobody waits, and it is not closed: one look.
    #[inline]
    pub(crate) fn is_open_and_free(&self) -> bool {
        self.line.is_open_and_free()
    }

    /// [`acquire`](Self::acquire), for a future that keeps to the task's budget itself.
    #[inline]
    pub(crate) fn wait(&self) -> Waiting<'_> {
        Waiting(Acquiring::new(self, 1))
    }

    /// Waits for [`close`](Self::close), outside the line for permits.
    pub(crate) fn closed(&self) -> Closed<'_> {
        Closed::new(self)
    }

    /// Waiters' records that have not been recycled.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn nodes_in_use(&self) -> u32 {
        self.line.nodes_in_use()
    }

    /// Leaves it to the sweep to find this one, should it leave.
    #[cfg(all(test, ringgate_freeze))]
    pub(crate) fn lose_neighbour(&self, waiting: &AcquireOwned) {
        self.line.lose_neighbour(&waiting.0.ticket);
    }

    /// Lets a sweep wait for so many cancelled waiters.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn sweep_at(&self, dead: u64) {
        self.line.sweep_at(dead);
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.line.is_closed()
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

impl From<Refusal> for TryAcquireError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Closed => Self::Closed,
            Refusal::NoPermits | Refusal::TooMany => Self::NoPermits,
        }
    }
}

/// The permits as the user counts them.
fn count(permits: u64) -> usize {
    usize::try_from(permits).unwrap_or(Semaphore::MAX_PERMITS)
}

/// The permits as the line counts them, at most [`Semaphore::MAX_PERMITS`].
const fn saturate(permits: usize) -> u64 {
    const { assert!(Semaphore::MAX_PERMITS as u64 <= Line::MAX_PERMITS) };
    if permits > Semaphore::MAX_PERMITS { Semaphore::MAX_PERMITS as u64 } else { permits as u64 }
}
