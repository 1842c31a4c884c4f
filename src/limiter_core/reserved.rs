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
    pub(super) by: By,
}

/// How the rate has admitted a call.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum By {
    #[default]
    Nothing,
    /// When; or the latest of the limits that count from its admission.
    Stamp(Timestamp),
    /// By one of this lease, where that is all there is to give back.
    Lease(LeaseNumber),
}

/// What an admission hands over: what was reserved; where there are no budgets its stamp, because a permit without tokens should
/// not cost more than before there were any; or nothing, where nobody asks.
pub(crate) trait Kept {
    fn of(reserved: Reserved) -> Self;
    fn stamped(stamp: Stamp) -> Self;

    /// What it is if it is the number of a lease alone, and the call goes by that at once.
    #[inline]
    fn at_once(_: impl FnOnce() -> Option<LeaseNumber>) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }
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
        Self(reserved.stamp().map_or(0, Timestamp::as_nanos))
    }

    #[inline]
    fn stamped(stamp: Stamp) -> Self {
        stamp
    }
}

impl Kept for LeaseNumber {
    #[inline]
    fn of(reserved: Reserved) -> Self {
        match reserved.by {
            By::Lease(number) => number,
            By::Nothing | By::Stamp(_) => Self::default(),
        }
    }

    #[inline]
    fn stamped(_: Stamp) -> Self {
        Self::default()
    }

    #[inline]
    fn at_once(lease: impl FnOnce() -> Option<Self>) -> Option<Self> {
        lease()
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

/// The lease by which a rate admitted a call; 0 if there is none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LeaseNumber(pub(super) u64);

impl Reserved {
    /// Of a call without tokens.
    #[inline]
    pub(crate) fn of_rate(stamp: Stamp) -> Self {
        Self::default().with_stamp(stamp)
    }

    #[inline]
    pub(crate) fn with_stamp(self, Stamp(stamp): Stamp) -> Self {
        match stamp {
            0 => self,
            stamp => Self { by: By::Stamp(Timestamp::from_nanos(stamp)), ..self },
        }
    }

    /// Of a call without tokens, where one rate is leased.
    #[inline]
    pub(crate) fn of_lease(number: LeaseNumber) -> Self {
        Self { by: By::Lease(number), ..Self::default() }
    }

    pub(crate) fn expected(&self) -> Usage {
        self.expected
    }

    pub(crate) fn stamp(&self) -> Option<Timestamp> {
        match self.by {
            By::Stamp(stamp) => Some(stamp),
            By::Nothing | By::Lease(_) => None,
        }
    }

    /// Whether there is nothing to settle. A request counts from its start.
    #[inline]
    pub(crate) fn is_settled(&self) -> bool {
        self.taken.is_empty()
    }
}
