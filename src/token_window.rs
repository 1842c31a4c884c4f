//! A window of tokens, and the line before it.

mod acquire;
mod builder;
mod reservation;

pub use acquire::{TokenAcquire, TokenAcquireOwned};
pub use builder::TokenWindowBuilder;
pub use reservation::{OwnedTokenReservation, TokenReservation};

use crate::error::Refused;
use crate::limiter_core::{Ask, Budgets, Core};
use crate::rate::Margin;
use crate::time::Timestamp;
use crate::tokens::{TokenCounter, Usage};
use core::fmt;
use core::time::Duration;
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
/// # Fairness
///
/// [`acquire`](Self::acquire) waits in line, first in, first out: a call that needs many tokens is not passed by smaller ones
/// behind it, however long it waits. [`try_acquire`](Self::try_acquire) is refused while others are in line, unless there is room
/// for more than they need. A future in line that is neither polled nor dropped holds up the others for at most a
/// [grace](TokenWindowBuilder::grace), and goes first when it is polled again.
///
/// # Clocks
///
/// The clock is chosen at construction ([`time`](crate::time)). If it stands still or steps back, the limit holds and calls wait
/// until it has caught up, or for one window at most if it jumped back by more than a second and two ticks. If it jumps ahead,
/// what was admitted before has left the window ([`reset`](Self::reset) helps at once).
///
/// # Lock freedom
///
/// No operation waits for another thread. One that stalls for ever keeps its own reservation at most.
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
/// Memory: 17 KiB, and one for the line, which takes more as for a [`SlidingWindow`](crate::SlidingWindow) once calls wait. 17 KiB
/// again are allocated by a change of the window, or of the limit to other units, by a reset, by the first call if the clock begins far
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
///
/// ```
/// use ringgate::TokenWindow;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), ringgate::Refused> {
/// let window = TokenWindow::new(10_000, Duration::from_secs(60));
/// let tokens = window.acquire(2_000).await?; // waits in line
/// tokens.settle(1_200);
/// assert_eq!(window.remaining(), 8_800);
/// # Ok(())
/// # }
/// ```
pub struct TokenWindow {
    core: Core,
}

/// A weight, as a call asks for it.
fn ask(weight: u64) -> Ask {
    Ask { tokens: Usage::new(weight, 0), ..Ask::default() }
}

impl TokenWindow {
    /// Reserves `weight` tokens now, or refuses with the exact time to wait. A weight of zero succeeds.
    ///
    /// # Errors
    ///
    /// [`Refused`] with [`Limit::Tokens`](crate::Limit::Tokens): until some time; until a reservation is settled (then no time is
    /// known); behind calls in line, too; or for good, with [both numbers](Refused::over_limit), if `weight` is more than the limit. With
    /// [`Limit::Closed`](crate::Limit::Closed) once it is [closed](Self::close).
    ///
    /// # Cancel safety
    ///
    /// The reservation can be dropped at any point; then it counts in full.
    pub fn try_acquire(&self, weight: u64) -> Result<TokenReservation<'_>, Refused> {
        Ok(TokenReservation::new(&self.core, self.core.try_admit(&ask(weight))?, None))
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
        let reserved = self.core.try_admit(&ask(weight))?;
        Ok(OwnedTokenReservation::new(reservation::Owned(self), reserved))
    }

    /// [`try_acquire`](Self::try_acquire) at the given time, for tests and simulations: reads no clock, and ignores
    /// the line.
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
        let reserved = self.core.try_reserve_at(Usage::new(weight, 0), now)?;
        Ok(TokenReservation::new(&self.core, reserved, Some(now)))
    }

    /// Whether there is room for `weight` tokens now, whoever is in line. Writes nothing.
    ///
    /// # Errors
    ///
    /// As [`try_acquire`](Self::try_acquire).
    pub fn check(&self, weight: u64) -> Result<(), Refused> {
        self.core.check_tokens(Usage::new(weight, 0))
    }

    /// How many tokens there is room for now: those that can be reserved if nobody is in line.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.counter().map_or(0, |(counter, _)| counter.remaining())
    }

    /// How many calls are in line now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        usize::try_from(self.core.waiters()).unwrap_or(usize::MAX)
    }

    /// The limit, in whole units.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.counter().map_or(0, |(counter, _)| counter.rule().limit())
    }

    /// The window, without any margin.
    #[must_use]
    pub fn window(&self) -> Duration {
        let window =
            |(counter, margin): (&TokenCounter, Margin)| margin.take_from(counter.rule().window());
        self.counter().map_or(Duration::ZERO, window)
    }

    /// Weights are rounded up to whole units of so many tokens: 1 for limits below 2^21, unless the limit was lowered from more.
    /// A unit is less than one part in 2^16 of the limit.
    #[must_use]
    pub fn unit(&self) -> u64 {
        self.counter().map_or(1, |(counter, _)| counter.rule().unit())
    }

    /// How much later than it has to a token leaves the window, at most: two ticks. One window, its margin and this after its
    /// admission it has left.
    #[must_use]
    pub fn granularity(&self) -> Duration {
        self.counter().map_or(Duration::ZERO, |(counter, _)| counter.rule().granularity())
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
    /// A window of zero counts for a microsecond. As produced, no more than 2^31 tokens are held at a time, or than the limit it was
    /// made with, if that is larger.
    ///
    /// Calls in line look again, and keep their places.
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
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the rule has been changed.
    pub fn set(&self, limit: u64, window: Duration) {
        // There is a first limit.
        let _ = self.core.set_token_limit(0, limit, Some(window));
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
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    pub fn set_limit(&self, limit: u64) {
        let _ = self.core.set_token_limit(0, limit, None);
    }

    /// Forgets all that was admitted: the window is as empty as a new one.
    ///
    /// Use it after one reading of the clock was far ahead of all later ones, so that calls need not wait for a window. The
    /// provider has not forgotten: first wait for as long as it may still count earlier calls.
    ///
    /// What is held by calls under way ([as produced](Self::as_produced)) stays held, and counts once it is settled. A
    /// reservation from before gives nothing back any more, since it does not count any more; if it used more than was reserved,
    /// the rest is counted from its settlement on. So there is never more room than in a new window. Calls under way may be
    /// forgotten or not. Calls in line look again, and keep their places.
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
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then all is forgotten.
    pub fn reset(&self) {
        self.core.reset();
    }

    /// Closes the window: refuses all waiting and all later calls ([`Limit::Closed`](crate::Limit::Closed)). Reservations stay
    /// valid.
    ///
    /// # Panics
    ///
    /// Only if a waker it calls panics; by then every call is refused.
    ///
    /// ```
    /// use ringgate::{Limit, TokenWindow};
    /// use std::time::Duration;
    ///
    /// let window = TokenWindow::new(1_000, Duration::from_secs(60));
    /// window.close();
    /// assert_eq!(window.try_acquire(1).unwrap_err().limit(), Limit::Closed);
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// There is one.
    fn counter(&self) -> Option<(&TokenCounter, Margin)> {
        self.core.budgets().map(Budgets::first)
    }
}

impl fmt::Debug for TokenWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenWindow")
            .field("limit", &self.limit())
            .field("window", &self.window())
            .field("waiters", &self.waiters())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
