//! An exact sliding window of weights.

mod kind;
mod reading;
mod reservation;

pub use reservation::{OwnedTokenReservation, TokenReservation};

use crate::error::Refused;
use crate::raw::tokens::{HeldTokens, Now, RawTokens, Refusal};
use crate::time::{Clock, JUMP, Time, Timestamp};
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use kind::{Counted, Kind, refused};
use reading::Reading;
use std::sync::Arc;

/// At most `limit` tokens in any window of time, exactly, where each call takes as many as it needs.
///
/// What a call will cost is estimated before and known after. So a call *reserves* its estimate, and *settles* it at what it
/// really was, once: less gives the rest back, more is counted on top. A reservation that is dropped counts in full.
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
/// than two ticks ([`granularity`](Self::granularity)). Limits from 2^21 on count in whole units of several tokens: a weight is
/// rounded up, the limit down, by less than one part in 2^20. At most 2^29 units can be admitted in a window and given back
/// again; further ones wait.
///
/// A refusal tells exactly when that weight fits, if nothing else happens.
///
/// # Order
///
/// None: a call that does not fit is refused, and a smaller one may come before it. A line in which calls wait for tokens is not
/// here yet.
///
/// # Clocks
///
/// The clock is chosen at construction ([`time`](crate::time)). If it stands still or steps back, the limit holds and calls wait
/// until it has caught up, or for one window at most if it jumped back by more than a second.
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
/// A reservation takes one compare-and-swap and a search of at most 79 loads; two more exchanges if it is the first of its
/// tick and its block. Settling takes two or three exchanges if it gives back, else none. Neither allocates. A refusal only loads:
/// at most some 400 words, where tokens have been given back.
///
/// Memory: 17 KiB. Each change of the window allocates as much again, and so does a change of the limit to other units; after
/// 25 days (at a window of a second; in proportion to it) one call does. All is freed with the window.
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
/// assert!(refused.retry_after().unwrap() <= Duration::from_millis(60_120));
///
/// first.settle(1_800); // what the answer says
/// assert_eq!(window.remaining(), 8_200);
/// let dropped = window.try_acquire(8_000)?;
/// drop(dropped); // counts as reserved
/// assert_eq!(window.remaining(), 200);
///
/// clock.advance(Duration::from_millis(60_120));
/// assert_eq!(window.remaining(), 10_000);
/// # Ok::<(), ringgate::Refused>(())
/// ```
pub struct TokenWindow {
    kind: Kind,
    time: Time,
}

impl TokenWindow {
    /// A window of tokens that count from their admission, by the [default clock](crate::time).
    ///
    /// A window of zero counts for a microsecond. Windows saturate at 2^64 ns.
    #[must_use]
    pub fn new(limit: u64, window: Duration) -> Self {
        Self::of(Kind::AtStart(RawTokens::new(limit, window)), Time::default())
    }

    /// [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::of(Kind::AtStart(RawTokens::new(limit, window)), Time::new(clock))
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
        Self::of(Kind::AsProduced(HeldTokens::new(limit, window)), Time::default())
    }

    /// [`as_produced`](Self::as_produced), by another clock.
    #[must_use]
    pub fn as_produced_with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::of(Kind::AsProduced(HeldTokens::new(limit, window)), Time::new(clock))
    }

    fn of(kind: Kind, time: Time) -> Self {
        Self { kind, time }
    }

    /// Reserves `weight` tokens now, or refuses with the exact time to wait. A weight of zero succeeds.
    ///
    /// # Errors
    ///
    /// [`Refused`] with [`Limit::Tokens`](crate::Limit::Tokens): until some time; until a reservation is settled (no time is known, as produced);
    /// or for good, with [both numbers](Refused::over_limit), if `weight` is more than the limit.
    ///
    /// # Cancel safety
    ///
    /// The reservation can be dropped at any point; then it counts in full.
    pub fn try_acquire(&self, weight: u64) -> Result<TokenReservation<'_>, Refused> {
        self.count(weight).map(|counted| TokenReservation::new(self, counted))
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
    /// Settle it by [`settle_at`](TokenReservation::settle_at), and use only explicit times on such a window: to the calls that
    /// read the clock, a clock far behind the given times looks as if it had jumped back.
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
        let counted = counted.map_err(|refusal| refused(refusal, weight, now))?;
        Ok(TokenReservation::new(self, counted))
    }

    /// Whether `weight` tokens would be admitted now. Writes nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn check(&self, weight: u64) -> Result<(), Refused> {
        self.ask(weight, |now| self.kind.peek(now, weight))
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

    /// Weights are rounded up to whole units of so many tokens: 1 for limits below 2^21.
    #[must_use]
    pub fn unit(&self) -> u64 {
        self.kind.tokens().unit()
    }

    /// How much later than it has to a token leaves the window, at most: less than two ticks of a 1004th of it.
    #[must_use]
    pub fn granularity(&self) -> Duration {
        self.kind.tokens().granularity()
    }

    /// Changes limit and window. Calls that begin after the change obey the new ones and count what was admitted before.
    ///
    /// A longer window counts at least what was in the old one; older tokens may have been forgotten, so it is exact again
    /// one new window later. Of two changes at once one stays.
    ///
    /// # Cost
    ///
    /// One store, or a new wheel of 17 KiB if the window or the units change. Old ones stay until the window is dropped.
    ///
    /// ```
    /// use ringgate::TokenWindow;
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let window = TokenWindow::new(1_000, minute);
    /// drop(window.try_acquire(800)?);
    /// window.set_limit(2_000, minute);
    /// assert_eq!(window.remaining(), 1_200);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn set_limit(&self, limit: u64, window: Duration) {
        self.kind.tokens().set(limit, window);
    }

    fn count(&self, weight: u64) -> Result<Counted, Refused> {
        self.ask(weight, |now| self.kind.count(now, weight))
    }

    fn ask<T>(
        &self,
        weight: u64,
        ask: impl Fn(Reading<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refused> {
        let read = Cell::new(Timestamp::ZERO);
        let reading = Reading { time: &self.time, last: &read };
        let refusal = match ask(reading) {
            Ok(answer) => return Ok(answer),
            Err(refusal) => refusal,
        };
        // Time goes on where the clock has jumped back; then it may fit.
        let again = if self.notice_jump(reading) { ask(reading) } else { Err(refusal) };
        again.map_err(|refusal| refused(refusal, weight, read.get()))
    }

    /// If the clock has jumped back by more than a second, time goes on from the latest tick.
    #[cold]
    fn notice_jump(&self, reading: Reading<'_>) -> bool {
        let is_behind = |now| self.kind.tokens().latest().saturating_duration_since(now) > JUMP;
        if !is_behind(reading.last.get()) {
            return false;
        }
        // Read after the latest tick has been seen: a thread that slept sees no jump.
        let (era, latest) = (self.kind.tokens().era(), self.kind.tokens().latest());
        let now = reading.read();
        // MUTANTS: notice_jump of tokens
        let has_jumped = latest.saturating_duration_since(now) > JUMP;
        if has_jumped {
            self.kind.tokens().restart_time(era, now);
        }
        has_jumped
    }
}

impl fmt::Debug for TokenWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWindow")
            .field("limit", &self.limit())
            .field("window", &self.window())
            .field("counts_as_produced", &matches!(self.kind, Kind::AsProduced(_)))
            .finish_non_exhaustive()
    }
}
