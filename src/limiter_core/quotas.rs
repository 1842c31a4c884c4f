//! What is left of a limit, by the provider's count.
//!
//! * **A lower limit** is taken over, and a higher one up to what the user has set (`ceiling.rs`).
//! * **Less is left than we believe**: somebody else with the same key has used it. The difference counts as used now, and ages as
//!   ours does.
//!
//! Both only ever take away from what the user has allowed.
//!
//! **What we have used ourselves is never counted again.** The provider's number is of a moment between the admission of the call
//! that it answers and now. Since then, calls may have been admitted that it does not know; and calls may have left our window
//! that it still counted. So it is not compared with what is left here now, but with all that it can have counted of ours:
//! what has been admitted in a window before that call, and since. Requests are looked up in the log
//! (`raw/window/shards/others.rs`), tokens by a baseline (`raw/tokens/others.rs`). A call that takes longer to reach the provider
//! than others do, by more than the margin, may be missed, as for the limit itself.

use super::shared::Core;
use super::which::which;
use crate::error::Limit;
use crate::feedback::{Quota, QuotaKind};
use crate::raw::left::{Left, Sent};

/// Some providers round what is left of tokens to this.
const ROUNDED: u64 = 1000;

impl Core {
    /// Takes over what a provider says of a limit, by an answer to a call that was admitted then.
    pub(super) fn observe_quota(&self, quota: &Quota, sent: Sent) {
        if quota.limit() == Some(0) {
            // It says nothing.
            return;
        }
        let left = |amount| Left { amount, sent };
        match quota.kind() {
            QuotaKind::Requests => self.observe_requests(quota, left),
            QuotaKind::Tokens => self.observe_tokens(quota, Limit::Tokens, left),
            QuotaKind::InputTokens => self.observe_tokens(quota, Limit::InputTokens, left),
            QuotaKind::OutputTokens => self.observe_tokens(quota, Limit::OutputTokens, left),
        }
    }

    fn observe_requests(&self, quota: &Quota, left: impl Fn(u64) -> Left) {
        let Some(log) = self.rate() else { return };
        let Some(index) = which(quota, &self.ceilings.candidates(log)) else { return };
        if let Some(said) = quota.limit()
            && self.ceilings.take_over(log, index, said)
        {
            self.look_at_the_rate_again();
        }
        if let Some(remaining) = remaining(quota) {
            log.count_others(index, left(remaining), &|| self.now());
        }
    }

    fn observe_tokens(&self, quota: &Quota, name: Limit, left: impl Fn(u64) -> Left) {
        let Some(budgets) = self.budgets() else { return };
        let Some(index) = which(quota, &budgets.candidates(name)) else { return };
        if let Some(said) = quota.limit()
            && budgets.take_over(index, said)
        {
            self.look_for_tokens_again(budgets);
        }
        if let Some(remaining) = remaining(quota) {
            let is_rounded = remaining % ROUNDED == 0;
            let most = if is_rounded { remaining.saturating_add(ROUNDED - 1) } else { remaining };
            budgets.count_others(index, left(most));
        }
    }
}

/// What is left, unless that contradicts the limit.
fn remaining(quota: &Quota) -> Option<u64> {
    let is_possible = |remaining: &u64| quota.limit().is_none_or(|limit| *remaining <= limit);
    quota.remaining().filter(is_possible)
}
