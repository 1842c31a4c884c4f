//! What a window of tokens remembers, and a window that begins with what another one has remembered.

use super::kind::Kind;
use super::{TokenCounter, TokenLimit};
use crate::raw::entry::Entry;
use crate::raw::tokens::{HeldTokens, RawTokens};
use crate::time::Timestamp;

/// What has been counted by a limit on tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(crate) struct TokenHistory {
    limit: TokenLimit,
    /// How long a tick is, in ns. An entry's age is that of the beginning of its tick.
    tick: u64,
    used: Vec<Entry>,
}

impl TokenHistory {
    /// So much later (in ns), and in order.
    pub(crate) fn after(&self, elapsed: u64) -> Self {
        Self { used: Entry::all_after(elapsed, &self.used), ..*self }
    }

    /// The one to continue with for this limit: of the same limit; of one that differs only in how much it allows; or of one
    /// that counts the same tokens, the one with the longest window.
    pub(crate) fn for_limit(all: &[Self], limit: TokenLimit) -> Option<&Self> {
        let same = all.iter().find(|history| history.limit == limit);
        let like = all.iter().find(|history| history.limit.counts_like(limit));
        let same_tokens = all.iter().filter(|history| history.limit.name() == limit.name());
        same.or(like).or_else(|| same_tokens.max_by_key(|history| history.limit.window()))
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }
}

impl TokenCounter {
    /// What counts now, of a window with this limit.
    pub(crate) fn history(&self, limit: TokenLimit) -> TokenHistory {
        let (tick, used) = match &self.kind {
            Kind::AtStart(tokens) => tokens.entries(&self.time, 0),
            Kind::AsProduced(tokens) => tokens.entries(&self.time),
        };
        TokenHistory { limit, tick, used }
    }

    /// The same window, which has counted this so long before `now`. Before any other thread has it.
    pub(crate) fn restore(&mut self, limit: u64, history: &TokenHistory, now: Timestamp) {
        let rule = (limit, self.kind.tokens().window());
        let counted = (history.tick, &*history.used);
        self.kind = match self.kind {
            Kind::AtStart(_) => Kind::AtStart(RawTokens::restored(rule, counted, now)),
            Kind::AsProduced(_) => Kind::AsProduced(HeldTokens::restored(rule, counted, now)),
        };
    }
}
