//! The rate's refusal.

use crate::error::{Limit, Refused};
use crate::raw::window::LogFull;
use crate::time::Timestamp;

/// The rate's refusal: not until a time, or never.
#[derive(Clone, Copy)]
pub(crate) struct NotUntil {
    /// When the rate admits the call; `None` if never.
    pub(super) free_at: Option<Timestamp>,
    /// The clock when it was asked.
    pub(super) now: Timestamp,
}

impl NotUntil {
    /// Times in ns.
    #[inline]
    pub(super) fn new(now: u64, free_at: Option<u64>) -> Self {
        let now = Timestamp::from_nanos(now);
        Self { free_at: free_at.map(Timestamp::from_nanos), now }
    }

    /// Whether the rate admits the call at `deadline` or before.
    pub(super) fn is_over_by(&self, deadline: Timestamp) -> bool {
        self.free_at.is_some_and(|free_at| free_at <= deadline)
    }
}

impl From<LogFull> for NotUntil {
    #[inline]
    fn from(full: LogFull) -> Self {
        Self::new(full.reading.clock, full.free_at)
    }
}

impl From<NotUntil> for Refused {
    fn from(not_until: NotUntil) -> Self {
        match not_until.free_at {
            None => Self::for_ever(Limit::Rate),
            Some(free_at) => {
                let wait = free_at.as_nanos().saturating_sub(not_until.now.as_nanos());
                Self::for_now(Limit::Rate, wait)
            }
        }
    }
}
