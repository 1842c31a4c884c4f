//! The scale of a wheel: how long a tick is, and how much a unit.

use super::word::MAX_TICK;

/// Ticks in a window. A wheel has one slot for each, and the rest of a block.
pub(super) const TICKS: u64 = if cfg!(ringgate_loom) { 2 } else { 1004 };
/// Ticks in a block.
pub(super) const BLOCK: u32 = if cfg!(ringgate_loom) { 2 } else { 16 };
/// No tick is shorter, in ns: ticks of shorter windows would be used up in minutes.
const SHORTEST_TICK: u64 = if cfg!(ringgate_loom) { 1 } else { 1000 };
/// No limit has more units.
pub(super) const MAX_UNITS: u32 = 1 << 21;
/// No admission may bring the sum over a window above this, whatever has been given back.
pub(super) const MAX_SUM: u32 = 1 << 29;
/// Nothing else may bring the sum of a tick above this, so the sum of a window fits in 32 bits: see `count_anyway`.
pub(super) const MAX_IN_TICK: u32 = 1 << 30;

/// Times are in ns, and the wheel's own (`offset.rs`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    /// As it was requested.
    pub(super) window: u64,
    /// The wheel's time at the beginning of the tick `first`.
    pub(super) origin: u64,
    /// The length of a tick.
    pub(super) tick: u64,
    /// 2^64 / `tick`, rounded down.
    inverse: u64,
    /// The window in ticks: what has been admitted in tick k counts until tick k + `ticks`.
    pub(super) ticks: u32,
    /// Slots for ticks: a power of two.
    pub(super) slots: u32,
    /// A unit is two to the power of this.
    pub(super) unit_log2: u32,
}

impl Scale {
    pub(super) fn new(limit: u64, window: u64, origin: u64) -> Self {
        let tick = window.div_ceil(TICKS).max(SHORTEST_TICK);
        // Two stamps that are less than a window apart lie less than this number of ticks apart, wherever in their
        // ticks they lie.
        let ticks = u32::try_from(window.div_ceil(tick) + 1).unwrap_or(u32::MAX);
        // A search looks back from the first tick of the window to the beginning of its block. A successor takes over a
        // whole window.
        let slots = (ticks + BLOCK).next_power_of_two();
        // 2^64 / 1 does not fit; one less is as good, since `divide` corrects the quotient by one.
        let inverse = if tick == 1 { u64::MAX } else { (u64::MAX - tick + 1) / tick + 1 };
        let unit_log2 = (u64::BITS - limit.leading_zeros()).saturating_sub(MAX_UNITS.ilog2());
        Self { window, origin, tick, inverse, ticks, slots, unit_log2 }
    }

    /// The same with numbers that begin at another time.
    pub(super) fn with_origin(self, origin: u64) -> Self {
        Self { origin, ..self }
    }

    /// Whether a limit can be counted in these units: it is not too large, nor they too coarse for it.
    pub(super) fn suits(&self, limit: u64) -> bool {
        let units = limit >> self.unit_log2;
        units < u64::from(MAX_UNITS) && (self.unit_log2 == 0 || units >= u64::from(MAX_UNITS) >> 4)
    }

    // ---- time ----------------------------------------------------------------------------------

    /// The tick at `origin`. All ticks in use are at least a wheel later than 0, which an empty slot has.
    pub(super) fn first(&self) -> u32 {
        2 * self.slots
    }

    /// No tick is later: those after the end of its window have numbers, too.
    pub(super) fn last(&self) -> u32 {
        let last = MAX_TICK - 4 * u64::from(self.slots);
        u32::try_from(last).unwrap_or(u32::MAX)
    }

    /// The tick of a time; `None` if the wheel has no number for it. Times before the wheel's have tick 0 or a small one.
    #[inline]
    pub(super) fn tick_at(&self, time: u64) -> Option<u32> {
        let Some(since) = time.checked_sub(self.origin) else {
            let before = (self.origin - time).div_ceil(self.tick);
            return Some(self.first().saturating_sub(u32::try_from(before).unwrap_or(u32::MAX)));
        };
        let ticks = u32::try_from(self.divide(since)).ok()?;
        ticks.checked_add(self.first()).filter(|tick| *tick <= self.last())
    }

    /// `time / tick`. A multiplication costs a fraction of a division.
    #[inline]
    fn divide(&self, time: u64) -> u64 {
        let product = u128::from(time) * u128::from(self.inverse);
        let quotient = u64::try_from(product >> 64).unwrap_or(u64::MAX);
        // The inverse is too small by less than one, so the quotient is too small by one at most.
        quotient + u64::from(time - quotient * self.tick >= self.tick)
    }

    /// The time at which a tick begins; `None` if time ends before.
    pub(super) fn begins(&self, tick: u32) -> Option<u64> {
        let since = u64::from(tick.checked_sub(self.first())?).checked_mul(self.tick)?;
        self.origin.checked_add(since)
    }

    /// The first time of a tick, or the end of time. A tick before `first` has been filled in from an
    /// older wheel.
    #[inline]
    pub(super) fn begin(&self, tick: u32) -> u64 {
        if tick < self.first() {
            let before = u64::from(self.first() - tick).saturating_mul(self.tick);
            return self.origin.saturating_sub(before);
        }
        self.begins(tick).unwrap_or(u64::MAX)
    }

    /// The last time of a tick.
    #[inline]
    pub(super) fn end(&self, tick: u32) -> u64 {
        self.begin(tick + 1).saturating_sub(1)
    }

    /// By this at most something leaves the window later than it has to.
    pub(super) fn granularity(&self) -> u64 {
        self.in_window().saturating_sub(self.window)
    }

    /// How long a tick counts, from its beginning on.
    pub(super) fn in_window(&self) -> u64 {
        u64::from(self.ticks).saturating_mul(self.tick)
    }

    // ---- amounts -------------------------------------------------------------------------------

    /// Rounded up; `u32::MAX` if they are more.
    #[inline]
    pub(super) fn units(&self, amount: u64) -> u32 {
        let down = amount >> self.unit_log2;
        let rest = u64::from(down << self.unit_log2 != amount);
        u32::try_from(down + rest).unwrap_or(u32::MAX)
    }

    /// A limit, rounded down.
    #[inline]
    pub(super) fn limit_units(&self, limit: u64) -> u32 {
        u32::try_from(limit >> self.unit_log2).unwrap_or(u32::MAX).min(MAX_UNITS - 1)
    }

    /// Whole units only.
    pub(super) fn units_within(&self, amount: u64) -> u32 {
        u32::try_from(amount >> self.unit_log2).unwrap_or(u32::MAX)
    }

    #[inline]
    pub(super) fn amount(&self, units: u32) -> u64 {
        u64::try_from(u128::from(units) << self.unit_log2).unwrap_or(u64::MAX)
    }
}

/// The block of a tick.
#[inline]
pub(super) fn block(tick: u32) -> u32 {
    tick / BLOCK
}

/// The first tick of a block.
#[inline]
pub(super) fn first_of(block: u32) -> u32 {
    block * BLOCK
}
