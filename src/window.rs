//! An exact sliding window.

mod acquire;
mod builder;

pub use acquire::{WindowAcquire, WindowAcquireOwned};
pub use builder::SlidingWindowBuilder;

use crate::error::{NoSuchRateError, Refused};
use crate::limiter_core::{Ask, Core};
use crate::rate::Rate;
use crate::raw::window::Log;
use crate::time::Timestamp;
use core::fmt;
use core::time::Duration;

/// At most `limit` admissions in any window of time, exactly.
///
/// A fixed ring of atomic time stamps, one for each admission a window can hold. An admission is one
/// compare-and-swap, whatever the limit; a refusal writes nothing.
///
/// # Exactness
///
/// By the recorded stamps there are never more than `limit` admissions in any half-open window
/// `[t, t + window)`. No call is refused while there are fewer, unless others are waiting.
///
/// Limits above 2^20 share cells: still never more than the limit, but at most one part in 2^20 of it is
/// held back, or one in 2^18 after it was lowered ([`granularity`](Self::granularity)).
///
/// A stamp is a clock reading made inside the call (or later, if another call has already stamped later:
/// this matters for clocks that step back). If the thread is descheduled between the reading and the
/// claim, the call starts later than its stamp. A [margin](SlidingWindowBuilder::margin) makes room for that.
///
/// # Fairness
///
/// [`acquire`](Self::acquire) waits in line, first in, first out. [`try_acquire`](Self::try_acquire) is admitted beside
/// a line only if there is room for more than are about to go. When there is room for many, all of them are woken
/// together. A future in line that is neither polled nor dropped holds up the others for at most a
/// [grace](SlidingWindowBuilder::grace), and goes first when it is polled again.
///
/// # Clocks
///
/// The clock is chosen at construction ([`time`](crate::time)). If it stands still or steps back, the limit
/// holds and calls wait until it has caught up, or for one window at most if it jumped back by more than a
/// second. It must not run for more than 219 years.
///
/// # Lock freedom
///
/// No operation waits for another thread.
///
/// # Memory ordering
///
/// None is promised: a window counts, it guards no data.
///
/// # Cost
///
/// An admission takes one compare-and-swap, one plain store and about ten loads, and allocates nothing. A
/// refusal only loads. If others wait it also tells when a call after them can go, in about half a microsecond, up to
/// two with many rings.
///
/// From a limit of 128 on, the cells are split into as many rings as threads can run at once (at most 16, of at
/// least 64 cells each). A thread stays with its own ring until that is full. A refusal looks at all rings.
///
/// Memory: 8 bytes for each admission of the limit, at most 8 MiB, and less than one kilobyte (four on large
/// machines). The first waiting calls allocate less than 4 KiB. Each call in line takes 64 bytes, which are
/// reused and freed with the window (64 MB after a million in line at once); its future allocates once, and it has a
/// timer. A call that is admitted from the line looks once for more room.
/// Only [`set_rate`](Self::set_rate) and [`reset`](Self::reset) allocate more.
///
/// # Examples
///
/// ```
/// use ringgate::{Rate, SlidingWindow};
/// use std::time::Duration;
///
/// let window = SlidingWindow::new(Rate::per_minute(2));
/// assert!(window.try_acquire().is_ok());
/// assert!(window.try_acquire().is_ok());
///
/// let refused = window.try_acquire().unwrap_err();
/// assert!(refused.retry_after().unwrap() <= Duration::from_secs(60));
/// ```
pub struct SlidingWindow {
    core: Core,
}

impl SlidingWindow {
    /// Admits now, or refuses with the exact time to wait.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the window is full or others wait.
    #[inline]
    pub fn try_acquire(&self) -> Result<(), Refused> {
        self.core.try_admit(&Ask::default())
    }

    /// Admits at the given time, for tests and simulations: reads no clock and ignores the line.
    ///
    /// Use it alone on a window: to the calls that read the clock, a clock far behind the given times looks as if it
    /// had jumped back.
    ///
    /// # Errors
    ///
    /// [`Refused`] while the window is full at `now`.
    ///
    /// ```
    /// use ringgate::{Rate, SlidingWindow, time::Timestamp};
    /// use std::time::Duration;
    ///
    /// let window = SlidingWindow::new(Rate::new(1, Duration::from_nanos(10)));
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(5)).is_ok());
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(14)).is_err());
    /// assert!(window.try_acquire_at(Timestamp::from_nanos(15)).is_ok());
    /// ```
    #[inline]
    pub fn try_acquire_at(&self, now: Timestamp) -> Result<(), Refused> {
        self.core.try_admit_at(now)
    }

    /// Closes the window: refuses all waiting and all later calls
    /// ([`Limit::Closed`](crate::Limit::Closed)).
    ///
    /// ```
    /// use ringgate::{Limit, Rate, SlidingWindow};
    ///
    /// let window = SlidingWindow::new(Rate::per_minute(2));
    /// window.close();
    /// assert_eq!(window.try_acquire().unwrap_err().limit(), Limit::Closed);
    /// ```
    pub fn close(&self) {
        self.core.close();
    }

    /// Whether [`close`](Self::close) has been called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Changes limit and window for all later admissions, calls in line included.
    ///
    /// Calls that begin after the change obey the new rate and count what was admitted before; a call
    /// under way may still obey the old one. This holds for logs of several rings, too.
    ///
    /// * **A longer window** counts at least what was in the old one. Older admissions may have been
    ///   forgotten, so it is exact again one new window later. (Admissions under a window of zero are not
    ///   recorded.)
    /// * **A limit above 2^20 that is lowered** counts what was admitted before in whole cells, for one
    ///   window.
    /// * **Two changes at once**: either may be in force until both have returned; then one of them stays.
    ///
    /// # Cost
    ///
    /// One store; with several rings, a few steps for each.
    ///
    /// A limit beyond the number of cells makes a larger log, of twice the size where possible. Lowering a
    /// limit above 2^20 by more than three quarters makes a finer one, as soon as what is in the window fits.
    /// Both take time in proportion to the limit; threads that ask meanwhile share the copying and allocate
    /// nothing. Old logs stay until the window is dropped, since a stalled thread may be reading them. Once
    /// cells have been shared, old logs are freed instead, and from then on every call adds to and subtracts
    /// from one shared count.
    ///
    /// With several rates it changes the first.
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the rate has been changed.
    ///
    /// ```
    /// use ringgate::{Rate, SlidingWindow, time::ManualClock};
    /// use std::time::Duration;
    ///
    /// let minute = Duration::from_secs(60);
    /// let window = SlidingWindow::with_clock(Rate::per_minute(1), ManualClock::new());
    /// assert!(window.try_acquire().is_ok());
    /// assert!(window.try_acquire().is_err());
    ///
    /// window.set_rate(Rate::per_minute(2));
    /// assert!(window.try_acquire().is_ok());
    /// assert!(window.try_acquire().is_err());
    /// ```
    pub fn set_rate(&self, rate: Rate) {
        // There is a first rate.
        let _ = self.set_rate_at(0, rate);
    }

    /// [`set_rate`](Self::set_rate) of a window with several limits: of the `n`-th, from 0.
    ///
    /// # Errors
    ///
    /// [`NoSuchRateError`] if there are fewer.
    pub fn set_rate_at(&self, n: usize, rate: Rate) -> Result<(), NoSuchRateError> {
        self.core.set_rate(n, rate)
    }

    /// Forgets all admissions: the window is as empty as a new one.
    ///
    /// Use it after one reading of the clock was far ahead of all later ones, which then count as made at
    /// that time. (A clock that jumps back by more than a second needs no reset, see
    /// [`time`](crate::time#what-clocks-do).) The provider has not forgotten: first wait for as long as it
    /// may still count earlier calls.
    ///
    /// Calls under way may be forgotten or not. Calls in line look again and keep their places.
    ///
    /// # Cost
    ///
    /// A new log of the same size is allocated, and the old one freed when no call reads it. From then on
    /// every call adds to and subtracts from one shared count, as after some [changes](Self::set_rate).
    ///
    /// # Panics
    ///
    /// Only if the waker of the first in line panics; by then the admissions are forgotten.
    ///
    /// ```
    /// use ringgate::{Rate, SlidingWindow, time::ManualClock};
    ///
    /// let window = SlidingWindow::with_clock(Rate::per_minute(1), ManualClock::new());
    /// assert!(window.try_acquire().is_ok() && window.try_acquire().is_err());
    /// window.reset();
    /// assert!(window.try_acquire().is_ok() && window.try_acquire().is_err());
    /// ```
    pub fn reset(&self) {
        self.core.reset();
    }

    /// What the checks look into.
    #[cfg(all(test, any(ringgate_loom, ringgate_freeze)))]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    /// The most admissions in a window; with several limits, the first.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.rates().next().map_or(u32::MAX, Rate::limit)
    }

    /// The window, without any margin; with several limits, the first's.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.rates().next().map_or(Duration::ZERO, Rate::window)
    }

    /// All rates, as they are kept.
    pub fn rates(&self) -> impl Iterator<Item = Rate> {
        let log = self.core.rate();
        (0..).map_while(move |n| log?.rule(n)).map(|(limit, window)| Rate::new(limit, window))
    }

    /// How many admissions share a cell: one, up to a limit of 2^20.
    ///
    /// Where cells are shared, at most `granularity() - 1` admissions of the limit are held back at a time: an
    /// admission is free again when the last one of its cell is. (More are held back for one window after a
    /// [change](Self::set_rate).) After a limit is lowered, finer cells are made at the latest by the second
    /// admission after one window.
    ///
    /// ```
    /// use ringgate::{Rate, SlidingWindow};
    /// use std::time::Duration;
    ///
    /// let day = Duration::from_secs(24 * 3600);
    /// assert_eq!(SlidingWindow::new(Rate::new(10_000, day)).granularity(), 1);
    /// assert_eq!(SlidingWindow::new(Rate::new(10_000_000, day)).granularity(), 10);
    /// ```
    #[must_use]
    pub fn granularity(&self) -> u32 {
        self.core.rate().map_or(1, Log::per_cell)
    }

    /// How many admissions there is room for now: `limit` less those in the window.
    ///
    /// A count taken while others go on: it may be out of date when it is read.
    #[must_use]
    pub fn remaining(&self) -> u32 {
        self.core.remaining()
    }

    /// How many calls are in line now.
    #[must_use]
    pub fn waiters(&self) -> usize {
        usize::try_from(self.core.waiters()).unwrap_or(usize::MAX)
    }
}

/// The rates and who waits for them.
impl fmt::Debug for SlidingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlidingWindow")
            .field("rates", &self.core.rate())
            .field("waiters", &self.waiters())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
