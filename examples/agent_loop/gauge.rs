//! How much of its limits on tokens the limiter has given out, by its own counts, while calls wait.

use crate::flags::Terms;
use crate::tally::Tally;
use core::cell::Cell;
use core::ops::Range;
use core::time::Duration;
use ringgate::Limiter;
use ringgate_mock_provider::Counting;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

const TICK: Duration = Duration::from_millis(5);

/// Reads the limiter's counts often, after its first window. A share that is free counts against the limiter only if a call
/// waits for it.
pub(crate) struct Gauge<'a> {
    /// `None` where there is nothing to read.
    limiter: Option<&'a Limiter>,
    tally: &'a Tally,
    tokens: Counting,
    /// From when to when.
    start: Instant,
    end: Instant,
    readings: Cell<u32>,
    sums: Cell<[f64; 2]>,
}

impl<'a> Gauge<'a> {
    /// `kept` are the terms with the margin.
    pub(crate) fn new(
        limiter: Option<&'a Limiter>,
        tally: &'a Tally,
        kept: Terms,
        Range { start, end }: Range<Instant>,
    ) -> Self {
        let (readings, sums) = (Cell::default(), Cell::default());
        let start = start + kept.window;
        Self { limiter, tally, tokens: kept.tokens, start, end, readings, sums }
    }

    /// Runs until it is dropped.
    pub(crate) async fn watch(&self) {
        let mut ticks = interval_at(self.start, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if let Some(limiter) = self.limiter
                && self.tally.in_line() > 0
                && Instant::now() < self.end
            {
                self.read(limiter);
            }
        }
    }

    /// The mean share of each limit that was given out. The second is that of output, if it has a
    /// limit of its own.
    pub(crate) fn shares(&self) -> Option<[f64; 2]> {
        let readings = self.readings.get();
        (readings > 0).then(|| self.sums.get().map(|sum| sum / f64::from(readings)))
    }

    fn read(&self, limiter: &Limiter) {
        let shares = match self.tokens {
            Counting::Uncounted => return,
            Counting::AtArrival { total } => [given_out(total, limiter.remaining_tokens()), 0.0],
            Counting::AsSent { input, output } => [
                given_out(input, limiter.remaining_input_tokens()),
                given_out(output, limiter.remaining_output_tokens()),
            ],
        };
        let [first, second] = self.sums.get();
        self.sums.set([first + shares[0], second + shares[1]]);
        self.readings.set(self.readings.get() + 1);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share to read")]
fn given_out(limit: u64, remaining: u64) -> f64 {
    limit.saturating_sub(remaining) as f64 / limit.max(1) as f64
}
