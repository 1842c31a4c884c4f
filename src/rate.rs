//! A limit on admissions in time, and the margin that lengthens its window.

use core::time::Duration;

/// At most `limit` admissions in any window of the given length.
///
/// A limit of zero admits nothing. Otherwise a window of zero is no limit.
///
/// ```
/// use ringgate::Rate;
/// use std::time::Duration;
///
/// let rate = Rate::per_minute(60);
/// assert_eq!((rate.limit(), rate.window()), (60, Duration::from_secs(60)));
/// assert_eq!(Rate::new(5, Duration::from_secs(1)), Rate::per_second(5));
/// ```
///
/// With the feature `serde` it is a map of `limit` and `window` (a duration: `secs` and `nanos`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Rate {
    limit: u32,
    window: Duration,
}

impl Rate {
    /// At most `limit` admissions in any `window`.
    #[must_use]
    pub const fn new(limit: u32, window: Duration) -> Self {
        Self { limit, window }
    }

    /// At most `limit` admissions in any second.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(1))
    }

    /// At most `limit` admissions in any minute.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60))
    }

    /// At most `limit` admissions in any hour.
    #[must_use]
    pub const fn per_hour(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(60 * 60))
    }

    /// At most `limit` admissions in any 24 hours.
    #[must_use]
    pub const fn per_day(limit: u32) -> Self {
        Self::new(limit, Duration::from_secs(24 * 60 * 60))
    }

    /// The most admissions in a window.
    #[must_use]
    pub const fn limit(self) -> u32 {
        self.limit
    }

    /// The length of the window.
    #[must_use]
    pub const fn window(self) -> Duration {
        self.window
    }

    pub(crate) const fn parts(self) -> (u32, Duration) {
        (self.limit, self.window)
    }
}

/// The share of a window that the default margin takes, as its divisor, and its most.
const DEFAULT_SHARE: u32 = 40;
const DEFAULT_MOST: Duration = Duration::from_millis(250);

/// By how much an admission counts longer than its window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Margin {
    /// A fortieth of the window, at most 250 ms.
    Default,
    Fixed(Duration),
}

impl Margin {
    pub(crate) const ZERO: Self = Self::Fixed(Duration::ZERO);

    /// A window with its margin. No window is no limit, and has no margin.
    pub(crate) fn add_to(self, window: Duration) -> Duration {
        match self {
            _ if window.is_zero() => window,
            Self::Default => window.saturating_add((window / DEFAULT_SHARE).min(DEFAULT_MOST)),
            Self::Fixed(margin) => window.saturating_add(margin),
        }
    }

    /// The window that gives `with_margin`.
    pub(crate) fn take_from(self, with_margin: Duration) -> Duration {
        match self {
            // Of 40 parts and one.
            Self::Default => {
                with_margin.saturating_sub((with_margin / (DEFAULT_SHARE + 1)).min(DEFAULT_MOST))
            }
            Self::Fixed(margin) => with_margin.saturating_sub(margin),
        }
    }
}

impl From<Duration> for Margin {
    fn from(margin: Duration) -> Self {
        Self::Fixed(margin)
    }
}
