//! The limits on tokens as a provider tells them.

use super::{Budget, Budgets};
use crate::error::Limit;
use crate::limiter_core::which::{Candidate, Candidates};
use crate::raw::left::Left;

impl Budgets {
    /// The limits with this name.
    pub(in crate::limiter_core) fn candidates(&self, name: Limit) -> Candidates {
        let named = self.all.iter().enumerate().filter(|(_, budget)| budget.rule.name() == name);
        let candidate = |(index, Budget { window, ceiling, .. }): (usize, &Budget)| {
            let kept = window.rule().window();
            let window = self.margin.take_from(kept);
            Candidate { index, limit: ceiling.get(), window, kept }
        };
        named.map(candidate).collect()
    }

    /// Takes over a limit that the provider tells, as far as the user allows it. Returns whether it has changed.
    pub(in crate::limiter_core) fn take_over(&self, index: usize, said: u64) -> bool {
        let Some(Budget { window, ceiling, .. }) = self.all.get(index) else { return false };
        let rule = window.rule();
        if !ceiling.is_believable(said) {
            return false;
        }
        // One value means that there is no limit yet.
        let said = said.min(u64::MAX - 1);
        ceiling.take_over(
            |ceiling| said.min(ceiling),
            || rule.requested_limit(),
            |from, to| rule.exchange_limit(from, to),
        )
    }

    /// Counts what others have used, until no more is left than the provider says.
    pub(in crate::limiter_core) fn count_others(&self, index: usize, left: Left) {
        if let Some(budget) = self.all.get(index) {
            budget.window.count_others(left);
        }
    }
}
