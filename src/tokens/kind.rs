//! The two ways of counting.

use crate::error::{Limit, Refused};
use crate::raw::tokens::{Admission, HeldTokens, Now, RawTokens, Refusal, Reservation};
use crate::time::Timestamp;

pub(super) enum Kind {
    AtStart(RawTokens),
    AsProduced(HeldTokens),
}

/// What has been counted for one call.
pub(super) enum Counted {
    AtStart(Admission),
    AsProduced(Reservation),
}

impl Kind {
    /// What counts by its age.
    pub(super) fn tokens(&self) -> &RawTokens {
        match self {
            Self::AtStart(tokens) => tokens,
            Self::AsProduced(tokens) => tokens.settled(),
        }
    }

    #[inline]
    pub(super) fn count(&self, now: impl Now, weight: u64) -> Result<Counted, Refusal> {
        match self {
            Self::AtStart(tokens) => tokens.try_admit(now, weight).map(Counted::AtStart),
            Self::AsProduced(tokens) => tokens.reserve(now, weight).map(Counted::AsProduced),
        }
    }

    pub(super) fn peek(&self, now: impl Now, weight: u64) -> Result<(), Refusal> {
        match self {
            Self::AtStart(tokens) => tokens.peek(now, weight),
            Self::AsProduced(tokens) => tokens.peek(now, weight),
        }
    }

    pub(super) fn remaining(&self, now: impl Now) -> u64 {
        match self {
            Self::AtStart(tokens) => tokens.remaining(now),
            Self::AsProduced(tokens) => tokens.remaining(now),
        }
    }

    /// Counts what was really used.
    pub(super) fn settle(&self, now: impl Now, counted: Counted, actual: u64) {
        match (self, counted) {
            (Self::AtStart(tokens), Counted::AtStart(admission)) => {
                tokens.settle(now, admission, actual);
            }
            (Self::AsProduced(tokens), Counted::AsProduced(reservation)) => {
                tokens.settle_held(now, reservation, actual);
            }
            // A reservation is of the window that it was made by.
            _ => {}
        }
    }
}

impl Counted {
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::AtStart(admission) => admission.weight(),
            Self::AsProduced(reservation) => reservation.weight(),
        }
    }

    pub(super) fn stamp(&self) -> Option<Timestamp> {
        match self {
            Self::AtStart(admission) => Some(admission.stamp()),
            Self::AsProduced(_) => None,
        }
    }
}

#[cold]
pub(super) fn refused(refusal: Refusal, weight: u64, now: Timestamp) -> Refused {
    match refusal {
        Refusal::Until(Some(free_at)) => {
            // The clock has gone on since: there is something to wait for all the same.
            let wait = free_at.saturating_duration_since(now).as_nanos();
            Refused::for_now(Limit::Tokens, u64::try_from(wait).unwrap_or(u64::MAX).max(1))
        }
        Refusal::Until(None) => Refused::for_ever(Limit::Tokens),
        Refusal::Held => Refused::until_settled(Limit::Tokens),
        Refusal::TooLarge { limit, .. } => Refused::over(Limit::Tokens, weight, limit),
    }
}
