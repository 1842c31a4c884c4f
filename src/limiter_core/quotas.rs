//! What is left of a limit, by the provider's count.
//!
//! * **A lower limit** is taken over, and a higher one up to what the user has set (`ceiling.rs`).
//! * **Less is left than we believe**: somebody else with the same key has used it. Of requests the limit is lowered by that, until an
//!   answer tells otherwise (`others.rs`). Tokens of others count as used now, and age as ours do (`raw/tokens/others.rs`).
//!
//! Both only ever take away from what the user has allowed.
//!
//! **What we have used ourselves is never counted again.** The provider's number is of a moment between the admission of the call
//! that it answers and now. Since then, calls may have been admitted that it does not know; and calls may have left our window
//! that it still counted. So it is not compared with what is left here now, but with all that it can have counted of ours:
//! what has been admitted in a window before that call, and since. A call that takes longer to reach the provider than others do, by
//! more than the margin, may be missed, as for the limit itself.

use super::ceilings::Told;
use super::shared::Core;
use super::which::which;
use crate::error::Limit;
use crate::feedback::{Quota, QuotaKind};
use crate::raw::left::{Left, Sent};

/// Some providers round what is left of tokens to this.
const ROUNDED: u64 = 1000;

impl Core {
    /// Takes over what a provider says of a limit, by an answer to a call that was admitted then.
    pub(super) fn observe_quota(&self, quota: &Quota, is_refusal: bool, sent: Sent) {
        if quota.limit() == Some(0) {
            // It says nothing.
            return;
        }
        match quota.kind() {
            QuotaKind::Requests => self.observe_requests(quota, is_refusal, sent),
            QuotaKind::Tokens => self.observe_tokens(quota, Limit::Tokens, sent),
            QuotaKind::InputTokens => self.observe_tokens(quota, Limit::InputTokens, sent),
            QuotaKind::OutputTokens => self.observe_tokens(quota, Limit::OutputTokens, sent),
        }
    }

    /// The provider has refused a call that was admitted then.
    pub(super) fn observe_refusal(&self, sent: Sent) {
        if let Some(log) = self.rate() {
            self.ceilings.refuse(log, sent, self.now());
        }
    }

    fn observe_requests(&self, quota: &Quota, is_refusal: bool, sent: Sent) {
        let Some(log) = self.rate() else { return };
        let Some(index) = which(quota, &self.ceilings.candidates(log)) else { return };
        let told = Told {
            limit: quota.limit(),
            remaining: remaining(quota),
            reset_after: quota.reset_after(),
            is_refusal,
            sent,
        };
        if self.ceilings.take_over(log, index, told, &|| self.now()) {
            self.look_at_the_rate_again();
        }
    }

    fn observe_tokens(&self, quota: &Quota, name: Limit, sent: Sent) {
        let Some(budgets) = self.budgets() else { return };
        let Some(index) = which(quota, &budgets.candidates(name)) else { return };
        if let Some(said) = quota.limit()
            && budgets.take_over(index, said)
        {
            self.look_for_tokens_again(budgets);
        }
        if let Some(remaining) = remaining(quota) {
            let is_rounded = remaining % ROUNDED == 0;
            let amount = if is_rounded { remaining.saturating_add(ROUNDED - 1) } else { remaining };
            budgets.count_others(index, Left { amount, sent });
        }
    }
}

/// What is left, unless that contradicts the limit.
fn remaining(quota: &Quota) -> Option<u64> {
    let is_possible = |remaining: &u64| quota.limit().is_none_or(|limit| *remaining <= limit);
    quota.remaining().filter(is_possible)
}
