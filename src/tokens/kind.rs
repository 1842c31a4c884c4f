//! The two ways of counting.

use crate::raw::left::Left;
use crate::raw::tokens::{Admission, HeldTokens, Mark, Now, RawTokens, Refusal, Reservation};
use crate::time::Timestamp;

pub(super) enum Kind {
    AtStart(RawTokens),
    AsProduced(HeldTokens),
}

impl Kind {
    /// What counts by its age.
    pub(super) fn tokens(&self) -> &RawTokens {
        match self {
            Self::AtStart(tokens) => tokens,
            Self::AsProduced(tokens) => tokens.settled(),
        }
    }

    /// Counts the weight. Whoever gets the mark keeps the weight, and settles both. With its stamp, if it counts from now on.
    #[inline]
    pub(super) fn mark(
        &self,
        now: impl Now,
        weight: u64,
    ) -> Result<(Mark, Option<Timestamp>), Refusal> {
        Ok(match self {
            Self::AtStart(tokens) => {
                let admission = tokens.try_admit(now, weight)?;
                let stamp = admission.stamp();
                (admission.into_mark(), Some(stamp))
            }
            Self::AsProduced(tokens) => (tokens.reserve(now, weight)?.into_mark(), None),
        })
    }

    /// Counts what was really used.
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

    /// Counts what others have used, until no more is left than a provider says.
    pub(super) fn count_others(&self, now: impl Now, left: Left) {
        match self {
            Self::AtStart(tokens) => tokens.count_others(now, left, 0),
            Self::AsProduced(tokens) => tokens.count_others(now, left),
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

    pub(super) fn used(&self, now: impl Now) -> u64 {
        match self {
            Self::AtStart(tokens) => tokens.used(now),
            Self::AsProduced(tokens) => tokens.used(now),
        }
    }
}
