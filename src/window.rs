//! An exact sliding window.

pub(crate) mod ring;

#[cfg(all(test, ringgate_loom))]
mod models;
#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))))]
mod turns;

use crate::error::{Limit, Refused};
use crate::gate::{Gate, Later, Rate, Slots};
use crate::time::{Clock, Time, Timestamp};
use core::time::Duration;

/// At most `limit` admissions in any window of time, exactly.
///
/// A fixed ring of atomic time stamps, one for each admission a window can hold. Admitting is one
/// compare-and-swap, at any limit; a refusal writes nothing.
///
/// # Exactness
///
/// By the recorded stamps there are never more than `limit` admissions in any half-open window
/// `[t, t + window)`, and no call is refused while there are fewer, unless others wait before it.
/// Limits above 2^20 share cells: never more than the limit, and at most one part in 2^20 of it is
/// held back.
///
/// A stamp is a reading of the clock made inside the call (later only where another call already
/// stamped later). A thread that is suspended between the reading and the claim goes later than its
/// stamp says; where that matters, lengthen the window by a [guard](Self::with_guard).
///
/// # Fairness
///
/// [`acquire`](Self::acquire) waits in line, first in, first out; while anybody waits,
/// [`try_acquire`](Self::try_acquire) is refused. The first in line is a future: if its owner
/// neither polls nor drops it, those behind it wait, as in every fair asynchronous lock.
///
/// # Clocks
///
/// The clock is taken at construction ([`time`](crate::time)). If it stands still or steps back,
/// the limit holds and calls wait until it has caught up. It is good for 219 years.
///
/// # Lock freedom
///
/// No operation waits for another thread.
///
/// # Cost
///
/// 8 bytes for each admission of the limit, at most 8 MiB; nothing grows.
///
/// # Examples
///
/// ```
/// use ringgate::SlidingWindow;
/// use std::time::Duration;
///
/// let window = SlidingWindow::new(2, Duration::from_secs(60));
/// assert!(window.try_acquire().is_ok());
/// assert!(window.try_acquire().is_ok());
///
/// let refused = window.try_acquire().unwrap_err();
/// assert!(refused.retry_after().unwrap() <= Duration::from_secs(60));
/// ```
#[derive(Debug)]
pub struct SlidingWindow {
    limit: u32,
    window: Duration,
    gate: Gate,
}

impl SlidingWindow {
    /// At most `limit` admissions in any `window`, by the [default clock](crate::time).
    ///
    /// Zero for the limit admits nothing; else zero for the window never refuses. A window is in
    /// whole nanoseconds (above a limit of 2^20, rounded up to a multiple of at most 4096 ns) and
    /// saturates at 2^61 ns, 73 years.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> Self {
        Self::build(limit, window, Duration::ZERO, Time::default())
    }

    /// [`new`](Self::new), by another clock.
    #[must_use]
    pub fn with_clock(limit: u32, window: Duration, clock: impl Clock) -> Self {
        Self::build(limit, window, Duration::ZERO, Time::new(clock))
    }

    /// The same window, empty, with a guard margin: every admission counts `guard` longer.
    ///
    /// A provider counts arrivals, a limiter departures. If the way there takes between `d` and
    /// `d + guard`, a window lengthened by `guard` at the departure keeps the limit at the arrival.
    #[must_use]
    pub fn with_guard(self, guard: Duration) -> Self {
        Self::build(self.limit, self.window, guard, self.gate.time().clone())
    }

    fn build(limit: u32, window: Duration, guard: Duration, time: Time) -> Self {
        let rate = Rate::new(limit, window, guard);
        Self { limit, window, gate: Gate::new(rate, Slots::Open, time) }
    }

    /// Admits now, or refuses with the exact time to wait.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the window is full or others wait.
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Refused> {
        self.gate.try_admit()
    }

    /// Admits at a time the caller names, for tests and simulations: no clock is read, and nobody
    /// is waited for or behind.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the window is full at `now`.
    ///
    /// ```
    /// use ringgate::{SlidingWindow, time::Timestamp};
    /// use std::time::Duration;
    ///
    /// let window = SlidingWindow::new(1, Duration::from_nanos(10));
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(5)).is_ok());
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(14)).is_err());
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(15)).is_ok());
    /// ```
    #[inline]
    pub fn try_acquire_at(&self, now: Timestamp) -> Result<(), Refused> {
        match self.gate.rate() {
            Rate::Open => Ok(()),
            Rate::Shut => Err(Refused::for_ever(Limit::Rate)),
            Rate::Ring(ring) => match ring.try_acquire(now.as_nanos()) {
                Ok(_) => Ok(()),
                Err(busy) => Err(Later::new(busy.free_at, now).into()),
            },
        }
    }

    /// Waits in line until the window admits.
    ///
    /// The first in line sleeps once, to the moment the oldest admission leaves the window (and as
    /// much longer as the timer is coarse).
    ///
    /// # Errors
    ///
    /// [`Refused`] only if the limit is zero, at once.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in line; nothing has been counted.
    pub async fn acquire(&self) -> Result<(), Refused> {
        self.gate.admit().await
    }

    /// The most admissions in a window.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The window, without any guard.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How many admissions there is room for now: `limit` less those in the window.
    ///
    /// A count taken while others go on: it may be out of date when it is read.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        match self.gate.rate() {
            Rate::Open => u32::MAX,
            Rate::Shut => 0,
            Rate::Ring(ring) => ring.remaining(self.gate.time().now().as_nanos()),
        }
    }
}
