//! A log of amounts and the sum of those in the last window: how `--naive` counts tokens.

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

    /// What is counted in `(now - window, now]`.
    fn slide(&mut self, now: Instant) {
        let old = |(at, _): &&(Instant, u64)| now.duration_since(*at) >= self.window;
        let leave = self.entries[self.left..].iter().take_while(old);
        let (count, sum) = leave.fold((0, 0), |(n, sum), (_, amount)| (n + 1, sum + amount));
        self.left += count;
        self.sum -= sum;
    }
}
