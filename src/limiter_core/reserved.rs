//! What a call has reserved, and what an admission hands over.

use crate::raw::mark::Mark;
use crate::time::Timestamp;
use crate::tokens::Usage;
use smallvec::SmallVec;

/// What a call has reserved in each budget. Whoever has it settles it.
#[derive(Debug, Default)]
pub(crate) struct Reserved {
    pub(super) expected: Usage,
    /// Few limiters have more limits on tokens than fit here, or leases of more. Room for two more makes each permit 32 bytes larger.
    pub(super) taken: SmallVec<[Mark; 3]>,
    /// When the rate admitted it, or the latest of them that counts from its admission.
    pub(super) stamp: Option<Timestamp>,
}

/// What an admission hands over: what was reserved; where there are no budgets its stamp, because a permit without tokens should
/// not cost more than before there were any; or nothing, where nobody asks.
pub(crate) trait Kept {
    fn of(reserved: Reserved) -> Self;
    fn stamped(stamp: Stamp) -> Self;
}

impl Kept for () {
    #[inline]
    fn of(_: Reserved) -> Self {}

    #[inline]
    fn stamped(_: Stamp) -> Self {}
}

impl Kept for Stamp {
    #[inline]
    fn of(reserved: Reserved) -> Self {
        Self(reserved.stamp.map_or(0, Timestamp::as_nanos))
    }

    #[inline]
    fn stamped(stamp: Stamp) -> Self {
        stamp
    }
}

impl Kept for Reserved {
    #[inline]
    fn of(reserved: Reserved) -> Self {
        reserved
    }

    #[inline]
    fn stamped(stamp: Stamp) -> Self {
        Self::of_rate(stamp)
    }
}

/// When the rate admitted a call, in ns of its time; 0 if there is no rate (or it is the clock's first instant). That is the clock's time, unless it has jumped back.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp(pub(super) u64);

impl Reserved {
    /// Of a call without tokens.
    #[inline]
    pub(crate) fn of_rate(stamp: Stamp) -> Self {
        Self::default().with_stamp(stamp)
    }

    #[inline]
    pub(crate) fn with_stamp(self, Stamp(stamp): Stamp) -> Self {
        if stamp == 0 { self } else { Self { stamp: Some(Timestamp::from_nanos(stamp)), ..self } }
    }

    pub(crate) fn expected(&self) -> Usage {
        self.expected
    }

    pub(crate) fn stamp(&self) -> Option<Timestamp> {
        self.stamp
    }

    /// Whether there is nothing to settle.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.taken.is_empty()
    }
}
