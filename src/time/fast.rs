//! The processor's time-stamp counter.

use super::clock::{Clock, Timestamp};
use super::default::DefaultClock;
use super::sleep::Sleep;

/// The processor's time-stamp counter, calibrated by the `quanta` crate: a read costs less than
/// half of the system clock's. Sleeps as [`DefaultClock`](crate::time::DefaultClock).
///
/// Not for tests with paused time: it goes on with the real one. Its epoch is its construction;
/// clones share it. Constructing the first one in a process takes
/// some milliseconds of calibration.
///
/// ```
/// use ringgate::{Rate, SlidingWindow, time::FastClock};
///
/// let window = SlidingWindow::with_clock(Rate::per_second(2), FastClock::new());
/// assert!(window.try_acquire().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct FastClock {
    clock: quanta::Clock,
    epoch: u64,
    timer: DefaultClock,
}

impl FastClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        let clock = quanta::Clock::new();
        Self { epoch: clock.raw(), clock, timer: DefaultClock::new() }
    }
}

impl Default for FastClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for FastClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_nanos(self.clock.delta_as_nanos(self.epoch, self.clock.raw()))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let wait = deadline.saturating_duration_since(self.now());
        self.timer.sleep_until(self.timer.now().saturating_add(wait))
    }
}
