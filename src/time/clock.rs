//! What a clock is.

use super::sleep::Sleep;
use core::fmt;
use core::time::Duration;

/// A point in time, in nanoseconds since its clock's epoch.
///
/// ```
/// use ringgate::time::Timestamp;
/// use std::time::Duration;
///
/// let at = Timestamp::from_nanos(5).saturating_add(Duration::from_nanos(7));
/// assert_eq!(at.as_nanos(), 12);
/// assert_eq!(at.saturating_duration_since(Timestamp::from_nanos(2)), Duration::from_nanos(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The clock's epoch.
    pub const ZERO: Self = Self(0);
    /// The end of time, 584 years after the epoch.
    pub const MAX: Self = Self(u64::MAX);

    /// The point `nanos` nanoseconds after the epoch.
    #[must_use]
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    #[inline]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// `after` the epoch, at most [`MAX`](Self::MAX).
    #[must_use]
    #[inline]
    pub fn from_epoch(after: Duration) -> Self {
        let seconds = after.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(after.subsec_nanos().into()))
    }

    /// `duration` later, at most [`MAX`](Self::MAX).
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(Self::from_epoch(duration).0))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A source of time, and a timer for it.
///
/// A clock may stand still or step back. The limits still hold, by the stamps the limiter records. A wait lasts
/// until the clock reaches the right time, or for a window after the clock has [jumped](crate::time#what-clocks-do). A
/// clock must not panic.
///
/// ```
/// use ringgate::time::{Clock, ManualClock, Sleep, Timestamp};
///
/// /// Another clock's time, a minute ahead.
/// #[derive(Debug)]
/// struct Ahead(ManualClock);
///
/// const MINUTE: u64 = 60_000_000_000;
///
/// impl Clock for Ahead {
///     fn now(&self) -> Timestamp {
///         Timestamp::from_nanos(self.0.now().as_nanos() + MINUTE)
///     }
///     fn sleep_until(&self, deadline: Timestamp) -> Sleep {
///         self.0.sleep_until(Timestamp::from_nanos(deadline.as_nanos().saturating_sub(MINUTE)))
///     }
/// }
/// # let clock = Ahead(ManualClock::new());
/// # assert_eq!(clock.now().as_nanos(), MINUTE);
/// ```
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// A future that is ready once the time is `deadline`.
    ///
    /// It may be ready early, because timers have a longest sleep or another time base: the limiter reads
    /// [`now`](Self::now) again and continues to sleep.
    fn sleep_until(&self, deadline: Timestamp) -> Sleep;
}

/// A clock that is further behind than this has jumped back. The clocks of several processors differ by less.
pub(crate) const JUMP: Duration = Duration::from_secs(1);

/// In whole ns, at most 2^64 - 1.
#[inline]
pub(crate) fn in_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The longest single sleep asked of a timer; some overflow beyond.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(365 * 24 * 3600);
