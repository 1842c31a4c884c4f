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
pub(crate) const MAX_CELLS: u32 =
    if cfg!(any(ringgate_loom, ringgate_shuttle)) { 4 } else { 1 << 20 };
/// Added to every time, so that an unused cell (all zeros) is free for every window.
const EPOCH: u64 = 1 << 61;
/// The longest window: 2^61 ns, 73 years.
pub(crate) const LONGEST: u64 = EPOCH;
/// The latest time: 2^63 − 2^61 ns after the clock's epoch, 219 years. After it time stands still, so nothing more is
/// admitted. It leaves out some of the widest ticks, so that a time rounded up stays before the one that closes a ring.
const LATEST: u64 = (1 << 63) - EPOCH - (1 << 14);
/// No stamp is earlier than this. Touched cells have earlier times (`split.rs`).
pub(crate) const EARLIEST: u64 = 1 << 41;
/// The end of time, for what never comes.
pub(crate) const NEVER: u64 = u64::MAX;

/// The clock's time as cells hold it.
#[inline]
pub(crate) fn to_epoch(now: u64) -> u64 {
    now.min(LATEST) + EPOCH
}

/// A cell's time as the clock shows it; `None` if no clock ever will.
pub(crate) fn from_epoch(moment: u64) -> Option<u64> {
    let moment = moment.saturating_sub(EPOCH);
    (moment <= LATEST).then_some(moment)
}

/// At most `limit` admissions in any `window` (ns, in whole ticks). A window of zero sets no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Rule {
    pub(crate) limit: u64,
    pub(crate) window: u64,
}

impl Rule {
    #[inline]
    pub(crate) fn is_unlimited(self) -> bool {
        self.window == 0
    }
}

/// How the words of a log are divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Format {
    /// Admissions a cell covers.
    pub(crate) per_cell: u64,
    /// Bits of `room`. Above them lies the bit of `bumped`, which no stamp has by itself.
    pub(crate) bits: u32,
}

impl Format {
    /// One admission a cell: what most logs have.
    pub(crate) const PLAIN: Self = Self { per_cell: 1, bits: 0 };

    /// For `admissions` in at most `max_cells` cells.
    pub(crate) fn new(admissions: u32, max_cells: u32) -> Self {
        let per_cell = admissions.div_ceil(max_cells).max(1);
        let bits = per_cell.next_power_of_two().trailing_zeros();
        Self { per_cell: per_cell.into(), bits }
    }

    // ---- cells ---------------------------------------------------------------------------------

    #[inline]
    pub(crate) fn pack(lap: bool, time: u64, room: u64) -> u64 {
        u64::from(lap) << 63 | time | room
    }

    /// The time of a stamp, in ns with `EPOCH` added.
    #[inline]
    pub(crate) fn time(self, cell: u64) -> u64 {
        cell & (u64::MAX >> 1) & !self.low_bits()
    }

    /// Admissions that the cell still has to give.
    #[inline]
    pub(crate) fn room(self, cell: u64) -> u64 {
        cell & self.low_bits()
    }

    /// `time`, rounded up to a whole tick.
    #[inline]
    pub(crate) fn tick(self, time: u64) -> u64 {
        let low = self.ns_in_tick() - 1;
        (time + low) & !low
    }

    /// Where cells are shared, twice what `room` takes: that leaves a bit for `bumped`.
    #[inline]
    pub(crate) fn ns_in_tick(self) -> u64 {
        if self.bits == 0 { 1 } else { 2 << self.bits }
    }

    /// The time of a cell that closes its ring: later than any clock's.
    #[inline]
    pub(crate) fn closed(self) -> u64 {
        u64::MAX >> 1 & !self.low_bits()
    }

    /// The same, marked in the bits of `room` if there are any: all cells of the ring stand still.
    pub(crate) fn settled(self) -> u64 {
        self.closed() | self.low_bits().min(1)
    }

    pub(crate) fn is_settled(self, closed: u64) -> bool {
        self.room(closed) == self.room(self.settled())
    }

    /// Another word for the same shared cell: half a tick later. Bumping it again changes nothing.
    pub(crate) fn bumped(self, cell: u64) -> u64 {
        cell | 1 << self.bits
    }

    #[inline]
    pub(crate) fn low_bits(self) -> u64 {
        (1 << self.bits) - 1
    }

    // ---- rules ---------------------------------------------------------------------------------

    /// The word for `limit` admissions in `window` ns; never zero.
    pub(crate) fn pack_rule(self, limit: u32, window: u64) -> u64 {
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

    /// The same word with another limit, of those that the format has bits for.
    pub(crate) fn with_limit(self, word: u64, limit: u32) -> u64 {
        word >> self.limit_bits() << self.limit_bits() | u64::from(limit)
    }

    #[inline]
    pub(crate) fn unpack_rule(self, word: u64) -> Rule {
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
pub(crate) fn lap(cell: u64) -> bool {
    cell >> 63 == 1
}
