//! Building a window of tokens.

use super::TokenWindow;
use crate::limiter_core::{Budgets, Concurrency, Core, Grace};
use crate::rate::Margin;
use crate::time::{Clock, Time};
use crate::tokens::TokenLimit;
use core::time::Duration;

impl TokenWindow {
    /// A window of tokens that count from their admission, by the [default clock](crate::time).
    ///
    /// A window of zero counts for a microsecond. Windows saturate at 2^64 ns.
    #[must_use]
    pub fn new(limit: u64, window: Duration) -> Self {
        Self::builder(limit, window).build()
    }

    /// [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::builder(limit, window).clock(clock).build()
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
        Self::builder(limit, window).as_produced().build()
    }

    /// [`as_produced`](Self::as_produced), by another clock.
    #[must_use]
    pub fn as_produced_with_clock(limit: u64, window: Duration, clock: impl Clock) -> Self {
        Self::builder(limit, window).as_produced().clock(clock).build()
    }

    /// A builder for a window.
    ///
    /// ```
    /// use ringgate::{TokenWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let (clock, second) = (ManualClock::new(), Duration::from_secs(1));
    /// let builder = TokenWindow::builder(1_000, 60 * second).margin(second);
    /// let window = builder.clock(clock.clone()).build();
    /// drop(window.try_acquire(1_000)?);
    /// clock.advance(60 * second);
    /// assert_eq!((window.window(), window.remaining()), (60 * second, 0));
    /// clock.advance(second + window.granularity());
    /// assert_eq!(window.remaining(), 1_000);
    /// # Ok::<(), ringgate::Refused>(())
    /// ```
    pub fn builder(limit: u64, window: Duration) -> TokenWindowBuilder {
        TokenWindowBuilder {
            limit: TokenLimit::total(limit, window),
            margin: Margin::ZERO,
            grace: Grace::DEFAULT,
            time: None,
        }
    }
}

/// Builder for [`TokenWindow`]. From [`TokenWindow::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TokenWindowBuilder {
    limit: TokenLimit,
    margin: Margin,
    grace: Duration,
    time: Option<Time>,
}

impl TokenWindowBuilder {
    /// Tokens count from their settlement, and are held in full until then. See [`TokenWindow::as_produced`].
    pub fn as_produced(mut self) -> Self {
        self.limit = TokenLimit::produced(self.limit.limit(), self.limit.window());
        self
    }

    /// Counts all tokens `margin` longer than their window. There is none unless it is set here. See
    /// [`SlidingWindowBuilder::margin`](crate::SlidingWindowBuilder::margin).
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin.into();
        self
    }

    /// How long a silent call in line may hold up the others. See
    /// [`LimiterBuilder::grace`](crate::LimiterBuilder::grace).
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The clock to go by, instead of the [default](crate::time).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.time = Some(Time::new(clock));
        self
    }

    /// The window.
    #[must_use]
    pub fn build(self) -> TokenWindow {
        let time = self.time.unwrap_or_default();
        let budget = Budgets::single(self.limit, self.margin, &time);
        let core = Core::new(None, Concurrency::unlimited(), time).with_budgets(Some(budget));
        TokenWindow { core: core.with_grace(self.grace) }
    }
}
