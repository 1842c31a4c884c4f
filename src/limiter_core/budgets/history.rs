//! What the limits on tokens remember, and limits that begin with what others have remembered.

use super::{Budget, Budgets};
use crate::time::Timestamp;
use crate::tokens::TokenHistory;

impl Budgets {
    /// What has been counted by each limit.
    pub(crate) fn histories(&self) -> Vec<TokenHistory> {
        self.all.iter().map(|Budget { rule, window, .. }| window.history(*rule)).collect()
    }

    /// Counts what these have counted so long before `now`. Before any other thread has the limits.
    pub(crate) fn restore(&mut self, histories: &[TokenHistory], now: Timestamp) {
        for Budget { rule, window, .. } in &mut self.all {
            if let Some(history) = TokenHistory::for_limit(histories, *rule) {
                window.restore(rule.limit(), history, now);
            }
        }
    }
}
