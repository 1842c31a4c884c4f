//! Who counts what happens to calls.
//!
//! Limiters do, where a call goes out to its user or comes back. Windows by themselves have no tally.

use super::reserved::Reserved;
use super::shared::Core;
use super::tally::Counts;
use crate::error::Limit;
use crate::feedback::Signal;
use crate::tokens::Usage;
use std::sync::Arc;

impl Core {
    /// A call was admitted, and holds these tokens.
    #[inline]
    pub(crate) fn count_admission(&self, tokens: &Reserved) {
        let is_counted = self.gate.count_admission();
        if is_counted && tokens.is_settled() {
            return;
        }
        let Some(tally) = &self.tally else { return };
        let stripe = tally.stripe();
        if !is_counted {
            stripe.admit();
        }
        stripe.reserve(tokens.expected().total());
    }

    /// A call is told that this limit refuses it.
    #[cold]
    pub(crate) fn count_refusal(&self, limit: Limit) {
        if let Some(tally) = &self.tally {
            tally.stripe().refuse(limit);
        }
    }

    /// A call that held so many tokens has used so many.
    pub(crate) fn count_settlement(&self, held: Usage, used: Usage) {
        if let Some(tally) = &self.tally {
            tally.stripe().settle(held.total(), used.total());
        }
    }

    pub(super) fn count_signal(&self, signal: Signal) {
        if let Some(tally) = &self.tally {
            tally.signal(signal);
        }
    }

    /// All counts; `None` if it has none.
    pub(crate) fn counts(&self) -> Option<Counts> {
        let mut counts = self.tally.as_deref()?.counts();
        counts.admitted = counts.admitted.saturating_add(self.gate.admitted());
        Some(counts)
    }

    /// What its user calls it.
    pub(crate) fn name(&self) -> Option<&Arc<str>> {
        self.tally.as_deref()?.name()
    }
}
