//! What the words of a log mean: cells and rules.
//!
//! ```text
//! cell   [ lap : 1 | time of the last admission, in ticks : 63 − b | room : b ]
//! rule   [ mantissa of the window : 37 − b | exponent : 6 | limit : 21 + b ]
//! ```
//!
//! A cell covers `per_cell` admissions: one up to a limit of 2^20. `b` bits count down what is left of them. A tick is
//! one ns, or 2^(b + 1) where cells are shared.
//!
//! A rule is one word, so a change of limit and window is one store. The window takes fewer bits than its nanoseconds.
//! Up to 2^(37 − b) ns (137 s for b = 0) it is exact; above, it is rounded up by less than one part in 2^(36 − b).
//! Whole seconds are exact up to 19 hours, whole days up to a hundred.

/// Cells a log has at most; larger limits share cells. Small under the model checkers.
pub(super) const MAX_CELLS: u32 =
    if cfg!(any(ringgate_loom, ringgate_shuttle)) { 4 } else { 1 << 20 };
/// Added to every time, so that an unused cell (all zeros) is free for every window.
const EPOCH: u64 = 1 << 61;
/// The longest window: 2^61 ns, 73 years.
const LONGEST: u64 = EPOCH;
/// The latest time: 2^63 − 2^61 ns after the clock's epoch, 219 years. After it time stands still, so nothing more is
/// admitted. It leaves out some of the widest ticks, so that a time rounded up stays before the one that closes a ring.
const LATEST: u64 = (1 << 63) - EPOCH - (1 << 14);
/// The end of time, for what never comes.
pub(super) const NEVER: u64 = u64::MAX;

/// The clock's time as cells hold it.
#[inline]
pub(super) fn to_epoch(now: u64) -> u64 {
    now.min(LATEST) + EPOCH
}

/// A cell's time as the clock shows it; `None` if no clock ever will.
pub(super) fn from_epoch(moment: u64) -> Option<u64> {
    let moment = moment.saturating_sub(EPOCH);
    (moment <= LATEST).then_some(moment)
}

/// At most `limit` admissions in any `window` (ns, in whole ticks). A window of zero sets no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Rule {
    pub(super) limit: u64,
    pub(super) window: u64,
}

impl Rule {
    #[inline]
    pub(super) fn is_unlimited(self) -> bool {
        self.window == 0
    }
}

/// How the words of a log are divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    /// Admissions a cell covers.
    pub(super) per_cell: u64,
    /// Bits of `room`. Above them lies the bit of `bumped`, which no stamp has by itself.
    bits: u32,
}

impl Format {
    /// One admission a cell: what most logs have.
    pub(super) const PLAIN: Self = Self { per_cell: 1, bits: 0 };

    /// For `admissions` in at most `max_cells` cells.
    pub(super) fn new(admissions: u32, max_cells: u32) -> Self {
        let per_cell = admissions.div_ceil(max_cells).max(1);
        let bits = per_cell.next_power_of_two().trailing_zeros();
        Self { per_cell: per_cell.into(), bits }
    }

    // ---- cells ---------------------------------------------------------------------------------

    #[inline]
    pub(super) fn pack(lap: bool, time: u64, room: u64) -> u64 {
        u64::from(lap) << 63 | time | room
    }

    /// The time of a stamp, in ns with `EPOCH` added.
    #[inline]
    pub(super) fn time(self, cell: u64) -> u64 {
        cell & (u64::MAX >> 1) & !self.low_bits()
    }

    /// Admissions that the cell still has to give.
    #[inline]
    pub(super) fn room(self, cell: u64) -> u64 {
        cell & self.low_bits()
    }

    /// `time`, rounded up to a whole tick.
    #[inline]
    pub(super) fn tick(self, time: u64) -> u64 {
        let low = self.ns_in_tick() - 1;
        (time + low) & !low
    }

    /// Where cells are shared, twice what `room` takes: that leaves a bit for `bumped`.
    #[inline]
    fn ns_in_tick(self) -> u64 {
        if self.bits == 0 { 1 } else { 2 << self.bits }
    }

    /// The time of a cell that closes its ring: later than any clock's.
    #[inline]
    pub(super) fn closed(self) -> u64 {
        u64::MAX >> 1 & !self.low_bits()
    }

    /// The same, marked in the bits of `room` if there are any: all cells of the ring stand still.
    pub(super) fn settled(self) -> u64 {
        self.closed() | self.low_bits().min(1)
    }

    pub(super) fn is_settled(self, closed: u64) -> bool {
        self.room(closed) == self.room(self.settled())
    }

    /// Another word for the same shared cell: half a tick later. Bumping it again changes nothing.
    pub(super) fn bumped(self, cell: u64) -> u64 {
        cell | 1 << self.bits
    }

    #[inline]
    fn low_bits(self) -> u64 {
        (1 << self.bits) - 1
    }

    // ---- rules ---------------------------------------------------------------------------------

    /// The word for `limit` admissions in `window` ns; never zero.
    pub(super) fn pack_rule(self, limit: u32, window: u64) -> u64 {
        // A limit of zero needs a window, because a window of zero sets no limit.
        let window = if limit == 0 { window.max(1) } else { window };
        // In whole ticks, so that the moment when a cell is free is a whole tick.
        let window = window.min(LONGEST).next_multiple_of(self.ns_in_tick());
        let length = u64::BITS - window.leading_zeros();
        let mut exponent = length.saturating_sub(self.mantissa_bits());
        if window.div_ceil(1 << exponent) >> self.mantissa_bits() > 0 {
            exponent += 1;
        }
        let mantissa = window.div_ceil(1 << exponent);
        (mantissa << 6 | u64::from(exponent)) << self.limit_bits() | u64::from(limit)
    }

    #[inline]
    pub(super) fn unpack_rule(self, word: u64) -> Rule {
        let window = word >> self.limit_bits();
        Rule { limit: word & ((1 << self.limit_bits()) - 1), window: window >> 6 << (window & 63) }
    }

    #[inline]
    fn limit_bits(self) -> u32 {
        21 + self.bits
    }

    fn mantissa_bits(self) -> u32 {
        37 - self.bits
    }
}

#[inline]
pub(super) fn lap(cell: u64) -> bool {
    cell >> 63 == 1
}

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Broken by: rounding the mantissa down; an exponent one too small.
    #[test]
    fn windows_of_human_length_are_exact() {
        let second = 1_000_000_000_u64;
        for window in [1, 7, (1 << 37) - 1, 19 * 3600 * second, 100 * 86400 * second, LONGEST] {
            let format = Format::new(60, MAX_CELLS);
            assert_eq!(
                format.unpack_rule(format.pack_rule(60, window)),
                Rule { limit: 60, window }
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Broken by: `div_ceil` for the mantissa without a check of its carry.
        #[test]
        fn a_window_is_never_shorter_and_hardly_longer(
            limit in prop_oneof![1..10_u32, any::<u32>()],
            window in (0..62_u32, any::<u64>()).prop_map(|(by, window)| window >> 3 >> by),
        ) {
            let format = Format::new(limit, MAX_CELLS);
            let rule = format.unpack_rule(format.pack_rule(limit, window));
            prop_assert_eq!(rule.limit, u64::from(limit));
            if limit > 0 {
                let window = window.min(LONGEST).next_multiple_of(format.ns_in_tick());
                prop_assert!(rule.window >= window);
                prop_assert!(rule.window - window <= window >> (36 - format.bits));
                prop_assert_eq!(rule.window & format.low_bits(), 0);
            }
            prop_assert!(format.pack_rule(limit, window) != 0);
        }
    }
}
