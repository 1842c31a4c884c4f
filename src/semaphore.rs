//! A fair, cancel-safe, lock-free asynchronous semaphore.

mod acquire;
mod chunks;
mod line;
mod node;
mod permit;
mod store;
mod wakes;

#[cfg(all(test, ringgate_loom))]
mod models;
#[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
pub(crate) mod pairs;

pub use acquire::{Acquire, AcquireOwned};
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

use crate::blocking::block_on;
use crate::error::{AcquireError, TryAcquireError};
use crate::sync::const_fn;
use acquire::Acquiring;
pub(crate) use acquire::{Closed, Waiting};
use line::{Line, Refusal};
use std::fmt;
use std::sync::Arc;

/// A counting semaphore for asynchronous tasks: the API and meaning of `tokio::sync::Semaphore`,
/// without a lock, on any executor.
///
/// A permit is taken by [`acquire`](Self::acquire) and given back when its guard is dropped. Where
/// there is none, the caller waits in line.
///
/// # Fairness
///
/// Strictly first in, first out, requests for many permits included: a big request is not starved
/// by small ones behind it, and a newcomer does not overtake a waiter. A task joins the line at its
/// first poll. A future that stands in line and is neither polled nor dropped keeps its place: once
/// it has been granted, its permits wait for it, as in every fair asynchronous lock.
///
/// # Cancel safety
///
/// Dropping an acquire future at any point loses nothing: its place goes to those behind it, and
/// permits it had collected, or had been granted and not yet seen, are given on at once.
///
/// # What others can see
///
/// Taking permits, joining the line, being granted, leaving the line and closing each happen at one
/// moment. What an operation gives (a release, a dropped future, a close) it gives from front to
/// front, one moment each, all of them before it returns: while a release to two waiters goes on,
/// the first may have been served and the second not yet. (Only what is released inside a waker is
/// given later.) [`reduce_permits`](Self::reduce_permits) takes what is free at one moment, and
/// writes the rest down at another.
///
/// With the feature `tokio` its futures take part in tokio's cooperative budget: a task that never has
/// to wait lets others run all the same. What a poll decides when the budget is spent, it tells at the
/// next one.
///
/// # Lock freedom
///
/// No operation waits for another thread. If a thread stops for ever in the middle of one, the
/// others carry on, and at most the stopped thread's own permits are missing.
///
/// # Wakers
///
/// A waiter is woken once, by the call that serves it; a second time only if another call finds that
/// one stopped halfway. Its waker is dropped as soon as it has been woken, whoever polls when.
///
/// A waker may call back in, on this semaphore too, and may panic: the panic goes on once everybody
/// is served. It must return, though. What a call from inside a waker releases is handed on when
/// the waker has returned, so a waker that blocks until somebody else is served blocks for ever.
///
/// # Memory ordering
///
/// What a holder did before giving a permit back happens before what the next holder of that permit
/// does after acquiring it.
///
/// # Cost
///
/// With permits free, acquiring and releasing are one compare-and-swap each and allocate nothing.
/// An idle semaphore is three words. The first wait allocates the store, about 1 KiB; a waiter takes
/// 64 bytes, reused for later waiters and kept until the semaphore is dropped (64 MB after a million
/// in line at once). They come 64 at a time: no call allocates more than 4 KiB, and 8 bytes for each
/// 4 KiB there are.
///
/// No call's work grows with the line, except for what it hands out: a release, a close and a reduced
/// bound do some steps for each waiter they serve, and [`waiters`](Self::waiters) and
/// [`Acquire::position`] walk the line. Waiters that leave at the same moment as their neighbours may
/// stay in the line until it is swept, in steps of at most 128; a release goes past those it meets,
/// some thousands at the very most.
///
/// # Source
///
/// The line is a queue of Michael and Scott (1996) whose cancelled nodes leave as in Harris's (2001)
/// and Michael's (2002) lists; permits and the front of the line share one word.
///
/// # Bounds
///
/// At most [`MAX_PERMITS`](Self::MAX_PERMITS) permits: [`new`](Self::new) and
/// [`add_permits`](Self::add_permits) saturate there. Beyond some 2^28 waiters at a time, further
/// ones poll until a place in line is free.
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
///
/// # Examples
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
        /// Permits in use count: [`add_permits`](Self::add_permits) adds no more than are missing, after
        /// some have been [forgotten](SemaphorePermit::forget). [`reduce_permits`](Self::reduce_permits)
        /// lowers the bound (while it is under way, what it takes away may still be there).
        /// A request for more is refused instead of waiting for ever in everybody's way
        /// ([`AcquireError::is_unsatisfiable`](crate::AcquireError::is_unsatisfiable);
        /// [`TryAcquireError::NoPermits`] from the `try_` forms): at once, or when it comes to the front if
        /// the bound was lowered while it waited.
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

    /// How many permits are free now. Zero while anybody waits.
    #[must_use]
    #[inline]
    pub fn available_permits(&self) -> usize {
        count(self.line.available())
    }

    /// Adds permits, first to those who wait. The sum saturates at
    /// [`MAX_PERMITS`](Self::MAX_PERMITS), or at its [bound](Self::with_max_permits).
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

    /// Takes up to `permits` free permits away for good; returns how many there were to take.
    ///
    /// ```
    /// let semaphore = ringgate::Semaphore::new(3);
    /// assert_eq!(semaphore.forget_permits(5), 3);
    /// assert_eq!(semaphore.available_permits(), 0);
    /// ```
    pub fn forget_permits(&self, permits: usize) -> usize {
        count(self.line.forget(saturate(permits)))
    }

    /// Makes `permits` permits fewer for good, those in use included: what is free goes now, the
    /// rest as it is given back, before anybody who waits gets anything. Returns how many went now.
    ///
    /// Once it has had to wait for permits in use, releasing takes a few nanoseconds longer.
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

    /// How many permits releases will still pay for [`reduce_permits`](Self::reduce_permits). At most
    /// `i64::MAX`: what is beyond that is not owed.
    #[must_use]
    pub fn permits_owed(&self) -> usize {
        usize::try_from(self.line.debt()).unwrap_or(usize::MAX)
    }

    /// How many waiters stand in line. It walks the line, and may be out of date when it is read.
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

    /// Takes `permits` permits together, waiting in line for them. Zero is granted at once.
    ///
    /// # Errors
    ///
    /// [`AcquireError`](crate::AcquireError) once the semaphore is closed, or at once if it can never
    /// have as many.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire); what the request had collected goes to those behind it.
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
    /// Inside an asynchronous task of tokio's (with the feature `tokio`), whose worker it would block.
    /// A thread of `spawn_blocking` may wait.
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

    /// Takes one permit if one is free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.try_acquire_many(1)
    }

    /// Takes `permits` permits together if they are free and nobody waits.
    ///
    /// # Errors
    ///
    /// [`TryAcquireError::Closed`] or [`TryAcquireError::NoPermits`].
    #[inline]
    pub fn try_acquire_many(&self, permits: u32) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.line.try_take(permits)?;
        Ok(SemaphorePermit::new(self, permits as usize))
    }

    /// Takes all permits that are free, at least one.
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

    /// Closes the semaphore: no permit is handed out any more, and all who wait are told.
    ///
    /// Permits already held stay valid and may still be given back.
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
    pub(crate) fn is_barren(&self) -> bool {
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
