//! What a process has used of its share while the store is away: at most so much in any window, exactly.

use std::collections::VecDeque;

/// Entries of one window at most: the window is cut into so many.
const ENTRIES: u64 = 512;

/// At most `limit` in any `kept`, of what this process has granted to itself.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    limit: u64,
    kept: u64,
    produced: bool,
    /// The oldest first. What is used counts from the entry's end on, so later than it was.
    entries: VecDeque<Entry>,
    sum: u64,
    /// Of the limiter's count.
    used: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// The last moment that belongs to it.
    until: u64,
    amount: u64,
}

impl Ledger {
    /// `used` is the limiter's count so far.
    pub(crate) fn new(limit: u64, kept: u64, produced: bool, used: u64) -> Self {
        Self { limit, kept, produced, entries: VecDeque::new(), sum: 0, used }
    }

    /// What was settled since the last look counts from now on. Of a limit that counts at the start that is what was
    /// used beyond what was reserved.
    pub(crate) fn look(&mut self, now: u64, used: u64) {
        while let Some(entry) = self.entries.front()
            && entry.until.saturating_add(self.kept) < now
        {
            self.sum = self.sum.saturating_sub(entry.amount);
            self.entries.pop_front();
        }
        let more = used.saturating_sub(self.used);
        self.used = used;
        self.add(now, more);
    }

    /// What may be granted now, if calls hold so much.
    pub(crate) fn room(&self, held: u64) -> u64 {
        let held = if self.produced { held } else { 0 };
        self.limit.saturating_sub(self.sum).saturating_sub(held)
    }

    /// Takes what was granted. Of a limit that counts as produced that is held, until it is used.
    pub(crate) fn grant(&mut self, now: u64, amount: u64) {
        if !self.produced {
            self.add(now, amount);
        }
    }

    /// When the next entry leaves.
    pub(crate) fn leaves(&self) -> Option<u64> {
        let entry = self.entries.front()?;
        Some(entry.until.saturating_add(self.kept).saturating_add(1))
    }

    fn add(&mut self, now: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        self.sum = self.sum.saturating_add(amount);
        if let Some(entry) = self.entries.back_mut()
            && now <= entry.until
        {
            entry.amount = entry.amount.saturating_add(amount);
            return;
        }
        let until = now.saturating_add(self.kept / ENTRIES);
        self.entries.push_back(Entry { until, amount });
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn what_was_granted_counts_for_the_whole_window_and_not_for_long_after() {
        let mut ledger = Ledger::new(10, 1000, false, 0);
        ledger.grant(5, 4);
        ledger.grant(600, 6);
        assert_eq!(ledger.room(0), 0);
        ledger.look(1005, 0);
        assert_eq!(ledger.room(0), 0);
        let leaves = ledger.leaves().unwrap();
        assert!((1006..=1010).contains(&leaves), "{leaves}");
        ledger.look(leaves, 0);
        assert_eq!(ledger.room(0), 4);
        ledger.look(leaves, 3);
        assert_eq!(ledger.room(0), 1, "used beyond what was reserved");
    }

    #[test]
    fn what_is_produced_is_held_and_then_used() {
        let mut ledger = Ledger::new(10, 1000, true, 7);
        ledger.grant(0, 6);
        assert_eq!(ledger.room(6), 4);
        ledger.look(10, 12);
        assert_eq!(ledger.room(1), 4);
        ledger.look(2000, 12);
        assert_eq!(ledger.room(1), 9);
    }
}
