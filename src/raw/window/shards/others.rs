//! Admissions of others, of which a provider tells: one at a time.
//!
//! The provider has counted at some moment between the admission of the call that it answers (`sent`) and now. What is
//! missing by its count was used by others, if it is more than all that this log has admitted since `sent` less a window: that is
//! all of ours that the provider can have counted, and all of the others' that has been counted here.
//!
//! A ring keeps as many stamps as it may have in a window, or more. So where it has forgotten some, what it remembers is
//! more than the provider can have counted of it.
//!
//! **Two observers.** Each claims the cell that it has looked at. The second one's exchange fails, or it has seen the first one's
//! stamp. With several rings both try the first ring that has room. They claim in two rings only if one of them has come
//! to be free by time meanwhile. Then the number of claims so far tells the second one, unless it is in the same
//! moment between the two exchanges.

use super::rings::Shards;
use crate::raw::left::Left;
use crate::raw::window::cell::Rule;
use crate::raw::window::reading::Reading;
use crate::raw::window::ring::{Claim, Ring, RingError};
use crate::sync::atomic::Ordering;

/// What came of one attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Others {
    Counted,
    /// Another thread was first: look again.
    Raced,
    /// Nothing is missing, or there is no room.
    Done,
}

/// What all rings hold, and the first that has room.
struct LookBack<'a> {
    later: u64,
    claim: Option<(&'a Ring, Claim)>,
}

impl Shards {
    /// Counts one admission of others at this reading of the clock, if more are missing.
    pub(crate) fn count_one_of_others(
        &self,
        index: usize,
        left: Left,
        reading: Reading,
    ) -> Result<Others, RingError> {
        let claims = self.claims_of_others();
        let is_split = self.rings.len() > 1;
        let (state, first) = if is_split {
            let (state, rule) = self.settled_rule();
            (Some(state), rule)
        } else {
            (None, self.first_rule())
        };
        let Some(rule) = (if is_split { Some(first) } else { self.rule(index) }) else {
            return Ok(Others::Done);
        };
        let used = rule.limit.saturating_sub(left.amount);
        if used == 0 || rule.is_unlimited() {
            return Ok(Others::Done);
        }
        let now = reading.time().max(self.floor);
        let age = left.age(reading.clock, rule.window);
        let since = now.saturating_sub(age).saturating_sub(rule.window);
        let Some(LookBack { later, claim }) = self.look_back(first, since, now)? else {
            return Ok(Others::Done);
        };
        let Some((ring, claim)) = claim.filter(|_| later < used) else { return Ok(Others::Done) };
        let is_first =
            state.is_none_or(|state| self.split.is_current(state) && self.is_next_claim(claims));
        let is_counted = is_first && ring.claim(claim).is_some();
        Ok(if is_counted { Others::Counted } else { Others::Raced })
    }

    /// All rings together.
    fn look_back(
        &self,
        rule: Rule,
        since: u64,
        now: u64,
    ) -> Result<Option<LookBack<'_>>, RingError> {
        let (mut later, mut claim) = (0_u64, None);
        for (number, ring) in self.rings.iter().enumerate() {
            let rule = if self.rings.len() > 1 { self.share(rule, number) } else { rule };
            let Some(found) = ring.look_back(self.rules(rule), since, now)? else {
                return Ok(None);
            };
            later = later.saturating_add(found.later);
            claim = claim.or_else(|| found.claim.map(|claim| (&**ring, claim)));
        }
        Ok(Some(LookBack { later, claim }))
    }

    fn claims_of_others(&self) -> u32 {
        // ORDERING: Acquire pairs with the Release in `is_next_claim`: the cells are looked at after this, and what a thread had
        // claimed before its latest exchange is seen.
        self.claims_of_others.load(Ordering::Acquire)
    }

    /// Whether no other observer has claimed since.
    fn is_next_claim(&self, claims: u32) -> bool {
        let next = claims.wrapping_add(1);
        let word = &self.claims_of_others;
        // ORDERING: Release pairs with the Acquire in `claims_of_others`. Relaxed on failure: nothing is read.
        word.compare_exchange(claims, next, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}
