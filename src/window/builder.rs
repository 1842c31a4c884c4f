//! Building a window.

use super::SlidingWindow;
use crate::limiter_core::{Concurrency, Core, Grace};
use crate::rate::{Margin, Rate};
use crate::raw::window::Log;
use crate::time::{Clock, Time};
use core::time::Duration;

impl SlidingWindow {
    /// A window with one rate, by the [default clock](crate::time).
    ///
    /// A limit of zero admits nothing. Otherwise a window of zero refuses nothing. Windows are whole
    /// nanoseconds; from 137 seconds on they may be rounded up, by less than one part in 2^36 (with limits
    /// above 2^20: to a multiple of at most 8192 ns, by less than one part in 2^24). They saturate at 2^61 ns,
    /// 73 years.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self::builder().rate(rate).build()
    }

    /// [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(rate: Rate, clock: impl Clock) -> Self {
        Self::builder().rate(rate).clock(clock).build()
    }

    /// A builder for a window, with no rate yet.
    pub fn builder() -> SlidingWindowBuilder {
        SlidingWindowBuilder {
            rates: Vec::new(),
            margin: Margin::ZERO,
            grace: Grace::DEFAULT,
            time: None,
        }
    }
}

/// Builder for [`SlidingWindow`]. From [`SlidingWindow::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct SlidingWindowBuilder {
    rates: Vec<(u32, Duration)>,
    margin: Margin,
    grace: Duration,
    time: Option<Time>,
}

impl SlidingWindowBuilder {
    /// Adds a rate. Several rates hold together: an admission counts in all of them or in none.
    ///
    /// One ring keeps all of them, with one cell for each admission of the largest limit. So with several
    /// rates limits above 2^20 are lowered to that, and all threads share the ring's cache lines.
    ///
    /// ```
    /// use ringgate::{Rate, SlidingWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let window = SlidingWindow::builder()
    ///     .rate(Rate::per_minute(3))
    ///     .rate(Rate::per_second(2))
    ///     .clock(clock.clone())
    ///     .build();
    /// assert!(window.try_acquire().is_ok() && window.try_acquire().is_ok());
    ///
    /// let refused = window.try_acquire().unwrap_err(); // two a second
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    ///
    /// clock.advance(Duration::from_secs(1));
    /// assert!(window.try_acquire().is_ok());
    /// let refused = window.try_acquire().unwrap_err(); // three a minute
    /// assert_eq!(refused.retry_after(), Some(Duration::from_secs(59)));
    /// ```
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rates.push(rate.parts());
        self
    }

    /// Counts every admission `margin` longer than its window. A bare window has no margin unless it is set
    /// here.
    ///
    /// A provider counts arrivals, a limiter departures. If a request takes between `d` and `d + margin` to
    /// arrive, a window lengthened by `margin` keeps the limit at the provider. The margin also covers a thread
    /// that is descheduled between reading the clock and claiming, for up to `margin`.
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

    /// The window. Without a rate it refuses nothing until [`set_rate`](SlidingWindow::set_rate) gives it one.
    #[must_use]
    pub fn build(mut self) -> SlidingWindow {
        if self.rates.is_empty() {
            self.rates.push((1, Duration::ZERO));
        }
        let log = Log::new(&self.rates, self.margin);
        let time = self.time.unwrap_or_default();
        let core = Core::new(Some(log), Concurrency::unlimited(), time);
        SlidingWindow { core: core.with_grace(self.grace) }
    }
}
