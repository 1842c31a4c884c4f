//! The limit on calls in flight: slots, each a permit of one semaphore or of two.

use crate::error::{Limit, Refused};
use crate::semaphore::{Semaphore, SemaphorePermit};
use std::sync::Arc;

/// The limit on calls in flight.
#[derive(Debug)]
pub(crate) enum Concurrency {
    Unlimited,
    /// Never a slot.
    Zero,
    /// A slot is a permit of each: first of the limiter's own semaphore, then of one that may be shared. With only
    /// a shared one, that is the first.
    Limited(Arc<Semaphore>, Option<Arc<Semaphore>>),
}

impl Concurrency {
    /// A maximum beyond what a semaphore can count is no limit.
    pub(crate) fn new(max_concurrent: Option<usize>, shared: Option<Arc<Semaphore>>) -> Self {
        let own = match max_concurrent {
            Some(0) => return Self::Zero,
            Some(n) if n < Semaphore::MAX_PERMITS => Some(Arc::new(Semaphore::new(n))),
            _ => None,
        };
        match (own, shared) {
            (Some(own), shared) => Self::Limited(own, shared),
            (None, Some(shared)) => Self::Limited(shared, None),
            (None, None) => Self::Unlimited,
        }
    }

    pub(super) fn try_acquire(&self) -> Result<Slot<'_>, Refused> {
        match self {
            Self::Unlimited => Ok(Slot::default()),
            Self::Zero => Err(Refused::for_ever(Limit::Concurrency)),
            Self::Limited(first, second) => {
                let first = first.try_acquire().map_err(|_| no_slot(first))?;
                let second =
                    second.as_ref().map(|second| second.try_acquire().map_err(|_| no_slot(second)));
                Ok(Slot { first: Some(first), second: second.transpose()? })
            }
        }
    }

    /// Gives back a slot that was taken out of its guard by [`Slot::keep`].
    #[inline]
    pub(super) fn release(&self) {
        if let Self::Limited(first, second) = self {
            first.release(1);
            if let Some(second) = second {
                second.release(1);
            }
        }
    }

    /// Makes the refusal permanent if no slot can ever become available.
    pub(super) fn escalate_if_permanent(&self, refused: Refused) -> Refused {
        match self {
            _ if refused.is_permanent() => refused,
            Self::Zero => Refused::for_ever(Limit::Concurrency),
            _ => self.semaphores().find_map(permanent_refusal).unwrap_or(refused),
        }
    }

    /// The refusal of a semaphore without a free permit, if there is one.
    pub(super) fn refusal(&self) -> Option<Refused> {
        self.semaphores().find(|semaphore| semaphore.available_permits() == 0).map(no_slot)
    }

    /// In the order in which their permits are taken.
    pub(super) fn semaphores(&self) -> impl Iterator<Item = &Semaphore> {
        let (first, second) = match self {
            Self::Unlimited | Self::Zero => (None, None),
            Self::Limited(first, second) => (Some(first), second.as_ref()),
        };
        first.into_iter().chain(second).map(|semaphore| &**semaphore)
    }

    /// How many slots are free; `None` if they are not limited.
    pub(crate) fn available(&self) -> Option<usize> {
        match self {
            Self::Zero => Some(0),
            _ => self.semaphores().map(Semaphore::available_permits).min(),
        }
    }
}

/// A permit of each of the semaphores.
#[derive(Debug, Default)]
pub(super) struct Slot<'a> {
    pub(super) first: Option<SemaphorePermit<'a>>,
    pub(super) second: Option<SemaphorePermit<'a>>,
}

impl Slot<'_> {
    /// The call holds the slot without a guard, until [`Concurrency::release`].
    pub(super) fn keep(self) {
        [self.first, self.second].into_iter().flatten().for_each(SemaphorePermit::keep);
    }
}

/// The refusal of a semaphore that can never grant a permit again; `None` if it can.
pub(super) fn permanent_refusal(semaphore: &Semaphore) -> Option<Refused> {
    if semaphore.is_closed() {
        Some(Refused::closed())
    } else {
        // MUTANTS: permanent_refusal
        semaphore.is_permanently_empty().then(|| Refused::for_ever(Limit::Concurrency))
    }
}

fn no_slot(semaphore: &Semaphore) -> Refused {
    permanent_refusal(semaphore).unwrap_or_else(Refused::until_released)
}
