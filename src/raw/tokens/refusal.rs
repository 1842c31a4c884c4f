//! What callers get: an admission to be settled, or why there is none.

use crate::raw::mark::Mark;
use crate::time::Timestamp;
use core::time::Duration;

/// Why a weight is not admitted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It fits from this time on, if nothing else happens.
    Until(Timestamp),
    /// It fits once something that is held has been settled, not by time alone, or time ends before.
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

/// The latest tick in which something was counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latest {
    /// By the clock.
    pub(crate) began: Timestamp,
    /// By so much it may be later than the clock, because it is counted in ticks.
    pub(crate) rounding: Duration,
    /// The wheel.
    pub(super) generation: u32,
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
    /// The same without the weight and the stamp.
    #[inline]
    pub(crate) fn into_mark(self) -> Mark {
        self.place.map_or(Mark(u64::MAX, u64::MAX), |Place { generation, tick, end }| {
            Mark(u64::from(generation) << 32 | u64::from(tick), end)
        })
    }

    /// The admission of this weight, to be settled. Its stamp is forgotten.
    #[expect(clippy::cast_possible_truncation, reason = "two halves of a word")]
    pub(crate) fn of_mark(Mark(place, end): Mark, weight: u64) -> Self {
        let (generation, tick) = ((place >> 32) as u32, place as u32);
        // Ticks have 31 bits.
        let place = (place != u64::MAX).then_some(Place { generation, tick, end });
        Self { stamp: Timestamp::ZERO, weight, place }
    }

    pub(crate) fn stamp(&self) -> Timestamp {
        self.stamp
    }

    #[allow(dead_code, reason = "told to tests, and not to all of them")]
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}

/// A weight that is held, and does not age until it is settled. Dropped, it is held for good: the owner settles it.
#[derive(Debug)]
#[must_use = "unsettled, it is held for good"]
pub(crate) struct Reservation {
    #[allow(dead_code, reason = "told to tests, and not to all of them")]
    pub(super) weight: u64,
    /// As it is held.
    pub(super) units: u32,
    /// When it fitted, in the time that all wheels share. It is not settled at an earlier time, by whatever clock, unless that
    /// has jumped back.
    pub(super) time: u64,
}

impl Reservation {
    /// The same without the weight.
    #[inline]
    pub(crate) fn into_mark(self) -> Mark {
        Mark(self.time, self.units.into())
    }

    /// The reservation of this weight.
    #[expect(clippy::cast_possible_truncation, reason = "units came from 32 bits")]
    pub(crate) fn of_mark(Mark(time, units): Mark, weight: u64) -> Self {
        Self { weight, units: units as u32, time }
    }

    #[allow(dead_code, reason = "told to tests, and not to all of them")]
    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }
}
