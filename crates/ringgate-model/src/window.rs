//! A sliding window as the list of all its stamps.
//!
//! A stamp is in the window from its own time until one window later.

/// At most `limit` admissions in any `window` (ns, any margin included).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The most admissions in a window.
    pub limit: u32,
    /// The length of the window.
    pub window: u64,
}

/// The stamps of all admissions, in order of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stamps(Vec<u64>);

impl Stamps {
    /// The latest stamp, or 0 if there is none.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.0.last().copied().unwrap_or(0)
    }

    /// True without any stamp.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an admission at `now`. Its stamp is the newest one if that is later than `now`.
    pub fn admit(&mut self, now: u64) {
        self.0.push(now.max(self.newest()));
    }

    /// Adds a stamp that may be earlier than the newest.
    pub fn insert(&mut self, stamp: u64) {
        let at = self.0.partition_point(|before| *before <= stamp);
        self.0.insert(at, stamp);
    }

    /// Removes all stamps except the newest `count`.
    pub fn keep_newest(&mut self, count: usize) {
        self.0.drain(..self.0.len().saturating_sub(count));
    }

    /// Removes all stamps.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The number of stamps that have not left a window of this length by `now`.
    #[must_use]
    pub fn count_in(&self, window: u64, now: u64) -> usize {
        self.0.len() - self.0.partition_point(|stamp| stamp + window <= now)
    }

    /// The earliest time, from `now` on, at which every rule admits one more. `None` if a limit is zero.
    #[must_use]
    pub fn free_at(&self, rules: impl IntoIterator<Item = Rule>, now: u64) -> Option<u64> {
        rules.into_iter().try_fold(now, |latest, rule| Some(latest.max(self.opens_at(rule)?)))
    }

    /// When the oldest of the last `limit` stamps leaves the window; 0 with fewer stamps than that.
    fn opens_at(&self, rule: Rule) -> Option<u64> {
        if rule.limit == 0 {
            return None;
        }
        let oldest = self.0.len().checked_sub(rule.limit as usize);
        Some(oldest.map_or(0, |oldest| self.0[oldest] + rule.window))
    }

    /// How many more all rules admit at `now`; `u32::MAX` without a rule.
    #[must_use]
    pub fn remaining(&self, rules: impl IntoIterator<Item = Rule>, now: u64) -> u32 {
        let by = |rule: Rule| {
            let used = u32::try_from(self.count_in(rule.window, now)).unwrap_or(u32::MAX);
            rule.limit.saturating_sub(used)
        };
        rules.into_iter().map(by).min().unwrap_or(u32::MAX)
    }

    /// The largest number of stamps in any window of this length.
    #[must_use]
    pub fn most_in_any(&self, window: u64) -> usize {
        let end = |start: u64| self.0.partition_point(|stamp| *stamp < start + window);
        self.0.iter().enumerate().map(|(first, start)| end(*start) - first).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Rule, Stamps};

    const RULE: Rule = Rule { limit: 2, window: 10 };

    fn stamps(all: &[u64]) -> Stamps {
        let mut stamps = Stamps::default();
        for stamp in all {
            stamps.insert(*stamp);
        }
        stamps
    }

    /// Broken by: `<` for `<=` in `count_in`; no `max` in `free_at`.
    #[test]
    fn a_stamp_leaves_exactly_one_window_after_its_time() {
        let stamps = stamps(&[3, 5]);
        assert_eq!(stamps.free_at([RULE], 6), Some(13));
        assert_eq!(stamps.free_at([RULE], 20), Some(20));
        assert_eq!((stamps.remaining([RULE], 12), stamps.remaining([RULE], 13)), (0, 1));
    }

    /// Broken by: `min` for `max` in `free_at`.
    #[test]
    fn of_several_rules_the_strictest_decides() {
        let (stamps, strict) = (stamps(&[3, 5]), Rule { limit: 1, window: 30 });
        assert_eq!(stamps.free_at([strict, RULE], 6), Some(35));
        assert_eq!(stamps.remaining([RULE, strict], 13), 0);
        assert_eq!(stamps.free_at([RULE, Rule { limit: 0, window: 1 }], 6), None);
    }

    /// Broken by: `<=` for `<` in `most_in_any`.
    #[test]
    fn the_fullest_window_may_begin_at_any_stamp() {
        let stamps = stamps(&[7, 0, 4, 10]);
        assert_eq!(
            (stamps.most_in_any(3), stamps.most_in_any(4), stamps.most_in_any(7)),
            (1, 2, 3)
        );
    }

    /// Broken by: no `max` in `admit`.
    #[test]
    fn an_admission_is_never_stamped_earlier_than_the_one_before() {
        let mut stamps = stamps(&[9]);
        stamps.admit(4);
        assert_eq!(stamps.free_at([RULE], 0), Some(19));
    }
}
