//! What an admitted call has reserved, until it is settled.

use crate::feedback::Feedback;
use crate::limiter_core::{Core, Reserved, Sent};
use crate::tokens::Usage;
use core::fmt;
use core::mem;
use core::ops::Deref;
use std::sync::Arc;

/// A call's tokens, whichever way its limiter is held. Dropped, they are settled in full.
pub(super) struct Unsettled<H: Deref<Target = Core>> {
    pub(super) core: H,
    tokens: Reserved,
}

impl<H: Deref<Target = Core>> Unsettled<H> {
    #[inline]
    pub(super) fn new(core: H, tokens: Reserved) -> Self {
        Self { core, tokens }
    }

    pub(super) fn observe(&self, feedback: &Feedback) {
        self.core.observe(feedback, self.sent());
    }

    pub(super) fn observe_quotas(&self, feedback: &Feedback) {
        self.core.observe_quotas(feedback, self.sent());
    }

    pub(super) fn observe_more(&self, head: &Feedback, all: &Feedback) {
        self.core.observe_more(head, all, self.sent());
    }

    fn sent(&self) -> Sent {
        self.tokens.stamp().map_or(Sent::Unknown, |stamp| Sent::At(stamp.as_nanos()))
    }

    pub(super) fn settle(&mut self, used: Usage) {
        let tokens = self.take(used);
        self.core.settle(tokens, used, None);
    }

    pub(super) fn settle_at_least(&mut self, used: Usage) {
        let tokens = self.take(used.or_more(self.expected()));
        self.core.settle_at_least(tokens, used);
    }

    pub(super) fn give_back(&mut self) {
        let tokens = self.take(Usage::default());
        self.core.give_back(tokens);
    }

    /// A call of its own, so that the end of one without tokens stays small where it is inlined.
    #[inline(never)]
    fn settle_in_full(&mut self) {
        let tokens = self.take(self.expected());
        // What counts from the start counts already.
        if self.core.holds_tokens() {
            self.core.settle_in_full(tokens, None);
        }
    }

    /// Takes what is reserved, and counts that so much was used. Before it is settled, which wakes others.
    fn take(&mut self, used: Usage) -> Reserved {
        self.core.count_settlement(self.expected(), used);
        mem::take(&mut self.tokens)
    }

    pub(super) fn expected(&self) -> Usage {
        self.tokens.expected()
    }
}

impl<H: Deref<Target = Core>> Drop for Unsettled<H> {
    #[inline]
    fn drop(&mut self) {
        if !self.tokens.is_settled() {
            self.settle_in_full();
        }
    }
}

/// The tokens of a call that has given back its slot, from [`LimiterPermit::release_slot`](crate::LimiterPermit::release_slot).
///
/// Dropped without a settlement, all of them count as used.
#[must_use = "dropped, all of it counts as used"]
pub struct LimiterReservation<'a>(pub(super) Option<Unsettled<&'a Core>>);

impl LimiterReservation<'_> {
    /// What the call was expected to use; zero once it is settled.
    #[must_use]
    pub fn expected(&self) -> Usage {
        self.0.as_ref().map_or(Usage::default(), Unsettled::expected)
    }

    /// As [`LimiterPermit::settle`](crate::LimiterPermit::settle).
    pub fn settle(mut self, used: Usage) {
        if let Some(unsettled) = &mut self.0 {
            unsettled.settle(used);
        }
    }

    /// As [`LimiterPermit::cancel`](crate::LimiterPermit::cancel).
    pub fn cancel(mut self) {
        if let Some(unsettled) = &mut self.0 {
            unsettled.give_back();
        }
    }
}

/// [`LimiterReservation`] that keeps its limiter alive, from
/// [`OwnedLimiterPermit::release_slot`](crate::OwnedLimiterPermit::release_slot).
#[must_use = "dropped, all of it counts as used"]
pub struct OwnedLimiterReservation(pub(super) Option<Unsettled<Arc<Core>>>);

impl OwnedLimiterReservation {
    /// What the call was expected to use; zero once it is settled.
    #[must_use]
    pub fn expected(&self) -> Usage {
        self.0.as_ref().map_or(Usage::default(), Unsettled::expected)
    }

    /// As [`LimiterPermit::settle`](crate::LimiterPermit::settle).
    pub fn settle(mut self, used: Usage) {
        if let Some(unsettled) = &mut self.0 {
            unsettled.settle(used);
        }
    }

    /// As [`LimiterPermit::cancel`](crate::LimiterPermit::cancel).
    pub fn cancel(mut self) {
        if let Some(unsettled) = &mut self.0 {
            unsettled.give_back();
        }
    }
}

impl fmt::Debug for LimiterReservation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimiterReservation")
            .field("expected", &self.expected())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OwnedLimiterReservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLimiterReservation")
            .field("expected", &self.expected())
            .finish_non_exhaustive()
    }
}
