//! A call's tokens: reserved, settled, given back.

use super::ask::Ask;
use super::budgets::Budgets;
use super::not_until::NotUntil;
use super::reserved::Reserved;
use super::shared::Core;
use crate::error::Refused;
use crate::raw::window::Reservation;
use crate::time::Timestamp;
use crate::tokens::Usage;

impl Core {
    /// Whether the rate and the budgets admit the call now; the longer wait if not. Claims nothing.
    #[inline]
    pub(super) fn peek_for(&self, ask: &Ask) -> Result<Option<Reservation<'_>>, NotUntil> {
        let by_rate = self.peek();
        let Some(budgets) = self.budgets() else { return by_rate };
        match (by_rate, budgets.peek(ask.tokens)) {
            (by_rate, Ok(())) => by_rate,
            (Ok(_), Err(busy)) => Err(busy),
            (Err(by_rate), Err(by_tokens)) => Err(by_rate.or_later(by_tokens)),
        }
    }

    /// Reserves the call's tokens in all budgets or in none. Without budgets there is nothing to reserve.
    #[inline]
    pub(super) fn reserve<'a>(&'a self, ask: &Ask, into: &mut Tokens<'a>) -> Result<(), NotUntil> {
        let Some(budgets) = self.budgets() else { return Ok(()) };
        if budgets.leasing().is_some() {
            // What is taken of leases does not come back at once.
            self.check_pause()?;
        }
        match budgets.reserve(ask.tokens, &mut into.reserved) {
            Ok(()) => into.of = Some((self, budgets)),
            Err((busy, has_given_back)) => {
                if has_given_back {
                    self.look_for_tokens_again(budgets);
                }
                return Err(busy);
            }
        }
        Ok(())
    }

    /// A call has used so much of what it had reserved, now or at a given time. Others get the rest.
    pub(crate) fn settle(&self, reserved: Reserved, used: Usage, at: Option<Timestamp>) {
        self.look_after(|budgets| budgets.settle(reserved, used, at));
    }

    /// A call has used so much, and perhaps more: what it had reserved counts, or what it has used if that is more.
    pub(crate) fn settle_at_least(&self, reserved: Reserved, used: Usage) {
        self.look_after(|budgets| budgets.settle_at_least(reserved, used));
    }

    /// Nothing is known about the use of what was reserved: all of it counts, now or at a given time.
    pub(crate) fn settle_in_full(&self, reserved: Reserved, at: Option<Timestamp>) {
        self.look_after(|budgets| budgets.settle_in_full(reserved, at));
    }

    /// Whether that changes anything. What counts from the start counts already.
    #[inline]
    pub(crate) fn holds_tokens(&self) -> bool {
        self.budgets().is_some_and(|budgets| budgets.has_held)
    }

    /// Reserves tokens in the first limit alone, at a time that the caller gives.
    pub(crate) fn try_reserve_at(
        &self,
        tokens: Usage,
        now: Timestamp,
    ) -> Result<Reserved, Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        let reserved = self.budgets().map(|budgets| budgets.reserve_at(tokens, now));
        Ok(reserved.transpose()?.unwrap_or_default())
    }

    /// Whether there is room for these tokens now, whoever is in line.
    pub(crate) fn check_tokens(&self, tokens: Usage) -> Result<(), Refused> {
        if self.is_closed() {
            return Err(Refused::closed());
        }
        Ok(self.budgets().map_or(Ok(()), |budgets| budgets.peek(tokens))?)
    }

    /// The call was never sent: others get its tokens.
    pub(crate) fn give_back(&self, reserved: Reserved) {
        self.look_after(|budgets| budgets.cancel(reserved));
    }

    #[inline]
    fn look_after(&self, settle: impl FnOnce(&Budgets) -> bool) {
        let Some(budgets) = self.budgets() else { return };
        if settle(budgets) {
            self.look_for_tokens_again(budgets);
        }
    }

    /// The `nth` call, which may have been the first in line, has left its place.
    pub(super) fn end_watch(&self, nth: u64) {
        if let Some(budgets) = self.budgets() {
            budgets.watch.end_by(nth);
        }
    }

    /// Tokens may have become free: the first in line, which sleeps until a time, looks again.
    pub(super) fn look_for_tokens_again(&self, budgets: &Budgets) {
        budgets.watch.end();
        // MUTANTS: look_for_tokens_again
        self.look_at_the_tokens_again();
    }
}

/// Reserved tokens in hand: given back when it is dropped.
#[derive(Default)]
pub(super) struct Tokens<'a> {
    of: Option<(&'a Core, &'a Budgets)>,
    reserved: Reserved,
}

impl Tokens<'_> {
    /// The call has them, and settles them.
    #[inline]
    pub(super) fn keep(mut self) -> Reserved {
        self.of = None;
        core::mem::take(&mut self.reserved)
    }
}

impl Drop for Tokens<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((core, budgets)) = self.of
            && budgets.cancel(core::mem::take(&mut self.reserved))
        {
            core.look_for_tokens_again(budgets);
        }
    }
}
