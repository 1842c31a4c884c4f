//! How the words of a wheel are packed.
//!
//! ```text
//!  63      62 … 32           31 … 0
//! closed   tick or block     sum or credit
//! ```

/// The largest number that a word has room for in the place of the tick.
pub(super) const MAX_TICK: u64 = (1 << 31) - 1;

const CLOSED: u64 = 1 << 63;

/// A word of a wheel: its head, a sum at the end of a tick, a sum before a block, a credit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Word(pub(super) u64);

impl Word {
    #[inline]
    pub(super) fn new(tick: u32, amount: u32) -> Self {
        Self((u64::from(tick) & MAX_TICK) << 32 | u64::from(amount))
    }

    #[inline]
    pub(super) fn tick(self) -> u32 {
        low(self.0 >> 32 & MAX_TICK)
    }

    #[inline]
    pub(super) fn amount(self) -> u32 {
        low(self.0)
    }

    #[inline]
    pub(super) fn is_closed(self) -> bool {
        self.0 & CLOSED != 0
    }

    #[inline]
    pub(super) fn closed(self) -> Self {
        Self(self.0 | CLOSED)
    }
}

/// Sums are kept modulo 2^32: what came between two of them.
#[inline]
pub(super) fn between(earlier: u32, later: u32) -> u32 {
    later.wrapping_sub(earlier)
}

/// The low half.
#[inline]
pub(super) fn low(word: u64) -> u32 {
    // The mask makes it fit.
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}
