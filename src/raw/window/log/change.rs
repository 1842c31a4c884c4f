//! Changes of the log: a rule, a reset, a clock that has jumped back.

use super::current::{Current, Log};
use crate::error::NoSuchRateError;
use crate::raw::window::reading::TimeBase;
use crate::raw::window::shards::is_fresh;
use crate::time::in_nanos;
use core::time::Duration;

impl Log {
    /// Changes a rule for all later admissions.
    pub(crate) fn set(
        &self,
        index: usize,
        limit: u32,
        window: Duration,
    ) -> Result<(), NoSuchRateError> {
        if index >= self.rules() {
            return Err(NoSuchRateError);
        }
        let limit = if self.rules() > 1 { limit.min(self.first.layout().max_cells) } else { limit };
        let window = in_nanos(self.margin.add_to(window));
        // MUTANTS: set
        while !self.set_in(&self.current(), index, limit, window) {}
        Ok(())
    }

    /// Sets the rule in these shards, unless they have a successor or will have one.
    fn set_in(&self, current: &Current<'_>, index: usize, limit: u32, window: u64) -> bool {
        let shards = current.shards;
        let capacity = shards.layout().capacity;
        if limit > capacity && !shards.has_successor() {
            shards.grow(index, limit, window);
        }
        let is_set = limit <= capacity && shards.set_rule(index, limit, window);
        if !is_set && !shards.has_successor() {
            // These have no slot for the rule; the next ones have.
            shards.grow(index, limit, window);
        }
        if shards.has_successor() {
            self.promote_successor(current);
            return false;
        }
        true
    }

    /// Changes the limit of a rule from one to another. Whether it is the other one now: not if it was neither.
    pub(crate) fn exchange_limit(&self, index: usize, from: u32, to: u32) -> bool {
        let to = if self.rules() > 1 { to.min(self.first.layout().max_cells) } else { to };
        loop {
            let current = self.current();
            let shards = current.shards;
            let Some(rule) = shards.rule(index) else { return false };
            // Coarse cells may have been left for fewer.
            let is_beyond = to > shards.layout().capacity && rule.limit == u64::from(from);
            if is_beyond && !shards.has_successor() {
                shards.grow(index, to, rule.window);
            }
            let is_done = !is_beyond && shards.exchange_limit(index, from, to);
            // As in `set_in`: a successor may have taken over the limit from before.
            if !shards.has_successor() {
                return is_done;
            }
            self.promote_successor(&current);
        }
    }

    /// Forgets all admissions.
    pub(crate) fn reset(&self) {
        loop {
            let current = self.current();
            current.shards.reset();
            self.promote_successor(&current);
            // MUTANTS: reset
            // If it is not fresh, another thread has linked a successor with all the stamps.
            if is_fresh(current.shards.successor()) {
                return;
            }
        }
    }

    /// After the clock has jumped back, lets time continue from the newest stamp. Does nothing if `base` is no longer
    /// the log's time base.
    #[cold]
    pub(crate) fn restart_time(&self, base: TimeBase) {
        let current = self.current();
        // MUTANTS: restart_time
        if current.shards.time_base() == base {
            current.shards.restart_time();
            self.promote_successor(&current);
        }
    }

    #[cfg(all(test, not(any(ringgate_shuttle, ringgate_freeze))))]
    pub(crate) fn time_base(&self) -> TimeBase {
        self.current().shards.time_base()
    }
}
