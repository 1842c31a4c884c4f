//! Weights that are held until it is known what was used, and count from then on.

use super::offset::Now;
use super::raw_tokens::RawTokens;
use super::refusal::{Refusal, Reservation};
use super::word::low;
use crate::raw::entry::Entry;
use crate::raw::left::Left;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::time::Timestamp;
use core::fmt;
use core::time::Duration;

/// No limit holds more units than this.
const MAX_HELD: u64 = (1 << 31) - 1;

/// At most so many tokens in any window of time, where a reservation does not age.
///
/// **Never missed.** A settlement counts in the wheel first, and leaves `held` second. A reservation reads `held` first and
/// the wheel second, and then exchanges `held` as it was read. So between the two readings nothing has left `held` and
/// nothing has come: what has been settled by then is in `held`, or in the wheel, or in both. The version grows at every
/// exchange, so that an equal sum is not taken for the same one.
pub(crate) struct HeldTokens {
    settled: RawTokens,
    /// `[version | units]`
    held: AtomicU64,
    /// A unit of `held` is two to the power of this.
    unit_log2: u32,
}

impl HeldTokens {
    /// At most `limit` in any `window`.
    pub(crate) fn new(limit: u64, window: Duration) -> Self {
        let unit_log2 = (u64::BITS - limit.leading_zeros()).saturating_sub(MAX_HELD.ilog2() + 1);
        Self { settled: RawTokens::new(limit, window), held: AtomicU64::new(0), unit_log2 }
    }

    /// As [`RawTokens::restored`].
    pub(crate) fn restored(
        (limit, window): (u64, Duration),
        counted: (u64, &[Entry]),
        now: Timestamp,
    ) -> Self {
        let settled = RawTokens::restored((limit, window), counted, now);
        Self { settled, ..Self::new(limit, window) }
    }

    /// As [`RawTokens::entries`]: what is held counts from now on.
    pub(crate) fn entries(&self, now: impl Now) -> (u64, Vec<Entry>) {
        // First what is held, as in `reserve`: what is settled meanwhile counts in the wheel before it leaves `held`.
        let held = self.held();
        self.settled.entries(now, held)
    }

    /// What is settled, with the rule, the granularity and the time.
    pub(crate) fn settled(&self) -> &RawTokens {
        &self.settled
    }

    /// Holds the weight, if it fits beside what is held and what is settled. A refusal writes nothing.
    pub(crate) fn reserve(&self, now: impl Now, weight: u64) -> Result<Reservation, Refusal> {
        let units = self.units(weight);
        loop {
            let (held, found) = self.read(|held| self.check(now, weight, units, held));
            let time = found?;
            // MUTANTS: reserve
            if units == 0 || self.swap(held, low(held).saturating_add(units)) {
                return Ok(Reservation { weight, units, time });
            }
        }
    }

    /// Whether the weight fits at `now`, and when if not. Writes nothing.
    pub(crate) fn peek(&self, now: impl Now, weight: u64) -> Result<(), Refusal> {
        let units = self.units(weight);
        self.read(|held| self.check(now, weight, units, held)).1.map(drop)
    }

    /// What was used counts from `now` on, whatever the limit; the rest is free at once. Returns the stamp it counts with:
    /// a later one if the reservation was made by a clock that is ahead.
    #[expect(clippy::needless_pass_by_value, reason = "it can be settled once")]
    pub(crate) fn settle_held(
        &self,
        now: impl Now,
        reservation: Reservation,
        actual: u64,
    ) -> Timestamp {
        let Reservation { units, time, .. } = reservation;
        // MUTANTS: settle_held
        let stamp = self.settled.count_anyway(now, time, actual);
        loop {
            let held = self.load();
            if units == 0 || self.swap(held, low(held).saturating_sub(units)) {
                return stamp;
            }
        }
    }

    /// As [`RawTokens::count_others`], where what is held counts as ours.
    pub(crate) fn count_others(&self, now: impl Now, left: Left) {
        // First what is held, as in `reserve`.
        let held = self.held();
        self.settled.count_others(now, left, held);
    }

    /// How much could be reserved at `now`.
    pub(crate) fn remaining(&self, now: impl Now) -> u64 {
        let most = self.amount(u32::try_from(MAX_HELD).unwrap_or(u32::MAX));
        let (held, left) = self.read(|_| self.settled.remaining(now).min(most));
        // As an admission counts it: in whole units.
        let unit = self.settled.unit();
        left.saturating_sub(self.amount(low(held)).div_ceil(unit).saturating_mul(unit))
    }

    /// How much counts at `now`: what is held, and what has been settled.
    pub(crate) fn used(&self, now: impl Now) -> u64 {
        let (held, settled) = self.read(|_| self.settled.used(now));
        settled.saturating_add(self.amount(low(held)))
    }

    /// How much is held.
    pub(crate) fn held(&self) -> u64 {
        self.amount(low(self.load()))
    }

    fn check(&self, now: impl Now, weight: u64, units: u32, held: u64) -> Result<u64, Refusal> {
        let most = MAX_HELD.saturating_sub(low(held).into());
        if u64::from(units) > MAX_HELD {
            let most = self.amount(u32::try_from(MAX_HELD).unwrap_or(u32::MAX));
            return Err(Refusal::TooLarge { limit: most.min(self.settled.limit()), weight });
        }
        if u64::from(units) > most {
            return Err(Refusal::Held);
        }
        self.settled.peek_beside(now, weight, self.amount(low(held)))
    }

    // ---- the word ------------------------------------------------------------------------------

    /// Reads something of the wheel while `held` does not change.
    fn read<T>(&self, wheel: impl Fn(u64) -> T) -> (u64, T) {
        loop {
            let held = self.load();
            let found = wheel(held);
            // MUTANTS: read
            if self.load() == held {
                return (held, found);
            }
        }
    }

    fn load(&self) -> u64 {
        // ORDERING: Acquire pairs with the Release in `swap`: what a settlement has taken out of `held` is seen in the
        // wheel, which is read later.
        self.held.load(Ordering::Acquire)
    }

    fn swap(&self, from: u64, units: u32) -> bool {
        let to = (from >> 32).wrapping_add(1) << 32 | u64::from(units);
        // ORDERING: Release: what has been counted in the wheel is seen by those that read this; it pairs with the
        // Acquire in `load`. Relaxed on failure: the caller reads the word anew.
        self.held.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed).is_ok()
    }

    /// Rounded up; `u32::MAX` if they are more.
    fn units(&self, amount: u64) -> u32 {
        let down = amount >> self.unit_log2;
        let rest = u64::from(down << self.unit_log2 != amount);
        u32::try_from(down + rest).unwrap_or(u32::MAX)
    }

    fn amount(&self, units: u32) -> u64 {
        u64::try_from(u128::from(units) << self.unit_log2).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for HeldTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldTokens")
            .field("held", &self.held())
            .field("settled", &self.settled)
            .finish_non_exhaustive()
    }
}
