//! Weights that are counted by a clock.

mod estimate;
mod history;
mod kind;
mod limit;
mod reading;
mod refusal;
mod usage;

pub use estimate::estimate_tokens;
#[cfg(feature = "http")]
pub(crate) use estimate::thirds;
pub(crate) use history::TokenHistory;
pub use limit::TokenLimit;
pub(crate) use refusal::NotNow;
pub use usage::Usage;

use crate::raw::left::Left;
use crate::raw::tokens::{HeldTokens, Latest, Mark, Now, RawTokens, Refusal};
use crate::time::{JUMP, Time, Timestamp};
use core::cell::Cell;
use core::fmt;
use core::time::Duration;
use kind::Kind;
use reading::Reading;

/// At most `limit` tokens in any window of time, by a clock whose jumps back it notices. Nobody waits for it here.
pub(crate) struct TokenCounter {
    kind: Kind,
    time: Time,
}

/// How often one call asks. With a clock that jumps back at each reading it would never end.
const MOST_TRIES: u32 = 4;

impl TokenCounter {
    pub(crate) fn new(time: Time, is_as_produced: bool, limit: u64, window: Duration) -> Self {
        let kind = if is_as_produced {
            Kind::AsProduced(HeldTokens::new(limit, window))
        } else {
            Kind::AtStart(RawTokens::new(limit, window))
        };
        Self { kind, time }
    }

    /// The limit, the window, and how they are kept.
    pub(crate) fn rule(&self) -> &RawTokens {
        self.kind.tokens()
    }

    /// How many tokens can be reserved now.
    pub(crate) fn remaining(&self) -> u64 {
        let read = Cell::new(Timestamp::ZERO);
        let now = Reading { time: &self.time, last: &read };
        let remaining = || self.kind.remaining(now);
        let left = remaining();
        if self.notice_jump(now) { remaining() } else { left }
    }

    /// Counts the weight. Whoever gets the mark settles it. With its stamp, if it counts from its admission.
    #[inline]
    pub(crate) fn mark(&self, weight: u64) -> Result<(Mark, Option<Timestamp>), NotNow> {
        self.ask(weight, |now| self.kind.mark(now, weight))
    }

    /// The same at a given time, without a look at the clock.
    pub(crate) fn mark_at(
        &self,
        weight: u64,
        now: Timestamp,
    ) -> Result<(Mark, Option<Timestamp>), NotNow> {
        self.kind.mark(now, weight).map_err(|refusal| NotNow { refusal, asked: weight, now })
    }

    /// Whether the weight would be counted now. Writes nothing.
    pub(crate) fn peek(&self, weight: u64) -> Result<(), NotNow> {
        self.ask(weight, |now| self.kind.peek(now, weight))
    }

    /// Counts what was really used, now or at a given time.
    pub(crate) fn settle_mark(&self, mark: Mark, weight: u64, actual: u64, at: Option<Timestamp>) {
        match at {
            Some(at) => self.kind.settle_mark(at, mark, weight, actual),
            None => self.kind.settle_mark(&self.time, mark, weight, actual),
        }
    }

    /// Counts what others have used, until no more is left than a provider says.
    pub(crate) fn count_others(&self, left: Left) {
        self.kind.count_others(&self.time, left);
    }

    pub(crate) fn counts_as_produced(&self) -> bool {
        matches!(self.kind, Kind::AsProduced(_))
    }

    fn ask<T>(
        &self,
        weight: u64,
        ask: impl Fn(Reading<'_>) -> Result<T, Refusal>,
    ) -> Result<T, NotNow> {
        let read = Cell::new(Timestamp::ZERO);
        let reading = Reading { time: &self.time, last: &read };
        let mut asked = 0;
        loop {
            let era = self.kind.tokens().era();
            let refusal = match ask(reading) {
                Ok(answer) => return Ok(answer),
                Err(refusal) => refusal,
            };
            asked += 1;
            // Time goes on where the clock has jumped back; then it may fit, and else the time told is another.
            let has_jumped = self.notice_jump(reading) || self.kind.tokens().era() != era;
            if !has_jumped || asked == MOST_TRIES {
                return Err(NotNow { refusal, asked: weight, now: read.get() });
            }
        }
    }

    /// If the clock has jumped back by more than a second, time goes on from the latest tick.
    #[cold]
    fn notice_jump(&self, reading: Reading<'_>) -> bool {
        let tolerance = |latest: &Latest| JUMP.saturating_add(latest.rounding);
        let is_jump =
            |latest: &Latest, now| latest.began.saturating_duration_since(now) > tolerance(latest);
        if !is_jump(&self.kind.tokens().latest(), reading.last.get()) {
            return false;
        }
        // Read after the latest tick has been seen: a thread that slept sees no jump.
        let latest = self.kind.tokens().latest();
        let now = reading.read();
        // MUTANTS: notice_jump of tokens
        let has_jumped = is_jump(&latest, now);
        if has_jumped {
            self.kind.tokens().restart_time(&latest, now, tolerance(&latest));
        }
        has_jumped
    }
}

impl fmt::Debug for TokenCounter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCounter")
            .field("rule", self.rule())
            .field("counts_as_produced", &self.counts_as_produced())
            .finish_non_exhaustive()
    }
}
