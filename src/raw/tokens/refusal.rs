//! What callers get: an admission to be settled, or why there is none.

use crate::time::Timestamp;

/// Why a weight is not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It fits from this time on, if nothing else happens; `None` if time ends before.
    Until(Option<Timestamp>),
    /// It fits once something that is held has been settled, not by time alone.
    Held,
    /// It never fits: it is more than the limit.
    TooLarge {
        /// As it is kept, in whole units.
        limit: u64,
        weight: u64,
    },
}

/// A weight that has been counted. It can be settled once, because that takes it. Dropped, it counts as it is.
#[derive(Debug)]
#[must_use = "unsettled, it counts as much as was reserved"]
pub(crate) struct Admission {
    /// The time it is recorded with: the caller's, or the beginning of a later tick.
    pub(super) stamp: Timestamp,
    pub(super) weight: u64,
    pub(super) place: Option<Place>,
}

/// Where an admission has been counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The wheel.
    pub(super) generation: u32,
    pub(super) tick: u32,
    /// The last moment of the tick, in the time that all wheels share.
    pub(super) end: u64,
}

impl Admission {
    pub(crate) fn stamp(&self) -> Timestamp {
        self.stamp
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

/// A weight that is held, and does not age until it is settled. Dropped, it is held for good: the owner settles it.
#[derive(Debug)]
#[must_use = "unsettled, it is held for good"]
pub(crate) struct Reservation {
    pub(super) weight: u64,
    /// As it is held.
    pub(super) units: u32,
    /// When it fitted, in the time that all wheels share. It is not settled at an earlier time, by whatever clock.
    pub(super) time: u64,
}

impl Reservation {
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}
