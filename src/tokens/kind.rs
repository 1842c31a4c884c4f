//! The two ways of counting.

use crate::raw::tokens::{Admission, HeldTokens, Mark, Now, RawTokens, Refusal, Reservation};
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

    /// The same, for a caller that keeps the weight itself.
    #[inline]
    pub(super) fn mark(&self, now: impl Now, weight: u64) -> Result<Mark, Refusal> {
        Ok(match self {
            Self::AtStart(tokens) => tokens.try_admit(now, weight)?.into_mark(),
            Self::AsProduced(tokens) => tokens.reserve(now, weight)?.into_mark(),
        })
    }

    pub(super) fn settle_mark(&self, now: impl Now, mark: Mark, weight: u64, actual: u64) {
        match self {
            Self::AtStart(tokens) => {
                tokens.settle(now, Admission::of_mark(mark, weight), actual);
            }
            Self::AsProduced(tokens) => {
                tokens.settle_held(now, Reservation::of_mark(mark, weight), actual);
            }
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
