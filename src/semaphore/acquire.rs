//! The futures that wait for permits.

use super::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::coop;
use crate::error::AcquireError;
use crate::raw::semaphore::line::{Refusal, Ticket};
use core::future::Future;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::sync::Arc;

/// The wait itself, for a borrowed or an owned semaphore.
#[derive(Debug)]
pub(super) struct Acquiring<S: Deref<Target = Semaphore>> {
    /// `None` once the wait is over.
    semaphore: Option<S>,
    pub(super) ticket: Ticket,
    /// What was decided when the task's budget was spent, to be told at the next poll.
    untold: Option<Result<(), Refusal>>,
}

impl<S: Deref<Target = Semaphore>> Acquiring<S> {
    #[inline]
    pub(super) fn new(semaphore: S, permits: u32) -> Self {
        Self { semaphore: Some(semaphore), ticket: Ticket::new(permits), untold: None }
    }

    #[inline]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(S, usize), AcquireError>> {
        let Some(semaphore) = &self.semaphore else { return Poll::Pending };
        let taken: Result<(), Refusal> = ready!(semaphore.line.poll(&mut self.ticket, cx));
        Poll::Ready(self.end(taken))
    }

    /// The same within the task's budget. What it decides is decided by the first poll, all the same.
    #[inline]
    fn poll_cooperatively(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(S, usize), AcquireError>> {
        let Some(semaphore) = &self.semaphore else { return Poll::Pending };
        let taken = match self.untold.take() {
            Some(taken) => taken,
            None => ready!(semaphore.line.poll(&mut self.ticket, cx)),
        };
        if let Poll::Ready(unit) = coop::poll_unit(cx) {
            unit.made_progress();
            return Poll::Ready(self.end(taken));
        }
        self.untold = Some(taken);
        Poll::Pending
    }

    #[inline]
    fn end(&mut self, taken: Result<(), Refusal>) -> Result<(S, usize), AcquireError> {
        match (taken, self.semaphore.take()) {
            (Ok(()), Some(semaphore)) => Ok((semaphore, self.ticket.asked() as usize)),
            (Err(Refusal::TooMany), _) => Err(AcquireError::unsatisfiable()),
            _ => Err(AcquireError::closed()),
        }
    }

    fn position(&self) -> Option<usize> {
        self.semaphore.as_ref()?.line.ahead_of(&self.ticket)
    }
}

impl<S: Deref<Target = Semaphore>> Drop for Acquiring<S> {
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            semaphore.line.cancel(&mut self.ticket);
            if let Some(Ok(())) = self.untold {
                semaphore.release(self.ticket.asked() as usize);
            }
        }
    }
}

/// A wait inside a future that keeps to the task's budget itself.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(pub(super) Acquiring<&'a Semaphore>);

impl Waiting<'_> {
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
/// Once it has completed it stays pending.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Acquire<'a>(pub(super) Acquiring<&'a Semaphore>);

impl Acquire<'_> {
    /// How many waiters stand before this one in line; `None` unless it waits.
    ///
    /// It walks the line, and may be out of date when it is read.
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
/// Once it has completed it stays pending.
#[derive(Debug)]
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct AcquireOwned(pub(super) Acquiring<Arc<Semaphore>>);

impl AcquireOwned {
    /// How many permits it asks for.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn asked(&self) -> u32 {
        self.0.ticket.asked()
    }

    /// How many waiters stand before this one in line; `None` unless it waits.
    ///
    /// It walks the line, and may be out of date when it is read.
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
    ticket: Ticket,
}

impl<'a> Closed<'a> {
    pub(super) fn new(semaphore: &'a Semaphore) -> Self {
        Self { semaphore, ticket: Ticket::new(1) }
    }
}

impl Future for Closed<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.semaphore.line.poll_closed(&mut self.ticket, cx)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.semaphore.line.cancel_closed(&mut self.ticket);
    }
}
