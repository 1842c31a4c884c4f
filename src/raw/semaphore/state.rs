//! The semaphore's two words: its state, and the bound on its permits.

use super::node::NodeRef;

/// A value of `RawSemaphore::state`: the permits while no one waits, else the front node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct State(pub(super) u64);

impl State {
    const QUEUE: u64 = 0b001;
    pub(super) const CLOSED: u64 = 0b010;
    pub(super) const DEBT: u64 = 0b100;
    /// The bits that stay when permits or front change.
    const STICKY: u64 = Self::CLOSED | Self::DEBT;
    const SHIFT: u32 = 3;
    /// The most permits the word can count.
    pub(super) const MAX_PERMITS: u64 = (usize::MAX >> Self::SHIFT) as u64;

    pub(super) const fn new(permits: u64) -> Self {
        Self(permits << Self::SHIFT)
    }

    pub(super) fn front(self) -> Option<NodeRef> {
        (self.0 & Self::QUEUE != 0).then(|| NodeRef::from_bits(self.0 >> Self::SHIFT))
    }

    pub(super) fn is_closed(self) -> bool {
        self.0 & Self::CLOSED != 0
    }

    pub(super) fn has_debt(self) -> bool {
        self.0 & Self::DEBT != 0
    }

    /// Whether released permits simply become free: no queue, no debt.
    pub(super) fn is_plain(self) -> bool {
        // MUTANTS: is_plain
        self.0 & (Self::QUEUE | Self::DEBT) == 0
    }

    /// Free permits: none while a task waits.
    pub(super) fn permits(self) -> u64 {
        // MUTANTS: permits
        if self.0 & Self::QUEUE == 0 { self.0 >> Self::SHIFT } else { 0 }
    }

    /// No queue, and `permits` are free.
    pub(super) fn with_permits(self, permits: u64) -> Self {
        Self(permits << Self::SHIFT | self.0 & Self::STICKY)
    }

    /// A queue that starts at `front`.
    pub(super) fn with_front(self, front: NodeRef) -> Self {
        Self(front.bits() << Self::SHIFT | self.0 & Self::STICKY | Self::QUEUE)
    }
}

/// A value of `RawSemaphore::bound`: `[ permits there are : 32 | permits there may be : 32 ]`, or
/// [`NONE`](Self::NONE).
///
/// The permits there are: those that are free or in use, less those that are owed. So they are fewer than none where
/// permits are owed that have been forgotten since.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bound(pub(super) u64);

impl Bound {
    /// No bound but the width of the state word.
    pub(super) const NONE: Self = Self(u64::MAX);
    /// The largest bound.
    pub(super) const MAX: u64 = i32::MAX as u64;

    pub(super) const fn new(existing: i64, max_permits: u64) -> Self {
        Self(existing.cast_unsigned() << u32::BITS | max_permits)
    }

    pub(super) fn is_some(self) -> bool {
        self != Self::NONE
    }

    pub(super) fn existing(self) -> i64 {
        self.0.cast_signed() >> u32::BITS
    }

    /// How many there are, if any are.
    pub(super) fn there(self) -> u64 {
        self.existing().max(0).unsigned_abs()
    }

    /// With `permits` fewer.
    pub(super) fn without(self, permits: u64) -> Self {
        let fewer = self.existing().saturating_sub_unsigned(permits);
        Self::new(fewer.max(i64::from(i32::MIN)), self.max_permits())
    }

    pub(super) fn max_permits(self) -> u64 {
        if self.is_some() { self.0 & u64::from(u32::MAX) } else { State::MAX_PERMITS }
    }
}

/// Why a request got no permits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    Closed,
    NoPermits,
    /// More than there can ever be.
    TooMany,
    /// It was granted a permit, and another has claimed that one.
    Lapsed,
}
