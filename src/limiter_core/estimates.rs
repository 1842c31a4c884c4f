//! What the limiter says about later times.

use super::ask::Ask;
use super::budgets::Budgets;
use super::not_until::NotUntil;
use super::shared::Core;
use crate::error::{Limit, Refused};

impl Core {
    /// The refusal of a call that the rate refuses by `wait`, or that only others in line keep from going.
    #[cold]
    pub(super) fn refusal(&self, wait: Option<NotUntil>) -> Refused {
        let refused = match wait {
            Some(wait) => wait.into(),
            None if self.available() == Some(0) => Refused::until_released(),
            // Only calls with a turn are in the way, or a larger one. They answer by then, or their turns count no more.
            None if self.budgets().is_some_and(|budgets| {
                self.rate().is_none() || !budgets.watch.lasts(self.time.now(), self.grace).is_zero()
            }) =>
            {
                let limit = self.budgets().map_or(Limit::Tokens, Budgets::name);
                Refused::for_now(limit, self.grace.turn_ends_in())
            }
            None => Refused::for_now(Limit::Rate, self.grace.turn_ends_in()),
        };
        self.concurrency().escalate_if_permanent(refused)
    }

    /// When the rate admits a call with `ahead` others before it, once a pause is over; `None` if it does now.
    pub(super) fn estimate(&self, ahead: u64) -> Option<NotUntil> {
        let Some(by_pause) = self.paused() else { return self.estimate_after(0, ahead) };
        let by_rate = self.estimate_after(by_pause.wait(), ahead);
        Some(by_rate.map_or(by_pause, |by_rate| by_pause.or_later(by_rate)))
    }

    /// The same by the rate alone, if all those calls begin to go after a pause (in ns).
    fn estimate_after(&self, pause: u64, ahead: u64) -> Option<NotUntil> {
        let log = self.rate()?;
        // Notices a jump of the clock.
        let _ = self.peek_rate();
        let (free_at, now) = log.free_at_after(pause, ahead, &|| self.now());
        if free_at == Some(now.saturating_add(pause)) {
            return None;
        }
        // There is more room once it is forgotten what others use; perhaps not enough for all ahead.
        let look_at = self.ceilings.look_at().filter(|at| *at > now).unwrap_or(u64::MAX);
        let free_at = free_at.map(|at| at.min(look_at));
        // MUTANTS: estimate
        // Not permanent: waiters ahead may cancel.
        let only_behind_others = free_at.is_none() && ahead > 0;
        let at_the_end = || log.free_at_after(0, 0, &|| self.now()).0.map(|_| u64::MAX);
        Some(NotUntil::new(now, if only_behind_others { at_the_end() } else { free_at }))
    }

    /// The same, by the rate and the budgets: at the earliest when the call's own tokens fit.
    pub(super) fn estimate_for(&self, ask: &Ask, ahead: u64) -> Option<NotUntil> {
        let by_rate = self.estimate(ahead);
        let by_tokens = self.budgets().and_then(|budgets| budgets.peek(ask.tokens).err());
        match (by_rate, by_tokens) {
            (Some(by_rate), Some(by_tokens)) => Some(by_rate.or_later(by_tokens)),
            (by_rate, by_tokens) => by_rate.or(by_tokens),
        }
    }

    /// How many calls in line have had their turn, and seem silent.
    pub(super) fn silent(&self) -> u64 {
        let has_stands = self.concurrency().shared().is_some();
        let standing = if has_stands { self.line.stands.silent(self.ticks()) } else { 0 };
        self.line.turns.silent(self.period()) + standing
    }

    /// When the limits admit a call that joins the line now; `None` if they do now. Calls that have had a turn for long
    /// and do not answer are not counted.
    pub(super) fn estimate_for_newcomer(&self, ask: &Ask) -> Option<NotUntil> {
        let class = ask.class;
        let mut waiting = self.line.len_of(class);
        loop {
            let silent = self.silent();
            let ahead = waiting + self.line.before(class, waiting);
            let wait = self.estimate_for(ask, ahead.saturating_sub(silent));
            // A call that was admitted between the two counts is in the log already: it would count twice.
            let still = self.line.len_of(class);
            // MUTANTS: estimate_for_newcomer
            if still >= waiting {
                return wait;
            }
            waiting = still;
        }
    }
}
