//! What a limit on admissions in time is given by.

use core::time::Duration;

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

#[cfg(all(test, not(any(ringgate_loom, ringgate_shuttle, ringgate_freeze))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Broken by: a divisor of 40 in `take_from`.
        #[test]
        fn a_window_comes_out_as_it_went_in(
            nanos in (0..62_u32, any::<u64>()).prop_map(|(by, nanos)| nanos >> 2 >> by),
            fixed in prop::option::of(0..1_000_000_000_000_u64),
        ) {
            let margin = fixed.map_or(Margin::Default, |nanos| Duration::from_nanos(nanos).into());
            let window = Duration::from_nanos(nanos);
            let with_margin = margin.add_to(window);
            prop_assert!(with_margin >= window);
            prop_assert!(window.is_zero() || margin.take_from(with_margin) == window);
        }
    }
}
