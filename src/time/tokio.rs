//! Tokio's clock and timer.

use super::clock::{Clock, LONGEST_SLEEP, Timestamp};
use super::sleep::Sleep;
use core::cell::Cell;
use core::time::Duration;
use futures_timer::Delay;
use std::panic::catch_unwind;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

/// Tokio's clock, paused time included, and tokio's timer (of one millisecond's grain).
///
/// Outside a tokio runtime it shows the system's time and sleeps by a runtime-agnostic timer. Its epoch is ten years
/// before its construction, because the paused time of another runtime may be earlier; clones share it. Under paused
/// time construct it inside the runtime.
///
/// Inside a runtime built without `enable_time`, and once its runtime has shut down, it sleeps by that timer, too.
/// Tokio says so by a panic, which is caught; the panic hook sees it once for each thread, or each sleep.
///
/// ```
/// use ringgate::{Rate, SlidingWindow, time::TokioClock};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), ringgate::Refused> {
/// let window = SlidingWindow::with_clock(Rate::per_hour(1), TokioClock::new());
/// let start = tokio::time::Instant::now();
/// window.acquire().await?;
/// window.acquire().await?; // an hour of paused time passes at once
/// assert_eq!(start.elapsed(), Duration::from_secs(3600));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TokioClock {
    made: Instant,
}

/// What it shows at its construction.
const AT_FIRST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl TokioClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { made: read() }
    }

    #[inline]
    fn shows(&self, now: Instant) -> Timestamp {
        Timestamp::from_epoch(match now.checked_duration_since(self.made) {
            Some(later) => AT_FIRST.saturating_add(later),
            None => AT_FIRST.saturating_sub(self.made.saturating_duration_since(now)),
        })
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    #[inline]
    fn now(&self) -> Timestamp {
        self.shows(read())
    }

    fn sleep_until(&self, deadline: Timestamp) -> Sleep {
        let now = read();
        let wait = deadline.saturating_duration_since(self.shows(now)).min(LONGEST_SLEEP);
        match timer(now + wait) {
            Some(sleep) => Sleep::tokio(sleep),
            None => Sleep::agnostic(Delay::new(wait)),
        }
    }
}

thread_local! {
    /// The runtime of this thread has no timer.
    static HAS_NO_TIMER: Cell<bool> = const { Cell::new(false) };
}

/// A sleep by the runtime that this thread is in, if that has a timer.
fn timer(deadline: Instant) -> Option<tokio::time::Sleep> {
    if HAS_NO_TIMER.get() || Handle::try_current().is_err() {
        return None;
    }
    // Tokio has no question for it.
    let sleep = catch_unwind(|| sleep_until(deadline)).ok();
    HAS_NO_TIMER.set(sleep.is_none());
    sleep
}

#[inline]
#[expect(clippy::disallowed_methods, reason = "this is the door")]
fn read() -> Instant {
    Instant::now()
}
