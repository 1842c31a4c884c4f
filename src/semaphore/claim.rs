//! Waiting for a permit that goes on if its waiter falls silent.

use super::Semaphore;
use super::permit::SemaphorePermit;
use crate::raw::semaphore::{Epoch, Waiter};
use crate::time::in_nanos;
use core::task::{Context, Poll, ready};
use core::time::Duration;

impl Semaphore {
    /// Waits in line like [`acquire`](Self::acquire), for a permit that goes on if this waiter falls silent.
    pub(crate) fn claim(&self) -> Claim<'_> {
        Claim { semaphore: Some(self), waiter: Waiter::claiming() }
    }

    /// A waiter may take so long to claim what it was granted. The longest of those times holds for all.
    pub(crate) fn wait_for_claims(&self, time: Duration) {
        self.raw.wait_for_claims(in_nanos(time));
    }

    /// The longest of those times.
    pub(crate) fn longest_claim(&self) -> Duration {
        Duration::from_nanos(self.raw.longest_claim())
    }

    /// Whether a waiter was granted a permit and has not claimed it so far.
    pub(crate) fn has_unclaimed(&self) -> bool {
        self.raw.has_unclaimed()
    }

    /// A permit that was granted before the look that `seen` tells of and not claimed since. Notes this look in `seen`.
    pub(crate) fn claim_lapsed(&self, seen: &mut Option<Epoch>) -> Option<SemaphorePermit<'_>> {
        self.raw.claim_lapsed(seen).then(|| SemaphorePermit::new(self, 1))
    }
}

/// A wait in line for one permit. If nobody polls it after the permit was granted, another claim may have that permit.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    /// `None` once the wait is over.
    semaphore: Option<&'a Semaphore>,
    waiter: Waiter,
}

impl<'a> Claim<'a> {
    /// `None` if another has claimed its permit, or if there can be none.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<SemaphorePermit<'a>>> {
        let Some(semaphore) = self.semaphore else { return Poll::Ready(None) };
        let taken = ready!(semaphore.raw.poll(&mut self.waiter, cx));
        self.semaphore = None;
        Poll::Ready(taken.is_ok().then(|| SemaphorePermit::new(semaphore, 1)))
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(semaphore) = self.semaphore {
            semaphore.raw.cancel(&mut self.waiter);
        }
    }
}
