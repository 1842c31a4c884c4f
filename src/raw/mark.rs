//! What a settlement needs of what was reserved.

/// What a settlement needs of a reservation besides its weight, in two words. It can be settled once.
#[derive(Debug)]
pub(crate) struct Mark(pub(in crate::raw) u64, pub(in crate::raw) u64);

impl Mark {
    /// Of nothing that was leased.
    pub(crate) fn none() -> Self {
        Self(0, 0)
    }

    /// Of an amount from leases: the number of the newest that it is of, and how it is divided.
    #[inline]
    pub(crate) fn of_lease(number: u64, parts: u64) -> Self {
        Self(number, parts)
    }

    /// The same two; `None` of nothing.
    pub(crate) fn as_lease(&self) -> Option<(u64, u64)> {
        (self.0 > 0).then_some((self.0, self.1))
    }
}
