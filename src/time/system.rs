//! The operating system's monotonic clock, on any runtime.

use super::clock::{Clock, LONGEST_SLEEP, Timestamp};
use super::sleep::Sleep;
use futures_timer::Delay;
#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
use std::time::Instant;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use web_time::Instant;

/// `std::time::Instant`, and a timer of its own thread: needs no runtime.
///
/// Its epoch is its construction; clones share it.
///
/// ```
/// use ringgate::{Rate, SlidingWindow, time::SystemClock};
///
/// let window = SlidingWindow::with_clock(Rate::per_second(2), SystemClock::new());
/// assert!(window.try_acquire().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct SystemClock {
    epoch: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { epoch: read() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[inline]
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch(read().saturating_duration_since(self.epoch))
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let wait = deadline.saturating_duration_since(self.now()).min(LONGEST_SLEEP);
        Sleep::agnostic(Delay::new(wait))
    }
}

#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn read() -> Instant {
    Instant::now()
}
