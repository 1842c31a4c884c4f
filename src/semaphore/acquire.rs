//! The futures that wait for permits, and the operations that return them.

use super::Semaphore;
use super::permit::{OwnedSemaphorePermit, SemaphorePermit};
use crate::blocking::block_on;
use crate::coop;
use crate::error::AcquireError;
use crate::raw::semaphore::{Refusal, Waiter};
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::Arc;

impl Semaphore {
    /// Takes one permit, waiting in line for it.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] once the semaphore is closed.
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
    /// [`AcquireError`] if the semaphore is closed, or immediately if it can never have
    /// that many permits.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire). Permits that the request had collected go to those behind it.
    #[inline]
    pub fn acquire_many(&self, permits: u32) -> Acquire<'_> {
        Acquire(Acquiring::new(self, permits))
    }

    /// [`acquire`](Self::acquire) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] once the semaphore is closed.
    #[inline]
    pub fn acquire_owned(self: Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned(1)
    }

    /// [`acquire_many`](Self::acquire_many) with a permit that owns the semaphore's `Arc`.
    ///
    /// # Errors
    ///
    /// [`AcquireError`] once the semaphore is closed.
    #[inline]
    pub fn acquire_many_owned(self: Arc<Self>, permits: u32) -> AcquireOwned {
        AcquireOwned(Acquiring::new(self, permits))
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

    /// [`acquire`](Self::acquire), for a future that takes part in the task's budget itself.
    #[inline]
    pub(crate) fn wait(&self) -> Waiting<'_> {
        Waiting(Acquiring::new(self, 1))
    }

    /// Waits for [`close`](Self::close), outside the line for permits.
    pub(crate) fn closed(&self) -> Closed<'_> {
        Closed::new(self)
    }

    /// Removes the hint that would unlink this waiter at once: if it leaves, only the sweep finds it.
    #[cfg(all(test, ringgate_freeze))]
    pub(crate) fn lose_neighbour(&self, waiting: &AcquireOwned) {
        self.raw.lose_neighbour(&waiting.0.waiter);
    }
}

/// The wait itself, for a borrowed or an owned semaphore.
#[derive(Debug)]
pub(super) struct Acquiring<S: Deref<Target = Semaphore>> {
    /// `None` once the wait is over.
    semaphore: Option<S>,
    waiter: Waiter,
    /// A result that came when the task's budget was spent, for the next poll to return.
    withheld: Option<Result<(), Refusal>>,
}

impl<S: Deref<Target = Semaphore>> Acquiring<S> {
    #[inline]
    fn new(semaphore: S, permits: u32) -> Self {
        Self { semaphore: Some(semaphore), waiter: Waiter::new(permits), withheld: None }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(S, usize), AcquireError>> {
        let Some(semaphore) = &self.semaphore else { return Poll::Pending };
        let taken: Result<(), Refusal> = ready!(semaphore.raw.poll(&mut self.waiter, cx));
        Poll::Ready(self.end(taken))
    }

    /// [`poll`](Self::poll) within the task's budget. If the budget is spent, the result takes effect now and
    /// the next poll returns it.
    #[inline]
    fn poll_cooperatively(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(S, usize), AcquireError>> {
        let Some(semaphore) = &self.semaphore else { return Poll::Pending };
        let taken = match self.withheld.take() {
            Some(taken) => taken,
            None => ready!(semaphore.raw.poll(&mut self.waiter, cx)),
        };
        if let Poll::Ready(unit) = coop::poll_unit(cx) {
            unit.made_progress();
            return Poll::Ready(self.end(taken));
        }
        self.withheld = Some(taken);
        Poll::Pending
    }

    #[inline]
    fn end(&mut self, taken: Result<(), Refusal>) -> Result<(S, usize), AcquireError> {
        match (taken, self.semaphore.take()) {
            (Ok(()), Some(semaphore)) => Ok((semaphore, self.waiter.asked() as usize)),
            (Err(Refusal::TooMany), _) => Err(AcquireError::unsatisfiable()),
            _ => Err(AcquireError::closed()),
        }
    }

    fn position(&self) -> Option<usize> {
        self.semaphore.as_ref()?.raw.ahead_of(&self.waiter)
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Acquiring<S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            semaphore.raw.cancel(&mut self.waiter);
            if let Some(Ok(())) = self.withheld {
                semaphore.release(self.waiter.asked() as usize);
            }
        }
    }
}

/// A wait inside a future that takes part in the task's budget itself.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(Acquiring<&'a Semaphore>);

impl Waiting<'_> {
    /// Whether its wait has ended, though no poll has told it so far.
    pub(crate) fn is_served(&self) -> bool {
        let acquiring = &self.0;
        acquiring.semaphore.is_some_and(|semaphore| semaphore.raw.is_served(&acquiring.waiter))
    }

    /// Whether it waits and nobody is ahead.
    pub(crate) fn is_first(&self) -> bool {
        let acquiring = &self.0;
        acquiring.semaphore.is_some_and(|semaphore| semaphore.raw.is_front(&acquiring.waiter))
    }

    pub(crate) fn position(&self) -> Option<usize> {
        self.0.position()
    }
}

impl<'a> Future for Waiting<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = ready!(self.0.poll(cx));
        Poll::Ready(taken.map(|(semaphore, permits)| SemaphorePermit::new(semaphore, permits)))
    }
}

/// The future of [`Semaphore::acquire`] and [`Semaphore::acquire_many`].
///
/// Polling it again after completion returns `Pending`.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Acquire<'a>(Acquiring<&'a Semaphore>);

impl Acquire<'_> {
    /// How many waiters are ahead of this one in line; `None` unless it waits.
    ///
    /// It walks the line; the count may be stale when you read it.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position()
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = Result<SemaphorePermit<'a>, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = ready!(self.0.poll_cooperatively(cx));
        Poll::Ready(taken.map(|(semaphore, permits)| SemaphorePermit::new(semaphore, permits)))
    }
}

/// The future of [`Semaphore::acquire_owned`] and [`Semaphore::acquire_many_owned`].
///
/// Polling it again after completion returns `Pending`.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct AcquireOwned(Acquiring<Arc<Semaphore>>);

impl AcquireOwned {
    /// How many permits it asks for.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn asked(&self) -> u32 {
        self.0.waiter.asked()
    }

    /// How many waiters are ahead of this one in line; `None` unless it waits.
    ///
    /// It walks the line; the count may be stale when you read it.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.0.position()
    }
}

impl Future for AcquireOwned {
    type Output = Result<OwnedSemaphorePermit, AcquireError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = ready!(self.0.poll_cooperatively(cx));
        Poll::Ready(taken.map(|(semaphore, permits)| OwnedSemaphorePermit::new(semaphore, permits)))
    }
}

/// Ready once the semaphore is closed.
#[derive(Debug)]
pub(crate) struct Closed<'a> {
    semaphore: &'a Semaphore,
    waiter: Waiter,
}

impl<'a> Closed<'a> {
    fn new(semaphore: &'a Semaphore) -> Self {
        Self { semaphore, waiter: Waiter::new(1) }
    }
}

impl Future for Closed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.semaphore.raw.poll_closed(&mut self.waiter, cx)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.semaphore.raw.cancel_closed(&mut self.waiter);
    }
}
