//! A log of amounts and the sum of those in the last window: how the server counts tokens.

use crate::left::Left;
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
    /// The sum of the others.
    sum: u64,
}

impl Meter {
    pub(crate) fn new(limit: u64, window: Duration) -> Self {
        Self { limit, window, entries: Vec::new(), left: 0, sum: 0 }
    }

    /// Another limit from now on.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// What is left of it.
    pub(crate) fn left(&mut self, now: Instant) -> Left {
        self.slide(now);
        let remaining = self.limit.saturating_sub(self.sum);
        Left {
            limit: self.limit,
            remaining,
            reset: until_empty(self.entries.last(), self.window, now),
        }
    }

    /// An error says after what time there is room for so much more.
    pub(crate) fn judge(&mut self, amount: u64, now: Instant) -> Result<(), Duration> {
        self.slide(now);
        let mut surplus = self.sum.saturating_add(amount).saturating_sub(self.limit);
        if surplus == 0 {
            return Ok(());
        }
        for (at, amount) in &self.entries[self.left..] {
            surplus = surplus.saturating_sub(*amount);
            if surplus == 0 {
                return Err((*at + self.window).duration_since(now));
            }
        }
        // Never; an agent asks again.
        Err(self.window)
    }

    /// Counts, whatever the limit.
    pub(crate) fn count(&mut self, amount: u64, now: Instant) {
        self.entries.push((now, amount));
        self.sum += amount;
    }

    /// The share of the limit that the window holds.
    #[expect(clippy::cast_precision_loss, reason = "a share to read")]
    pub(crate) fn share(&mut self, now: Instant) -> f64 {
        self.slide(now);
        self.sum as f64 / self.limit.max(1) as f64
    }

    pub(crate) fn entries(&self) -> &[(Instant, u64)] {
        &self.entries
    }

    /// What is counted in `(now - window, now]`.
    fn slide(&mut self, now: Instant) {
        let old = |(at, _): &&(Instant, u64)| now.duration_since(*at) >= self.window;
        let leave = self.entries[self.left..].iter().take_while(old);
        let (count, sum) = leave.fold((0, 0), |(n, sum), (_, amount)| (n + 1, sum + amount));
        self.left += count;
        self.sum -= sum;
    }
}

/// When the last entry has left the window.
fn until_empty(last: Option<&(Instant, u64)>, window: Duration, now: Instant) -> Duration {
    last.map_or(Duration::ZERO, |(at, _)| (*at + window).saturating_duration_since(now))
}
