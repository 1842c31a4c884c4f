//! How much of a rule is in use.

use super::current::Log;
use crate::raw::window::reading::ReadClock;

impl Log {
    /// How many admissions are in a rule's window, and how many more it has room for, each at a reading of the clock, which it makes;
    /// `None` if it limits nothing. Both may be stale when they are read.
    pub(crate) fn in_use(&self, index: usize, read: ReadClock<'_>) -> Option<(u64, u64)> {
        let (limit, _) = self.rule(index)?;
        let kept = self.kept_window(index)?;
        if limit > 0 && kept.is_zero() {
            return None;
        }
        let left = self.ask(None, read, |shards, now| shards.remaining_of(index, now));
        let left = left.map_or(0, |(left, ..)| left).min(limit.into());
        let used = self.ask(None, read, |shards, now| {
            let window = shards.rule(index).map_or(0, |rule| rule.window);
            shards.later_than([now.saturating_sub(window)])
        });
        // If it is stamped all the time, what is left tells it as well.
        let used = used.ok().and_then(|(later, ..)| later).map(|[later]| later.count);
        Some((used.unwrap_or(u64::from(limit) - left), left))
    }
}
