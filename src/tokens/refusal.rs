//! A window's refusal, before it is told to a caller.

use crate::error::{Limit, Refused};
use crate::raw::tokens::Refusal;
use crate::time::Timestamp;

/// Why a weight is not admitted now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotNow {
    pub(super) refusal: Refusal,
    /// The weight.
    pub(super) asked: u64,
    /// The clock when it was asked.
    pub(super) now: Timestamp,
}

impl NotNow {
    /// When the weight fits by time alone: `None` if never, whatever happens; the end of time if something has to be settled first.
    pub(crate) fn free_at(&self) -> Option<Timestamp> {
        match self.refusal {
            Refusal::Until(free_at) => Some(free_at),
            Refusal::Held => Some(Timestamp::MAX),
            Refusal::TooLarge { .. } => None,
        }
    }

    /// Whether something has to be settled first.
    pub(crate) fn is_held(&self) -> bool {
        self.refusal == Refusal::Held
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// What a caller is told.
    #[cold]
    pub(crate) fn refused(self, by: Limit) -> Refused {
        match self.refusal {
            Refusal::Until(free_at) => {
                // The clock has gone on since: there is something to wait for all the same.
                let wait = free_at.saturating_duration_since(self.now).as_nanos();
                Refused::for_now(by, u64::try_from(wait).unwrap_or(u64::MAX).max(1))
            }
            Refusal::Held => Refused::until_settled(by),
            Refusal::TooLarge { limit, .. } => Refused::over(by, self.asked, limit),
        }
    }
}
