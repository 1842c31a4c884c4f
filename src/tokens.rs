//! An exact sliding window of weights.

mod estimate;
mod kind;
mod limit;
mod reading;
mod refusal;
mod reservation;
mod usage;

pub use estimate::estimate_tokens;
pub use limit::TokenLimit;
pub(crate) use refusal::NotNow;
pub use reservation::{OwnedTokenReservation, TokenReservation};
pub use usage::Usage;

use crate::error::Refused;
use crate::raw::tokens::{HeldTokens, Latest, Mark, Now, RawTokens, Refusal};
use crate::time::{Clock, JUMP, Time, Timestamp};
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use kind::{Counted, Kind};
use reading::Reading;
use std::sync::Arc;

/// At most `limit` tokens in any window of time, exactly, where each call takes as many as it needs.
///
/// What a call will cost is estimated before and known after. So a call *reserves* its estimate, and *settles* it at what it
/// really was, once: less gives the rest back, more is counted on top. Unlike a semaphore's permit, a reservation that is dropped
/// gives nothing back: it counts in full.
///
/// # Two ways of counting
///
/// | | a reservation counts | for |
/// |---|---|---|
/// | [`new`](Self::new) | from its admission, for one window | input, and what providers reserve when a call arrives |
/// | [`as_produced`](Self::as_produced) | without end until it is settled; what was used counts from then, for one window | output that is counted while it streams |
///
/// What is given back was free from the start, until the admission itself has left the window: then there is nothing left to
/// give back. What is counted on top counts from the settlement, whatever the limit, because it has happened.
///
/// # Exactness
///
/// By the recorded stamps there are never more than `limit` tokens in any half-open window `[t, t + window)`. Time is counted
/// in ticks of a thousandth of the window (at least a microsecond), so a token leaves the window later than it has to, by less
/// than [`granularity`](Self::granularity). Limits from 2^21 on count in whole [units](Self::unit) of several tokens: each weight
/// is rounded up, the limit down. At most 2^29 units can be admitted in a window and given back again; further ones wait.
/// Counted as produced, the stamp is the time of the settlement.
///
/// A refusal tells exactly when that weight fits, if nothing else happens.
///
/// # Order
///
/// None: a call that does not fit is refused, and smaller ones may come before it again and again. A
/// [`Limiter`](crate::Limiter) with a [limit on tokens](crate::LimiterBuilder::tokens) has a line in which calls wait for them,
/// in order.
///
/// # Clocks
///
/// The clock is chosen at construction ([`time`](crate::time)). If it stands still or steps back, the limit holds and calls wait
/// until it has caught up, or for one window at most if it jumped back by more than a second and two ticks. If it jumps ahead,
/// what was admitted before has left the window.
///
/// # Lock freedom
///
/// No operation waits for another thread. A thread that stalls for ever keeps its own reservation at most.
///
/// # Memory ordering
///
/// None is promised: a window counts, it guards no data.
///
/// # Cost
///
/// A reservation takes one compare-and-swap and a search of at most 79 loads; one exchange more if it is the first of its tick,
/// three more if it is the first of sixteen ticks. Settling takes two or three exchanges if it gives back, else none; as produced,
/// two and a search, also in a drop. Neither allocates. A refusal only loads: at most some 400 words, where tokens have been
/// given back.
///
/// Memory: 17 KiB. As much again is allocated by a change of the limit to other units, by the first call if the clock begins far
/// from zero, by a noticed jump back, and once in each 25 days (at a window of a second; in proportion to it, but after 71 minutes at
/// a millisecond or less). All is freed with the window.
///
/// # Sources
///
/// The head is one word, changed by compare-and-swap; a wheel of past sums as in hashed timing wheels (Varghese and Lauck 1987).
///
/// # Examples
///
/// ```
/// use ringgate::{TokenWindow, time::ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let window = TokenWindow::with_clock(10_000, Duration::from_secs(60), clock.clone());
///
/// let first = window.try_acquire(6_000)?; // the estimate
/// let refused = window.try_acquire(6_000).unwrap_err();
/// assert!(refused.retry_after().unwrap() <= window.window() + window.granularity());
///
/// first.settle(1_800); // what the answer says
/// assert_eq!(window.remaining(), 8_200);
/// let dropped = window.try_acquire(8_000)?;
/// drop(dropped); // counts as reserved
/// assert_eq!(window.remaining(), 200);
///
/// clock.advance(window.window() + window.granularity());
/// assert_eq!(window.remaining(), 10_000);
/// # Ok::<(), ringgate::Refused>(())
/// ```
pub struct TokenWindow {
    kind: Kind,
    time: Time,
}

/// How often one call asks. With a clock that jumps back at each reading it would never end.
const MOST_TRIES: u32 = 4;

impl TokenWindow {
    /// A window of tokens that count from their admission, by the [default clock](crate::time).
    ///
    /// A window of zero counts for a microsecond. Windows saturate at 2^64 ns.
    #[must_use]
    pub fn new(limit: u64, window: Duration) -> Self {
        Self::by(Time::default(), false, limit, window)
    }

    /// [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::by(Time::new(clock), false, limit, window)
    }

    /// A window of tokens that count from their settlement, and are held in full until then.
    ///
    /// ```
    /// use ringgate::{Limit, TokenWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let window = TokenWindow::as_produced_with_clock(1_000, Duration::from_secs(60), clock.clone());
    ///
    /// let answer = window.try_acquire(800)?;
    /// clock.advance(Duration::from_secs(600)); // it streams for ten minutes
    /// let refused = window.try_acquire(300).unwrap_err();
    /// assert_eq!((refused.limit(), refused.retry_after()), (Limit::Tokens, None)); // only a settlement helps
    ///
    /// answer.settle(512);
    /// assert_eq!(window.remaining(), 488);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    #[must_use]
    pub fn as_produced(limit: u64, window: Duration) -> Self {
        Self::by(Time::default(), true, limit, window)
    }

    /// [`as_produced`](Self::as_produced), by another clock.
    #[must_use]
    pub fn as_produced_with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::by(Time::new(clock), true, limit, window)
    }

    /// By this clock.
    pub(crate) fn by(time: Time, is_as_produced: bool, limit: u64, window: Duration) -> Self {
        let kind = if is_as_produced {
            Kind::AsProduced(HeldTokens::new(limit, window))
        } else {
            Kind::AtStart(RawTokens::new(limit, window))
        };
        Self { kind, time }
    }

    /// Reserves `weight` tokens now, or refuses with the exact time to wait. A weight of zero succeeds.
    ///
    /// # Errors
    ///
    /// [`Refused`] with [`Limit::Tokens`](crate::Limit::Tokens): until some time; until a reservation is settled (as produced, and
    /// no time is known); or for good, with [both numbers](Refused::over_limit), if `weight` is more than the limit.
    ///
    /// # Cancel safety
    ///
    /// The reservation can be dropped at any point; then it counts in full.
    pub fn try_acquire(&self, weight: u64) -> Result<TokenReservation<'_>, Refused> {
        Ok(TokenReservation::new(self, self.count(weight)?, None))
    }

    /// [`try_acquire`](Self::try_acquire) with a reservation that owns the window's `Arc`.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// ```
    /// use ringgate::TokenWindow;
    /// use std::{sync::Arc, thread, time::Duration};
    ///
    /// let window = Arc::new(TokenWindow::new(10_000, Duration::from_secs(60)));
    /// let reservation = Arc::clone(&window).try_acquire_owned(2_000)?;
    /// thread::spawn(move || reservation.settle(500)).join().unwrap();
    /// assert_eq!(window.remaining(), 9_500);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn try_acquire_owned(
        self: Arc<Self>,
        weight: u64,
    ) -> Result<OwnedTokenReservation, Refused> {
        let counted = self.count(weight)?;
        Ok(OwnedTokenReservation::new(self, counted))
    }

    /// [`try_acquire`](Self::try_acquire) at the given time, for tests and simulations: reads no clock.
    ///
    /// Settle it by [`settle_at`](TokenReservation::settle_at) (cancelled or dropped, it is settled at the time given here), and use
    /// only explicit times on such a window: to the calls that read the clock, a clock far behind the given times looks as if it
    /// had jumped back.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    ///
    /// ```
    /// use ringgate::{TokenWindow, time::Timestamp};
    /// use std::time::Duration;
    ///
    /// let at = |seconds| Timestamp::from_epoch(Duration::from_secs(seconds));
    /// let window = TokenWindow::new(1_000, Duration::from_secs(60));
    /// window.try_acquire_at(800, at(0))?.settle_at(500, at(10));
    /// assert!(window.try_acquire_at(501, at(30)).is_err());
    /// assert!(window.try_acquire_at(501, at(61)).is_ok());
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn try_acquire_at(
        &self,
        weight: u64,
        now: Timestamp,
    ) -> Result<TokenReservation<'_>, Refused> {
        let counted = self.kind.count(now, weight);
        let counted = counted.map_err(|refusal| NotNow { refusal, asked: weight, now })?;
        Ok(TokenReservation::new(self, counted, Some(now)))
    }

    /// Whether `weight` tokens would be admitted now. Writes nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn check(&self, weight: u64) -> Result<(), Refused> {
        Ok(self.peek(weight)?)
    }

    /// How many tokens can be reserved now.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        let read = Cell::new(Timestamp::ZERO);
        let now = Reading { time: &self.time, last: &read };
        let remaining = || self.kind.remaining(now);
        let left = remaining();
        if self.notice_jump(now) { remaining() } else { left }
    }

    /// The limit, in whole units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.kind.tokens().limit()
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.kind.tokens().window()
    }

    /// Weights are rounded up to whole units of so many tokens: 1 for limits below 2^21, unless the limit was lowered from more.
    /// A unit is less than one part in 2^16 of the limit.
    #[must_use]
    pub fn unit(&self) -> u64 {
        self.kind.tokens().unit()
    }

    /// How much later than it has to a token leaves the window, at most: two ticks. One window and this after its admission it
    /// has left.
    #[must_use]
    pub fn granularity(&self) -> Duration {
        self.kind.tokens().granularity()
    }

    /// Changes limit and window.
    ///
    /// Calls that begin after the change obey the new rule and count what was admitted before; a call under way may still obey
    /// the old one. Never more than the new limit in any new window, by the recorded stamps.
    ///
    /// * **A shorter window**: what was counted before counts as of the end of its tick of the old window. So calls right after
    ///   the change may have to wait longer, by the old [granularity](Self::granularity), and their stamps may be later than the
    ///   clock by as much.
    /// * **A longer window** counts at least what was in the old one. Older tokens may have been forgotten, so it is exact again
    ///   one new window later.
    /// * **Reservations from before** give back what they did not use, as long as they count; after several changes maybe for a
    ///   tick less, and after a change to finer [units](Self::unit) nothing.
    /// * **Two changes at once**: either may be in force until both have returned; then one of them stays.
    ///
    /// A window of zero counts for a microsecond.
    ///
    /// # Cost
    ///
    /// One store if neither the window nor the [units](Self::unit) change. Else a new wheel of 17 KiB, which is filled from the
    /// old one in some 2000 steps; threads that ask meanwhile help. Old wheels stay until the whole is dropped.
    ///
    /// ```
    /// use ringgate::{TokenWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let window = TokenWindow::with_clock(1_000, Duration::from_secs(60), clock.clone());
    /// drop(window.try_acquire(800)?);
    /// window.set(1_000, Duration::from_secs(10));
    /// assert_eq!(window.remaining(), 200);
    /// clock.advance(Duration::from_secs(11));
    /// assert_eq!(window.remaining(), 1_000);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn set(&self, limit: u64, window: Duration) {
        self.kind.tokens().set(limit, Some(window));
    }

    /// [`set`](Self::set) the limit alone. The window stays.
    ///
    /// ```
    /// use ringgate::TokenWindow;
    /// use std::time::Duration;
    ///
    /// let window = TokenWindow::new(1_000, Duration::from_secs(60));
    /// drop(window.try_acquire(800)?);
    /// window.set_limit(2_000);
    /// assert_eq!(window.remaining(), 1_200);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn set_limit(&self, limit: u64) {
        self.kind.tokens().set(limit, None);
    }

    /// Forgets all that was admitted: the window is as empty as a new one.
    ///
    /// Use it after one reading of the clock was far ahead of all later ones, so that calls need not wait for a window. The
    /// provider has not forgotten: first wait for as long as it may still count earlier calls.
    ///
    /// What is held by calls under way ([as produced](Self::as_produced)) stays held, and counts once it is settled. A
    /// reservation from before gives nothing back any more, since it does not count any more; if it used more than was reserved,
    /// the rest is counted from its settlement on. So there is never more room than in a new window. Calls under way may be
    /// forgotten or not.
    ///
    /// # Cost
    ///
    /// A new wheel of 17 KiB is allocated; the old one stays until the window is dropped.
    ///
    /// ```
    /// use ringgate::{TokenWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let window = TokenWindow::with_clock(1_000, Duration::from_secs(60), ManualClock::new());
    /// let before = window.try_acquire(1_000)?;
    /// window.reset();
    /// drop(window.try_acquire(600)?);
    /// before.settle(0); // it is forgotten, and gives nothing back
    /// assert_eq!(window.remaining(), 400);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn reset(&self) {
        self.kind.tokens().reset();
    }

    fn count(&self, weight: u64) -> Result<Counted, NotNow> {
        self.ask(weight, |now| self.kind.count(now, weight))
    }

    /// Counts the weight. Whoever gets the mark settles it.
    #[inline]
    pub(crate) fn mark(&self, weight: u64) -> Result<Mark, NotNow> {
        self.ask(weight, |now| self.kind.mark(now, weight))
    }

    /// [`check`](Self::check), with more to tell.
    pub(crate) fn peek(&self, weight: u64) -> Result<(), NotNow> {
        self.ask(weight, |now| self.kind.peek(now, weight))
    }

    /// Counts what was really used.
    pub(crate) fn settle_mark(&self, mark: Mark, weight: u64, actual: u64) {
        self.kind.settle_mark(&self.time, mark, weight, actual);
    }

    pub(crate) fn counts_as_produced(&self) -> bool {
        matches!(self.kind, Kind::AsProduced(_))
    }

    fn ask<T>(
        &self,
        weight: u64,
        ask: impl Fn(Reading<'_>) -> Result<T, Refusal>,
    ) -> Result<T, NotNow> {
        let read = Cell::new(Timestamp::ZERO);
        let reading = Reading { time: &self.time, last: &read };
        let mut asked = 0;
        loop {
            let era = self.kind.tokens().era();
            let refusal = match ask(reading) {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            asked += 1;
            // Time goes on where the clock has jumped back; then it may fit, and else the time told is another.
            let has_jumped = self.notice_jump(reading) || self.kind.tokens().era() != era;
            if !has_jumped || asked == MOST_TRIES {
                return Err(NotNow { refusal, asked: weight, now: read.get() });
            }
        }
    }

    /// If the clock has jumped back by more than a second, time goes on from the latest tick.
    #[cold]
    fn notice_jump(&self, reading: Reading<'_>) -> bool {
        let tolerance = |latest: &Latest| JUMP.saturating_add(latest.rounding);
        let is_jump =
            |latest: &Latest, now| latest.began.saturating_duration_since(now) > tolerance(latest);
        if !is_jump(&self.kind.tokens().latest(), reading.last.get()) {
            return false;
        }
        // Read after the latest tick has been seen: a thread that slept sees no jump.
        let latest = self.kind.tokens().latest();
        let now = reading.read();
        // MUTANTS: notice_jump of tokens
        let has_jumped = is_jump(&latest, now);
        if has_jumped {
            self.kind.tokens().restart_time(&latest, now, tolerance(&latest));
        }
        has_jumped
    }
}

impl fmt::Debug for TokenWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWindow")
            .field("limit", &self.limit())
            .field("window", &self.window())
            .field("counts_as_produced", &self.counts_as_produced())
            .finish_non_exhaustive()
    }
}
