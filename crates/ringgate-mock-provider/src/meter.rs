//! A log of amounts and the sum of those in the last window: how the provider counts tokens.

use core::time::Duration;
use std::time::Instant;

/// Amounts with the instants at which they were counted, in order.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    window: Duration,
    entries: Vec<(Instant, u64)>,
    /// How many entries have left the window.
    left: usize,
    /// The sum of the others. Any number of the largest amounts fits.
    sum: u128,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Left {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Until all of it is back.
    pub(crate) reset: Duration,
}

/// Why an amount does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// It does after this time, if nothing else comes.
    Until(Duration),
    /// It is more than the limit.
    ForGood,
}

impl Meter {
    pub(crate) fn new(limit: u64, window: Duration) -> Self {
        Self { limit, window, entries: Vec::new(), left: 0, sum: 0 }
    }

    /// Another limit from now on. What was counted stays.
    pub(crate) fn set(&mut self, limit: u64, window: Duration) {
        self.limit = limit;
        if self.window != window {
            self.window = window;
            self.left = 0;
            self.sum = self.entries.iter().map(|(_, amount)| u128::from(*amount)).sum();
        }
    }

    /// Whether there is room for so much more.
    pub(crate) fn judge(&mut self, amount: u64, now: Instant) -> Result<(), Full> {
        if amount > self.limit {
            return Err(Full::ForGood);
        }
        self.slide(now);
        let mut surplus = (self.sum + u128::from(amount)).saturating_sub(self.limit.into());
        if surplus == 0 {
            return Ok(());
        }
        for (at, amount) in &self.entries[self.left..] {
            surplus = surplus.saturating_sub((*amount).into());
            if surplus == 0 {
                return Err(Full::Until((*at + self.window).saturating_duration_since(now)));
            }
        }
        // Never: without any entries it would fit.
        Err(Full::Until(self.window))
    }

    /// Counts, whatever the limit.
    pub(crate) fn count(&mut self, amount: u64, now: Instant) {
        self.entries.push((now, amount));
        self.sum += u128::from(amount);
    }

    /// What the window holds.
    pub(crate) fn used(&mut self, now: Instant) -> u64 {
        self.slide(now);
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    /// What is left of the limit.
    pub(crate) fn left(&mut self, now: Instant) -> Left {
        let remaining = self.limit.saturating_sub(self.used(now));
        let reset = until_gone(self.entries.last().map(|(at, _)| *at), self.window, now);
        Left { limit: self.limit, remaining, reset }
    }

    pub(crate) fn entries(&self) -> &[(Instant, u64)] {
        &self.entries
    }

    /// Leaves what was counted in `(now - window, now]`.
    fn slide(&mut self, now: Instant) {
        let old = |(at, _): &&(Instant, u64)| now.saturating_duration_since(*at) >= self.window;
        let leave = self.entries[self.left..].iter().take_while(old);
        let (count, sum) =
            leave.fold((0, 0), |(n, sum), (_, amount)| (n + 1, sum + u128::from(*amount)));
        self.left += count;
        self.sum -= sum;
    }
}

/// When the last of several has left the window.
pub(crate) fn until_gone(last: Option<Instant>, window: Duration, now: Instant) -> Duration {
    last.map_or(Duration::ZERO, |at| (at + window).saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::{Full, Meter};
    use core::time::Duration;
    use std::time::Instant;

    const SECOND: Duration = Duration::from_secs(1);

    /// Broken by: a window that includes its older end.
    #[test]
    fn an_amount_counts_for_exactly_one_window() {
        let start = Instant::now();
        let mut meter = Meter::new(10, SECOND);
        meter.count(7, start);
        let early = start + SECOND * 9 / 10;
        assert_eq!(meter.judge(4, early), Err(Full::Until(SECOND / 10)));
        assert_eq!(meter.judge(4, start + SECOND), Ok(()));
    }

    /// Broken by: waiting for the newest entry instead of the one that makes room.
    #[test]
    fn a_refusal_names_the_entry_that_makes_room() {
        let start = Instant::now();
        let mut meter = Meter::new(10, SECOND);
        for tenth in 0..5 {
            meter.count(2, start + tenth * SECOND / 10);
        }
        assert_eq!(meter.judge(3, start + SECOND / 2), Err(Full::Until(SECOND * 6 / 10)));
        assert_eq!(meter.judge(11, start + SECOND / 2), Err(Full::ForGood));
    }

    /// Broken by: a sum of 64 bits.
    #[test]
    fn the_largest_amounts_add_up() {
        let start = Instant::now();
        let mut meter = Meter::new(u64::MAX, SECOND);
        meter.count(u64::MAX, start);
        meter.count(u64::MAX, start);
        assert_eq!(meter.used(start), u64::MAX);
        assert_eq!(meter.judge(1, start), Err(Full::Until(SECOND)));
        assert_eq!(meter.used(start + SECOND), 0);
    }

    /// Broken by: a window that changes without a look at what has left the old one.
    #[test]
    fn a_longer_window_holds_again_what_has_left_the_shorter() {
        let start = Instant::now();
        let mut meter = Meter::new(10, SECOND);
        meter.count(7, start);
        assert_eq!(meter.used(start + 2 * SECOND), 0);
        meter.set(10, 3 * SECOND);
        assert_eq!(meter.used(start + 2 * SECOND), 7);
    }
}
