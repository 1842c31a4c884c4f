//! How much of the limits on tokens is in use.

use super::{Budget, Budgets};
use crate::limiter_core::in_use::InUse;

impl Budgets {
    /// How many there are.
    pub(in crate::limiter_core) fn len(&self) -> usize {
        self.all.len()
    }

    /// Each, in the user's order.
    pub(in crate::limiter_core) fn in_use(&self) -> impl Iterator<Item = InUse> {
        self.all.iter().map(|Budget { rule, window, ceiling, .. }| {
            let kept = window.rule();
            InUse {
                kind: rule.name(),
                limit: kept.requested_limit(),
                configured: ceiling.get(),
                window: Some(self.margin.take_from(kept.window())),
                used: window.used(),
                left: window.remaining(),
            }
        })
    }
}
