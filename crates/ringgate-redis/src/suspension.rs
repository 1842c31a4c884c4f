//! Whether the machine was suspended: the clock of this process may have stood still meanwhile, and a lease must not last longer by that.

use core::time::Duration;
use std::time::{Instant, SystemTime};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspension {
    wall: SystemTime,
    own: Instant,
}

#[cfg(test)]
thread_local! {
    /// So long was the machine suspended, in a test.
    pub(crate) static SUSPENDED: core::cell::Cell<Duration> = const { core::cell::Cell::new(Duration::ZERO) };
}

impl Suspension {
    #[expect(clippy::disallowed_methods, reason = "two clocks are compared, no time is told")]
    pub(crate) fn new() -> Self {
        let wall = SystemTime::now();
        #[cfg(test)]
        let wall = wall + SUSPENDED.get();
        Self { wall, own: Instant::now() }
    }

    /// By how much the wall clock has gone ahead of the other one since the last look: suspended for so long, or set forwards.
    pub(crate) fn look(&mut self) -> Duration {
        let now = Self::new();
        let ahead = self.ahead(now);
        *self = now;
        ahead
    }

    fn ahead(self, now: Self) -> Duration {
        let passed = now.own.saturating_duration_since(self.own);
        now.wall.duration_since(self.wall).unwrap_or_default().saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::Suspension;
    use core::time::Duration;

    #[test]
    fn a_clock_that_stood_still_was_believed() {
        let second = Duration::from_secs(1);
        let before = Suspension::new();
        let at = |wall, own| Suspension { wall: before.wall + wall, own: before.own + own };
        assert_eq!(before.ahead(at(9 * second, 9 * second)), Duration::ZERO);
        assert_eq!(before.ahead(at(9 * second, 2 * second)), 7 * second);
        // Set back, or a reading that came late.
        assert_eq!(before.ahead(at(2 * second, 9 * second)), Duration::ZERO);
        assert_eq!(at(second, second).ahead(before), Duration::ZERO);
    }
}
