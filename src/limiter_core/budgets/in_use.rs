//! How much of the limits on tokens is in use.

use super::{Budget, Budgets};
use crate::limiter_core::in_use::InUse;
use crate::limiter_core::leasing::Leasing;

impl Budgets {
    /// How many there are.
    pub(in crate::limiter_core) fn len(&self) -> usize {
        self.all.len() + self.leasing().map_or(0, |leasing| leasing.limits().len())
    }

    /// Each, in the user's order.
    pub(in crate::limiter_core) fn in_use(&self) -> impl Iterator<Item = InUse> {
        let leased = self.leasing().into_iter().flat_map(|leasing| leased_in_use(leasing));
        let counted = self.all.iter().map(|Budget { rule, window, ceiling, .. }| {
            let kept = window.rule();
            InUse {
                kind: rule.name(),
                limit: kept.requested_limit(),
                configured: ceiling.get(),
                window: Some(self.margin.take_from(kept.window())),
                used: window.used(),
                left: window.remaining(),
            }
        });
        counted.chain(leased)
    }
}

fn leased_in_use(leasing: &Leasing) -> impl Iterator<Item = InUse> {
    let now = leasing.now();
    leasing.limits().iter().map(move |leased| InUse {
        kind: leased.rule().name(),
        limit: leased.rule().limit(),
        configured: leased.rule().limit(),
        window: Some(leased.rule().window()),
        used: leased.used(),
        left: leased.leases().left(now),
    })
}
