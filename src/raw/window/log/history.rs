//! What a log remembers, for a log that continues in another process.

use super::current::Log;
use crate::raw::entry::Entry;
use crate::raw::window::cell::to_epoch;
use crate::raw::window::reading::ReadClock;
use crate::time::{JUMP, in_nanos};

impl Log {
    /// What was admitted in the longest window, and up to a second before, in case the clock steps back: the youngest
    /// first.
    ///
    /// Each admission that was over before the call is told; those that come meanwhile may be. It reads each cell once, then
    /// the clock: so what is missed has left every window by then.
    ///
    /// Shards that are being replaced still have all that was admitted before a successor became the current one.
    pub(crate) fn entries(&self, read: ReadClock<'_>) -> Vec<Entry> {
        let current = self.current();
        let shards = current.shards;
        let stamps: Vec<_> = shards.stamps().collect();
        let now = shards.read_clock(read, read).time();
        let windows = (0..self.rules()).filter_map(|index| shards.rule(index));
        let longest = windows.map(|rule| rule.window).max().unwrap_or(0);
        let kept = longest.saturating_add(in_nanos(JUMP));
        // A clock that has stepped back meanwhile makes them younger, not older.
        let entry = |(time, amount)| Entry { age: now.saturating_sub(time), amount };
        let entries = stamps.into_iter().map(entry).filter(|entry| entry.age < kept);
        Entry::in_order(entries.collect())
    }

    /// Counts in a new log what was admitted so long before `now` (in ns): the youngest first.
    pub(crate) fn fill(&mut self, entries: &[Entry], now: u64) {
        self.first.fill(entries, to_epoch(now));
    }
}
