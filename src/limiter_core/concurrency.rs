//! The limit on calls in flight: slots. Each is one of the limiter's own, a permit of a shared semaphore, or both. If its own are leased,
//! it has as many as were granted.

use super::gate::Gate;
use crate::error::{Limit, Refused};
use crate::semaphore::Semaphore;
use std::sync::Arc;

/// The limit on calls in flight.
#[derive(Debug)]
pub(crate) struct Concurrency {
    /// The limiter's own slots; `None` if they are not limited.
    own: Option<u32>,
    shared: Option<Arc<Semaphore>>,
    /// Whether it has as many of its own as were granted.
    is_leased: bool,
}

impl Concurrency {
    pub(crate) fn unlimited() -> Self {
        Self { own: None, shared: None, is_leased: false }
    }

    /// A maximum beyond what a semaphore can count is no limit, and one beyond what the gate can count saturates there.
    pub(crate) fn new(max_concurrent: Option<usize>, shared: Option<Arc<Semaphore>>) -> Self {
        let own = max_concurrent.filter(|max| *max < Semaphore::MAX_PERMITS);
        let own = own.map(|max| u32::try_from(max).unwrap_or(u32::MAX));
        Self { own, shared, is_leased: false }
    }

    /// The same, and of its own slots as many may be used as are granted: none at first.
    pub(crate) fn leased(self) -> Self {
        Self { is_leased: true, ..self }
    }

    pub(super) fn gate(&self) -> Gate {
        match self.own {
            Some(own) if self.is_leased => Gate::leased(own),
            own => Gate::new(own),
        }
    }

    pub(super) fn shared(&self) -> Option<&Semaphore> {
        self.shared.as_deref()
    }

    pub(super) fn is_limited(&self) -> bool {
        self.own.is_some() || self.shared.is_some()
    }

    /// Makes the refusal permanent if no slot can ever become available.
    pub(super) fn escalate_if_permanent(&self, refused: Refused) -> Refused {
        if refused.ends_the_wait() { refused } else { self.permanent_refusal().unwrap_or(refused) }
    }

    /// The refusal if no slot can ever become available again.
    pub(super) fn permanent_refusal(&self) -> Option<Refused> {
        if self.own == Some(0) {
            return Some(Refused::for_ever(Limit::Concurrency));
        }
        let shared = self.shared()?;
        if shared.is_closed() {
            return Some(Refused::closed());
        }
        // MUTANTS: permanent_refusal
        shared.is_permanently_empty().then(|| Refused::for_ever(Limit::Concurrency))
    }
}
