//! Weights that count when they are admitted.

use super::chain::Chain;
use super::claim::Attempt;
use super::forecast::Need;
use super::offset::Now;
use super::refusal::{Admission, Latest, Place, Refusal};
use super::scale::{MAX_SUM, Scale};
use super::succession::Change;
use super::wheel::{Closed, UNSET, Wheel};
use crate::time::{Timestamp, in_nanos};
use core::fmt;
use core::time::Duration;

/// From here on time begins anew after a jump back, in ns: 292 years.
const LATE: u64 = u64::MAX / 2;

/// At most so many tokens in any window of time.
pub(crate) struct RawTokens {
    pub(super) chain: Chain,
}

impl RawTokens {
    /// At most `limit` in any `window`.
    pub(crate) fn new(limit: u64, window: Duration) -> Self {
        Self { chain: Chain::new(kept(limit), in_nanos(window)) }
    }

    // ---- admission -----------------------------------------------------------------------------

    /// Counts the weight at `now`, or at a later tick if others have been admitted then. A refusal writes nothing.
    #[inline]
    pub(crate) fn try_admit(&self, now: impl Now, weight: u64) -> Result<Admission, Refusal> {
        if weight == 0 {
            return Ok(Admission { stamp: now.read(), weight, place: None });
        }
        self.chain.with_tick(now, |wheel, now, tick| {
            let need = match need(wheel, weight, 0) {
                Ok(need) => need,
                Err(refusal) => return Ok(Err(refusal)),
            };
            Ok(match wheel.try_count(tick, need)? {
                Attempt::Counted(counted) => Ok(admission(wheel, now, (tick, counted), weight)),
                Attempt::Full(from) => Err(until(wheel, from)),
            })
        })
    }

    /// Whether the weight fits at `now`, and when if not. Writes nothing.
    pub(crate) fn peek(&self, now: impl Now, weight: u64) -> Result<(), Refusal> {
        self.peek_beside(now, weight, 0).map(drop)
    }

    /// The same where so much is taken beside what the wheel counts.
    /// Returns the wheels' time of `now`.
    pub(super) fn peek_beside(
        &self,
        now: impl Now,
        weight: u64,
        beside: u64,
    ) -> Result<u64, Refusal> {
        self.chain.with_tick(now, |wheel, now, tick| {
            let time = wheel.time(now.as_nanos());
            if weight == 0 {
                return Ok(Ok(time));
            }
            let need = match need(wheel, weight, beside) {
                Ok(need) => need,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let from = wheel.forecast(tick, need)?;
            Ok(from.map_or(Ok(time), |from| Err(until(wheel, from))))
        })
    }

    /// How much would be admitted at `now`.
    pub(crate) fn remaining(&self, now: impl Now) -> u64 {
        self.chain.with_tick(now, |wheel, _, tick| {
            let limit = wheel.scale.limit_units(wheel.limit());
            let (window, credits) = wheel.counted(tick)?;
            let left = limit.saturating_sub(window.sum.saturating_sub(credits));
            Ok(wheel.scale.amount(left.min(MAX_SUM.saturating_sub(window.sum))))
        })
    }

    /// How much counts at `now`: what others are known to have used included, what has been given back left out.
    pub(crate) fn used(&self, now: impl Now) -> u64 {
        self.chain.with_tick(now, |wheel, _, tick| {
            let (window, credits) = wheel.counted(tick)?;
            Ok(wheel.scale.amount(window.sum.saturating_sub(credits)))
        })
    }

    // ---- settling ------------------------------------------------------------------------------

    /// Puts what was really used in the place of the weight. Less gives back the difference, until the admission itself
    /// leaves the window. More is counted on top at `now`, whatever the limit; returns the stamp of that.
    #[expect(clippy::needless_pass_by_value, reason = "it can be settled once")]
    pub(crate) fn settle(
        &self,
        now: impl Now,
        admission: Admission,
        actual: u64,
    ) -> Option<Timestamp> {
        let Admission { weight, place, .. } = admission;
        let less = weight.saturating_sub(actual);
        if let (Some(place), true) = (place, less > 0) {
            self.give_back(now, place, weight, less);
        }
        let more = actual.saturating_sub(weight);
        (more > 0).then(|| self.count_anyway(now, 0, more))
    }

    fn give_back(&self, now: impl Now, place: Place, weight: u64, less: u64) {
        self.chain.with_tick(now, |wheel, _, tick| {
            let scale = wheel.scale;
            if place.generation == wheel.generation {
                let units = scale.units(weight) - scale.units(weight - less);
                return wheel.give_back(place.tick, units, tick);
            }
            let since = wheel.kept_since();
            if place.generation < wheel.gives_back_since || place.end < since {
                return Ok(());
            }
            // It has been copied to where the last moment of its tick lies, as a part of a sum.
            let of = scale.tick_at(place.end).unwrap_or(scale.last());
            wheel.give_back(of, scale.units_within(less), tick)
        });
    }

    /// Counts what has happened already, not before this time of the wheels. Returns its stamp.
    pub(super) fn count_anyway(&self, now: impl Now, earliest: u64, amount: u64) -> Timestamp {
        if amount == 0 {
            return now.read();
        }
        self.chain.with_tick_from(now, earliest, |wheel, now, tick| {
            let counted = wheel.count_anyway(tick, wheel.scale.units(amount))?;
            Ok(stamp(wheel, now, counted))
        })
    }

    // ---- the rule ------------------------------------------------------------------------------

    /// Calls that begin after this obey the new rule, and count what was admitted before. The window stays for `None`.
    pub(crate) fn set(&self, limit: u64, window: Option<Duration>) {
        let (limit, window) = (kept(limit), window.map(in_nanos));
        loop {
            let wheel = self.chain.current();
            let scale = wheel.scale;
            let window = window.unwrap_or(scale.window);
            if scale.window == window && scale.suits(limit) {
                wheel.store_limit(limit);
            } else if !wheel.is_linked() {
                // Numbers begin anew after the head's tick; if the head moves on meanwhile, so does the successor's.
                let origin = scale.end(wheel.head_word().tick());
                wheel.link(Scale::new(limit, window, origin), Some(limit), Change::Renumber);
                self.chain.promote(wheel);
                if wheel.successor().is_some_and(|next| next.obeys(limit, window)) {
                    return;
                }
                continue;
            }
            // MUTANTS: set of tokens
            if !wheel.is_linked() {
                return;
            }
            self.chain.promote(wheel);
        }
    }

    /// Changes the limit from one to another, in the units there are. Whether it is the other one now: not if it was neither.
    pub(crate) fn exchange_limit(&self, from: u64, to: u64) -> bool {
        let (from, to) = (kept(from), kept(to));
        loop {
            let wheel = self.chain.current();
            let is_done = wheel.exchange_limit(from, to);
            // As in `set`: a successor may have taken over the limit from before.
            if !wheel.is_linked() {
                return is_done;
            }
            self.chain.promote(wheel);
        }
    }

    /// The limit as it was requested.
    pub(crate) fn requested_limit(&self) -> u64 {
        self.chain.current().limit()
    }

    /// Forgets all that has been counted, and the time by which it was counted.
    ///
    /// What was admitted before gives nothing back; more than was reserved is still counted on top. So there is never more room
    /// than after a start with nothing.
    pub(crate) fn reset(&self) {
        loop {
            let wheel = self.chain.current();
            wheel.link(wheel.scale.with_origin(0), None, Change::Reset);
            self.chain.promote(wheel);
            // MUTANTS: reset of tokens
            // If it is not fresh, another thread has linked a successor with all that was counted.
            if wheel.successor().is_some_and(|next| next.is_fresh) {
                return;
            }
        }
    }

    /// The limit as it is kept, in whole units.
    pub(crate) fn limit(&self) -> u64 {
        let wheel = self.chain.current();
        wheel.scale.amount(wheel.scale.limit_units(wheel.limit()))
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_nanos(self.chain.current().scale.window)
    }

    /// An admission leaves the window later than it has to by this at most.
    pub(crate) fn granularity(&self) -> Duration {
        Duration::from_nanos(self.chain.current().scale.granularity())
    }

    /// Weights are rounded up to whole units, each of so many tokens.
    pub(crate) fn unit(&self) -> u64 {
        self.chain.current().scale.amount(1)
    }

    // ---- jumps of the clock --------------------------------------------------------------------

    /// The latest tick in which something was counted. A later reading of the clock that is far before that has jumped back.
    pub(crate) fn latest(&self) -> Latest {
        let wheel = self.chain.current();
        let tick = wheel.head_word().tick();
        Latest {
            began: Timestamp::from_nanos(wheel.clock_at(tick).unwrap_or(0)),
            rounding: Duration::from_nanos(wheel.rounding(tick)),
            generation: wheel.generation,
        }
    }

    /// How many times the time has restarted.
    pub(crate) fn era(&self) -> u32 {
        self.chain.current().era
    }

    /// After the clock has jumped back to `now`, lets time continue from the latest tick. Nothing if there is a new wheel since
    /// `latest` was read, or the clock is behind by the tolerance at most, or it has caught up when it is read next.
    #[cold]
    pub(crate) fn restart_time(&self, latest: &Latest, now: Timestamp, tolerance: Duration) {
        let generation = latest.generation;
        let (now, tolerance) = (now.as_nanos(), in_nanos(tolerance));
        self.chain.with(|wheel| {
            let latest = wheel.scale.end(wheel.head()?.tick());
            let is_behind = latest.saturating_sub(wheel.time(now)) > tolerance;
            // MUTANTS: restart_time of tokens
            if wheel.generation != generation || !is_behind || wheel.offset.get().is_none() {
                return Ok(());
            }
            // So that time never ends, however far ahead a reading was.
            let shift = if latest > LATE { latest.saturating_sub(now) } else { 0 };
            let scale = wheel.scale.with_origin(latest - shift);
            wheel.link(scale, None, Change::Restart { tolerance, shift });
            Err(Closed)
        });
    }
}

/// What a weight needs beside what is taken otherwise; a refusal if no time makes it fit.
#[inline]
fn need(wheel: &Wheel, weight: u64, beside: u64) -> Result<Need, Refusal> {
    let limit = wheel.scale.limit_units(wheel.limit());
    let (weight_units, beside) = (wheel.scale.units(weight), wheel.scale.units(beside));
    if weight_units > limit {
        return Err(Refusal::TooLarge { limit: wheel.scale.amount(limit), weight });
    }
    let left = limit.saturating_sub(beside);
    if weight_units > left {
        return Err(Refusal::Held);
    }
    Ok(Need { weight: weight_units, limit: left })
}

/// Until this tick. If time ends before, only a settlement helps.
fn until(wheel: &Wheel, tick: u32) -> Refusal {
    let free_at = wheel.clock_at(tick).map(Timestamp::from_nanos);
    free_at.map_or(Refusal::Held, Refusal::Until)
}

#[inline]
fn admission(wheel: &Wheel, now: Timestamp, (asked, tick): (u32, u32), weight: u64) -> Admission {
    let stamp = if tick == asked { now } else { stamp(wheel, now, tick) };
    let place = Place { generation: wheel.generation, tick, end: wheel.scale.end(tick) };
    Admission { stamp, weight, place: Some(place) }
}

/// The stamp of what counts in this tick: a stale reading has been counted in a later one.
fn stamp(wheel: &Wheel, now: Timestamp, tick: u32) -> Timestamp {
    wheel.clock_at(tick).map_or(now, |begins| now.max(Timestamp::from_nanos(begins)))
}

/// One value means that there is no limit yet.
pub(super) fn kept(limit: u64) -> u64 {
    limit.min(UNSET - 1)
}

impl fmt::Debug for RawTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawTokens")
            .field("limit", &self.limit())
            .field("window", &self.window())
            .finish_non_exhaustive()
    }
}
