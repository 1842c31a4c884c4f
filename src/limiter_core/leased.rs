//! What calls tell the one who grants leases, and what that one tells the line.

use super::ask::Ask;
use super::budgets::Share;
use super::in_line::Rank;
use super::leasing::Leasing;
use super::panics::Panics;
use super::shared::Core;
use crate::error::{Limit, Refused};

impl Core {
    /// What its leases are granted by; `None` if its limits are its own.
    #[inline]
    pub(crate) fn leasing(&self) -> Option<&Leasing> {
        self.budgets()?.leasing().map(|leasing| &**leasing)
    }

    /// Tells what has been noted. No step is open: it runs the waker of the one who grants.
    #[inline]
    pub(crate) fn ring_if_noted(&self) {
        if let Some(leasing) = self.leasing() {
            leasing.bell().ring_if_noted();
        }
    }

    /// The same, and what the waker panics with is kept.
    #[inline]
    pub(crate) fn ring_if_noted_and_catch(&self) -> Option<Panics> {
        let bell = self.leasing()?.bell();
        let noted = bell.untold()?;
        Some(Panics::of(|| bell.ring_for(noted))).filter(Panics::has_any)
    }

    /// Tells that something has changed. No step is open.
    pub(crate) fn ring(&self) {
        if let Some(leasing) = self.leasing() {
            leasing.bell().ring();
        }
    }

    /// Tells that something has changed once the step is done, even if a waker panics in it.
    pub(super) fn rings_after(&self) -> RingsAfter<'_> {
        RingsAfter(self.leasing())
    }

    /// A call that does not wait is refused: for the lack of a lease or a slot, unless waiting would not help.
    #[inline]
    pub(crate) fn note_refusal(&self, ask: &Ask, refused: &Refused) {
        if let Some(leasing) = self.leasing() {
            let lacks_a_slot = refused.limit() == Limit::Concurrency && self.gate.lacks_leased();
            leasing.note_refusal(ask, refused, lacks_a_slot);
        }
    }

    /// A call in line is polled: for the one who grants.
    #[inline]
    pub(super) fn show(&self, share: Option<&Share<'_>>, rank: Rank) {
        if let Some(Share::Leased(in_line)) = share {
            // Longer than from one look to the next.
            let lasts = match rank {
                Rank::First => self.grace.duration(),
                Rank::Stands(ahead) => 2 * self.shared_grace().between_looks(ahead),
                Rank::Behind(ahead) => 2 * self.grace.patience(ahead),
            };
            in_line.show(lasts.max(self.grace.duration()), matches!(rank, Rank::Behind(_)));
        }
    }

    /// More was granted: wakes the first in line, and others for whom there is room.
    pub(crate) fn look_for_leases_again(&self) {
        if let Some(budgets) = self.budgets() {
            self.look_for_tokens_again(budgets);
        }
    }

    /// All calls are refused from now on, those in line included, or no longer.
    pub(crate) fn refuse_all(&self, refuses: bool) {
        if let Some(leasing) = self.leasing() {
            leasing.refuse_all(refuses);
            self.look_at_the_rate_again();
        }
    }
}

impl Leasing {
    #[cold]
    fn note_refusal(&self, ask: &Ask, refused: &Refused, lacks_a_slot: bool) {
        let is_other = matches!(refused.limit(), Limit::Paused | Limit::Queue);
        if lacks_a_slot {
            self.try_for_a_slot();
        }
        if !refused.ends_the_wait() && !is_other {
            self.note_tried(ask.tokens);
        }
    }
}

/// Rings when it is dropped.
pub(super) struct RingsAfter<'a>(Option<&'a Leasing>);

impl Drop for RingsAfter<'_> {
    fn drop(&mut self) {
        if let Some(leasing) = self.0 {
            Panics::of(|| leasing.bell().ring()).resume();
        }
    }
}
